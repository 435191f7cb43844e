"""05: fit a first classifier on the scores, beside baselines."""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from helpers.models import tsne
from helpers.models.classifier import CLASSIFIERS, Classifier
from helpers.models.metrics import Confusions, Metrics, count_confusions, tabulate_classes
from helpers.models.tsne import Embedding
from helpers.parameters import Parameters, fingerprint
from helpers.run import results, schemas
from helpers.run.manifest import CLASSIFY, PCA, Record
from helpers.run.results import PREDICTIONS
from helpers.run.snapshots import Snapshot
from helpers.spark import classifiers
from helpers.stages.split import TEST, TRAIN
from helpers.stages.stage import Stage, StageResult, run_stage
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
    metrics
        On the test side.
    baselines
        The same for ``majority_class`` and ``shuffled_labels``.
    per_class
        ``precision``, ``recall``, ``f1`` (0 to 1) and ``photos`` of each label.
    confusion
        Test photos by true label (rows) and predicted label (columns).
    split
        Value of SPLIT.
    """

    snapshot: Snapshot
    pca: Snapshot
    metrics: Metrics
    baselines: dict[str, Metrics]
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
        known = _read_labels(pca)
        _require_sides(known)
        inputs = parameters.fingerprint_inputs("classify")
        split = upstream.parameters["SPLIT"]
        name = fingerprint(
            {
                **inputs,
                **CLASSIFIERS[parameters.CLASSIFIER].CONSTANTS,
                # It covers the sides and the labels.
                "pca": pca.manifest["lineage"] | {"pca": upstream.lineage["pca"]},
            }
        )
        description = {"parameters": inputs, "lineage": upstream.lineage, "split": split}
        with stage.write_snapshot("classify", name, description) as snapshot:
            if snapshot.is_new:
                _fit_and_write(stage, parameters, pca, known, snapshot.location)
        new = len(known.label) if snapshot.is_new else 0
        measured = read_json(snapshot.location / METRICS)
        record = stage.finish(
            upstream.lineage | {"classify": name},
            new,
            parameters=inputs,
            metrics={"split": split, "classifier": parameters.CLASSIFIER, **measured},
        )
        return _read(record, new, snapshot, pca)


def embed_sample(result: Classified, seed: int) -> Embedding:
    """Embed a sample of the photos of all sides in the plane, drawn by ``seed``."""
    drawn = results.sample_scores(result.pca, tsne.PHOTOS, seed)
    labels = np.array(drawn["label"].to_pylist())
    return tsne.embed(results.to_matrix(drawn["scores"]), labels, seed)


@dataclass(frozen=True)
class _Known:
    """Label and side of each distinct photo, in the order of the score files.

    Attributes
    ----------
    names
        All labels, sorted.
    label
        Index of each photo's label in ``names``.
    is_train, is_test
        Whether each photo lies on that side.
    rows
        Photos per score file.
    """

    names: NDArray[np.str_]
    label: NDArray[np.int32]
    is_train: NDArray[np.bool_]
    is_test: NDArray[np.bool_]
    rows: list[int]

    @property
    def trained(self) -> tuple[str, ...]:
        """The labels of the training side, sorted."""
        return tuple(self.names[np.unique(self.label[self.is_train])].tolist())


def _read_labels(pca: Snapshot) -> _Known:
    tables = [read_parquet(file, ["label", "side"]) for file in results.list_score_files(pca)]
    whole = pa.concat_tables(tables)
    label = whole["label"].combine_chunks().dictionary_encode()
    names = np.array(label.dictionary.to_pylist())
    order = np.argsort(names)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return _Known(
        names=names[order],
        label=place[label.indices.to_numpy()],
        is_train=pc.equal(whole["side"], TRAIN).to_numpy(),
        is_test=pc.equal(whole["side"], TEST).to_numpy(),
        rows=[len(table) for table in tables],
    )


def _require_sides(known: _Known) -> None:
    if not known.is_train.any() or not known.is_test.any():
        raise ValueError("the split must leave photos on both sides; see SPLIT in 04_pca")
    if len(known.trained) < 2:
        raise ValueError(
            f"a classifier needs at least two labels to learn, got {known.trained[0]!r} alone"
        )


def _fit_and_write(
    stage: Stage, parameters: Parameters, pca: Snapshot, known: _Known, to: Location
) -> None:
    name, seed, labels = parameters.CLASSIFIER, parameters.SEED, known.trained
    with stage.job("fit the classifier") as spark:
        frame = _make_frame(spark, pca, known, seed)
        with _cached(spark, frame):
            model, shuffled = classifiers.run_together(
                lambda: classifiers.fit(name, frame, "label", labels, seed, to),
                lambda: classifiers.fit(name, frame, "shuffled", labels, seed, to / "_shuffled"),
            )
    models = stage.broadcast((model, shuffled))
    files = list(enumerate(results.list_score_files(pca)))
    photos = pca.location / results.PHOTOS
    counted = stage.run_tasks(
        lambda given: _predict_files(given, photos, models, to), files, "predict the photos"
    )
    right: Counter[tuple[str, str]] = Counter()
    by_chance: Counter[tuple[str, str]] = Counter()
    for of_model, of_shuffled in counted:
        right.update(of_model)
        by_chance.update(of_shuffled)
    majority = known.names[np.bincount(known.label[known.is_train]).argmax()]
    always: Counter[tuple[str, str]] = Counter()
    for (true, _), count in right.items():
        always[true, str(majority)] += count
    measured = {
        **Metrics.measure(right).to_json(),
        "baselines": {
            "majority_class": Metrics.measure(always).to_json(),
            "shuffled_labels": Metrics.measure(by_chance).to_json(),
        },
        "fitted_photos": int(known.is_train.sum()),
        "tested_photos": int(known.is_test.sum()),
    }
    write_json(to / METRICS, measured)
    _write_tables(right, labels, to)
    model.save(to)


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


def _make_frame(spark: SparkSession, pca: Snapshot, known: _Known, seed: int) -> DataFrame:
    """Make Spark's view of the training side: ``features``; ``label`` and ``shuffled`` (indices).

    The tasks read the scores with ``storage``: Spark's own readers would need Hadoop's connector
    for a bucket. The partitions do not depend on the cores, since a random forest depends on them.
    """
    files = results.list_score_files(pca)
    index = {label: float(i) for i, label in enumerate(known.trained)}
    shuffled = known.label[known.is_train]
    shuffled = np.random.default_rng(seed).permutation(shuffled)
    trained = np.add.reduceat(known.is_train, np.cumsum([0, *known.rows[:-1]]), dtype=np.int64)
    drawn = np.split(known.names[shuffled], np.cumsum(trained)[:-1])
    given = spark.sparkContext.broadcast(drawn)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch["id"].to_pylist():
                scored = read_parquet(files[number], ["label", "side", "scores"])
                train = scored.filter(pc.equal(scored["side"], TRAIN))
                columns = {
                    "label": [index[label] for label in train["label"].to_pylist()],
                    "shuffled": [index[label] for label in given.value[number].tolist()],
                    "scores": train["scores"],
                }
                yield from pa.table(columns).to_batches()

    schema = "label double, shuffled double, scores array<float>"
    partitions = math.ceil(len(files) / _FILES_PER_PARTITION)
    rows = spark.range(0, len(files), numPartitions=partitions).mapInArrow(read, schema)
    features = array_to_vector(F.col("scores").cast("array<double>")).alias("features")
    return rows.select("label", "shuffled", features)


def _predict_files(
    files: Sequence[tuple[int, Location]],
    photos: Location,
    models: "Broadcast[tuple[Classifier, Classifier]]",
    to: Location,
) -> Iterator[tuple[Confusions, Confusions]]:
    """In a Spark task: predict the photos of score files; count those of the test side.

    Yields the distinct test photos by true and predicted label, for each of the two models.
    """
    for number, file in files:
        scored = read_parquet(file)
        scores = results.to_matrix(scored["scores"])
        model, shuffled = models.value
        probability = model.predict_proba(scores)
        names = np.array(model.labels)
        predicted = names[probability.argmax(axis=1)]
        listed = read_parquet(photos / file.name)
        row = pc.index_in(listed["image_id"], scored["image_id"].combine_chunks()).to_numpy()
        rows = listed.select(["path", "label", "side"])
        rows = rows.append_column("predicted", [predicted[row]])
        rows = rows.append_column("probability", [probability.max(axis=1)[row]])
        schema = schemas.PREDICTIONS.schema
        write_parquet(to / PREDICTIONS / f"part-{number:05d}.parquet", rows.cast(schema))
        is_test = pc.equal(scored["side"], TEST).to_numpy()
        true = np.array(scored["label"].to_pylist())[is_test].tolist()
        yield (
            Counter(zip(true, predicted[is_test].tolist(), strict=True)),
            Counter(zip(true, shuffled.predict(scores[is_test]).tolist(), strict=True)),
        )


def _write_tables(confusions: Confusions, labels: tuple[str, ...], to: Location) -> None:
    """Write the tables per class and of confusions, and a figure of each."""
    from helpers.figures.evaluation import draw_confusion, draw_per_class
    from helpers.figures.style import save_figure

    shown = sorted({*labels, *(true for true, _ in confusions)})
    per_class = tabulate_classes(confusions, shown)
    confusion = count_confusions(confusions, shown)
    for name, table in ((PER_CLASS, per_class), (CONFUSION, confusion)):
        # A field is quoted that holds a character of the line's end, so a label may hold "\r".
        text = table.to_csv(index_label="label", lineterminator="\r\n")
        (to / name).write(text.encode())
    save_figure(draw_confusion(confusion), to / FIGURES / "confusion_matrix.png")
    save_figure(draw_per_class(per_class), to / FIGURES / "per_class.png")


def _read(record: Record, new: int, snapshot: Snapshot, pca: Snapshot) -> Classified:
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
        metrics=Metrics(measured["accuracy"], measured["macro_f1"]),
        baselines={
            name: Metrics(value["accuracy"], value["macro_f1"])
            for name, value in measured["baselines"].items()
        },
        per_class=per_class,
        confusion=confusion,
        split=record.metrics["split"],
    )
