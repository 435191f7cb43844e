"""Other ways from a folder of photos to features on disk, with the same weights.

Each writes Parquet with ``path`` (below the source) and ``features``. Those on Spark get the
project's own session, so that Java, heap and number of cores are the same.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, FloatType

from benchmarks.sessions import open_session

SIZE = 224
PARTITIONS, ARROW_ROWS = 24, 128  # as in the notebook that the project started from
BATCH = 32


@dataclass(frozen=True)
class Keras:
    """MobileNetV2 of Keras: its width and the file of its weights."""

    alpha: float
    weights: Path

    def load(self) -> Any:
        """Load the network with these weights, and TensorFlow with it."""
        model = self.build()
        model.load_weights(self.weights)
        return model

    def build(self) -> Any:
        """Build the network with random weights."""
        from keras.applications import MobileNetV2

        return MobileNetV2(
            (SIZE, SIZE, 3), self.alpha, include_top=False, weights=None, pooling="avg"
        )


@dataclass(frozen=True)
class Taken:
    """Times of a peer.

    Attributes
    ----------
    start
        Seconds to get ready: session, imports, the driver's network.
    seconds
        Seconds from the folder to the features.
    """

    start: float
    seconds: float


def run_pandas_udf(source: Path, network: Keras, to: Path) -> Taken:
    """Call Keras's ``predict`` in an iterator pandas UDF, as a student's notebook on EMR does.

    ``binaryFile`` with recursive lookup, ``repartition(24)``, the weights broadcast, and a network
    built in each partition; Pillow resizes to 224 x 224. The session is the project's.
    """
    begin = time.monotonic()
    with open_session() as spark:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ARROW_ROWS)
        weights = spark.sparkContext.broadcast(network.load().get_weights())

        # PySpark's stubs do not know a UDF whose kind its type hints tell.
        @pandas_udf(ArrayType(FloatType()))  # type: ignore[call-overload, untyped-decorator]
        def featurize(series: Iterator[pd.Series]) -> Iterator[pd.Series]:
            model = network.build()
            model.set_weights(weights.value)
            for contents in series:
                batch = np.stack([_decode(content) for content in contents])
                yield pd.Series(list(model.predict(_preprocess(batch), verbose=0)))

        started = time.monotonic()
        photos = _read_files(spark, source).repartition(PARTITIONS)
        label = F.element_at(F.split("path", "/"), -2).alias("label")
        rows = photos.select(
            _make_path_column(source), label, featurize("content").alias("features")
        )
        rows.write.parquet(f"file://{to}")
        return Taken(started - begin, time.monotonic() - started)


def run_predict_batch_udf(source: Path, network: Keras, to: Path) -> Taken:
    """Call Spark's own ``predict_batch_udf``, which keeps the network in each Python worker.

    It is given the files' bytes: pixels as columns of numbers would cost more.
    """

    def load() -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        model = network.load()

        def predict(contents: NDArray[Any]) -> NDArray[np.float32]:
            batch = np.stack([_decode(content) for content in contents])
            features: NDArray[np.float32] = model.predict(_preprocess(batch), verbose=0)
            return features

        return predict

    begin = time.monotonic()
    with open_session() as spark:
        featurize = predict_batch_udf(load, return_type=ArrayType(FloatType()), batch_size=BATCH)
        started = time.monotonic()
        photos = _read_files(spark, source)
        rows = photos.select(_make_path_column(source), featurize("content").alias("features"))
        rows.write.parquet(f"file://{to}")
        return Taken(started - begin, time.monotonic() - started)


def run_tf_data(source: Path, network: Keras, to: Path) -> Taken:
    """Run one process without Spark on all cores: tf.data decodes and resizes, Keras predicts."""
    begin = time.monotonic()
    import tensorflow as tf

    model = network.load()
    started = time.monotonic()

    def decode(path: Any) -> Any:
        content = tf.io.read_file(path)
        decoded = tf.io.decode_image(content, channels=3, expand_animations=False)
        return _preprocess(tf.image.resize(decoded, (SIZE, SIZE)))

    files = sorted(str(file) for file in source.rglob("*") if file.is_file())
    dataset = tf.data.Dataset.from_tensor_slices(files)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    features = model.predict(dataset.batch(BATCH).prefetch(tf.data.AUTOTUNE), verbose=0)
    paths = [str(Path(file).relative_to(source)) for file in files]
    lists = pa.FixedSizeListArray.from_arrays(features.ravel(), features.shape[1])
    to.mkdir(parents=True)
    pq.write_table(pa.table({"path": paths, "features": lists}), to / "part-00000.parquet")
    return Taken(started - begin, time.monotonic() - started)


def _read_files(spark: SparkSession, source: Path) -> DataFrame:
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    return files.load(f"file://{source}")


def _make_path_column(source: Path) -> Any:
    """Make the column ``path`` of ``binaryFile``, ``file:/...``, without the source's folder."""
    return F.expr(f"substring(path, {len(f'file:{source}/') + 1})").alias("path")


def _decode(content: bytes) -> NDArray[np.float32]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float32)


def _preprocess(batch: Any) -> Any:
    from keras.applications.mobilenet_v2 import preprocess_input

    return preprocess_input(batch)
