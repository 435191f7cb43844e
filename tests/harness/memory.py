"""The memory of a driver with all that it started: JVM, Python workers, decoding processes."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

EVERY_SECONDS = 0.5


class Peak:
    """The greatest sum of PSS seen, in bytes."""

    bytes = 0


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """Look twice a second while the block runs."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(EVERY_SECONDS):
            peak.bytes = max(peak.bytes, pss(pid))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield peak
    finally:
        done.set()
        looking.join()


def pss(pid: int) -> int:
    """Proportional set size of a process and all below it, in bytes: shared pages count once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total
