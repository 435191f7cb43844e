"""05: a first classifier on the scores, beside baselines: do the features mean something?"""

import io
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark import inheritable_thread_target
from pyspark.ml.classification import (
    ClassificationModel,
    LogisticRegression,
    LogisticRegressionModel,
    RandomForestClassificationModel,
    RandomForestClassifier,
)
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn import metrics
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from helpers import figures, ingest, pca, split
from helpers.parameters import Parameters, fingerprint
from helpers.session import is_local
from helpers.split import TEST, TRAIN
from helpers.stage import Stage
from helpers.storage import live, snapshots, tables
from helpers.storage.location import Location, locate
from helpers.storage.run import Record, Run

T = TypeVar("T")

STAGE = "05_classify"
TREES = 200
ITERATIONS = 100
REGULARISATION = 1e-3
TOLERANCE = 1e-3  # by then the accuracy stands; Spark's 1e-6 takes twice the iterations

PREDICTIONS = "predictions"
METRICS = "metrics.json"
PER_CLASS = "per_class.csv"
FIGURES = "figures"
CONFUSION = "confusion_matrix.csv"
MODEL, ARRAYS = "model.json", "model.npz"
_FOREST = "_forest"
_FILES_A_PARTITION = 4
_ADAPTIVE = "spark.sql.adaptive.enabled"

EMBEDDED_PHOTOS = 1000
NEIGHBOURS = 10

