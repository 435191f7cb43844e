"""Class-data sharing: the classes that Spark loads, in a file that its JVM maps at the start.

Without it every JVM finds, reads and verifies some 15,000 classes, which takes a second of each
session's start and two of 05. ``python -m helpers.spark.class_archive`` writes the file, and later
sessions use it. Java ignores a file of another build or other jars (JEP 310).
"""

import os
import subprocess
import tempfile
from pathlib import Path

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from helpers.kernel import jvm
from helpers.spark import session


class ArchiveError(RuntimeError):
    """Java did not write the file; the message is its own."""


def write() -> Path:
    """Use what the stages use of Spark, and keep the classes that it loads in a file.

    Raises
    ------
    ArchiveError
        If Java refuses.
    """
    home = session.find_java()
    to = session.locate_class_archive(home)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        names, classes = Path(folder) / "names.txt", Path(folder) / to.name
        path = _loaded(home, names)
        done = subprocess.run(
            [
                home / "bin" / "java",
                "-Xshare:dump",
                f"-XX:SharedClassListFile={names}",
                f"-XX:SharedArchiveFile={classes}",
                "-Xmx1g",  # above 32 GB, other pointers: not those of a session
                "-Xlog:disable",  # it warns of every class that cannot be shared
                "-Xlog:all=error:stderr",
                "-classpath",
                path,
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            said = " ".join(f"{done.stdout} {done.stderr}".split())
            raise ArchiveError(f"{home} wrote no classes: {said}")
        classes.replace(to)
    return to


def _loaded(home: Path, names: Path) -> str:
    """Write the names of the classes that Spark loads; the path that it finds them on."""
    for name in session.CLASS_PATH_VARIABLES:
        os.environ.pop(name, None)
    conf = f'{session.make_java_options(home)} "-XX:DumpLoadedClassList={names}"'
    spark = session.start_session({"spark.driver.extraJavaOptions": conf})
    try:
        _use(spark)
        assert spark._jvm is not None
        path: str = spark._jvm.java.lang.System.getProperty("java.class.path")
        return path
    finally:
        jvm.end(spark)


def _use(spark: SparkSession) -> None:
    """What 05 does, on next to nothing."""
    rows = spark.range(0, 8, numPartitions=2).mapInArrow(lambda batches: batches, "id long")
    number = F.col("id").cast("double")
    features = array_to_vector(F.array(number, F.lit(1.0))).alias("features")
    frame = rows.select((number % 2).alias("label"), features).cache()
    model = LogisticRegression(family="multinomial").fit(frame.where("label >= 0"))
    most = F.array_max(vector_to_array(F.col("probability"))).alias("most")
    model.transform(frame).select("prediction", most).toPandas()


if __name__ == "__main__":
    write()
