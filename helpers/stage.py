"""One execution of a stage: its lease, its time, its Spark tasks, its record."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, TypeVar

from py4j.protocol import Py4JJavaError
from pyspark import RDD, SparkContext
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.taskcontext import TaskContext

from helpers import session
from helpers.storage import lease
from helpers.storage.run import Record, Run
from helpers.storage.snapshots import new_run

T = TypeVar("T")
R = TypeVar("R")

LEASES = "_leases"
# A cluster that scales tells few cores at first: tasks must be enough for those to come.
_MOST_UNITS = 16  # parts a task
_SHARE = 0.8  # of what each core would get of the rest


class StageError(RuntimeError):
    """A Spark task failed for good; the message is the task's own error."""


class Stage:
    """Context of one execution: holds the stage's lease and writes its record at the end.

    Raises
    ------
    LeaseHeldError
        If another live driver works on the same stage of this run.
    UnfitSessionError
        If the session was borrowed, and lacks something.
    """

    def __init__(self, run: Run, name: str, spark: SparkSession | None = None) -> None:
        self.run_id = new_run()
        self._run = run
        self._name = name
        self._spark = spark
        self._lost = False
        self._held = ExitStack()
        self._started = 0.0

    def __enter__(self) -> "Stage":
        place = self._run.location / LEASES / f"{self._name}.json"
        with ExitStack() as held:
            held.enter_context(lease.lease(place, self.run_id, self._cancel))
            if self._spark is not None:
                session.require_fit(self._spark, place)
            self._held = held.pop_all()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def check(self) -> None:
        """Raise if the lease was taken, before something is declared finished.

        Raises
        ------
        LeaseLostError
        """
        if self._lost:
            raise lease.LeaseLostError(f"another run took over {self._name} of {self._run}")

    def finish(
        self,
        lineage: Mapping[str, str],
        parameters: Mapping[str, Any],
        counts: Mapping[str, Any],
        *,
        images: int,
        worked: bool,
        figures: Mapping[str, Any] | None = None,
        refused: str = "",
    ) -> Record:
        """Write the stage's record.

        ``worked`` is False where all was there already; ``refused`` says why no other stage is
        to build on the result, if so.
        """
        self.check()
        record = Record(
            stage=self._name,
            run=self.run_id,
            lineage=dict(lineage),
            parameters=dict(parameters),
            counts=dict(counts),
            seconds=self.seconds if worked else None,
            images=images,
            figures=dict(figures or {}),
            refused=refused,
        )
        self._run.finish(record)
        return record

    def tasks(
        self, function: Callable[[Sequence[T]], Iterator[R]], units: Sequence[T], what: str
    ) -> list[R]:
        """Run ``function`` over the units, several a Spark task, and gather what it yields.

        Raises
        ------
        StageError
            If a task fails more often than Spark retries it.
        """
        if not units:
            return []
        with self.job(what) as context:
            dealt = deal(units, context.defaultParallelism)
            return _spread(context, function, dealt).collect()

    @contextmanager
    def job(self, what: str) -> Iterator[SparkContext]:
        """A block whose Spark jobs are cancelled when the lease is lost.

        Raises
        ------
        StageError
            If one of them fails for good.
        """
        assert self._spark is not None
        context = self._spark.sparkContext
        context.setJobGroup(self.run_id, f"{self._name}: {what}", interruptOnCancel=True)
        try:
            yield context
        except Py4JJavaError as error:
            self.check()
            raise self._failure(str(error.java_exception.getMessage())) from None
        except PythonException as error:
            self.check()
            raise self._failure(str(error)) from None

    def _failure(self, message: str) -> StageError:
        """The failed task's own Python error, its traceback as a note, without Java's frames."""
        _, opening, rest = message.partition("Traceback (most recent call last)")
        if not opening:
            told = message.partition("Driver stacktrace:")[0].rpartition("Exception: ")[2]
            reason = told.strip().partition("\n")[0]
            return StageError(f"{self._name}: {reason}")
        trace = rest.partition("\n\tat ")[0].strip()
        failure = StageError(f"{self._name}: {trace.splitlines()[-1]}")
        failure.add_note(opening + trace)
        return failure

    def _cancel(self) -> None:
        self._lost = True
        if self._spark is not None:
            self._spark.sparkContext.cancelJobGroup(self.run_id)


def deal(units: Sequence[T], cores: int) -> list[Sequence[T]]:
    """Units dealt to tasks, in order: long tasks first, short ones last.

    Each takes four fifths of an even share of what is left: a task costs Spark 30 to 90 ms, so few
    are better, and short last ones let all cores end together.

    >>> [len(task) for task in deal(range(20), 2)]
    [8, 5, 3, 2, 1, 1]
    """
    dealt: list[Sequence[T]] = []
    start = 0
    while start < len(units):
        size = min(_MOST_UNITS, math.ceil(_SHARE * (len(units) - start) / cores))
        dealt.append(units[start : start + size])
        start += size
    return dealt


def _spread(
    context: SparkContext,
    function: Callable[[Sequence[T]], Iterator[R]],
    dealt: Sequence[Sequence[T]],
) -> RDD[R]:
    """An RDD of what ``function`` yields, one Spark task for each of the dealt sequences."""

    def work(given: Iterable[Sequence[T]]) -> Iterator[R]:
        for units in given:
            yield from function(units)

    return context.parallelize(dealt, len(dealt)).mapPartitions(work)


def is_retried() -> bool:
    """Whether this code runs in a Spark task that failed before."""
    context = TaskContext.get()
    return context is not None and context.attemptNumber() > 0