PREDICTED = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("side", pa.string()),
        ("predicted", pa.string()),
        ("probability", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Merit:
    """How well predicted labels match: shares from 0 to 1."""

    accuracy: float
    macro_f1: float

    @staticmethod
    def of(labels: NDArray[Any], predicted: NDArray[Any]) -> "Merit":
        """Accuracy, and the mean over the labels that occur of the F1 score."""
        occurring = np.unique(labels)
        f1 = metrics.f1_score(labels, predicted, labels=occurring, average="macro", zero_division=0)
        return Merit(float(metrics.accuracy_score(labels, predicted)), float(f1))

    def as_json(self) -> dict[str, float]:
        return {"accuracy": round(self.accuracy, 6), "macro_f1": round(self.macro_f1, 6)}


@dataclass(frozen=True)
class Classified:
    """What 05 finished.

    ``photos`` has one row a distinct photo; ``analysed`` is the snapshot of ``pca`` it was made
    from; ``predictions`` has one row a path.
    """

    record: Record
    snapshot: Location
    analysed: Location
    photos: pa.Table
    merit: Merit
    baselines: dict[str, Merit]
    predictions: pa.Table
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    split: str
    new: bool


@dataclass(frozen=True)
class Embedding:
    """A t-SNE of a sample of photos.

    ``points`` has shape (photos, 2); ``agreement`` is the share of the ten nearest neighbours
    that have a photo's own label, ``by_chance`` the same with the labels shuffled.
    """

    points: NDArray[np.float64]
    labels: NDArray[Any]
    agreement: float
    by_chance: float


def classify(spark: SparkSession, parameters: Parameters) -> Classified:
    """Fit the classifier on the training side, and say how well it does on the test side.

    A distinct photo counts once, under the label of its first path.

    Raises
    ------
    StaleError
        If 04 has not finished on what the stages before it finished last.
    ValueError
        If a side is empty, or the training side has one class alone.
    """
    run = Run(locate(parameters.RUN_URI))
    with Stage(run, STAGE, spark) as stage:
        upstream = run.upstream(pca.STAGE, parameters.PCA)
        lineage = upstream.lineage
        analysed = snapshots.require(run.table("pca"), lineage["pca"])
        listed = _listed(run, upstream)
        first = live.first_of(listed, ["image_id"], [("path", "ascending")]).sort_by("path")
        train = first.filter(pc.equal(first["side"], TRAIN))
        _require_sides(train, first)
        entering = parameters.entering("classify")
        split_rule = upstream.parameters["SPLIT"]
        name = fingerprint(
            {
                **entering,
                "pca": lineage["pca"],
                "trees": TREES,
                "iterations": ITERATIONS,
                "regularisation": REGULARISATION,
                "tolerance": TOLERANCE,
                "fitted": fingerprint(
                    {"ids": train["image_id"].to_pylist(), "labels": train["label"].to_pylist()}
                ),
            }
        )
        found = snapshots.find(run.table("classify"), name)
        if found is None:
            found = snapshots.draft(run.table("classify"), name, stage.run_id)
            with stage.job("fit the classifier"):
                _fit_and_write(spark, parameters, analysed.location, listed, first, found.location)
            stage.check()
            found.finish({"parameters": entering, "lineage": lineage, "split": split_rule})
            new = True
        else:
            new = False
        stated = snapshots.read_json(found.location / METRICS)
        record = stage.finish(
            lineage | {"classify": name},
            entering,
            {},
            images=len(first),
            worked=new,
            figures={"split": split_rule, "classifier": parameters.CLASSIFIER, **stated},
        )
        return _read(record, found.location, analysed.location, first, stated, new)


def embed(result: Classified, seed: int) -> Embedding:
    """t-SNE of the scores of a sample of the photos, drawn by ``seed``.

    van der Maaten and Hinton 2008, "Visualizing data using t-SNE".
    """
    scored = pca.read_scores(result.analysed)
    order = pc.index_in(result.photos["image_id"], scored["image_id"].combine_chunks())
    scores = scored.take(order)
    random = np.random.default_rng(seed)
    count = min(EMBEDDED_PHOTOS, len(scores))
    drawn = np.sort(random.choice(len(scores), count, replace=False))
    flat = scores.take(drawn)["scores"].combine_chunks().flatten()
    matrix = flat.to_numpy().reshape(count, -1)
    labels = np.array(result.photos["label"].take(drawn).to_pylist())
    init = "pca" if matrix.shape[1] > 1 else "random"  # one component spans no plane
    points = TSNE(
        init=init, perplexity=min(30.0, (count - 1) / 3), random_state=seed
    ).fit_transform(matrix)
    nearest = min(NEIGHBOURS, count - 1)
    neighbours = NearestNeighbors(n_neighbors=nearest).fit(points).kneighbors(return_distance=False)
    shuffled = random.permutation(labels)
    return Embedding(
        points=points,
        labels=labels,
        agreement=float((labels[neighbours] == labels[:, np.newaxis]).mean()),
        by_chance=float((shuffled[neighbours] == shuffled[:, np.newaxis]).mean()),
    )


def _listed(run: Run, record: Record) -> pa.Table:
    """``path``, ``label``, ``image_id`` and ``side`` of every decoded photo, by path."""
    images = ingest.catalogue(run, record).images
    sides = snapshots.require(run.table("splits"), record.lineage["splits"])
    return pca.listed(images, tables.read_parquet(sides.location / split.TABLE))


def _require_sides(train: pa.Table, first: pa.Table) -> None:
    if len(train) == 0 or TEST not in first["side"].unique().to_pylist():
        raise ValueError("the split must leave photos on both sides; see SPLIT in 04_pca")
    if pc.count_distinct(train["label"]).as_py() < 2:
        label = train["label"][0].as_py()
        raise ValueError(f"a classifier needs at least two labels to learn, got {label!r} alone")


def _fit_and_write(
    spark: SparkSession,
    parameters: Parameters,
    analysed: Location,
    listed: pa.Table,
    first: pa.Table,
    to: Location,
) -> None:
    train = first.filter(pc.equal(first["side"], TRAIN))
    labels = sorted(train["label"].unique().to_pylist())
    frame = _frame(spark, analysed, first, labels, parameters.SEED)
    adaptive = str(spark.conf.get(_ADAPTIVE))
    try:
        spark.conf.set(_ADAPTIVE, "false")  # it would make filling the cache a job of its own
        frame.cache()
        fitting = frame.where(F.col("side") == TRAIN)
        estimator = _estimator(parameters)
        test_side = frame.where(F.col("side") == TEST)
        (fitted, predicted), (_, by_chance) = _together(
            lambda: _fitted(estimator, fitting, "label", frame, labels),
            lambda: _fitted(estimator, fitting, "shuffled", test_side, labels),
        )
    finally:
        frame.unpersist()
        spark.conf.set(_ADAPTIVE, adaptive)
    joined = first.join(predicted, "image_id").sort_by("path")
    test = joined.filter(pc.equal(joined["side"], TEST))
    true, guessed = (np.array(test[name].to_pylist()) for name in ("label", "predicted"))
    chance = test.select(["image_id", "label"]).join(by_chance, "image_id")
    commonest = Counter(train["label"].to_pylist()).most_common(1)[0][0]
    stated = {
        **Merit.of(true, guessed).as_json(),
        "baselines": {
            "majority_class": Merit.of(true, np.full(len(true), commonest)).as_json(),
            "shuffled_labels": Merit.of(
                np.array(chance["label"].to_pylist()), np.array(chance["predicted"].to_pylist())
            ).as_json(),
        },
        "fitted_photos": len(train),
        "tested_photos": len(test),
    }
    everything = listed.join(predicted, "image_id").sort_by("path").select(PREDICTED.names)
    tables.write_parquet(to / PREDICTIONS / "part-00000.parquet", everything.cast(PREDICTED))
    snapshots.write_json(to / METRICS, stated)
    per_class, confusion = _tables(true, guessed, labels)
    (to / PER_CLASS).write(per_class.to_csv(index_label="label").encode())
    (to / CONFUSION).write(confusion.to_csv(index_label="label").encode())
    _write_model(spark, fitted, labels, parameters, to)
    figures.save(figures.confusion(confusion), to / FIGURES / "confusion_matrix.png")
    figures.save(figures.per_class(per_class), to / FIGURES / "per_class.png")


def _frame(
    spark: SparkSession, analysed: Location, first: pa.Table, labels: list[str], seed: int
) -> DataFrame:
    """Spark's view: ``image_id``, ``side``, ``features``, ``label`` and ``shuffled`` as indices.

    The tasks read the scores by ``storage``: Spark's own readers would need Hadoop's connector for
    a bucket. The partitions do not depend on the cores, since a random forest depends on them.
    """
    files = pca.score_files(analysed)
    known = spark.sparkContext.broadcast(_indexed(first, labels, seed))

    def read(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch["id"].to_pylist():
                scored = tables.read_parquet(files[number])
                places = pc.index_in(scored["image_id"], known.value["image_id"])
                joined = known.value.take(places).append_column("scores", scored["scores"])
                yield from joined.to_batches()

    schema = "image_id string, side string, label double, shuffled double, scores array<float>"
    partitions = math.ceil(len(files) / _FILES_A_PARTITION)
    listed = spark.range(0, len(files), numPartitions=partitions).mapInArrow(read, schema)
    features = array_to_vector(F.col("scores").cast("array<double>")).alias("features")
    return listed.select("image_id", "side", "label", "shuffled", features)


def _indexed(first: pa.Table, labels: list[str], seed: int) -> pa.Table:
    """``image_id`` and ``side``, with ``label`` and ``shuffled`` as indices.

    A label that is not on the training side has the index -1, and is never predicted.
    """
    found = pc.fill_null(pc.index_in(first["label"], pa.array(labels)), -1)
    label = found.to_numpy().astype(np.float64)
    is_train = pc.equal(first["side"], TRAIN).to_numpy()
    shuffled = np.full(len(first), -1.0)
    shuffled[is_train] = np.random.default_rng(seed).permutation(label[is_train])
    indexed = first.select(["image_id", "side"]).combine_chunks()
    return indexed.append_column("label", [label]).append_column("shuffled", [shuffled])


def _estimator(parameters: Parameters) -> LogisticRegression | RandomForestClassifier:
    if parameters.CLASSIFIER == "random_forest":
        return RandomForestClassifier(numTrees=TREES, seed=parameters.SEED)
    return LogisticRegression(
        maxIter=ITERATIONS, regParam=REGULARISATION, tol=TOLERANCE, family="multinomial"
    )


def _together(*fits: Callable[[], T]) -> list[T]:
    """Fits side by side: each is many short Spark jobs that leave cores idle between them."""
    with ThreadPoolExecutor(len(fits)) as pool:
        started = [pool.submit(inheritable_thread_target(fit)) for fit in fits]
        return [fit.result() for fit in started]


def _fitted(
    estimator: LogisticRegression | RandomForestClassifier,
    fitting: DataFrame,
    target: str,
    frame: DataFrame,
    labels: list[str],
) -> tuple[ClassificationModel, pa.Table]:
    """A classifier of the column ``target``, and what it predicts of the rows of ``frame``."""
    model = estimator.fit(fitting, {estimator.labelCol: target})
    return model, _predicted(model, frame, labels)


def _predicted(model: ClassificationModel, frame: DataFrame, labels: list[str]) -> pa.Table:
    """``image_id``, ``predicted`` label and its ``probability``."""
    probability = F.array_max(vector_to_array(F.col("probability"))).alias("probability")
    rows = model.transform(frame).select("image_id", "prediction", probability).toPandas()
    names = np.array(labels)[rows["prediction"].to_numpy().astype(int)]
    return pa.table(
        {
            "image_id": rows["image_id"].to_numpy(),
            "predicted": names,
            "probability": rows["probability"].to_numpy(),
        }
    )


def _tables(
    true: NDArray[Any], guessed: NDArray[Any], labels: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The per-class table and the confusion matrix (rows: true, columns: predicted)."""
    shown = sorted({*labels, *true.tolist()})
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, guessed, labels=shown, zero_division=0
    )
    per_class = pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "photos": support}, index=shown
    )
    matrix = metrics.confusion_matrix(true, guessed, labels=shown)
    return per_class, pd.DataFrame(matrix, index=shown, columns=shown)


def _write_model(
    spark: SparkSession,
    model: ClassificationModel,
    labels: list[str],
    parameters: Parameters,
    to: Location,
) -> None:
    """The classifier as plain arrays and JSON, readable without Spark."""
    if isinstance(model, LogisticRegressionModel):
        arrays = {
            "coefficients": model.coefficientMatrix.toArray(),
            "intercepts": model.interceptVector.toArray(),
        }
    else:
        assert isinstance(model, RandomForestClassificationModel)
        with tempfile.TemporaryDirectory() as folder:
            # On a cluster the executors write it, and share no folder with the driver.
            place = locate(folder) if is_local(spark) else to
            arrays = _trees(model, place / _FOREST)
    content = io.BytesIO()
    np.savez(content, **arrays)
    (to / ARRAYS).write(content.getvalue())
    described = {
        "classifier": parameters.CLASSIFIER,
        "labels": labels,
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
    }
    snapshots.write_json(to / MODEL, described)


def _trees(model: RandomForestClassificationModel, scratch: Location) -> dict[str, NDArray[Any]]:
    """The nodes of all trees as columns; ``feature`` is -1 at a leaf.

    Spark's own format is the only way out of the JVM that keeps the classes' counts at a leaf:
    it is written aside, read and deleted.
    """
    model.write().overwrite().save(scratch.spark_uri)
    data = scratch / "data"
    names = sorted(entry.path for entry in data.entries() if entry.path.endswith(".parquet"))
    nodes = pa.concat_tables(tables.read_parquet(data / name) for name in names)
    scratch.delete_all()
    flat = (
        nodes.flatten().flatten().sort_by([("treeID", "ascending"), ("nodeData.id", "ascending")])
    )
    return {
        "tree": flat["treeID"].to_numpy(),
        "node": flat["nodeData.id"].to_numpy(),
        "left": flat["nodeData.leftChild"].to_numpy(),
        "right": flat["nodeData.rightChild"].to_numpy(),
        "feature": flat["nodeData.split.featureIndex"].to_numpy(),
        "threshold": np.array(
            [
                (value or [np.nan])[0]
                for value in flat["nodeData.split.leftCategoriesOrThreshold"].to_pylist()
            ]
        ),
        "class_counts": np.array(flat["nodeData.impurityStats"].to_pylist()),
    }


def _read(
    record: Record,
    snapshot: Location,
    analysed: Location,
    photos: pa.Table,
    stated: dict[str, Any],
    new: bool,
) -> Classified:
    per_class, confusion = (
        # A class may be named "7" or "NA": a label is text.
        pd.read_csv(
            io.BytesIO((snapshot / name).read()),
            index_col=0,
            dtype={0: str},
            keep_default_na=False,
        )
        for name in (PER_CLASS, CONFUSION)
    )
    confusion.columns = confusion.index  # pandas renames a column, as of a class named "label"
    baselines = {
        name: Merit(value["accuracy"], value["macro_f1"])
        for name, value in stated["baselines"].items()
    }
    return Classified(
        record=record,
        snapshot=snapshot,
        analysed=analysed,
        photos=photos,
        merit=Merit(stated["accuracy"], stated["macro_f1"]),
        baselines=baselines,
        predictions=tables.read_parquet(snapshot / PREDICTIONS / "part-00000.parquet"),
        per_class=per_class,
        confusion=confusion,
        split=record.figures["split"],
        new=new,
    )
