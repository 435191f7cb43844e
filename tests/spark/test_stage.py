"""A stage's tasks fail with their own words, and one driver at a time works on it."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyspark
import pytest
from harness.pipeline import Pipeline
from pyspark.sql import SparkSession

from helpers.run.lease import LeaseHeldError, LeaseLostError
from helpers.run.manifest import PREPROCESS
from helpers.spark import environment
from helpers.stages.stage import Stage, StageError, run_stage


@pytest.fixture
def stage(spark: SparkSession, tmp_path: Path) -> Iterator[Stage]:
    with run_stage(str(tmp_path), PREPROCESS, spark) as entered:
        yield entered


def test_tasks_gather_what_they_yield(stage: Stage) -> None:
    squares = stage.run_tasks(lambda units: (unit**2 for unit in units), range(50), "square")
    assert squares == [unit**2 for unit in range(50)]


def test_no_units_need_no_job(stage: Stage) -> None:
    units: list[int] = []
    assert stage.run_tasks(iter, units, "nothing") == []


def test_a_failed_task_is_one_line_and_its_traceback_a_note(stage: Stage) -> None:
    def fail(units: Sequence[str]) -> Iterator[str]:
        for path in units:
            if path == "a.jpg":
                raise ValueError(f"the photo {path!r} is not to be had")
            yield path

    with pytest.raises(StageError) as raised:
        stage.run_tasks(fail, ["a.jpg"], "fail")
    assert str(raised.value) == f"{PREPROCESS}: ValueError: the photo 'a.jpg' is not to be had"
    [note] = raised.value.__notes__
    assert note.startswith("Traceback (most recent call last)")
    assert note.endswith("ValueError: the photo 'a.jpg' is not to be had")
    for line in (*note.splitlines(), str(raised.value)):
        assert "\tat " not in line
        assert "org.apache" not in line
    assert raised.value.__suppress_context__


def test_a_worker_that_always_dies_is_a_stage_error(stage: Stage) -> None:
    def die(units: Sequence[int]) -> Iterator[int]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        yield from units

    message = rf"^{PREPROCESS}: Python worker exited unexpectedly \(crashed\)$"
    with pytest.raises(StageError, match=message):
        stage.run_tasks(die, [1], "die")


def test_a_task_that_fails_once_is_tried_again(stage: Stage) -> None:
    def fail_at_first(units: Sequence[int]) -> Iterator[int]:
        from helpers.spark.tasks import is_retried

        if not is_retried():
            raise ValueError("at first")
        yield from units

    assert stage.run_tasks(fail_at_first, [1, 2, 3], "fail at first") == [1, 2, 3]


HOLDER = """
    import sys, time
    from helpers.run.lease import hold_lease
    from helpers.storage.location import locate

    with hold_lease(locate(sys.argv[1]), "another-run", lambda: None, heartbeat_seconds=0.2):
        print("held", flush=True)
        time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another live process that holds the stage's lease, and renews it."""
    place = tmp_path / "run" / "_leases" / f"{PREPROCESS}.json"
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_stage_that_another_driver_works_on_is_refused_by_name(
    pipeline: Pipeline, holder: "subprocess.Popen[str]"
) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()  # another stage, another lease
    with pytest.raises(LeaseHeldError, match=rf"run another-run on .* \(process {holder.pid}\)"):
        pipeline.preprocess()
    assert not (pipeline.run / "pixels").exists()


def test_a_lease_left_by_a_dead_driver_is_taken_over(
    pipeline: Pipeline, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    holder.wait()
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()
    assert pipeline.preprocess().new == 2


def test_the_lease_is_given_back_after_success_and_after_failure(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()
    with pytest.raises(ValueError, match="PIXELS"):
        pipeline.featurize(PIXELS="0" * 16)
    assert [path for path in (pipeline.run / "_leases").iterdir() if path.suffix == ".json"] == []


def test_a_driver_that_lost_its_lease_finishes_nothing(stage: Stage) -> None:
    stage.cancel()  # what the lease calls at the heartbeat that finds it taken
    with pytest.raises(LeaseLostError, match="another run took over 02_preprocess of"):
        stage.finish({}, 1, parameters={})
    with (
        pytest.raises(LeaseLostError, match="another run took over 02_preprocess of"),
        stage.write_snapshot("images", "0" * 16, {}) as snapshot,
    ):
        (snapshot.location / "images.parquet").write(b"photos")
    assert not snapshot.is_whole
    assert stage.run.read_history() == []


def test_workers_have_pyspark_once_and_keep_what_they_imported(stage: Stage) -> None:
    def look(_: Sequence[int]) -> Iterator[tuple[str, list[str], int]]:
        import gc

        where = [place for place in sys.path if place.endswith((".zip", ".jar"))]
        yield (
            pyspark.__file__,
            [place for place in where if "spark" in place],
            gc.get_freeze_count(),
        )

    stage.run_tasks(look, range(8), "warm the workers")
    for file, archives, frozen in stage.run_tasks(look, range(8), "look"):
        assert file == pyspark.__file__
        assert archives == []
        assert frozen > 0


def test_workers_give_freed_memory_back(stage: Stage) -> None:
    def look(_: Sequence[int]) -> Iterator[dict[str, str | None]]:
        yield {name: os.environ.get(name) for name in environment.MEMORY}

    assert stage.run_tasks(look, [1], "look") == [environment.MEMORY]
