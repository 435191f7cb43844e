"""What a test adds to the Python processes of a run, through PYTHONPATH: it counts, and it kills.

``FAULT_COUNTS`` is a folder: its file ``passes`` grows by a byte for each photo that is pushed
through a network. ``FAULT``, if set, is a JSON object: the ``at``-th time, over all processes of
all runs, that Python's audit ``event`` names a path that ``match`` is found in, ``victim`` is
killed, or without one this process waits for the file ``until``. The victim ``driver_itself``
is struck where the driver meets the path; the others where a Spark task does.
"""

import importlib.util
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

_COUNTS = Path(os.environ["FAULT_COUNTS"])
_FAULT = json.loads(os.environ.get("FAULT", "null"))
_PATH_AT = {"open": 0, "os.rename": 1}  # where the event's arguments hold the path
#: levels above the process that meets the path: a worker's daemon, its executor's JVM, which
#: with a local master is the driver's child
_LEVELS = {"driver_itself": 0, "worker": 0, "executor": 2, "driver": 3}
#: Python workers are forked by a daemon: PySpark's or the project's
_IN_TASK = any(argument.endswith("daemon") for argument in sys.orig_argv)
_POLL_SECONDS = 0.2


def _add(name, count):
    """Append bytes to a count, and tell its new value: no two processes are told the same."""
    descriptor = os.open(_COUNTS / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b"." * count)
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)


def _above(levels):
    pid = os.getpid()
    for _ in range(levels):
        # The name of a process, in brackets, may hold blanks.
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def _watch(event, arguments):
    if event != _FAULT["event"] or (_FAULT.get("victim") == "driver_itself") == _IN_TASK:
        return
    path = arguments[_PATH_AT[event]]
    if not isinstance(path, str) or not re.search(_FAULT["match"], path):
        return
    if _add("met", 1) != _FAULT["at"]:
        return
    _add("struck", 1)
    if "victim" in _FAULT:
        os.kill(_above(_LEVELS[_FAULT["victim"]]), signal.SIGKILL)
        return
    while not Path(_FAULT["until"]).exists():
        time.sleep(_POLL_SECONDS)


class _Counting:
    """Finds ``helpers.network.inference`` as Python would, and has its passes counted."""

    def find_spec(self, name, *_):
        if name != "helpers.network.inference":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_count(module):
            execute(module)
            for engine in (module.OpenvinoEngine, module.KerasEngine):
                engine.features = _counted(engine.features)

        spec.loader.exec_module = execute_and_count
        return spec


def _counted(features):
    def counted(self, photos):
        _add("passes", len(photos))
        return features(self, photos)

    return counted


sys.meta_path.insert(0, _Counting())
if _FAULT:
    sys.addaudithook(_watch)
