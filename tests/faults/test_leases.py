"""Two drivers on one stage of one run: one works, and the tables are those of one alone."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import rows
from harness.runs import Fault, Runs, wait_until

pytestmark = pytest.mark.slow

STAGE = "03_featurize"
START_SECONDS = 300.0
WATCH_SECONDS = 60


@pytest.fixture
def ready(sample: Callable[..., Runs]) -> Runs:
    """A run of the sample that is about to begin ``STAGE``."""
    runs = sample()
    outcome = runs.run("01_ingest", "02_preprocess")
    assert outcome.code == 0, outcome.stderr
    return runs


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file for which a task of the first driver waits in the midst of its work."""
    return tmp_path / "go"


@pytest.fixture
def paused(gate: Path) -> Fault:
    return Fault("os.rename", r"/features/\w+/part-", at=4, until=str(gate))


@pytest.fixture
def unstruck(ready: Runs, tmp_path: Path) -> str:
    """The tables of a run that had a driver alone."""
    alone = Runs(
        {**ready.parameters, "RUN_URI": str(tmp_path / "alone")}, tmp_path / "alone-counts"
    )
    outcome = alone.run("01_ingest", "02_preprocess", STAGE)
    assert outcome.code == 0, outcome.stderr
    return alone.uri


def test_the_second_of_two_refuses_and_names_the_first(
    ready: Runs, paused: Fault, gate: Path, unstruck: str, ledger: Callable[..., None]
) -> None:
    with ready.started(STAGE, fault=paused) as first:
        wait_until(lambda: ready.struck, START_SECONDS, "work of the first driver")
        holder = json.loads(_lease(ready).read_text())
        second = ready.run(STAGE)
        assert second.code == 1
        assert second.error.startswith("LeaseHeldError: ")
        assert holder["run"] in second.error
        assert str(first.process.pid) in second.error
        gate.touch()
        outcome = first.end()
    assert outcome.code == 0, outcome.stderr
    assert not _lease(ready).exists()
    equal = rows.same(ready.uri, unstruck)
    ledger("two drivers at once", STAGE, "the second refuses, naming the first", "-", f"{equal:,}")


def test_the_lease_of_another_host_that_does_not_beat_is_taken_over(
    ready: Runs, unstruck: str, ledger: Callable[..., None]
) -> None:
    lease = _lease(ready)
    lease.parent.mkdir(exist_ok=True)
    holder = {"run": "elsewhere", "host": "elsewhere", "pid": 1, "boot_id": "", "beat": 1}
    lease.write_text(json.dumps(holder))
    outcome = ready.run(STAGE)
    assert outcome.code == 0, outcome.stderr
    assert outcome.seconds[STAGE] > WATCH_SECONDS
    equal = rows.same(ready.uri, unstruck)
    ledger("lease of a lost host", STAGE, "taken over after a minute", "-", f"{equal:,}")


def test_a_driver_that_comes_back_stops_and_changes_nothing(
    ready: Runs, paused: Fault, gate: Path, unstruck: str, ledger: Callable[..., None]
) -> None:
    """SIGSTOP for the first driver, a second one takes over and finishes, SIGCONT."""
    with ready.started(STAGE, fault=paused) as first:
        wait_until(lambda: ready.struck, START_SECONDS, "work of the first driver")
        os.kill(first.process.pid, signal.SIGSTOP)
        second = ready.run(STAGE)
        assert second.code == 0, second.stderr
        assert second.seconds[STAGE] > WATCH_SECONDS
        manifest = (Path(ready.uri) / "manifest.json").read_bytes()
        resumed = time.monotonic()
        os.kill(first.process.pid, signal.SIGCONT)
        outcome = first.end(timeout=120)
        stopped = time.monotonic() - resumed
    assert outcome.code == 1
    assert outcome.error.startswith("LeaseLostError: ")
    # Its task still waits at the gate: it was the beat that ended it, not the end of its work.
    assert not gate.exists()
    assert stopped < 60
    assert (Path(ready.uri) / "manifest.json").read_bytes() == manifest
    equal = rows.same(ready.uri, unstruck)
    how = f"stops after {stopped:.0f} s"
    ledger("driver back after a take-over", STAGE, how, "-", f"{equal:,}")


def _lease(runs: Runs) -> Path:
    return Path(runs.uri) / "_leases" / f"{STAGE}.json"
