"""One driver at a time on one stage: who holds a lease, who waits, who takes over, who stops."""

import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from helpers.run.lease import LeaseHeldError, LeaseLostError, hold_lease
from helpers.storage.local import LocalLocation

HEARTBEAT, WATCH = 0.02, 1.0  # seconds, short for the tests
NEVER = 3600.0  # seconds
DEAD = 2**22 + 1  # above the greatest process id of Linux
fork = multiprocessing.get_context("fork")


@pytest.fixture
def location(tmp_path: Path) -> LocalLocation:
    return LocalLocation(str(tmp_path / "_leases" / "02_preprocess.json"))


@pytest.fixture(scope="session")
def mine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a lease of this process holds."""
    location = LocalLocation(str(tmp_path_factory.mktemp("lease") / "mine.json"))
    with hold(location):
        return read_holder(location)


def ignore() -> None:
    """Nobody to tell of a loss."""


def hold(
    location: LocalLocation, run: str = "mine", on_loss: Callable[[], None] = ignore
) -> AbstractContextManager[None]:
    return hold_lease(location, run, on_loss, HEARTBEAT, WATCH)


def read_holder(location: LocalLocation) -> dict[str, Any]:
    holder: dict[str, Any] = json.loads(location.read())
    return holder


def encode_holder(mine: dict[str, Any], **changes: object) -> bytes:
    """The lease of another run; its process lives, since it is this one's parent."""
    return json.dumps({**mine, "run": "theirs", "pid": os.getppid(), "beat": 1, **changes}).encode()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Taking and giving back


