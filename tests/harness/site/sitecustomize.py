"""What a test adds to the Python processes of a run, through PYTHONPATH: it counts, and it kills.

``FAULT_COUNTS`` is a folder. Its file ``passes`` grows by a byte for each photo that is pushed
through a network. ``FAULT``, if set, is a JSON object: Python's audit ``event``, a pattern
``match`` of the path that the event names, and ``at``. When such an event happens for the ``at``-th
time, over all processes of all runs, ``victim`` is killed; without a victim this process waits for
the file ``until``. The victim ``driver_itself`` is struck where the driver meets the path, the
others where a Spark task does.
"""

import importlib.util
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_COUNTS = Path(os.environ["FAULT_COUNTS"])
_FAULT = json.loads(os.environ.get("FAULT", "null"))
_PATH_AT = {"open": 0, "os.rename": 1}  # where the event's arguments hold the path
#: levels above the process that meets the path: a worker's daemon, its executor's JVM, which
#: with a local master is the driver's child
_LEVELS = {"driver_itself": 0, "worker": 0, "executor": 2, "driver": 3}
#: Python workers are forked by a daemon: PySpark's or the project's
_IN_TASK = any(argument.endswith("daemon") for argument in sys.orig_argv)
_POLL_SECONDS = 0.2
_COUNTED = "helpers.network.inference"

_Compute = Callable[[Any, Sequence[Any]], Any]


def _add(name: str, count: int) -> int:
    """Append bytes to a count and return its new value: no two processes get the same."""
    descriptor = os.open(_COUNTS / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b"." * count)
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)


def _find_ancestor(levels: int) -> int:
    """Find the process that is ``levels`` above this one."""
    pid = os.getpid()
    for _ in range(levels):
        # The name of a process, in brackets, may hold blanks.
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def _strike(event: str, arguments: tuple[Any, ...]) -> None:
    """Kill or wait if this event is the one that the fault names."""
    if event != _FAULT["event"] or (_FAULT.get("victim") == "driver_itself") == _IN_TASK:
        return
    path = arguments[_PATH_AT[event]]
    if not isinstance(path, str) or not re.search(_FAULT["match"], path):
        return
    if _add("met", 1) != _FAULT["at"]:
        return
    _add("struck", 1)
    if "victim" in _FAULT:
        os.kill(_find_ancestor(_LEVELS[_FAULT["victim"]]), signal.SIGKILL)
        return
    while not Path(_FAULT["until"]).exists():
        time.sleep(_POLL_SECONDS)


class _CountingFinder(MetaPathFinder):
    """Finds the module of the engines as Python would, and has its passes counted."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _COUNTED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_count(module: Any) -> None:
            execute(module)
            for engine in (module.OpenvinoEngine, module.KerasEngine):
                engine.compute = _count_passes(engine.compute)

        loader.exec_module = execute_and_count
        return spec


def _count_passes(compute: _Compute) -> _Compute:
    def compute_and_count(engine: Any, photos: Sequence[Any]) -> Any:
        _add("passes", len(photos))
        return compute(engine, photos)

    return compute_and_count


sys.meta_path.insert(0, _CountingFinder())
if _FAULT:
    sys.addaudithook(_strike)
