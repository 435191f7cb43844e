"""Keeps what the tasks in Spark's Python workers have covered, through PYTHONPATH.

Workers are forked, used again and ended by a signal, so coverage.py would never save their data.
Python imports one ``sitecustomize`` alone: where a test brings its own, workers are not measured.
"""

import os
import sys


def _measure():
    """In a new worker: save what was covered at the end of each task."""
    import coverage
    from pyspark import daemon

    run_task = daemon.worker

    def worker(sock, authenticated):
        try:
            return run_task(sock, authenticated)
        finally:
            if measured := coverage.Coverage.current():
                measured.save()

    daemon.worker = worker


if "helpers.spark.worker_daemon" in sys.orig_argv:
    os.register_at_fork(after_in_child=_measure)
