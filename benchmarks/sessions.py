"""The Spark session of a measurement. Light to import, since Python workers import it too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from helpers.kernel import jvm
from helpers.spark import session


@contextmanager
def session(cores: int | None = None) -> Iterator[SparkSession]:
    """The project's own session, on some of the cores; its JVM has ended behind the block."""
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    spark = project.build()
    try:
        yield spark
    finally:
        jvm.end(spark)
