"""Interleaved repetitions within a budget."""

import time
from collections.abc import Callable, Mapping
from typing import Any

MOST_ROUNDS = 5


class Budget:
    """Seconds for the whole benchmark, handed out as shares that add up."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds
        self._granted = 0.0

    @property
    def spent(self) -> bool:
        return self._left(1.0) <= 0

    def grant(self, share: float) -> None:
        """Let repetitions go on until this share, and those granted before, are used up."""
        self._granted += share

    def rounds(self, contestants: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
        """Results of each contestant, run in turn, round by round.

        One round at least, then as many more as the share leaves time for, at most five. What
        drifts on the machine meets all contestants of a round alike.
        """
        results: dict[str, list[Any]] = {name: [] for name in contestants}
        last = 0.0
        for number in range(MOST_ROUNDS):
            if number and self._left(self._granted) < last:
                break
            started = time.monotonic()
            for name, contestant in contestants.items():
                results[name].append(contestant())
            last = time.monotonic() - started
        return results

    def _left(self, share: float) -> float:
        return self._started + share * self._seconds - time.monotonic()


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
