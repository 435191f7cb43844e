"""PCA: fit, transform, Parquet and CSV, beside Spark ML and scikit-learn."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import compare, stages
from benchmarks.context import Context, choose_components
from benchmarks.findings import Goal, Group, Line
from benchmarks.sessions import open_session
from helpers.run.manifest import PCA

SPARK, FULL, COVARIANCE = "Spark ML", "scikit-learn, full SVD", "scikit-learn, covariance_eigh"
MAX_RATIO_ERROR, MAX_SCORE_ERROR = 1e-6, 1e-3  # relative; scores are stored in float32


@dataclass(frozen=True)
class Input:
    """What the peers are given.

    Attributes
    ----------
    features
        Folder of Parquet files with ``image_id`` and ``features``.
    sides
        Parquet file with ``path``, ``image_id`` and ``side``.
    components
        Number of components to compute.
    """

    features: Path
    sides: Path
    components: int


@dataclass(frozen=True)
class Fitted:
    """Seconds from features on disk to scores on disk, and the explained variance."""

    seconds: float
    explained_variance_ratio: NDArray[np.float64]


def measure(context: Context) -> Group:
    """Measure 04 beside Spark ML and scikit-learn."""
    run, number = context.whole_run, choose_components(context.plan.photos)
    parameters = context.make_parameters(run, context.photos.write_folder(context.plan.photos))
    sides = _find_only(run / "splits") / "sides"
    given = Input(_find_only(run / "features"), sides, number)
    written = context.clear_folder("components")
    peers: dict[str, Callable[[Input, Path], Fitted]] = {
        SPARK: fit_spark,
        FULL: partial(fit_scikit_learn, "full"),
        COVARIANCE: partial(fit_scikit_learn, "covariance_eigh"),
    }

    def project() -> float:
        timed = context.project.call(stages.run, parameters, (PCA,))
        return timed.sum_seconds(PCA)

    def peer(name: str) -> Fitted:
        return context.processes.call(
            peers[name], given, context.clear_folder(f"components/{name}")
        )

    rounds = context.budget.run_rounds(
        {"project": project, **{name: partial(peer, name) for name in peers}}
    )
    for name in peers:
        _require_same(name, rounds[name][0], written / name, _find_only(run / "pca"))
    rows = ds.dataset(given.features).count_rows()
    width = len(next(iter(compare.read_rows_by(given.features, "image_id", "features").values())))
    ours = Line("04", rounds["project"], rows)
    lines = {name: Line(name, [fitted.seconds for fitted in rounds[name]], rows) for name in peers}
    return Group(
        f"PCA of {rows:,} x {width:,}, {number} components: fit, transform, Parquet and CSV",
        ours.what,
        [ours, *lines.values()],
        [
            Goal.at_least(12, "04 beside Spark ML", ours.compare_speed(lines[SPARK])),
            Goal.at_most(1.5, f"time of 04 beside {FULL}", lines[FULL].compare_speed(ours)),
            Goal.at_most(
                3, f"time of 04 beside {COVARIANCE}", lines[COVARIANCE].compare_speed(ours)
            ),
        ],
    )


def fit_spark(given: Input, to: Path) -> Fitted:
    """Fit StandardScaler and PCA of Spark ML on the training side; score all photos."""
    from pyspark.ml.feature import PCA, StandardScaler
    from pyspark.ml.functions import array_to_vector, vector_to_array
    from pyspark.sql import functions as F

    with open_session() as spark:
        started = time.monotonic()
        sides = spark.read.parquet(f"file://{given.sides}").select("image_id", "path", "side")
        vectors = array_to_vector(F.col("features").cast("array<double>")).alias("vector")
        features = spark.read.parquet(f"file://{given.features}").select("image_id", vectors)
        frame = features.join(F.broadcast(sides), "image_id").cache()
        train = frame.where("side = 'train'")
        scaler = StandardScaler(withMean=True, inputCol="vector", outputCol="scaled").fit(train)
        pca = PCA(k=given.components, inputCol="scaled", outputCol="pc")
        model = pca.fit(scaler.transform(train))
        scores = vector_to_array(F.col("pc"), "float32").alias("scores")
        rows = model.transform(scaler.transform(frame)).select("image_id", "path", "side", scores)
        rows.select("image_id", "scores").write.parquet(f"file://{to}/scores")
        columns = [F.col("scores")[i].alias(f"pc_{i + 1}") for i in range(given.components)]
        rows.select("path", "side", *columns).write.csv(f"file://{to}/csv", header=True)
        return Fitted(time.monotonic() - started, model.explainedVariance.toArray())


def fit_scikit_learn(solver: str, given: Input, to: Path) -> Fitted:
    """Fit scikit-learn's PCA on the training side in memory, in float64; score all photos."""
    from sklearn.decomposition import PCA

    started = time.monotonic()
    table = ds.dataset(given.features).to_table()
    sides = pq.read_table(given.sides, columns=["image_id", "path", "side"])
    rows = sides.take(pc.index_in(table["image_id"], sides["image_id"].combine_chunks()))
    flat = pc.list_flatten(table["features"]).to_numpy()
    features = flat.reshape(len(rows), -1).astype(np.float64)
    train = features[pc.equal(rows["side"], "train").to_numpy()]
    deviation = train.std(axis=0, ddof=1)
    deviation[deviation == 0] = 1.0
    mean = train.mean(axis=0)
    pca = PCA(given.components, svd_solver=solver).fit((train - mean) / deviation)
    scores = pca.transform((features - mean) / deviation).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(scores.ravel(), given.components)
    (to / "scores").mkdir(parents=True)
    scored = pa.table({"image_id": rows["image_id"], "scores": lists})
    pq.write_table(scored, to / "scores" / "part-00000.parquet")
    columns: dict[str, Any] = {name: rows[name] for name in ("path", "side")}
    columns |= {f"pc_{i}": column for i, column in enumerate(scores.T, start=1)}
    pyarrow.csv.write_csv(pa.table(columns), to / "pca_features.csv")
    return Fitted(time.monotonic() - started, pca.explained_variance_ratio_)


def _require_same(name: str, fitted: Fitted, written: Path, snapshot: Path) -> None:
    """Raise unless explained variance and scores are those of 04, up to a component's sign."""
    with np.load(snapshot / "model.npz") as model:
        expected = model["explained_variance_ratio"]
    apart = np.abs(fitted.explained_variance_ratio / expected - 1).max()
    compare.require_close(f"{name}: explained variance ratios", float(apart), MAX_RATIO_ERROR)
    ours, theirs = (
        compare.read_rows_by(folder / "scores", "image_id", "scores")
        for folder in (snapshot, written)
    )
    error = compare.measure_error(
        {key: np.abs(row) for key, row in theirs.items()},
        {key: np.abs(row) for key, row in ours.items()},
    )
    compare.require_close(f"{name}: scores", error, MAX_SCORE_ERROR)


def _find_only(folder: Path) -> Path:
    [only] = folder.iterdir()
    return only
