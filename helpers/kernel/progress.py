"""A line of text below a cell that tells what Spark does while the cell runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PERIOD_SECONDS = 0.5
WIDTH = 40


def bar(done: int, total: int) -> str:
    """Draw `done` of `total` tasks.

    >>> bar(10, 40)
    'Spark: ##########.............................. 10 of 40 tasks'
    """
    filled = WIDTH * done // total
    return f"Spark: {'#' * filled}{'.' * (WIDTH - filled)} {done} of {total} tasks"


@contextmanager
def progress(
    status: Callable[[], str], show: Callable[[str], None], period: float = PERIOD_SECONDS
) -> Iterator[None]:
    """While the block runs, show what `status` tells, each time it changes; at the end, nothing.

    Parameters
    ----------
    status
        Returns the line to show. A thread of its own calls it.
    show
        Shows a line in place of the one before. Not called if there is nothing to tell.
    period
        Seconds between two calls of `status`.
    """
    ended = threading.Event()

    def watch() -> None:
        shown = ""
        while not ended.wait(period):
            line = status()
            if line != shown:
                show(line)
                shown = line
        if shown:
            show("")

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
