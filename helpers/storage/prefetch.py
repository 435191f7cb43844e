"""Reading ahead: threads fetch the next items while the caller works on this one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MAX_BYTES = 64 * 1024 * 1024

T = TypeVar("T")
R = TypeVar("R")


def prefetch(
    fetch: Callable[[T], R], items: Iterable[T], threads: int, size: Callable[[T], int]
) -> Iterator[R]:
    """Yield ``fetch(item)`` for each item in order, with several fetches under way.

    Parameters
    ----------
    threads
        Items fetched at once; as many again may wait to be taken.
    size
        Bytes that an item will hold. Above 64 MiB in all, no further fetch begins.
    """
    pending: deque[tuple[int, Future[R]]] = deque()
    held = 0
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            while pending and (len(pending) >= 2 * threads or held > MAX_BYTES):
                length, future = pending.popleft()
                held -= length
                yield future.result()
            pending.append((size(item), pool.submit(fetch, item)))
            held += size(item)
        while pending:
            yield pending.popleft()[1].result()
