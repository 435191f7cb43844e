"""05: fit a first classifier on the scores, beside baselines."""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from helpers.models.classifier import CLASSIFIERS
from helpers.models.metrics import Metrics, count_confusions, tabulate_classes
from helpers.models.tsne import Embedding, draw_sample, embed
from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, results, schemas
from helpers.run.manifest import CLASSIFY, PCA, Record
from helpers.run.results import PREDICTIONS
from helpers.run.snapshots import Snapshot
from helpers.spark import classifiers
from helpers.stages.split import TEST, TRAIN
from helpers.stages.stage import StageResult, run_stage
from helpers.storage.json_object import read_json, write_json
from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, write_parquet

METRICS = "metrics.json"
PER_CLASS = "per_class.csv"
CONFUSION = "confusion_matrix.csv"
FIGURES = "figures"

_FILES_PER_PARTITION = 4
_ADAPTIVE = "spark.sql.adaptive.enabled"


@dataclass(frozen=True)
class Classified(StageResult):
    """What 05 finished.

    Attributes
    ----------
    snapshot
        Where classifier, predictions, metrics and figures lie.
    pca
        The snapshot of ``pca`` that it was made from.
    photos
        ``path``, ``label``, ``image_id`` and ``side`` of each distinct photo, by path.
    metrics
        On the test side.
    baselines
        The same for ``majority_class`` and ``shuffled_labels``.
    predictions
        The table ``predictions``: one row per photo.
    per_class
        ``precision``, ``recall``, ``f1`` (0 to 1) and ``photos`` of each label.
    confusion
        Test photos by true label (rows) and predicted label (columns).
    split
        Value of SPLIT.
    """

    snapshot: Snapshot
    pca: Snapshot
    photos: pa.Table
    metrics: Metrics
    baselines: dict[str, Metrics]
    predictions: pa.Table
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    split: str


def classify(spark: SparkSession, parameters: Parameters) -> Classified:
    """Fit the classifier on the training side and measure it on the test side.

    A distinct photo counts once, with the label of its first path.

    Raises
    ------
    StaleError
        If 04 has not finished on what the stages before it finished last.
    ValueError
        If a side is empty, or if the training side has one class alone.
    """
    with run_stage(parameters.RUN_URI, CLASSIFY, spark) as stage:
        upstream = stage.run.require(PCA, parameters.PCA)
        pca = results.require_pca(stage.run, upstream)
        photos = results.read_sides(stage.run, upstream)
        first = plan.first_per_key(photos, ["image_id"], [("path", "ascending")]).sort_by("path")
        train = first.filter(pc.equal(first["side"], TRAIN))
        _require_sides(train, first)
        inputs = parameters.fingerprint_inputs("classify")
        split = upstream.parameters["SPLIT"]
        fitted = {"ids": train["image_id"].to_pylist(), "labels": train["label"].to_pylist()}
        name = fingerprint(
            {
                **inputs,
                **CLASSIFIERS[parameters.CLASSIFIER].CONSTANTS,
                "pca": upstream.lineage["pca"],
                "fitted": fingerprint(fitted),
            }
        )
        description = {"parameters": inputs, "lineage": upstream.lineage, "split": split}
        with stage.write_snapshot("classify", name, description) as snapshot:
            if snapshot.is_new:
                with stage.job("fit the classifier"):
                    _fit_and_write(spark, parameters, pca, photos, first, snapshot.location)
        new = len(first) if snapshot.is_new else 0
        measured = read_json(snapshot.location / METRICS)
        record = stage.finish(
            upstream.lineage | {"classify": name},
            new,
            parameters=inputs,
            metrics={"split": split, "classifier": parameters.CLASSIFIER, **measured},
        )
        return _read(record, new, snapshot, pca, first)


def embed_sample(result: Classified, seed: int) -> Embedding:
    """Embed a sample of the photos of all sides in the plane, drawn by ``seed``."""
    drawn = result.photos.take(draw_sample(len(result.photos), seed))
    scores = results.match_scores(result.pca, drawn["image_id"].to_pylist())
    return embed(scores, np.array(drawn["label"].to_pylist()), seed)


def _require_sides(train: pa.Table, first: pa.Table) -> None:
    if len(train) == 0 or TEST not in first["side"].unique().to_pylist():
        raise ValueError("the split must leave photos on both sides; see SPLIT in 04_pca")
    if pc.count_distinct(train["label"]).as_py() < 2:
        label = train["label"][0].as_py()
        raise ValueError(f"a classifier needs at least two labels to learn, got {label!r} alone")


def _fit_and_write(
    spark: SparkSession,
    parameters: Parameters,
    pca: Snapshot,
    photos: pa.Table,
    first: pa.Table,
    to: Location,
) -> None:
    train = first.filter(pc.equal(first["side"], TRAIN))
    labels = tuple(sorted(train["label"].unique().to_pylist()))
    frame = _make_frame(spark, pca, first, labels, parameters.SEED)
    with _cached(spark, frame):
        fitting = frame.where(F.col("side") == TRAIN)
        testing = frame.where(F.col("side") == TEST)

        def fit_and_predict(target: str, rows: DataFrame) -> tuple[classifiers.Fit, pa.Table]:
            fit = classifiers.fit(parameters.CLASSIFIER, fitting, target, labels, parameters.SEED)
            return fit, fit.predict(rows)

        (fit, predicted), (_, shuffled) = classifiers.run_together(
            lambda: fit_and_predict("label", frame), lambda: fit_and_predict("shuffled", testing)
        )
    by_photo = photos.join(predicted, "image_id").sort_by("path")
    schema = schemas.PREDICTIONS.schema
    predictions = by_photo.select(schema.names).cast(schema)
    write_parquet(to / PREDICTIONS / "part-00000.parquet", predictions)
    test = first.filter(pc.equal(first["side"], TEST))
    true, guessed = _pair_labels(test, predicted)
    majority = Counter(train["label"].to_pylist()).most_common(1)[0][0]
    measured = {
        **Metrics.measure(true, guessed).to_json(),
        "baselines": {
            "majority_class": Metrics.measure(true, np.full(len(true), majority)).to_json(),
            "shuffled_labels": Metrics.measure(*_pair_labels(test, shuffled)).to_json(),
        },
        "fitted_photos": len(train),
        "tested_photos": len(test),
    }
    write_json(to / METRICS, measured)
    _write_tables(true, guessed, labels, to)
    classifiers.to_plain_model(fit, spark, to).save(to)


