"""The Spark session of a measurement. Light to import, since Python workers import it too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from helpers.spark import jvm
from helpers.spark.session import start_session


@contextmanager
def open_session(cores: int | None = None) -> Iterator[SparkSession]:
    """Open the project's own session; after the block its JVM has ended.

    Parameters
    ----------
    cores
        Cores that it may use; None for all.
    """
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    spark = start_session()
    try:
        yield spark
    finally:
        jvm.end(spark)
