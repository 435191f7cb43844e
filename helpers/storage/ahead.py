"""Reading ahead: the next items are fetched by threads while the caller works on this one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_BYTES = 64 * 1024 * 1024

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    work: Callable[[T], R], items: Iterable[T], threads: int, size: Callable[[T], int]
) -> Iterator[R]:
    """``map(work, items)`` in order, with several items under way.

    Parameters
    ----------
    threads
        Items worked on at once; as many again may wait to be taken.
    size
        Bytes an item will hold; above 64 MiB in all, no further one is begun.
    """
    pending: deque[tuple[int, Future[R]]] = deque()
    held = 0
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            while pending and (len(pending) >= 2 * threads or held > MOST_BYTES):
                length, future = pending.popleft()
                held -= length
                yield future.result()
            pending.append((size(item), pool.submit(work, item)))
            held += size(item)
        while pending:
            yield pending.popleft()[1].result()