@contextmanager
def _cached(spark: SparkSession, frame: DataFrame) -> Iterator[None]:
    """Cache a frame while the block runs, without adaptive query execution.

    Adaptive execution would make filling the cache a job of its own.
    """
    adaptive = str(spark.conf.get(_ADAPTIVE))
    try:
        spark.conf.set(_ADAPTIVE, "false")
        frame.cache()
        yield
    finally:
        frame.unpersist()
        spark.conf.set(_ADAPTIVE, adaptive)


def _make_frame(
    spark: SparkSession, pca: Snapshot, first: pa.Table, labels: tuple[str, ...], seed: int
) -> DataFrame:
    """Make Spark's view: ``image_id``, ``side``, ``features``; ``label`` and ``shuffled`` (index).

    The tasks read the scores with ``storage``: Spark's own readers would need Hadoop's connector
    for a bucket. The partitions do not depend on the cores, since a random forest depends on them.
    """
    files = results.list_score_files(pca)
    known = spark.sparkContext.broadcast(_index_labels(first, labels, seed))

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch["id"].to_pylist():
                scored = read_parquet(files[number])
                rows = pc.index_in(scored["image_id"], known.value["image_id"])
                joined = known.value.take(rows).append_column("scores", scored["scores"])
                yield from joined.to_batches()

    schema = "image_id string, side string, label double, shuffled double, scores array<float>"
    partitions = math.ceil(len(files) / _FILES_PER_PARTITION)
    rows = spark.range(0, len(files), numPartitions=partitions).mapInArrow(read, schema)
    features = array_to_vector(F.col("scores").cast("array<double>")).alias("features")
    return rows.select("image_id", "side", "label", "shuffled", features)


def _index_labels(first: pa.Table, labels: tuple[str, ...], seed: int) -> pa.Table:
    """Return ``image_id`` and ``side``, with ``label`` and ``shuffled`` as indices.

    A label that is not on the training side has the index -1 and is never predicted.
    """
    found = pc.fill_null(pc.index_in(first["label"], pa.array(labels)), -1)
    label = found.to_numpy().astype(np.float64)
    is_train = pc.equal(first["side"], TRAIN).to_numpy()
    shuffled = np.full(len(first), -1.0)
    shuffled[is_train] = np.random.default_rng(seed).permutation(label[is_train])
    indexed = first.select(["image_id", "side"]).combine_chunks()
    return indexed.append_column("label", [label]).append_column("shuffled", [shuffled])


def _pair_labels(test: pa.Table, predicted: pa.Table) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the true and the predicted labels of the test photos, in one order."""
    joined = test.select(["path", "label", "image_id"]).join(predicted, "image_id").sort_by("path")
    return np.array(joined["label"].to_pylist()), np.array(joined["predicted"].to_pylist())


def _write_tables(
    true: NDArray[Any], guessed: NDArray[Any], labels: tuple[str, ...], to: Location
) -> None:
    """Write the tables per class and of confusions, and a figure of each."""
    from helpers.figures.evaluation import draw_confusion, draw_per_class
    from helpers.figures.style import save_figure

    shown = sorted({*labels, *true.tolist()})
    per_class = tabulate_classes(true, guessed, shown)
    confusion = count_confusions(true, guessed, shown)
    (to / PER_CLASS).write(per_class.to_csv(index_label="label").encode())
    (to / CONFUSION).write(confusion.to_csv(index_label="label").encode())
    save_figure(draw_confusion(confusion), to / FIGURES / "confusion_matrix.png")
    save_figure(draw_per_class(per_class), to / FIGURES / "per_class.png")


def _read(
    record: Record, new: int, snapshot: Snapshot, pca: Snapshot, photos: pa.Table
) -> Classified:
    folder = snapshot.location
    measured = read_json(folder / METRICS)
    per_class, confusion = (
        # A class may be named "7" or "NA": a label is text.
        pd.read_csv(
            io.BytesIO((folder / name).read()), index_col=0, dtype={0: str}, keep_default_na=False
        )
        for name in (PER_CLASS, CONFUSION)
    )
    confusion.columns = confusion.index  # pandas renames a column, as of a class named "label"
    return Classified(
        record=record,
        new=new,
        snapshot=snapshot,
        pca=pca,
        photos=photos,
        metrics=Metrics(measured["accuracy"], measured["macro_f1"]),
        baselines={
            name: Metrics(value["accuracy"], value["macro_f1"])
            for name, value in measured["baselines"].items()
        },
        predictions=results.read_predictions(snapshot),
        per_class=per_class,
        confusion=confusion,
        split=record.metrics["split"],
    )