def test_a_free_lease_is_taken_at_once_and_given_back(location: LocalLocation) -> None:
    begun = time.monotonic()
    with hold(location):
        holder = read_holder(location)
        assert time.monotonic() - begun < WATCH
        assert (holder["run"], holder["pid"]) == ("mine", os.getpid())
        assert holder["host"] == socket.gethostname()
    assert not location.is_file()


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="needs Linux")
def test_a_lease_names_the_boot_and_the_process_namespace(mine: dict[str, Any]) -> None:
    """Process ids are unique within these alone; containers may share a host name."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert mine["boot_id"] == f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def test_a_lease_is_renewed_while_it_is_held(location: LocalLocation) -> None:
    with hold(location):
        first = read_holder(location)["beat"]
        wait_until(lambda: read_holder(location)["beat"] > first)


def test_a_lease_is_given_back_after_an_error(location: LocalLocation) -> None:
    def fail() -> None:
        with hold(location):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not location.is_file()


def test_a_lease_whose_taking_is_sent_twice_is_held_at_once(
    location: LocalLocation, mine: dict[str, Any]
) -> None:
    """The answer to a write may be lost, and the write repeated."""
    location.write(encode_holder(mine, run="mine"))
    begun = time.monotonic()
    with hold(location):
        assert time.monotonic() - begun < WATCH


# Other holders


def test_a_dead_holder_on_this_machine_is_replaced_at_once(
    location: LocalLocation, mine: dict[str, Any]
) -> None:
    location.write(encode_holder(mine, pid=DEAD))
    begun = time.monotonic()
    with hold(location):
        assert time.monotonic() - begun < WATCH
        assert read_holder(location)["run"] == "mine"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"host": "another machine", "pid": DEAD},
        {"boot_id": "of another container with this host name", "pid": DEAD},
    ],
)
def test_a_holder_that_may_live_is_watched_and_replaced_if_it_is_silent(
    changes: dict[str, object], location: LocalLocation, mine: dict[str, Any]
) -> None:
    location.write(encode_holder(mine, **changes))
    begun = time.monotonic()
    with hold(location):
        assert time.monotonic() - begun >= WATCH
        assert read_holder(location)["run"] == "mine"


def test_a_holder_of_another_user_may_live(
    location: LocalLocation, mine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    location.write(encode_holder(mine, pid=1))
    begun = time.monotonic()
    with hold(location):
        assert time.monotonic() - begun >= WATCH


def _work(path: str, seconds: float, pipe: Connection) -> None:
    """Hold a lease in another process for some time."""
    with hold(LocalLocation(path), "theirs"):
        pipe.send(os.getpid())
        time.sleep(seconds)


def test_a_live_holder_is_named_and_keeps_its_lease(location: LocalLocation) -> None:
    ours, theirs = fork.Pipe()
    other = fork.Process(target=_work, args=(location.path, NEVER, theirs))
    other.start()
    try:
        pid = ours.recv()
        words = rf"run theirs on {socket.gethostname()} \(process {pid}\) works on this stage"
        with pytest.raises(LeaseHeldError, match=words), hold(location):
            pytest.fail("two hold one lease")
        assert read_holder(location)["run"] == "theirs"
    finally:
        other.kill()
        other.join()
    with hold(location):  # now it is dead
        assert read_holder(location)["run"] == "mine"


def test_a_waiting_driver_gets_the_lease_when_its_holder_ends(
    location: LocalLocation, mine: dict[str, Any]
) -> None:
    ended = threading.Event()

    def end() -> None:
        location.delete()
        ended.set()

    location.write(encode_holder(mine))
    timer = threading.Timer(WATCH / 4, end)
    timer.start()
    with hold(location):
        timer.join()  # the file is gone before the event is set
        assert ended.is_set()


def test_a_second_stage_of_the_same_process_is_refused(location: LocalLocation) -> None:
    with (
        hold(location, "first"),
        pytest.raises(LeaseHeldError, match="run first"),
        hold(location),
    ):
        pytest.fail("two hold one lease")
    assert not location.is_file()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"run": "theirs"}', b"null", b"3", b"[]", b'"text"', b"\xff", b"\0" * 100],
)
def test_a_torn_lease_has_no_holder(content: bytes, location: LocalLocation) -> None:
    location.write(content)
    with hold(location):
        assert read_holder(location)["run"] == "mine"


# Losing a lease


@pytest.mark.parametrize("loss", ["taken", "deleted"])
def test_a_driver_that_lost_its_lease_is_told_and_stops(
    loss: str, location: LocalLocation, mine: dict[str, Any]
) -> None:
    told = threading.Event()

    def work() -> None:
        with hold(location, on_loss=told.set):
            if loss == "taken":
                location.write(encode_holder(mine))
            else:
                location.delete()
            assert told.wait(20)

    with pytest.raises(LeaseLostError, match=r"another run took over .* this one \(mine\) stops"):
        work()


def test_a_driver_that_lost_its_lease_leaves_the_others_alone(
    location: LocalLocation, mine: dict[str, Any]
) -> None:
    told = threading.Event()
    with suppress(LeaseLostError), hold(location, on_loss=told.set):
        location.write(encode_holder(mine))
        assert told.wait(20)
    assert read_holder(location)["run"] == "theirs"


def test_a_lease_that_vanishes_at_the_very_end_hides_no_result(location: LocalLocation) -> None:
    with hold_lease(location, "mine", ignore, NEVER, WATCH):
        location.delete()
    assert not location.is_file()


def test_a_lease_taken_at_the_very_end_is_left_to_its_holder(
    location: LocalLocation, mine: dict[str, Any]
) -> None:
    with hold_lease(location, "mine", ignore, NEVER, WATCH):
        location.write(encode_holder(mine))
    assert read_holder(location)["run"] == "theirs"


class FlakyLocation(LocalLocation):
    """A location whose next swaps fail while ``failures`` is not empty."""

    failures: list[OSError]

    @override
    def compare_and_swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        if self.failures:
            raise self.failures.pop()
        super().compare_and_swap(change)


def test_a_renewal_that_fails_is_tried_again(
    location: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FlakyLocation, "failures", [], raising=False)
    flaky = FlakyLocation(location.path)
    with hold(flaky):
        FlakyLocation.failures += [OSError("no space left"), OSError("no space left")]
        wait_until(lambda: not FlakyLocation.failures)
        first = read_holder(location)["beat"]
        wait_until(lambda: read_holder(location)["beat"] > first)


# Races


def _race(path: str, together: Any, outcomes: Any) -> None:
    together.wait()
    try:
        with hold(LocalLocation(path), str(os.getpid())):
            outcomes.put("won")
            together.wait()  # until all the others gave up
    except LeaseHeldError:
        outcomes.put("refused")
        together.wait()


@pytest.mark.parametrize("before", ["free", "dead", "silent"])
def test_exactly_one_of_several_drivers_that_race_wins(
    before: str, location: LocalLocation, mine: dict[str, Any]
) -> None:
    if before != "free":
        location.write(encode_holder(mine, **({"pid": DEAD} if before == "dead" else {})))
    together, outcomes = fork.Barrier(4), fork.SimpleQueue()
    racers = [
        fork.Process(target=_race, args=(location.path, together, outcomes)) for _ in range(4)
    ]
    for racer in racers:
        racer.start()
    assert sorted(outcomes.get() for _ in racers) == ["refused"] * 3 + ["won"]
    for racer in racers:
        racer.join()
