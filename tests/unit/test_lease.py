"""One driver at a time on one stage: who holds, who waits, who takes over, who stops."""

import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from helpers.run import lease
from helpers.run.lease import LeaseHeldError, LeaseLostError, lease
from helpers.storage.location import LocalLocation

BEAT, WATCH = 0.02, 1.0  # seconds, short for the tests
DEAD = 2**22 + 1  # above the greatest number that Linux gives a process
fork = multiprocessing.get_context("fork")


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return LocalLocation(str(tmp_path / "_leases" / "02_preprocess.json"))


def ignore() -> None:
    """Nobody to tell of a loss."""


def hold(place: LocalLocation, run: str = "mine", on_loss: Callable[[], None] = ignore) -> Any:
    return lease(place, run, on_loss, BEAT, WATCH)


def holder(**changes: object) -> bytes:
    """The lease of a live process, which is this test's parent."""
    stamp = {
        "run": "theirs",
        "host": socket.gethostname(),
        "pid": os.getppid(),
        "boot_id": leases._boot_id(),
        "beat": 1,
    }
    return json.dumps({**stamp, **changes}).encode()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_free_lease_is_taken_at_once_and_given_back(place: LocalLocation) -> None:
    begun = time.monotonic()
    with hold(place):
        written = json.loads(place.read())
        assert time.monotonic() - begun < WATCH
        assert (written["run"], written["pid"]) == ("mine", os.getpid())
        assert (written["host"], written["boot_id"]) == (
            socket.gethostname(),
            leases._boot_id(),
        )
    assert not place.is_file()


def test_a_lease_beats_while_it_is_held(place: LocalLocation) -> None:
    with hold(place):
        first = json.loads(place.read())["beat"]
        until(lambda: json.loads(place.read())["beat"] > first)


def test_a_lease_is_given_back_after_an_error(place: LocalLocation) -> None:
    def fail() -> None:
        with hold(place):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not place.is_file()


def test_a_dead_holder_on_this_machine_is_replaced_at_once(place: LocalLocation) -> None:
    place.write(holder(pid=DEAD))
    begun = time.monotonic()
    with hold(place):
        assert time.monotonic() - begun < WATCH
        assert json.loads(place.read())["run"] == "mine"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"host": "another machine", "pid": DEAD},
        {"boot_id": "of another container of this name", "pid": DEAD},
    ],
)
def test_a_holder_that_may_live_is_watched_and_replaced_if_it_is_silent(
    changes: dict[str, object], place: Folder
) -> None:
    place.write(holder(**changes))
    begun = time.monotonic()
    with hold(place):
        assert time.monotonic() - begun >= WATCH
        assert json.loads(place.read())["run"] == "mine"


def test_a_holder_of_another_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert not leases._is_dead(json.loads(holder(pid=1)))


def _work(path: str, seconds: float, pipe: Connection) -> None:
    """Hold a lease, in another process, for so long."""
    with lease(LocalLocation(path), "theirs", ignore, BEAT, WATCH):
        pipe.send(os.getpid())
        time.sleep(seconds)


def test_a_live_holder_is_named_and_keeps_its_lease(place: LocalLocation) -> None:
    ours, theirs = fork.Pipe()
    other = fork.Process(target=_work, args=(place.path, 3600.0, theirs))
    other.start()
    try:
        pid = ours.recv()
        words = rf"run theirs on {socket.gethostname()} \(process {pid}\) works on this stage"
        with pytest.raises(LeaseHeldError, match=words), hold(place):
            pytest.fail("two hold one lease")
        assert json.loads(place.read())["run"] == "theirs"
    finally:
        other.kill()
        other.join()
    with hold(place):  # now it is dead
        assert json.loads(place.read())["run"] == "mine"


def test_who_waits_gets_the_lease_when_its_holder_ends(place: LocalLocation) -> None:
    ended = threading.Event()

    def end() -> None:
        place.delete()
        ended.set()

    place.write(holder())
    threading.Timer(WATCH / 4, end).start()
    with hold(place):
        assert ended.is_set()


def test_a_lease_whose_taking_is_sent_twice_is_held_at_once(place: LocalLocation) -> None:
    """The answer to a write may be lost, and the write repeated."""
    place.write(holder(run="mine"))
    begun = time.monotonic()
    with hold(place):
        assert time.monotonic() - begun < WATCH


def test_a_second_stage_of_the_same_process_is_refused(place: LocalLocation) -> None:
    with hold(place, "first"), pytest.raises(LeaseHeldError, match="run first"), hold(place):
        pytest.fail("two hold one lease")
    assert not place.is_file()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"run": "theirs"}', b"null", b"3", b"[]", b'"text"', b"\xff", b"\0" * 100],
)
def test_a_torn_lease_is_nobodys(content: bytes, place: LocalLocation) -> None:
    place.write(content)
    with hold(place):
        assert json.loads(place.read())["run"] == "mine"


@pytest.mark.parametrize("loss", [lambda place: place.write(holder()), Folder.delete])
def test_who_lost_its_lease_is_told_and_stops(
    loss: Callable[[LocalLocation], None], place: Folder
) -> None:
    told = threading.Event()

    def work() -> None:
        with hold(place, on_loss=told.set):
            loss(place)
            assert told.wait(20)

    with pytest.raises(LeaseLostError, match=r"another run took over .* this one \(mine\) stops"):
        work()


def test_who_lost_its_lease_leaves_the_others_alone(place: LocalLocation) -> None:
    told = threading.Event()
    with suppress(LeaseLostError), hold(place, on_loss=told.set):
        place.write(holder())
        assert told.wait(20)
    assert json.loads(place.read())["run"] == "theirs"


def test_a_lease_that_vanishes_at_the_very_end_hides_no_result(place: LocalLocation) -> None:
    with lease(place, "mine", ignore, 3600.0, WATCH):
        place.delete()


def test_a_lease_taken_at_the_very_end_is_left_to_its_holder(place: LocalLocation) -> None:
    with lease(place, "mine", ignore, 3600.0, WATCH):
        place.write(holder())
    assert json.loads(place.read())["run"] == "theirs"


def test_a_beat_that_cannot_be_written_is_tried_again(
    place: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(place):
        beats = []
        write = Folder.update

        def failing(self: LocalLocation, change: Any) -> None:
            beats.append(self)
            if len(beats) < 3:
                raise OSError("no space left")
            write(self, change)

        first = json.loads(place.read())["beat"]
        monkeypatch.setattr(LocalLocation, "update", failing)
        until(lambda: json.loads(place.read())["beat"] > first)
        assert len(beats) >= 3


def _race(path: str, together: Any, outcomes: Any) -> None:
    together.wait()
    try:
        with lease(LocalLocation(path), str(os.getpid()), ignore, BEAT, WATCH):
            outcomes.put("won")
            together.wait()  # until all the others gave up
    except LeaseHeldError:
        outcomes.put("refused")
        together.wait()


@pytest.mark.parametrize(
    "before",
    [None, holder(pid=DEAD), holder()],
    ids=["free", "dead", "silent"],
)
def test_of_several_that_race_exactly_one_wins(before: bytes | None, place: LocalLocation) -> None:
    if before is not None:
        place.write(before)
    together, outcomes = fork.Barrier(4), fork.SimpleQueue()
    racers = [fork.Process(target=_race, args=(place.path, together, outcomes)) for _ in range(4)]
    for racer in racers:
        racer.start()
    assert sorted(outcomes.get() for _ in racers) == ["refused"] * 3 + ["won"]
    for racer in racers:
        racer.join()
