"""Work for Spark: units batched into tasks, and the task's own error when one fails."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.taskcontext import TaskContext

T = TypeVar("T")
R = TypeVar("R")

# A growing cluster has few cores at first: there must be enough tasks for those to come.
_MAX_UNITS = 16
_SHARE = 0.8  # of an even share of the remaining units


class TaskError(RuntimeError):
    """A Spark task failed for good; the message is the task's own error."""


def run_tasks(
    spark: SparkSession, function: Callable[[Sequence[T]], Iterator[R]], units: Sequence[T]
) -> list[R]:
    """Run ``function`` over the units, several per Spark task; return all that it yields."""
    context = spark.sparkContext
    batches = batch_units(units, context.defaultParallelism)

    def work(given: Iterable[Sequence[T]]) -> Iterator[R]:
        for batch in given:
            yield from function(batch)

    return context.parallelize(batches, len(batches)).mapPartitions(work).collect()


@contextmanager
def job_group(spark: SparkSession, group: str, description: str) -> Iterator[SparkContext]:
    """Name the Spark jobs of a block, so that they can be cancelled together.

    Raises
    ------
    TaskError
        If one of them fails for good. The task's traceback is a note of the error.
    """
    context = spark.sparkContext
    context.setJobGroup(group, description, interruptOnCancel=True)
    try:
        yield context
    except Py4JJavaError as error:
        raise _explain(str(error.java_exception.getMessage())) from None
    except PythonException as error:
        raise _explain(str(error)) from None


def batch_units(units: Sequence[T], cores: int) -> list[Sequence[T]]:
    """Batch units into tasks, in order: long tasks first, short ones last.

    Each task gets four fifths of an even share of the remaining units. Few tasks are better, since
    Spark spends 30 to 90 ms per task; short last ones let all cores end together.

    >>> [len(task) for task in batch_units(range(20), 2)]
    [8, 5, 3, 2, 1, 1]
    """
    batches: list[Sequence[T]] = []
    start = 0
    while start < len(units):
        size = min(_MAX_UNITS, math.ceil(_SHARE * (len(units) - start) / cores))
        batches.append(units[start : start + size])
        start += size
    return batches


def is_retried() -> bool:
    """Tell whether this code runs in a Spark task that failed before."""
    context = TaskContext.get()
    return context is not None and context.attemptNumber() > 0


def _explain(message: str) -> TaskError:
    """Find the task's own Python error in Spark's message."""
    _, opening, rest = message.partition("Traceback (most recent call last)")
    if not opening:
        cause = message.partition("Driver stacktrace:")[0].rpartition("Exception: ")[2]
        return TaskError(cause.strip().partition("\n")[0])
    trace = rest.partition("\n\tat ")[0].strip()
    failure = TaskError(trace.splitlines()[-1])
    failure.add_note(opening + trace)
    return failure
