"""Interleaved repetitions within a budget."""

import time
from collections.abc import Callable, Mapping
from typing import Any

MAX_ROUNDS = 5


class Budget:
    """The time of the whole benchmark, granted to its groups share by share."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds
        self._granted = 0.0

    @property
    def is_spent(self) -> bool:
        """Whether no time is left."""
        return self._left(1.0) <= 0

    def grant(self, share: float) -> None:
        """Allow repetitions until this share, and those granted before, are used up."""
        self._granted += share

    def run_rounds(self, contestants: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
        """Run all contestants in turn, round by round; return the results of each.

        There is one round at least, and then as many as the share leaves time for, up to five. A
        machine that becomes slower or faster affects all contestants of a round alike.
        """
        results: dict[str, list[Any]] = {name: [] for name in contestants}
        last = 0.0
        for number in range(MAX_ROUNDS):
            if number and self._left(self._granted) < last:
                break
            started = time.monotonic()
            for name, contestant in contestants.items():
                results[name].append(contestant())
            last = time.monotonic() - started
        return results

    def _left(self, share: float) -> float:
        return self._started + share * self._seconds - time.monotonic()


def time_call(function: Callable[[], object]) -> float:
    """Call a function; return the seconds that it takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
