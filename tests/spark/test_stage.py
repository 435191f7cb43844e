"""A stage's tasks fail with their own words, and one driver at a time works on it."""

import os
import subprocess
import sys
import textwrap

import pyspark
import pytest

from helpers.run.lease import LeaseHeldError, LeaseLostError
from helpers.run.manifest import Run
from helpers.spark import environment
from helpers.stages.stage import Stage, StageError
from helpers.storage.location import LocalLocation

STAGE = "02_preprocess"


@pytest.fixture
def stage(spark, tmp_path):
    with Stage(Run(LocalLocation(str(tmp_path))), STAGE, spark) as entered:
        yield entered


def test_tasks_gather_what_they_yield(stage):
    squares = stage.tasks(lambda units: (unit**2 for unit in units), range(50), "square")
    assert squares == [unit**2 for unit in range(50)]


def test_no_units_need_no_job(stage):
    assert stage.tasks(iter, [], "nothing") == []


def test_a_failed_task_is_one_line_and_its_traceback_a_note(stage):
    def fail(units):
        raise ValueError(f"the photo {units[0]!r} is not to be had")
        yield

    with pytest.raises(StageError) as raised:
        stage.tasks(fail, ["a.jpg"], "fail")
    assert str(raised.value) == f"{STAGE}: ValueError: the photo 'a.jpg' is not to be had"
    [note] = raised.value.__notes__
    assert note.startswith("Traceback (most recent call last)")
    assert note.endswith("ValueError: the photo 'a.jpg' is not to be had")
    for line in (*note.splitlines(), str(raised.value)):
        assert "\tat " not in line
        assert "org.apache" not in line
    assert raised.value.__suppress_context__


def test_a_worker_that_always_dies_is_a_stage_error(stage):
    def die(_):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        yield

    message = rf"^{STAGE}: Python worker exited unexpectedly \(crashed\)$"
    with pytest.raises(StageError, match=message):
        stage.tasks(die, [1], "die")


def test_a_task_that_fails_once_is_tried_again(stage):
    def fail_at_first(units):
        from helpers.stages.stage import is_retried

        if not is_retried():
            raise ValueError("at first")
        yield from units

    assert stage.tasks(fail_at_first, [1, 2, 3], "fail at first") == [1, 2, 3]


HOLDER = """
    import sys, time
    from helpers.storage import lease
    from helpers.storage.location import locate

    with lease.lease(locate(sys.argv[1]), "another-run", lambda: None, beat_seconds=0.2):
        print("held", flush=True)
        time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path):
    """Another live process that holds the stage's lease, and beats."""
    place = tmp_path / "run" / "_leases" / f"{STAGE}.json"
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_stage_that_another_driver_works_on_is_refused_by_name(pipeline, holder):
    pipeline.add("Limes", 2)
    pipeline.ingest()  # another stage, another lease
    with pytest.raises(LeaseHeldError, match=rf"run another-run on .* \(process {holder.pid}\)"):
        pipeline.preprocess()
    assert not (pipeline.run / "pixels").exists()


def test_a_lease_left_by_a_dead_driver_is_taken_over(pipeline, holder):
    holder.kill()
    holder.wait()
    pipeline.add("Limes", 2)
    pipeline.ingest()
    assert pipeline.preprocess().new == 2


def test_the_lease_is_given_back_after_success_and_after_failure(pipeline):
    pipeline.add("Limes", 2)
    pipeline.ingest()
    with pytest.raises(ValueError, match="PIXELS"):
        pipeline.featurize(PIXELS="0" * 16)
    assert [path for path in (pipeline.run / "_leases").iterdir() if path.suffix == ".json"] == []


def test_a_driver_that_lost_its_lease_finishes_nothing(stage, tmp_path):
    stage._cancel()  # what the lease calls at the beat that finds it taken
    with pytest.raises(LeaseLostError, match="another run took over 02_preprocess of"):
        stage.finish({}, {}, {}, images=0, worked=True)
    assert Run(LocalLocation(str(tmp_path))).read_history() == []


def test_workers_have_pyspark_once_and_keep_what_they_imported(stage):
    def look(_):
        import gc

        where = [place for place in sys.path if place.endswith((".zip", ".jar"))]
        yield (
            pyspark.__file__,
            [place for place in where if "spark" in place],
            gc.get_freeze_count(),
        )

    stage.tasks(look, range(8), "warm the workers")
    for file, archives, frozen in stage.tasks(look, range(8), "look"):
        assert file == pyspark.__file__
        assert archives == []
        assert frozen > 0


def test_workers_give_freed_memory_back(stage):
    def look(_):
        yield {name: os.environ.get(name) for name in environment.MEMORY}

    assert stage.tasks(look, [1], "look") == [environment.MEMORY]
