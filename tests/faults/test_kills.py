"""``kill -9`` at counted points: the rerun finishes, with the tables of an unkilled run."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness import rows
from harness.baseline import SAMPLE_PARTS, Baseline
from harness.cluster import start_cluster
from harness.reference import ROOT, SAMPLE
from harness.runs import Driver, Fault, Outcome, Runs, make_environment

from helpers.run.manifest import CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS

pytestmark = pytest.mark.slow

#: event and path at which the tasks of each stage are struck
POINTS = {
    PREPROCESS: ("os.rename", r"/pixels/\w+/part-"),
    FEATURIZE: ("os.rename", r"/features/\w+/part-"),
    PCA: ("open", r"/features/\w+/part-"),
    CLASSIFY: ("open", r"/scores/part-"),
}
#: where the driver itself is struck, while it writes a snapshot
LATE_FAULTS = {
    PCA: Fault("os.rename", r"/pca/.*/model\.json$", at=1, victim="driver_itself"),
    CLASSIFY: Fault("os.rename", r"/classify/.*/_manifest\.json$", at=1, victim="driver_itself"),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Spark's options for a cluster of two workers with one core each."""
    with start_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield {"spark.master": url, "spark.executor.memory": "512m"}


def make_fault(stage: str, parts: int, victim: str) -> Fault:
    """Make a fault that kills ``victim`` when tasks of ``stage`` meet their ``parts``-th part."""
    event, match = POINTS[stage]
    at = 1 if stage == CLASSIFY else parts  # the scores of few photos are one file
    return Fault(event, match, at, victim)


@pytest.mark.parametrize("stage", POINTS)
def test_a_rerun_finishes_what_a_killed_driver_began(
    stage: str, baseline: Baseline, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = baseline.copy_before(stage, tmp_path / "run")
    fault = make_fault(stage, baseline.parts_before_fault, "driver")
    killed = runs.run(stage, fault=fault)
    assert killed.code == -signal.SIGKILL, killed.stderr
    again = runs.run(stage, fault=fault)
    assert again.code == 0, again.stderr
    equal = rows.compare(runs.uri, baseline.locate_after(stage))
    if stage in (PREPROCESS, FEATURIZE):
        assert 0 < again.new[stage] < baseline.photos  # it went on, and did not begin anew
    passes = _check_passes(runs, stage, baseline)
    ledger("driver killed", stage, "the rerun finishes", passes, f"{equal:,}")


@pytest.mark.parametrize("stage", LATE_FAULTS)
def test_a_rerun_finishes_after_a_driver_is_killed_while_it_writes_a_snapshot(
    stage: str, baseline: Baseline, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = baseline.copy_before(stage, tmp_path / "run")
    killed = runs.run(stage, fault=LATE_FAULTS[stage])
    assert killed.code == -signal.SIGKILL, killed.stderr
    again = runs.run(stage, fault=LATE_FAULTS[stage])
    assert again.code == 0, again.stderr
    equal = rows.compare(runs.uri, baseline.locate_after(stage))
    ledger("driver killed, writing", stage, "the rerun finishes", "-", f"{equal:,}")


@pytest.mark.parametrize("stage", POINTS)
def test_a_run_goes_on_after_a_worker_is_killed(
    stage: str, baseline: Baseline, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = baseline.copy_before(stage, tmp_path / "run")
    outcome = runs.run(stage, fault=make_fault(stage, baseline.parts_before_fault, "worker"))
    assert runs.struck
    assert outcome.code == 0, outcome.stderr
    equal = rows.compare(runs.uri, baseline.locate_after(stage))
    passes = _check_passes(runs, stage, baseline)
    ledger("worker killed", stage, "the run goes on", passes, f"{equal:,}")


@pytest.mark.parametrize("stage", POINTS)
def test_a_run_goes_on_after_one_of_two_executors_is_killed(
    stage: str,
    cluster: dict[str, str],
    baseline: Baseline,
    tmp_path: Path,
    ledger: Callable[..., None],
) -> None:
    runs = replace(baseline.copy_before(stage, tmp_path / "run"), conf=cluster)
    outcome = runs.run(stage, fault=make_fault(stage, baseline.parts_before_fault, "executor"))
    assert runs.struck
    assert outcome.code == 0, outcome.stderr
    equal = rows.compare(runs.uri, baseline.locate_after(stage))
    passes = _check_passes(runs, stage, baseline)
    ledger("executor killed, of two", stage, "the run goes on", passes, f"{equal:,}")


def test_a_finished_run_computes_nothing(baseline: Baseline, ledger: Callable[..., None]) -> None:
    before = _files(Path(baseline.runs.uri))
    passes = baseline.runs.passes
    outcome = baseline.runs.run(INGEST, *POINTS)
    assert outcome.code == 0, outcome.stderr
    assert outcome.new == dict.fromkeys([INGEST, *POINTS], 0)
    assert baseline.runs.passes == passes
    assert _files(Path(baseline.runs.uri)) == before
    seconds = sum(outcome.seconds.values())
    assert seconds < 60
    ledger("none: run again", "01 to 05", f"nothing to do, {seconds:.1f} s", f"0 of {passes:,}")


def test_the_command_run_again_finishes_after_its_kernel_is_killed(
    tmp_path: Path, ledger: Callable[..., None]
) -> None:
    """The whole of ``python -m helpers run``: notebooks, papermill, the kernel."""
    run, counts = tmp_path / "run", tmp_path / "counts"
    fault = make_fault(FEATURIZE, SAMPLE_PARTS, "driver")
    command = [sys.executable, "-m", "helpers", "run"]
    command += ["--params", str(ROOT / "notebooks" / "params" / "sample.yaml")]
    command += ["-p", "RUN_URI", str(run)]

    def run_command() -> Outcome:
        with Driver(command, {**os.environ, **make_environment(counts, fault)}, counts) as driver:
            return driver.wait()

    killed = run_command()
    assert killed.code == 1
    assert "DeadKernelError" in killed.error
    again = run_command()
    assert again.code == 0, again.stderr
    once = Runs(
        {"SOURCE_URI": str(SAMPLE), "RUN_URI": str(tmp_path / "once")},
        tmp_path / "once-counts",
    )
    outcome = once.run(INGEST, *POINTS)
    assert outcome.code == 0, outcome.stderr
    equal = rows.compare(str(run), once.uri)
    passes = (counts / "passes").stat().st_size
    ledger(
        "kernel killed",
        "python -m helpers run",
        "the rerun finishes",
        f"{passes:,} of {once.passes:,}",
        f"{equal:,}",
    )


def _check_passes(runs: Runs, stage: str, baseline: Baseline) -> str:
    """Check that few photos were pushed through the network twice; return the counts as text."""
    if stage != FEATURIZE:
        assert runs.passes == 0
        return "-"
    assert baseline.photos <= runs.passes <= baseline.max_passes
    return f"{runs.passes:,} of {baseline.photos:,}"


def _files(folder: Path) -> dict[str, int]:
    """Each file of the tables with the time it was written."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*.parquet")}
