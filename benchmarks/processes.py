"""Each measurement runs in a Python process of its own: none inherits another's warm state."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks.memory import Sampler

P = ParamSpec("P")
R = TypeVar("R")


class Processes:
    """Calls functions of modules in new processes; what they print goes to the log.

    Parameters
    ----------
    environment
        Variables that the processes start with, besides those of this process.
    """

    def __init__(self, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        self._environment = environment or {}

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` in a new process; its exception is raised here."""
        with self._start_pool() as pool:
            return self._submit(pool, function, *args, **kwargs).result()

    def call_and_sample(
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[R, Sampler]:
        """Call ``function`` as :meth:`call` does; sample its process and that one's descendants."""
        with self._start_pool() as pool:
            future = self._submit(pool, function, *args, **kwargs)
            [child] = multiprocessing.active_children()
            assert child.pid is not None
            sampler = Sampler(child.pid)
            with sampler.sample():
                result = future.result()
        return result, sampler

    def _submit(
        self, pool: ProcessPoolExecutor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """Submit a function; the pool then starts its process, which inherits ``os.environ``."""
        before = dict(os.environ)
        os.environ.update(self._environment)
        try:
            return pool.submit(function, *args, **kwargs)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _start_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_print_to, initargs=(self._log,))


def _print_to(log: Path) -> None:
    """Send standard output and error of this process, and of those it starts, to a file."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
