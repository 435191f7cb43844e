"""Cells, and what a notebook shows of them: the same here and by sparkmagic over Livy.

The cases run in order, on one kernel: they are one notebook.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager


@dataclass(frozen=True)
class Case:
    """Cells to run one after the other, and what the last one must show.

    `text` is all of its stdout, or None where it may be anything; `mentions` a pattern in any of
    its text; `error` a pattern in its failure. Over Livy it is the "same"; or "silent", where Livy
    loses something without a word; or "elsewhere", where sparkmagic would run the cell in the
    notebook's own process or the kernel refuses it for simplicity's sake.
    """

    name: str
    cells: tuple[str, ...]
    text: str | None = ""
    figures: int = 0
    mentions: str = ""
    error: str = ""
    livy: Literal["same", "silent", "elsewhere"] = "same"


REFUSED = "does not work"
FIGURE = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots(figsize=(1, 1))\n"

CASES = (
    Case("configure before the first cell", ('%%configure\n{"name": "conformance"}',), text=None),
    Case("configure again before the first cell", ("%%configure\n{}",), text=None),
    Case("the first cell of code", ("begun = True",), text=None),  # sparkmagic tells of the session
    # Text
    Case("value of the last expression", ("1 + 1",), "2"),
    Case("text, then value", ("print('a')\n'b'",), "a\n'b'"),
    Case("of two expressions the last", ("1\n2",), "2"),
    Case("None is not shown", ("None",)),
    Case("an assignment shows nothing", ("x = 1",)),
    Case("a loop that stands last shows its values", ("for i in range(2):\n    i",), "0\n1"),
    Case("the last value has a name", ("20 + 1", "_ * 2"), "42"),
    Case("text on stderr", ("import sys\nprint('oh', file=sys.stderr)",), None, mentions="oh"),
    Case(
        "a warning",
        ("import warnings\nwarnings.warn('mind the step', stacklevel=1)",),
        text=None,
        mentions="UserWarning: mind the step",
    ),
    Case("a log is not shown", ("import logging\nlogging.error('kept in the log')",)),
    Case("a table is text", ("import pandas\npandas.DataFrame({'a': [1]})",), "a\n0  1"),
    Case(
        "an object that has HTML is text",
        (
            "class Rich:\n    def _repr_html_(self):\n        return '<b>rich</b>'\n"
            "    def __repr__(self):\n        return 'plain'",
            "Rich()",
        ),
        "plain",
    ),
    Case("nothing", ("",)),
    Case("a comment", ("# nothing",)),
    # Figures
    Case("a figure", (FIGURE + "%matplot plt",), figures=1),
    Case("the figure in a cell of its own", (FIGURE, "%matplot plt"), figures=1),
    Case("a shown figure stays the current one", ("plt.gcf() is figure",), "True"),
    Case("values are not shown beside a figure", (FIGURE + "1\n%matplot plt",), figures=1),
    Case("text is not shown beside a figure", (FIGURE + "print(1)\n%matplot plt",), figures=1),
    Case("a figure without the magic", (FIGURE + "axes.plot([1, 2])\nNone",)),
    Case("plt.show() shows nothing", ("plt.show()",)),
    Case("blank lines after the magic", (FIGURE + "%matplot plt\n\n",), figures=1),
    Case("a comment before the magic", ("# A figure\n%matplot plt",), figures=1),
    Case("a line of an expression is no magic", ("(7\n% 4)",), "3"),
    Case(
        "a figure that is not the last line",
        (FIGURE + "%matplot plt\nx = 1",),
        error="last line",
        livy="silent",
    ),
    Case(
        "two figures in one cell",
        (FIGURE + "%matplot plt\n%matplot plt",),
        error="last line",
        livy="silent",
    ),
    Case(
        "a figure of an unknown module",
        ("x = 1\n%matplot nothing",),
        error="'nothing' is not defined|text/plain",
    ),
    Case("a figure of what is no module", ("x = 1\n%matplot x",), error="gcf|text/plain"),
    # Where a cell runs
    Case("a cell is not the main program", ("__name__",), "'builtins'"),
    Case("the main program's guard", ("if __name__ == '__main__':\n    print('main')",)),
    Case("no one answers", ("input()",), error="EOFError"),
    Case("no await", ("import asyncio\nawait asyncio.sleep(0)",), error="await"),
    Case("no display", ("display(1)",), error="NameError.*display|'display' is not defined"),
    Case("no IPython", ("get_ipython()",), error="'get_ipython' is not defined"),
    Case("no IPython to import from", ("import IPython\nIPython.get_ipython() is None",), "True"),
    # Beside the driver
    Case("local text", ("%%local\nthere = 1\nprint(there)",), "1"),
    Case("local names stay there", ("there",), error="'there' is not defined"),
    Case("local names last", ("%%local\nprint(there + 1)",), "2"),
    Case("the driver's names stay here", ("here = 1", "%%local\nhere"), error="'here'"),
    Case("no Spark beside the driver", ("%%local\nspark",), error="'spark' is not defined"),
    # Errors
    Case("an exception", ("1 / 0",), error="division by zero"),
    Case("names set before an exception", ("kept = 5\n1 / 0", "kept"), "5"),
    Case("what is no Python does not run at all", ("ran = 1\n)", "ran"), error="'ran'"),
    Case("no way out", ("import sys\nsys.exit(3)",), error="3"),
    Case("the kernel after it", ("'alive'",), "'alive'"),
    # IPython's own
    Case("no shell", ("!ls",), error=f"invalid syntax|{REFUSED}"),
    Case("no help by a question mark", ("len?",), error=f"invalid syntax|{REFUSED}"),
    Case("no magic in a cell", ("x = 1\n%matplotlib inline",), error=f"unknown magic|{REFUSED}"),
    Case("no cell magic within a cell", ("x = 1\n%%local",), error=f"unknown magic|{REFUSED}"),
    *(
        Case(f"no {cell.split()[0]}", (cell,), error=REFUSED, livy="elsewhere")
        for cell in (
            "%matplotlib inline",
            "%timeit 1",
            "%local\n1",
            "%%time\n1",
            "%%bash\nls",
            "%%html\n<b>1</b>",
            "%%writefile x\n1",
            "%%sql\nSELECT 1",
            "%%spark\n1",
            "%%display\n1",
            "%%local -o x\n1",
            "%%",
        )
    ),
    # The session
    Case("info", ("%%info",), text=None),
    Case("help", ("%%help",), text=None, mentions="%matplot plt", livy="elsewhere"),
    Case("info stands alone", ("%%info\n1",), error="alone|must be empty"),
    Case(
        "configure when the session has begun",
        ("%%configure\n{}",),
        error="session has (begun|already been started)",
    ),
    Case("configure takes JSON", ("%%configure -f\nname = 'x'",), error="JSON object"),
    Case("and an object", ("%%configure -f\n[1]",), error="JSON object", livy="elsewhere"),
    Case(
        "of Livy's fields",
        ('%%configure -f\n{"driverMemry": "1g"}',),
        error="driverMemory.*received 'driverMemry'",
        livy="elsewhere",
    ),
    Case("a refused one changes nothing", ("kept",), "5"),
    Case(
        "configure -f ends the driver's names",
        ('%%configure -f\n{"conf": {"spark.conformance": "yes"}}', "kept"),
        error="'kept' is not defined",
    ),
    Case("but not those beside it", ("%%local\nprint(there)",), "1"),
    # Spark
    Case("spark", ("spark.range(3).count()",), "3"),
    Case("its options", ("spark.conf.get('spark.conformance')",), "'yes'"),
    Case("sc", ("sc is spark.sparkContext",), "True"),
    Case("a DataFrame is text", ("spark.range(1)",), "DataFrame[id: bigint]"),
    Case(
        "a cell's function in a task",
        ("def twice(n):\n    return 2 * n", "sc.parallelize([1, 2]).map(twice).collect()"),
        "[2, 4]",
    ),
    Case(
        "an exception in a task",
        ("sc.parallelize([0]).map(lambda n: 1 / n).collect()",),
        error="ZeroDivisionError",
    ),
)


@dataclass
class Seen:
    """What a cell showed."""

    stdout: str = ""
    stderr: str = ""
    figures: int = 0
    error: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)


def run(
    client: BlockingKernelClient, cell: str, watched: bool = False, timeout: float = 120
) -> Seen:
    """Run a cell, as a front end before which a person sits (`watched`) or as papermill does."""
    seen = Seen()

    def take(message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                seen.stdout += content["text"]
            case "stream":
                seen.stderr += content["text"]
            case "display_data" if "image/png" in content["data"]:
                seen.figures += 1
            case "error":
                seen.error = "\n".join(
                    [f"{content['ename']}: {content['evalue']}", *content["traceback"]]
                )
            case "status" | "execute_input":
                return
        seen.messages.append(message)

    reply = client.execute_interactive(cell, allow_stdin=watched, output_hook=take, timeout=timeout)
    assert (reply["content"]["status"] == "error") == bool(seen.error)
    return seen


@contextmanager
def kernel(folder: Path, **start: Any) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Start the ``pysparkkernel`` whose kernelspec is in `folder`."""
    specs = KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)
    manager = KernelManager(kernel_name="pysparkkernel", kernel_spec_manager=specs)
    manager.start_kernel(**start)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def sparkmagic(folder: Path, python: str, livy_url: str) -> Path:
    """Write a kernelspec and a configuration for the sparkmagic of the interpreter `python`."""
    config = {
        "kernel_python_credentials": {
            "username": "",
            "password": "",
            "url": livy_url,
            "auth": "None",
        },
        "livy_session_startup_timeout_seconds": 300,
        "all_errors_are_fatal": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    module = "sparkmagic.kernels.pysparkkernel.pysparkkernel"
    spec = {
        "argv": [python or sys.executable, "-m", module, "-f", "{connection_file}"],
        "display_name": "PySpark",
        "language": "python",
        "env": {"SPARKMAGIC_CONF_DIR": str(folder)},
    }
    kernels = folder / "kernels"
    (kernels / "pysparkkernel").mkdir(parents=True)
    (kernels / "pysparkkernel" / "kernel.json").write_text(json.dumps(spec))
    return kernels
