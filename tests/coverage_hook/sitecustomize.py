"""Keeps what the tasks in Spark's Python workers have covered, through PYTHONPATH.

Workers are forked, used again and ended by a signal, so coverage.py would never save their data.
Python imports one ``sitecustomize`` alone: where a test brings its own, workers are not measured.
"""

import os
import socket
import sys
from collections.abc import Callable

Task = Callable[[socket.socket, bool], int]


def _save_coverage_after_tasks() -> None:
    """In a new worker: save what was covered at the end of each task."""
    import coverage
    from pyspark import daemon

    run_task: Task = daemon.worker

    def worker(sock: socket.socket, authenticated: bool) -> int:
        try:
            return run_task(sock, authenticated)
        finally:
            if measured := coverage.Coverage.current():
                measured.save()

    daemon.worker = worker


if "helpers.spark.worker_daemon" in sys.orig_argv:
    os.register_at_fork(after_in_child=_save_coverage_after_tasks)
