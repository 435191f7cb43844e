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
from pyspark.sql.types import ArrayType, FloatType

from benchmarks.sessions import session

SIZE = 224
PARTITIONS, ARROW_ROWS = 24, 128  # of the notebook that is measured
BATCH = 32


@dataclass(frozen=True)
class Keras:
    """MobileNetV2 of Keras: its width and the file of its weights."""

    alpha: float
    weights: Path

    def model(self) -> Any:
        """The network with these weights; TensorFlow is loaded here."""
        model = self.empty()
        model.load_weights(self.weights)
        return model

    def empty(self) -> Any:
        """The network with random weights."""
        from keras.applications import MobileNetV2

        return MobileNetV2(
            (SIZE, SIZE, 3), self.alpha, include_top=False, weights=None, pooling="avg"
        )


@dataclass(frozen=True)
class Taken:
    """Seconds to get ready (session, imports, driver's network), and from folder to features."""

    start: float
    seconds: float


def keras_in_pandas_udf(source: Path, network: Keras, to: Path) -> Taken:
    """Keras's ``predict`` in an iterator pandas UDF, as a student's notebook on EMR has it.

    ``binaryFile`` with recursive lookup, ``repartition(24)``, the weights broadcast, and in each
    partition a network built anew; Pillow resizes to 224 x 224. The session is the project's.
    """
    begin = time.monotonic()
    with session() as spark:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ARROW_ROWS)
        weights = spark.sparkContext.broadcast(network.model().get_weights())

        @F.pandas_udf(ArrayType(FloatType()))
        def featurize(series: Iterator[pd.Series]) -> Iterator[pd.Series]:
            model = network.empty()
            model.set_weights(weights.value)
            for contents in series:
                batch = np.stack([_resized(content) for content in contents])
                yield pd.Series(list(model.predict(_preprocessed(batch), verbose=0)))

        started = time.monotonic()
        photos = _binary_files(spark, source).repartition(PARTITIONS)
        label = F.element_at(F.split("path", "/"), -2).alias("label")
        rows = photos.select(_below(source), label, featurize("content").alias("features"))
        rows.write.parquet(f"file://{to}")
        return Taken(started - begin, time.monotonic() - started)


def keras_in_predict_batch_udf(source: Path, network: Keras, to: Path) -> Taken:
    """Spark's own ``predict_batch_udf``, which keeps the network in each Python worker.

    It is given the files' bytes: pixels as columns of numbers would cost more.
    """

    def loaded() -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        model = network.model()

        def predict(contents: NDArray[Any]) -> NDArray[np.float32]:
            batch = np.stack([_resized(content) for content in contents])
            features: NDArray[np.float32] = model.predict(_preprocessed(batch), verbose=0)
            return features

        return predict

    begin = time.monotonic()
    with session() as spark:
        featurize = predict_batch_udf(loaded, return_type=ArrayType(FloatType()), batch_size=BATCH)
        started = time.monotonic()
        photos = _binary_files(spark, source)
        rows = photos.select(_below(source), featurize("content").alias("features"))
        rows.write.parquet(f"file://{to}")
        return Taken(started - begin, time.monotonic() - started)


def keras_on_tf_data(source: Path, network: Keras, to: Path) -> Taken:
    """One process without Spark: tf.data decodes and resizes, Keras predicts, on all cores."""
    begin = time.monotonic()
    import tensorflow as tf

    model = network.model()
    started = time.monotonic()

    def picture(path: Any) -> Any:
        content = tf.io.read_file(path)
        decoded = tf.io.decode_image(content, channels=3, expand_animations=False)
        return _preprocessed(tf.image.resize(decoded, (SIZE, SIZE)))

    files = sorted(str(file) for file in source.rglob("*") if file.is_file())
    dataset = tf.data.Dataset.from_tensor_slices(files)
    dataset = dataset.map(picture, num_parallel_calls=tf.data.AUTOTUNE)
    features = model.predict(dataset.batch(BATCH).prefetch(tf.data.AUTOTUNE), verbose=0)
    paths = [str(Path(file).relative_to(source)) for file in files]
    lists = pa.FixedSizeListArray.from_arrays(features.ravel(), features.shape[1])
    to.mkdir(parents=True)
    pq.write_table(pa.table({"path": paths, "features": lists}), to / "part-00000.parquet")
    return Taken(started - begin, time.monotonic() - started)


def _binary_files(spark: SparkSession, source: Path) -> DataFrame:
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    return files.load(f"file://{source}")


def _below(source: Path) -> Any:
    """The column ``path`` of ``binaryFile``, ``file:/...``, without the source's folder."""
    return F.expr(f"substring(path, {len(f'file:{source}/') + 1})").alias("path")


def _resized(content: bytes) -> NDArray[np.float32]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float32)


def _preprocessed(batch: Any) -> Any:
    from keras.applications.mobilenet_v2 import preprocess_input

    return preprocess_input(batch)
