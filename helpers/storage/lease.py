"""One driver at a time on one stage of a run.

A lease only spares double work: parts and snapshots keep results whole without it.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from helpers.storage.location import Location

BEAT_SECONDS = 10.0
WATCH_SECONDS = 60.0
POLL_SECONDS = 1.0


class LeaseHeldError(RuntimeError):
    """Another live driver works on the same stage of the same run."""


class LeaseLostError(RuntimeError):
    """Another driver has taken this one's lease over."""


@contextmanager
def lease(
    location: Location,
    run: str,
    on_loss: Callable[[], None],
    beat_seconds: float = BEAT_SECONDS,
    watch_seconds: float = WATCH_SECONDS,
) -> Iterator[None]:
    """Hold the lease at ``location`` while the block runs.

    A lease already there is watched: it is taken over if its process is dead on this machine
    or if it does not beat for ``watch_seconds``.

    Parameters
    ----------
    location
        The lease's file.
    run
        Name of the execution that wants it.
    on_loss
        Called from another thread when the lease is found taken; it should cancel the work.

    Raises
    ------
    LeaseHeldError
        If the other driver beats; the message names it.
    LeaseLostError
        At the block's end, if the lease was taken meanwhile.
    """
    _acquire(location, run, watch_seconds)
    done, lost = threading.Event(), threading.Event()
    beats = threading.Thread(
        target=_beat, args=(location, run, beat_seconds, done, lost, on_loss), daemon=True
    )
    beats.start()
    try:
        yield
    finally:
        done.set()
        beats.join()
        if lost.is_set():
            raise LeaseLostError(f"another run took over {location.uri}; this one ({run}) stops")
        _release(location, run)


def _acquire(location: Location, run: str, watch_seconds: float) -> None:
    seen: dict[str, Any] | None = None
    since = time.monotonic()

    def take(content: bytes | None) -> bytes | None:
        nonlocal seen, since
        holder = _parsed(content)
        if holder is None or _is_dead(holder):
            seen = None
            return _stamp(run)
        if holder["run"] == run:
            seen = None  # done before: the answer was lost, and boto3 asked again
            return None
        if seen is None:
            seen, since = holder, time.monotonic()
        elif holder["run"] != seen["run"] or holder["beat"] != seen["beat"]:
            raise LeaseHeldError(
                f"run {holder['run']} on {holder['host']} (process {holder['pid']}) works on this "
                f"stage: wait until it ends or stop it ({location.uri})"
            )
        elif time.monotonic() - since >= watch_seconds:
            seen = None
            return _stamp(run)
        return None

    location.update(take)
    while seen is not None:
        time.sleep(min(POLL_SECONDS, watch_seconds / 10))
        location.update(take)


def _beat(
    location: Location,
    run: str,
    seconds: float,
    done: threading.Event,
    lost: threading.Event,
    on_loss: Callable[[], None],
) -> None:
    def again(content: bytes | None) -> bytes | None:
        holder = _parsed(content)
        if holder is None or holder["run"] != run:
            lost.set()
            return None
        return _stamp(run)

    while not done.wait(seconds) and not lost.is_set():
        try:
            location.update(again)
        except OSError:
            continue  # a beat missed is no harm; the next one may pass
    if lost.is_set():
        on_loss()


def _release(location: Location, run: str) -> None:
    with suppress(FileNotFoundError):
        holder = _parsed(location.read())
        if holder is not None and holder["run"] == run:
            location.delete()


def _stamp(run: str) -> bytes:
    holder = {
        "run": run,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot_id": _boot_id(),
        "beat": time.time_ns(),
    }
    return json.dumps(holder).encode()


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """The holder, or None where there is none or its writer was killed over it."""
    if content is None:
        return None
    try:
        holder = json.loads(content)
    except ValueError:
        return None
    whole = isinstance(holder, dict) and holder.keys() >= {"run", "host", "pid", "boot_id", "beat"}
    return holder if whole else None


def _is_dead(holder: dict[str, Any]) -> bool:
    if (holder["host"], holder["boot_id"]) != (socket.gethostname(), _boot_id()):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@lru_cache(maxsize=1)
def _boot_id() -> str:
    """Within what process numbers mean the same: a start of the machine, and a container in it.

    Machines and containers may share a host name. Empty where the system does not tell it.
    """
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return ""
    return f"{boot.read_text().strip()} {processes.readlink()}"
