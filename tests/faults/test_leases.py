"""Two drivers on one stage of one run: one works, and the tables are as from one alone."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import rows
from harness.runs import Fault, Runs, wait_until

from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import CLASSIFY, FEATURIZE

pytestmark = pytest.mark.slow

START_SECONDS = 300.0
WATCH_SECONDS = 60
STOP_SECONDS = 60  # heartbeats are 10 apart, and a busy machine is slow


@pytest.fixture
def ready(sample: Callable[..., Runs], tmp_path: Path) -> Callable[[str], Runs]:
    """A run of the sample that is about to begin a stage."""

    def before(stage: str) -> Runs:
        runs = sample()
        outcome = runs.run(*NOTEBOOKS[: NOTEBOOKS.index(stage)], copies=tmp_path / "copies")
        assert outcome.code == 0, outcome.stderr
        return runs

    return before


@pytest.fixture
def unstruck(tmp_path: Path) -> Callable[[Runs, str], str]:
    """The same run with a driver alone."""

    def after(runs: Runs, stage: str) -> str:
        uri = str(tmp_path / "copies" / NOTEBOOKS[NOTEBOOKS.index(stage) - 1])
        alone = Runs({**runs.parameters, "RUN_URI": uri}, tmp_path / "alone-counts")
        outcome = alone.run(stage)
        assert outcome.code == 0, outcome.stderr
        return uri

    return after


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that a task of the first driver waits for, amid its work."""
    return tmp_path / "go"


@pytest.fixture
def paused(gate: Path) -> dict[str, Fault]:
    return {
        FEATURIZE: Fault("os.rename", r"/features/\w+/part-", at=4, until=str(gate)),
        CLASSIFY: Fault("open", r"/scores/part-", at=1, until=str(gate)),
    }


def test_the_second_of_two_refuses_and_names_the_first(
    ready: Callable[[str], Runs],
    paused: dict[str, Fault],
    gate: Path,
    unstruck: Callable[[Runs, str], str],
    ledger: Callable[..., None],
) -> None:
    runs = ready(FEATURIZE)
    with runs.start(FEATURIZE, fault=paused[FEATURIZE]) as first:
        wait_until(lambda: runs.struck, START_SECONDS, "work of the first driver")
        holder = json.loads(_locate_lease(runs, FEATURIZE).read_text())
        second = runs.run(FEATURIZE)
        assert second.code == 1
        assert second.error.startswith("LeaseHeldError: ")
        assert holder["run"] in second.error
        assert str(first.process.pid) in second.error
        gate.touch()
        outcome = first.wait()
    assert outcome.code == 0, outcome.stderr
    assert not _locate_lease(runs, FEATURIZE).exists()
    equal = rows.compare(runs.uri, unstruck(runs, FEATURIZE))
    refusal = "the second refuses, naming the first"
    ledger("two drivers at once", FEATURIZE, refusal, "-", f"{equal:,}")


def test_a_lease_that_a_lost_host_does_not_renew_is_taken_over(
    ready: Callable[[str], Runs],
    unstruck: Callable[[Runs, str], str],
    ledger: Callable[..., None],
) -> None:
    runs = ready(FEATURIZE)
    lease = _locate_lease(runs, FEATURIZE)
    lease.parent.mkdir(exist_ok=True)
    holder = {"run": "elsewhere", "host": "elsewhere", "pid": 1, "boot_id": "", "beat": 1}
    lease.write_text(json.dumps(holder))
    outcome = runs.run(FEATURIZE)
    assert outcome.code == 0, outcome.stderr
    assert outcome.seconds[FEATURIZE] > WATCH_SECONDS
    equal = rows.compare(runs.uri, unstruck(runs, FEATURIZE))
    ledger("lease of a lost host", FEATURIZE, "taken over after a minute", "-", f"{equal:,}")


@pytest.mark.parametrize("stage", [FEATURIZE, CLASSIFY])
def test_a_driver_that_comes_back_stops_and_changes_nothing(
    stage: str,
    ready: Callable[[str], Runs],
    paused: dict[str, Fault],
    gate: Path,
    unstruck: Callable[[Runs, str], str],
    ledger: Callable[..., None],
) -> None:
    """SIGSTOP for the first driver, a second one takes over and finishes, SIGCONT."""
    runs = ready(stage)
    with runs.start(stage, fault=paused[stage]) as first:
        wait_until(lambda: runs.struck, START_SECONDS, "work of the first driver")
        os.kill(first.process.pid, signal.SIGSTOP)
        second = runs.run(stage)
        assert second.code == 0, second.stderr
        assert second.seconds[stage] > WATCH_SECONDS
        manifest = (Path(runs.uri) / "manifest.json").read_bytes()
        resumed = time.monotonic()
        os.kill(first.process.pid, signal.SIGCONT)
        outcome = first.wait()
        stopped = time.monotonic() - resumed
    assert outcome.code == 1
    assert outcome.error.startswith("LeaseLostError: ")
    # Its task still waits at the gate: the heartbeat ended it, not the end of its work.
    assert not gate.exists()
    assert stopped < STOP_SECONDS
    assert (Path(runs.uri) / "manifest.json").read_bytes() == manifest
    equal = rows.compare(runs.uri, unstruck(runs, stage))
    stop = f"stops after {stopped:.0f} s"
    ledger("driver back after a takeover", stage, stop, "-", f"{equal:,}")


def _locate_lease(runs: Runs, stage: str) -> Path:
    return Path(runs.uri) / "_leases" / f"{stage}.json"
