"""Memory of a process and all its descendants, sampled from ``/proc``.

Counted is the proportional set size (PSS): a page that n processes share counts 1/n in each, so
the sum over a tree is what the tree takes of the machine.
"""

import threading
import time
from pathlib import Path
from types import TracebackType

INTERVAL = 0.25  # seconds; one sample of four processes takes about 10 ms
KIB = 1024


class Sampler:
    """Samples the tree below process ``pid`` while its block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[tuple[float, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def peak(self, start: float, end: float) -> int:
        """Most bytes sampled between two times of ``time.monotonic``; 0 where none was sampled."""
        return max((size for at, size in self._samples if start <= at <= end), default=0)

    def _sample(self) -> None:
        while not self._done.wait(INTERVAL):
            self._samples.append((time.monotonic(), sum(map(pss, tree(self._pid)))))


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for process in found:  # grows while it is walked
        found += children.get(process, [])
    return found


def pss(pid: int) -> int:
    """Proportional set size of one process in bytes; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:"))


def _parent(folder: Path) -> int | None:
    try:
        status = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.rpartition(")")[2].split()[1])  # a command's name may hold blanks
