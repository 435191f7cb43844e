"""One driver at a time on one stage of a run.

A lease only spares double work. It is no lock: parts and snapshots stay whole without it.
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

HEARTBEAT_SECONDS = 10.0
WATCH_SECONDS = 60.0
POLL_SECONDS = 1.0


class LeaseHeldError(RuntimeError):
    """Another live driver works on the same stage of the same run."""


class LeaseLostError(RuntimeError):
    """Another driver has taken this one's lease over."""


@contextmanager
def hold_lease(
    location: Location,
    run: str,
    on_loss: Callable[[], None],
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    watch_seconds: float = WATCH_SECONDS,
) -> Iterator[None]:
    """Hold the lease at ``location`` while the block runs.

    A lease that another driver holds is watched. It is taken over if its process is dead on this
    machine, or if it is not renewed for ``watch_seconds``.

    Parameters
    ----------
    location
        The lease's file.
    run
        Name of the execution that needs the lease.
    on_loss
        Called from another thread when another driver has taken the lease; it should cancel the
        work.

    Raises
    ------
    LeaseHeldError
        If the other driver renews its lease; the message names that driver.
    LeaseLostError
        At the block's end, if another driver took the lease meanwhile.
    """
    _acquire(location, run, watch_seconds)
    done, lost = threading.Event(), threading.Event()
    heartbeat = threading.Thread(
        target=_renew, args=(location, run, heartbeat_seconds, done, lost, on_loss), daemon=True
    )
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
        if lost.is_set():
            raise LeaseLostError(f"another run took over {location.uri}; this one ({run}) stops")
        _release(location, run)


def _acquire(location: Location, run: str, watch_seconds: float) -> None:
    seen: dict[str, Any] | None = None
    since = time.monotonic()

    def take(content: bytes | None) -> bytes | None:
        nonlocal seen, since
        holder = _parse(content)
        if holder is None or _is_dead(holder):
            seen = None
            return _describe_holder(run)
        if holder["run"] == run:
            seen = None  # written already: the answer was lost, and boto3 repeated the request
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
            return _describe_holder(run)
        return None

    location.compare_and_swap(take)
    while seen is not None:
        time.sleep(min(POLL_SECONDS, watch_seconds / 10))
        location.compare_and_swap(take)


def _renew(
    location: Location,
    run: str,
    seconds: float,
    done: threading.Event,
    lost: threading.Event,
    on_loss: Callable[[], None],
) -> None:
    def renew(content: bytes | None) -> bytes | None:
        holder = _parse(content)
        if holder is None or holder["run"] != run:
            lost.set()
            return None
        return _describe_holder(run)

    while not done.wait(seconds) and not lost.is_set():
        try:
            location.compare_and_swap(renew)
        except OSError:
            continue  # one missed renewal does no harm
    if lost.is_set():
        on_loss()


def _release(location: Location, run: str) -> None:
    with suppress(FileNotFoundError):
        holder = _parse(location.read())
        if holder is not None and holder["run"] == run:
            location.delete()


def _describe_holder(run: str) -> bytes:
    holder = {
        "run": run,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot_id": _boot_id(),
        "beat": time.time_ns(),
    }
    return json.dumps(holder).encode()


def _parse(content: bytes | None) -> dict[str, Any] | None:
    """Read the holder; None where there is none, or where its writer was killed while writing."""
    if content is None:
        return None
    try:
        holder = json.loads(content)
    except ValueError:
        return None
    is_whole = isinstance(holder, dict) and holder.keys() >= {
        "run",
        "host",
        "pid",
        "boot_id",
        "beat",
    }
    return holder if is_whole else None


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
    """Identify the boot of this machine and the process namespace: where a process id is unique.

    Machines and containers may share a host name. Empty where the system does not tell.
    """
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return ""
    return f"{boot.read_text().strip()} {processes.readlink()}"
