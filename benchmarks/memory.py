"""Memory of a process and all its descendants, sampled from ``/proc``.

The proportional set size (PSS) is counted: a page that n processes share counts 1/n in each, so
the sum over a tree is what the tree takes of the machine.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INTERVAL = 0.25  # seconds; one sample of four processes takes about 10 ms
KIB = 1024


class Sampler:
    """Samples of the memory of the tree below process ``pid``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[tuple[float, int]] = []
        self._done = threading.Event()

    @contextmanager
    def sample(self) -> Iterator[None]:
        """Sample in a thread while the block runs."""
        thread = threading.Thread(target=self._sample_until_done, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def find_peak(self, start: float, end: float) -> int:
        """Find the most bytes between two times of ``time.monotonic``; 0 without a sample."""
        return max((size for at, size in self._samples if start <= at <= end), default=0)

    def _sample_until_done(self) -> None:
        while not self._done.wait(INTERVAL):
            self._samples.append((time.monotonic(), sum(map(measure_pss, list_tree(self._pid)))))


def list_tree(pid: int) -> list[int]:
    """List a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _read_parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for process in found:  # grows while it is walked
        found += children.get(process, [])
    return found


def measure_pss(pid: int) -> int:
    """Measure the proportional set size of a process in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:"))


def _read_parent(folder: Path) -> int | None:
    try:
        status = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.rpartition(")")[2].split()[1])  # a command's name may hold blanks
