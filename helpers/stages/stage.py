"""What all stages share: one execution with its lease, its time and its record; the result."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers.run import lease
from helpers.run.manifest import Record, Run
from helpers.run.snapshots import Snapshot, draft_snapshot, find_snapshot, new_run
from helpers.run.units import Unit, write_units
from helpers.spark import session, tasks
from helpers.storage.location import locate

T = TypeVar("T")
R = TypeVar("R")

LEASES = "_leases"


class StageError(RuntimeError):
    """A Spark task failed for good; the message is the task's own error."""


@dataclass(frozen=True)
class StageResult:
    """What a stage finished.

    Attributes
    ----------
    record
        What the manifest says of it.
    new
        Photos that this execution worked on; 0 where there was nothing to do.
    """

    record: Record
    new: int

    @property
    def counts(self) -> dict[str, Any]:
        """Photos by what became of them."""
        return self.record.counts


class Stage:
    """One execution of a stage: see :func:`run_stage`.

    Attributes
    ----------
    run
        The run that it belongs to.
    run_id
        Name of this execution.
    """

    def __init__(self, run: Run, name: str, spark: SparkSession | None) -> None:
        self.run = run
        self.run_id = new_run()
        self._name = name
        self._spark = spark
        self._started = time.perf_counter()
        self._is_lost = False

    @property
    def cores(self) -> int:
        """Tasks that Spark runs at once, as far as it knows now."""
        assert self._spark is not None
        return self._spark.sparkContext.defaultParallelism

    def broadcast(self, value: T) -> "Broadcast[T]":
        """Send a value to every executor once."""
        assert self._spark is not None
        return self._spark.sparkContext.broadcast(value)

    @contextmanager
    def write_snapshot(
        self, table: str, fingerprint: str, description: Mapping[str, Any]
    ) -> Iterator[Snapshot]:
        """Find a snapshot, or draft one for the block to write.

        The block writes files below ``snapshot.location`` if ``snapshot.is_new``. At its end the
        draft is whole, with ``description`` in its manifest.

        Raises
        ------
        LeaseLostError
            If another run took over the stage meanwhile.
        """
        location = self.run.table(table)
        found = find_snapshot(location, fingerprint)
        if found is not None:
            yield found
            return
        draft = draft_snapshot(location, fingerprint, self.run_id)
        yield draft
        self.check_lease()
        draft.finish(description)

    def run_tasks(
        self, function: Callable[[Sequence[T]], Iterator[R]], units: Sequence[T], description: str
    ) -> list[R]:
        """Run ``function`` over the units, several per Spark task; return all that it yields.

        Raises
        ------
        StageError
            If a task fails more often than Spark retries it.
        """
        if not units:
            return []
        with self.job(description) as spark:
            return tasks.run_tasks(spark, function, units)

    def run_units(
        self,
        function: Callable[[Sequence[Unit]], Iterator[R]],
        batches: Iterable[pa.RecordBatch],
        description: str,
    ) -> list[R]:
        """Write rows as units, and run ``function`` over them; return all that it yields.

        Parameters
        ----------
        batches
            Rows ordered by their column ``unit``: see :func:`helpers.run.units.write_units`.

        Raises
        ------
        StageError
            If a task fails more often than Spark retries it.
        """
        folder = self.run.table(f"_units-{self.run_id}")
        try:
            return self.run_tasks(function, write_units(batches, folder), description)
        finally:
            folder.delete_tree()

    @contextmanager
    def job(self, description: str) -> Iterator[SparkSession]:
        """Run a block whose Spark jobs are cancelled when the lease is lost.

        Raises
        ------
        StageError
            If one of them fails for good.
        """
        assert self._spark is not None
        try:
            with tasks.job_group(self._spark, self.run_id, f"{self._name}: {description}"):
                yield self._spark
        except tasks.TaskError as error:
            self.check_lease()
            failure = StageError(f"{self._name}: {error}")
            for note in getattr(error, "__notes__", ()):
                failure.add_note(note)
            raise failure from None

    def finish(
        self,
        lineage: Mapping[str, str],
        new: int,
        *,
        parameters: Mapping[str, Any],
        counts: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        blocked_because: str = "",
    ) -> Record:
        """Write the record of this execution; see :class:`helpers.run.manifest.Record`.

        Parameters
        ----------
        new
            Photos worked on; 0 where there was nothing to do.
        """
        self.check_lease()
        record = Record(
            stage=self._name,
            run=self.run_id,
            lineage=dict(lineage),
            parameters=dict(parameters),
            counts=dict(counts or {}),
            seconds=time.perf_counter() - self._started if new else None,
            photos=new,
            metrics=dict(metrics or {}),
            blocked_because=blocked_because,
        )
        self.run.append(record)
        return record

    def check_lease(self) -> None:
        """Raise if another run took over the stage, before something is declared finished.

        Raises
        ------
        LeaseLostError
            If it did.
        """
        if self._is_lost:
            raise lease.LeaseLostError(
                f"another run took over {self._name} of {self.run.location.uri}"
            )

    def cancel(self) -> None:
        """Give the stage up: another run took it over."""
        self._is_lost = True
        if self._spark is not None:
            self._spark.sparkContext.cancelJobGroup(self.run_id)


@contextmanager
def run_stage(run_uri: str, name: str, spark: SparkSession | None = None) -> Iterator[Stage]:
    """Execute a stage: hold its lease while the block runs.

    Parameters
    ----------
    run_uri
        The parameter RUN_URI.
    name
        Name of the stage's notebook.
    spark
        The session that runs its tasks; None if it has none.

    Raises
    ------
    LeaseHeldError
        If another live driver works on the same stage of this run.
    UnfitSessionError
        If the session was borrowed and lacks something.
    """
    run = Run(locate(run_uri))
    stage = Stage(run, name, spark)
    file = run.location / LEASES / f"{name}.json"
    with lease.hold_lease(file, stage.run_id, stage.cancel):
        if spark is not None:
            session.require_fit(spark, file)
        yield stage
