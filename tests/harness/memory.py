"""The memory of a driver and of all that it started: JVM, Python workers, decoding processes."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

EVERY_SECONDS = 0.5


class Peak:
    """The greatest sum of PSS seen, in bytes."""

    bytes = 0


@contextlib.contextmanager
def watch_peak(pid: int) -> Iterator[Peak]:
    """Measure the memory twice a second while the block runs."""
    peak, done = Peak(), threading.Event()

    def measure() -> None:
        while not done.wait(EVERY_SECONDS):
            peak.bytes = max(peak.bytes, measure_pss(pid))

    measuring = threading.Thread(target=measure, daemon=True)
    measuring.start()
    try:
        yield peak
    finally:
        done.set()
        measuring.join()


def measure_pss(pid: int) -> int:
    """Measure the PSS of a process and all below it, in bytes: shared pages count once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total
