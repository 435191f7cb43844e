"""Each measurement in a Python process of its own: none inherits another's warm state."""

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
    """Starts functions of modules in fresh processes; what they print goes to the log.

    Parameters
    ----------
    environment
        Variables that the processes start with, beside this one's.
    """

    def __init__(self, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        self._environment = environment or {}

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """``function(...)`` in a new process; its exception is raised here."""
        with self._pool() as pool:
            return self._submit(pool, function, *args, **kwargs).result()

    def watched(
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[R, Sampler]:
        """As :meth:`call`, with the memory of the process and its descendants."""
        with self._pool() as pool:
            future = self._submit(pool, function, *args, **kwargs)
            [child] = multiprocessing.active_children()
            assert child.pid is not None
            with Sampler(child.pid) as sampler:
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

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_print_to, initargs=(self._log,))


def _print_to(log: Path) -> None:
    """Send standard output and error of this process, and of those it starts, to a file."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
