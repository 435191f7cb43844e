"""Starts, asks, cancels and ends Spark and the JVM that it runs in."""

import contextlib
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: what PySpark raises when its JVM has died or a cell has stopped the session
GONE = (Py4JError, OSError, AttributeError)


def start(conf: Mapping[str, str]) -> "SparkSession":
    """Start Spark with these options.

    Spark's own handler of SIGINT is removed: it would call the JVM within the call that it
    interrupts, on the same connection.
    """
    from helpers.spark import session  # imported here, so that a notebook opens at once

    if threading.current_thread() is not threading.main_thread():
        return session.start_session(conf)
    handler = signal.getsignal(signal.SIGINT)
    try:
        return session.start_session(conf)
    finally:
        signal.signal(signal.SIGINT, handler)


def end(spark: "SparkSession") -> None:
    """Stop Spark and its JVM, alive or dead: the next one may need another driver memory."""
    from pyspark import SparkContext

    try:
        spark.stop()
    except GONE:
        spark.sparkContext.stop()  # what is left in this process
    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    if gateway is not None:
        with contextlib.suppress(*GONE):
            gateway.shutdown()
        gateway.proc.stdin.close()  # the JVM ends when its standard input does
        gateway.proc.wait()


def cancel(spark: "SparkSession") -> None:
    """Cancel all running jobs."""
    with contextlib.suppress(*GONE):
        spark.sparkContext.cancelAllJobs()


def tasks(spark: "SparkSession") -> tuple[int, int]:
    """Count the completed and all tasks of the running jobs."""
    try:
        tracker = spark.sparkContext.statusTracker()
        jobs = [tracker.getJobInfo(job) for job in tracker.getActiveJobsIds()]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    except GONE:
        return 0, 0
    known = [stage for stage in stages if stage]
    return sum(stage.numCompletedTasks for stage in known), sum(stage.numTasks for stage in known)
