"""Classifiers fitted with Spark ML, turned into plain arrays."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import inheritable_thread_target
from pyspark.ml import classification as ml
from pyspark.sql import DataFrame, SparkSession

from helpers.models.classifier import Classifier
from helpers.models.logistic_regression import LogisticRegression
from helpers.models.random_forest import RandomForest
from helpers.spark.session import is_local
from helpers.storage.location import Location, locate
from helpers.storage.parquet import read_parquet

T = TypeVar("T")

_FOREST = "_forest"


def fit(
    name: str, frame: DataFrame, target: str, labels: Sequence[str], seed: int, scratch: Location
) -> Classifier:
    """Fit a classifier, and return it as plain arrays.

    Parameters
    ----------
    name
        Value of the parameter CLASSIFIER.
    frame
        Rows with ``features`` (vectors) and the column ``target`` (indices of ``labels``).
    scratch
        A folder that driver and executors share; what is written there is deleted.
    """
    estimator = _ESTIMATORS[name](seed)
    model = estimator.fit(frame, {estimator.labelCol: target})
    return _to_plain_model(model, tuple(labels), frame.sparkSession, scratch)


def run_together(*works: Callable[[], T]) -> list[T]:
    """Run functions in parallel: each is many short Spark jobs that leave cores idle."""
    with ThreadPoolExecutor(len(works)) as pool:
        started = [pool.submit(inheritable_thread_target(work)) for work in works]
        return [work.result() for work in started]


def _make_logistic_regression(_seed: int) -> Any:
    constants = LogisticRegression.CONSTANTS
    return ml.LogisticRegression(
        maxIter=constants["max_iterations"],
        regParam=constants["regularization"],
        tol=constants["tolerance"],
        family="multinomial",
    )


def _make_random_forest(seed: int) -> Any:
    constants = RandomForest.CONSTANTS
    return ml.RandomForestClassifier(
        numTrees=constants["trees"], maxDepth=constants["max_depth"], seed=seed
    )


_ESTIMATORS: dict[str, Callable[[int], Any]] = {
    LogisticRegression.NAME: _make_logistic_regression,
    RandomForest.NAME: _make_random_forest,
}


def _read_trees(
    model: ml.RandomForestClassificationModel, scratch: Location
) -> dict[str, NDArray[Any]]:
    """Read the nodes of all trees as columns.

    Spark's own format is the only way out of the JVM that keeps the classes' counts at a leaf: it
    is written to ``scratch``, read and deleted.
    """
    model.write().overwrite().save(scratch.spark_uri)
    data = scratch / "data"
    names = sorted(file.path for file in data.list_files() if file.path.endswith(".parquet"))
    nodes = pa.concat_tables(read_parquet(data / name) for name in names)
    scratch.delete_tree()
    flat = (
        nodes.flatten().flatten().sort_by([("treeID", "ascending"), ("nodeData.id", "ascending")])
    )
    thresholds = flat["nodeData.split.leftCategoriesOrThreshold"].to_pylist()
    return {
        "tree": flat["treeID"].to_numpy(),
        "node": flat["nodeData.id"].to_numpy(),
        "left": flat["nodeData.leftChild"].to_numpy(),
        "right": flat["nodeData.rightChild"].to_numpy(),
        "feature": flat["nodeData.split.featureIndex"].to_numpy(),
        "threshold": np.array([(values or [np.nan])[0] for values in thresholds]),
        "class_counts": np.array(flat["nodeData.impurityStats"].to_pylist()),
    }


def _to_plain_model(
    model: ml.ClassificationModel, labels: tuple[str, ...], spark: SparkSession, scratch: Location
) -> Classifier:
    if isinstance(model, ml.LogisticRegressionModel):
        return LogisticRegression(
            labels=labels,
            coefficients=model.coefficientMatrix.toArray(),
            intercepts=model.interceptVector.toArray(),
        )
    assert isinstance(model, ml.RandomForestClassificationModel)
    with tempfile.TemporaryDirectory() as folder:
        # On a cluster the executors write the forest, and share no folder with the driver.
        place = locate(folder) if is_local(spark) else scratch
        return RandomForest(labels=labels, **_read_trees(model, place / _FOREST))
