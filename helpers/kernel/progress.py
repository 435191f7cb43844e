"""A line of text under a cell, kept fresh while the cell runs."""

import threading
from collections.abc import Callable
from types import TracebackType

PERIOD_SECONDS = 0.5
WIDTH = 40


def bar(done: int, total: int) -> str:
    """Draw `done` of `total` tasks.

    >>> bar(10, 40)
    'Spark: ##########.............................. 10 of 40 tasks'
    """
    filled = WIDTH * done // total
    return f"Spark: {'#' * filled}{'.' * (WIDTH - filled)} {done} of {total} tasks"


class Progress:
    """While the block runs, show what `status` tells, whenever it changes; at the end, nothing.

    Parameters
    ----------
    status : callable
        Returns the line to show. Called from a thread of its own.
    show : callable
        Shows a line in place of the one before. Not called at all if there is nothing to tell.
    """

    def __init__(
        self,
        status: Callable[[], str],
        show: Callable[[str], None],
        period: float = PERIOD_SECONDS,
    ) -> None:
        self._status = status
        self._show = show
        self._period = period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        shown = ""
        while not self._ended.wait(self._period):
            line = self._status()
            if line != shown:
                self._show(line)
                shown = line
        if shown:
            self._show("")
