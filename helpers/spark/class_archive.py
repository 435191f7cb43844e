"""The classes that Spark loads, in a file that every later JVM maps at its start.

Without it each JVM reads and verifies some 15,000 classes again: 7 of the 20 seconds of CPU time
that a session and a small fit take. ``python -m helpers.spark.class_archive`` writes the file
(170 MB, half a minute); Java ignores a file of another build or other jars (JEP 350).
"""

import os
import tempfile
from pathlib import Path

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from helpers.spark import jvm, session


class ArchiveError(RuntimeError):
    """Java did not write the file."""


def write() -> Path:
    """Use what the stages use of Spark; Java writes the classes at its end.

    Raises
    ------
    ArchiveError
        If it does not.
    """
    home = session.find_java()
    to = session.locate_class_archive(home)
    to.unlink(missing_ok=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    for name in session.CLASS_PATH_VARIABLES:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        written = Path(folder) / to.name
        archive = f'"-XX:ArchiveClassesAtExit={written}" -Xlog:cds*=off -Xlog:cds+dynamic=off'
        options = f"{session.make_java_options(home)} {archive}"
        spark = session.start_session({"spark.driver.extraJavaOptions": options})
        try:
            _use(spark)
        finally:
            jvm.end(spark)
        if not written.exists():
            raise ArchiveError(f"{home} wrote no classes to {to.parent}")
        written.replace(to)
    return to


def _use(spark: SparkSession) -> None:
    """Fit and apply a classifier on next to nothing, as 05 does."""
    rows = spark.range(0, 8, numPartitions=2).mapInArrow(lambda batches: batches, "id long")
    number = F.col("id").cast("double")
    features = array_to_vector(F.array(number, F.lit(1.0))).alias("features")
    frame = rows.select((number % 2).alias("label"), features).cache()
    model = LogisticRegression(family="multinomial").fit(frame.where("label >= 0"))
    most = F.array_max(vector_to_array(F.col("probability"))).alias("most")
    model.transform(frame).select("prediction", most).toPandas()


if __name__ == "__main__":
    write()
