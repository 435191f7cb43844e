"""``kill -9`` at counted points: the rerun finishes, with the tables of an unkilled run."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness import rows
from harness.cluster import standalone
from harness.reference import REAL, ROOT, SAMPLE, Reference
from harness.runs import Driver, Fault, Outcome, Runs, faulty

pytestmark = pytest.mark.slow

PREPROCESS, FEATURIZE, PCA, CLASSIFY = "02_preprocess", "03_featurize", "04_pca", "05_classify"

#: parts after which a stage is struck: a third of them or so
PARTS_OF_THE_SAMPLE = 6
PARTS = 40 if REAL.is_dir() else PARTS_OF_THE_SAMPLE
POINTS = {
    PREPROCESS: Fault("os.rename", r"/pixels/\w+/part-", at=PARTS),
    FEATURIZE: Fault("os.rename", r"/features/\w+/part-", at=PARTS),
    PCA: Fault("open", r"/features/\w+/part-", at=PARTS),
    CLASSIFY: Fault("open", r"/scores/part-", at=1),
}
#: where the driver itself is struck, on the way to a snapshot
LATE_POINTS = {
    PCA: Fault("os.rename", r"/pca/.*/model\.json$", at=1, victim="driver_itself"),
    CLASSIFY: Fault("os.rename", r"/classify/.*/_manifest\.json$", at=1, victim="driver_itself"),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Spark's options for a cluster of two workers, of one core each."""
    with standalone(tmp_path_factory.mktemp("cluster")) as url:
        yield {"spark.master": url, "spark.executor.memory": "512m"}


@pytest.mark.parametrize("stage", POINTS)
def test_a_killed_driver(
    stage: str, reference: Reference, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = reference.before(stage, tmp_path / "run")
    fault = replace(POINTS[stage], victim="driver")
    killed = runs.run(stage, fault=fault)
    assert killed.code == -signal.SIGKILL, killed.stderr
    again = runs.run(stage, fault=fault)
    assert again.code == 0, again.stderr
    equal = rows.same(runs.uri, reference.after(stage))
    if stage in (PREPROCESS, FEATURIZE):
        assert 0 < again.new[stage] < reference.photos  # it went on, and did not begin anew
    passes = _passes(runs, stage, reference)
    ledger("driver killed", stage, "the rerun finishes", passes, f"{equal:,}")


@pytest.mark.parametrize("stage", LATE_POINTS)
def test_a_driver_killed_over_its_snapshot(
    stage: str, reference: Reference, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = reference.before(stage, tmp_path / "run")
    killed = runs.run(stage, fault=LATE_POINTS[stage])
    assert killed.code == -signal.SIGKILL, killed.stderr
    again = runs.run(stage, fault=LATE_POINTS[stage])
    assert again.code == 0, again.stderr
    equal = rows.same(runs.uri, reference.after(stage))
    ledger("driver killed, writing", stage, "the rerun finishes", "-", f"{equal:,}")


@pytest.mark.parametrize("stage", POINTS)
def test_a_killed_worker(
    stage: str, reference: Reference, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    runs = reference.before(stage, tmp_path / "run")
    outcome = runs.run(stage, fault=replace(POINTS[stage], victim="worker"))
    assert runs.struck
    assert outcome.code == 0, outcome.stderr
    equal = rows.same(runs.uri, reference.after(stage))
    passes = _passes(runs, stage, reference)
    ledger("worker killed", stage, "the run goes on", passes, f"{equal:,}")


@pytest.mark.parametrize("stage", POINTS)
def test_a_killed_executor(
    stage: str,
    cluster: dict[str, str],
    reference: Reference,
    tmp_path: Path,
    ledger: Callable[..., None],
) -> None:
    runs = replace(reference.before(stage, tmp_path / "run"), conf=cluster)
    outcome = runs.run(stage, fault=replace(POINTS[stage], victim="executor"))
    assert runs.struck
    assert outcome.code == 0, outcome.stderr
    equal = rows.same(runs.uri, reference.after(stage))
    passes = _passes(runs, stage, reference)
    ledger("executor killed, of two", stage, "the run goes on", passes, f"{equal:,}")


def test_a_finished_run_computes_nothing(reference: Reference, ledger: Callable[..., None]) -> None:
    stages = ("01_ingest", *POINTS)
    before = _files(Path(reference.runs.uri))
    passes = reference.runs.passes
    outcome = reference.runs.run(*stages)
    assert outcome.code == 0, outcome.stderr
    assert [outcome.new[stage] for stage in POINTS] == [0, 0, 0, 0]
    assert reference.runs.passes == passes
    assert _files(Path(reference.runs.uri)) == before
    seconds = sum(outcome.seconds.values())
    assert seconds < 60
    ledger("none: run again", "01 to 05", f"nothing to do, {seconds:.1f} s", f"0 of {passes:,}")


def test_the_command_with_a_killed_kernel(tmp_path: Path, ledger: Callable[..., None]) -> None:
    """The whole of ``python -m helpers run``: notebooks, papermill, the kernel."""
    run, counts = tmp_path / "run", tmp_path / "counts"
    fault = replace(POINTS[FEATURIZE], at=PARTS_OF_THE_SAMPLE, victim="driver")
    command = [sys.executable, "-m", "helpers", "run"]
    command += ["--params", str(ROOT / "notebooks" / "params" / "sample.yaml")]
    command += ["-p", "RUN_URI", str(run)]

    def ended() -> Outcome:
        with Driver(command, {**os.environ, **faulty(counts, fault)}, counts) as driver:
            return driver.end()

    killed = ended()
    assert killed.code == 1
    assert "DeadKernelError" in killed.error
    again = ended()
    assert again.code == 0, again.stderr
    once = Runs(
        {"SOURCE_URI": str(SAMPLE), "RUN_URI": str(tmp_path / "once")},
        tmp_path / "once-counts",
    )
    outcome = once.run("01_ingest", *POINTS)
    assert outcome.code == 0, outcome.stderr
    equal = rows.same(str(run), once.uri)
    passes = (counts / "passes").stat().st_size
    ledger(
        "kernel killed",
        "python -m helpers run",
        "the rerun finishes",
        f"{passes:,} of {once.passes:,}",
        f"{equal:,}",
    )


def _passes(runs: Runs, stage: str, reference: Reference) -> str:
    """How many photos were pushed through the network, of how many; at most a little more."""
    if stage != FEATURIZE:
        assert runs.passes == 0
        return "-"
    assert reference.photos <= runs.passes <= reference.most_passes
    return f"{runs.passes:,} of {reference.photos:,}"


def _files(folder: Path) -> dict[str, int]:
    """Each file of the tables with the time it was written."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*.parquet")}
