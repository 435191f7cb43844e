"""What runs far away over Livy: the names of the driver's cells, and its Spark session."""

import gc
import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from helpers.kernel.cells import CellError, Code
from helpers.kernel.execution import execute, png, text_withheld
from helpers.kernel.options import spark_conf
from helpers.kernel.progress import bar
from helpers.spark import jvm

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NOT_OVER_LIVY = {
    "display": "over Livy a cell shows text and, with '%matplot plt', a figure",
    "get_ipython": "over Livy there is no IPython in the driver",
}


class Namespace(dict[str, Any]):
    """Globals of the driver's cells; Spark starts when a cell first reads `spark` or `sc`.

    As in Livy there is no ``__name__``: a cell is never ``"__main__"``.
    """

    def __init__(self, session: "Callable[[], SparkSession]") -> None:
        super().__init__()
        self._session = session

    def __missing__(self, name: str) -> Any:
        if name in ("spark", "sc"):
            spark = self._session()
            self.setdefault("spark", spark)
            self.setdefault("sc", spark.sparkContext)
            return self[name]
        if name in _NOT_OVER_LIVY:
            raise NameError(f"name {name!r} is not defined: {_NOT_OVER_LIVY[name]}", name=name)
        raise KeyError(name)


class Driver:
    """The state of one Livy session.

    Parameters
    ----------
    start
        Starts a Spark session with the options given.
    end
        Ends that session and its JVM.
    """

    def __init__(
        self,
        start: "Callable[[Mapping[str, str]], SparkSession]" = jvm.start,
        end: "Callable[[SparkSession], None]" = jvm.end,
    ) -> None:
        self._start = start
        self._end = end
        self._lock = threading.RLock()
        self._spark: SparkSession | None = None
        self._starting = False
        self._begun = False
        self._settings: dict[str, object] = {}
        self.namespace = Namespace(self.session)

    def run(self, cell: Code, filename: str) -> bytes | None:
        """Run a cell and return its figure as PNG, or None."""
        self._begun = True
        if cell.figure is None:
            execute(cell.statements, self.namespace, filename)
            return None
        with text_withheld():
            execute(cell.statements, self.namespace, filename)
        return png(self.namespace, cell.figure)

    def session(self) -> "SparkSession":
        """Return the Spark session; start it if there is none."""
        with self._lock:
            if self._spark is None:
                self._starting = True
                try:
                    self._spark = self._start(spark_conf(self._settings))
                finally:
                    self._starting = False
            return self._spark

    def configure(self, settings: dict[str, object], force: bool) -> None:
        """Replace the session's fields.

        As in sparkmagic, the session begins with the first cell, not with Spark. From then on
        `force` is needed: it stops Spark and empties the namespace, and the next use of `spark`
        starts Spark anew.

        Raises
        ------
        CellError
            If a field is not Livy's, or a session has begun and `force` is false.
        """
        spark_conf(settings)
        if self._begun and not force:
            raise CellError(
                "%%configure must stand before the first cell of code: the session has begun. "
                "'%%configure -f' ends the session and its variables"
            )
        self.stop()
        self.namespace.clear()
        gc.collect()  # no finalizer of a Java object may reach the next session
        self._settings = settings

    def info(self) -> str:
        """Describe the options and the state of the session."""
        lines = [f"Options: {json.dumps(self._settings)}"]
        if self._spark is None:
            lines.append("Spark has not started: it starts at the first use of spark or sc.")
        else:
            context = self._spark.sparkContext
            lines.append(f"Spark {context.version}, {context.master}, {context.applicationId}")
            lines.append(f"User interface: {context.uiWebUrl or 'none'}")
        return "\n".join(lines)

    def status(self) -> str:
        """Describe in a line what Spark does; the line is empty when Spark is idle."""
        if self._starting:
            return "Spark is starting ..."
        if self._spark is None:
            return ""
        done, total = jvm.tasks(self._spark)
        return bar(done, total) if total else ""

    def cancel(self) -> None:
        """Cancel Spark's running jobs."""
        if self._spark is not None:
            jvm.cancel(self._spark)

    def stop(self) -> None:
        """End Spark, if it runs, and its JVM."""
        with self._lock:
            spark, self._spark = self._spark, None
            if spark is not None:
                self._end(spark)
