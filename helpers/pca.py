"""04: principal component analysis of the features, in one distributed pass.

Each task gives count, mean and the sum of outer products about its mean, in float64; they are
merged pairwise (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for
computing sample variances"); the driver takes the eigenvectors of the covariance.
"""

import functools
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession
from scipy import linalg

from helpers import featurize
from helpers.parameters import Parameters, fingerprint
from helpers.split import TRAIN, split
from helpers.stage import Stage
from helpers.storage import live, snapshots, tables
from helpers.storage.location import Location, locate
from helpers.storage.parts import Parts
from helpers.storage.run import Record, Run, require_sum

STAGE = "04_pca"
SCORES = "scores"
FIGURES = "figures"
CSV = "pca_features.csv"
MODEL = "model.json"
ARRAYS = "model.npz"

_CSV_PIECES = "_csv"
_TASKS_A_CORE = 2
_MOST_PARTS = 64  # whose moments a task takes
_MERGED_AT_ONCE = 8
_ROWS_AT_ONCE = 512
_MOST_ROWS_A_FILE = 2048
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Count, mean (d) and sum of outer products about the mean (d, d) of some rows."""

    count: int
    mean: Floats
    products: Floats

    @staticmethod
    def of(rows: NDArray[np.floating[Any]]) -> "Moments":
        """Moments of rows of shape (n, d), n at least 1, computed in float64."""
        centred = rows.astype(np.float64)
        mean = centred.mean(axis=0)
        centred -= mean
        return Moments(len(centred), mean, centred.T @ centred)

    def merged(self, other: "Moments") -> "Moments":
        """Moments of the rows of both."""
        count = self.count + other.count
        apart = other.mean - self.mean
        share = other.count / count
        products = np.outer(apart, apart * (self.count * share))
        products += self.products  # in place: they are large
        products += other.products
        return Moments(count, self.mean + apart * share, products)


@dataclass(frozen=True)
class Model:
    """A fitted PCA.

    Attributes
    ----------
    mean, scale
        Of each feature, shape (d,); a row is centred by ``mean`` and divided by ``scale``.
    components
        Orthonormal rows, shape (k, d), by falling variance; the entry of greatest magnitude in
        each is positive.
    explained_variance
        Variance of each component's scores (n - 1 in the denominator), shape (k,).
    explained_variance_ratio
        The same as a share of the total, shape (k,).
    spectrum
        The ratios of all components that the data has, kept or not.
    rows
        Rows fitted on.
    """

    mean: Floats
    scale: Floats
    components: Floats
    explained_variance: Floats
    explained_variance_ratio: Floats
    spectrum: Floats
    rows: int

    def loadings(self) -> Floats:
        """Covariance of each scaled feature with each component's unit scores, shape (k, d).

        With STANDARDIZE it is their correlation (Jolliffe 2002, Principal Component Analysis).
        """
        loadings: Floats = self.components * np.sqrt(self.explained_variance)[:, np.newaxis]
        return loadings

    def transform(self, rows: NDArray[np.floating[Any]]) -> Floats:
        """Scores of rows of shape (n, d); shape (n, k)."""
        scores: Floats = ((rows - self.mean) / self.scale) @ self.components.T
        return scores


def fit(moments: Moments, components: int | float, standardize: bool) -> Model:
    """The principal components of the rows behind ``moments``.

    Parameters
    ----------
    components
        An int is their number; a float below 1 takes the fewest that explain this share of the
        variance, as scikit-learn's ``n_components`` does.
    standardize
        Divide each feature by its standard deviation (by 1 where that is zero).

    Raises
    ------
    ValueError
        If there are fewer than two rows, no variance, or fewer components than asked for.
    """
    if moments.count < 2:
        raise ValueError(f"PCA needs at least two photos to fit on, got {moments.count}")
    covariance = moments.products / (moments.count - 1)
    variances = covariance.diagonal()
    scale = np.ones_like(moments.mean)
    if standardize:
        varies = variances > _rounding(moments, variances)
        scale[varies] = np.sqrt(variances[varies])
        covariance /= np.outer(scale, scale)
    total = float(np.trace(covariance))
    values, vectors = linalg.eigh(covariance, driver="evd", overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = _rank(values, moments.count)
    if rank == 0:
        raise ValueError(f"PCA needs photos that differ, got {moments.count:,} equal ones")
    values = values[:rank]
    ratios = values / total
    number = _number(components, ratios)
    kept = vectors[:, :number].T
    strongest = np.abs(kept).argmax(axis=1)
    signs = np.sign(kept[np.arange(number), strongest])
    return Model(
        mean=moments.mean,
        scale=scale,
        components=np.ascontiguousarray(kept * signs[:, np.newaxis]),
        explained_variance=values[:number],
        explained_variance_ratio=ratios[:number],
        spectrum=ratios,
        rows=moments.count,
    )


def _rounding(moments: Moments, variances: Floats) -> Floats:
    """Variance that rounding alone can give a constant feature (Youngs and Cramer 1971)."""
    epsilon = np.finfo(np.float64).eps
    count = moments.count
    bound: Floats = count * epsilon * variances + (count * moments.mean * epsilon) ** 2
    return bound


def _rank(values: Floats, count: int) -> int:
    """Number of eigenvalues, falling, that rise above rounding."""
    floor = values[0] * len(values) * np.finfo(np.float64).eps
    return min(count - 1, int(np.count_nonzero(values > max(floor, 0.0))))


def _number(components: int | float, ratios: Floats) -> int:
    if isinstance(components, float):
        explained = np.cumsum(ratios)
        return min(len(ratios), int(np.searchsorted(explained, components, side="right")) + 1)
    if components > len(ratios):
        raise ValueError(
            f"COMPONENTS must be at most the rank of the features, {len(ratios):,}, "
            f"got {components:,}"
        )
    return components


@dataclass(frozen=True)
class Analysis:
    """What 04 finished: the model, the snapshot that holds it, the photos and their sides."""

    record: Record
    model: Model
    snapshot: Location
    photos: pa.Table
    new: bool


@dataclass(frozen=True)
class _Chunk:
    """Photos whose scores make one file: rows of parts, and the photos' rows of the CSV."""

    number: int
    parts: list[tuple[str, list[int]]]
    photos: pa.Table


@dataclass(frozen=True)
class _Piece:
    """Rows of parts whose moments make one file."""

    place: Location
    parts: list[tuple[str, list[int]]]


def analyse(spark: SparkSession, parameters: Parameters) -> Analysis:
    """Fit the PCA on the training side; score every photo; write model, scores and CSV.

    Raises
    ------
    StaleError
        If 03 has not finished on what the stages before it finished last.
    ValueError
        If there are too few photos, or fewer components than COMPONENTS asks for.
    """
    run = Run(locate(parameters.RUN_URI))
    with Stage(run, STAGE, spark) as stage:
        upstream = run.upstream(featurize.STAGE, parameters.FEATURES)
        _, photos = featurize.decoded(run, upstream)
        split_name, sides = split(photos, parameters, run, stage.run_id)
        store = Parts(run.table("features") / upstream.lineage["features"], tables.FEATURES)
        places = _places(photos, sides, store)
        train = places.filter(pc.equal(places["side"], TRAIN))
        entering = parameters.entering("pca")
        name = fingerprint(
            {
                **entering,
                "features": upstream.lineage["features"],
                "split": split_name,
                "fitted": fingerprint({"ids": train["image_id"].to_pylist()}),
            }
        )
        shown = listed(photos, sides)
        found = snapshots.find(run.table("pca"), name)
        if found is None:
            if len(train) == 0:
                raise ValueError("PCA needs at least two photos to fit on, got 0")
            scratch = run.table(f"_moments-{stage.run_id}")
            moments = _all_moments(stage, spark, store, train, scratch)
            model = fit(moments, parameters.COMPONENTS, parameters.STANDARDIZE)
            draft = snapshots.draft(run.table("pca"), name, stage.run_id)
            _write_scores(stage, spark, store, places, shown, model, draft.location)
            _write_model(model, entering, draft.location)
            _draw(model, parameters.STANDARDIZE, draft.location)
            stage.check()
            draft.finish({"parameters": entering, "lineage": dict(upstream.lineage)})
            location = draft.location
        else:
            location = found.location
            model = read_model(location)
        record = stage.finish(
            upstream.lineage | {"splits": split_name, "pca": name},
            entering | parameters.entering("splits"),
            {},
            images=len(places),
            worked=found is None,
            figures={
                "components": len(model.components),
                "explained_variance": float(model.explained_variance_ratio.sum()),
                "fitted_rows": model.rows,
            },
        )
        return Analysis(record, model, location, shown, found is None)


def listed(photos: pa.Table, sides: pa.Table) -> pa.Table:
    """``path``, ``label``, ``image_id`` and ``side`` of every photo that has a side, by path."""
    labels = photos.select(["path", "label"])
    return sides.join(labels, "path").select(["path", "label", "image_id", "side"]).sort_by("path")


def read_model(snapshot: Location) -> Model:
    """The model in a snapshot of ``pca``."""
    described = snapshots.read_json(snapshot / MODEL)
    with np.load(io.BytesIO((snapshot / ARRAYS).read()), allow_pickle=False) as arrays:
        return Model(**dict(arrays.items()), rows=described["fitted_rows"])


def read_scores(snapshot: Location) -> pa.Table:
    """``image_id`` and ``scores`` of every distinct photo in a snapshot of ``pca``."""
    return pa.concat_tables(map(tables.read_parquet, score_files(snapshot)))


def score_files(snapshot: Location) -> list[Location]:
    """The Parquet files that hold the scores of a snapshot of ``pca``, in order."""
    folder = snapshot / SCORES
    names = sorted(entry.path for entry in folder.entries() if entry.path.startswith("part-"))
    return [folder / name for name in names]


def _places(photos: pa.Table, sides: pa.Table, store: Parts) -> pa.Table:
    """``image_id``, ``side``, ``part`` and ``row`` of each distinct photo's features, by path."""
    found = live.features(photos, store)
    first = live.first_of(
        sides.select(["path", "image_id", "side"]), ["image_id"], [("path", "ascending")]
    )
    require_sum("distinct photos", len(first), features=len(found))
    return first.join(found, "image_id").sort_by("path")


def _parts(places: pa.Table) -> list[tuple[str, list[int]]]:
    """The rows wanted of each part, in the order in which the parts are first met."""
    wanted: dict[str, list[int]] = {}
    for part, row in zip(places["part"].to_pylist(), places["row"].to_pylist(), strict=True):
        wanted.setdefault(part, []).append(row)
    return list(wanted.items())


def _all_moments(
    stage: Stage, spark: SparkSession, store: Parts, train: pa.Table, scratch: Location
) -> Moments:
    """The moments of the training side.

    Each task leaves those of its rows as a file, and few are merged at once: matrices as wide as
    the features would fill the memory of Spark's JVMs.
    """
    parts = _parts(train)
    size = math.ceil(len(parts) / (_TASKS_A_CORE * spark.sparkContext.defaultParallelism))
    size = min(size, _MOST_PARTS)
    shares = [parts[start : start + size] for start in range(0, len(parts), size)]
    pieces = [_Piece(scratch / f"0-{i}.npz", share) for i, share in enumerate(shares)]
    stage.tasks(lambda given: _write_moments(given, store), pieces, "fit the PCA")
    places = [piece.place for piece in pieces]
    for level in itertools.count(1):
        groups = [places[i : i + _MERGED_AT_ONCE] for i in range(0, len(places), _MERGED_AT_ONCE)]
        if len(groups) == 1:
            break
        merged = [(scratch / f"{level}-{i}.npz", group) for i, group in enumerate(groups)]
        stage.tasks(_merge_moments, merged, "merge the PCA")
        places = [place for place, _ in merged]
    moments = _merged(map(_read_moments, places))
    scratch.delete_all()
    return moments


def _write_moments(pieces: Sequence[_Piece], store: Parts) -> Iterator[int]:
    """In a Spark task: the moments of each piece's rows, taken many rows at a time."""
    for piece in pieces:
        _save_moments(_merged(_moments(piece.parts, store)), piece.place)
        yield 1


def _merge_moments(groups: Sequence[tuple[Location, list[Location]]]) -> Iterator[int]:
    """In a Spark task: several files of moments become one."""
    for place, group in groups:
        _save_moments(_merged(map(_read_moments, group)), place)
        yield 1


def _moments(parts: list[tuple[str, list[int]]], store: Parts) -> Iterator[Moments]:
    held: list[NDArray[np.float32]] = []
    count = 0
    for part, rows in parts:
        held.append(featurize.matrix(store.read(part, ["features"]))[rows])
        count += len(rows)
        if count >= _ROWS_AT_ONCE:
            yield Moments.of(np.concatenate(held))
            held, count = [], 0
    if held:
        yield Moments.of(np.concatenate(held))


def _merged(moments: Iterable[Moments]) -> Moments:
    return functools.reduce(Moments.merged, moments)


def _save_moments(moments: Moments, place: Location) -> None:
    content = io.BytesIO()
    np.savez(content, count=moments.count, mean=moments.mean, products=moments.products)
    place.write(content.getbuffer())


def _read_moments(place: Location) -> Moments:
    with np.load(io.BytesIO(place.read()), allow_pickle=False) as arrays:
        return Moments(int(arrays["count"]), arrays["mean"], arrays["products"])


def _write_scores(
    stage: Stage,
    spark: SparkSession,
    store: Parts,
    places: pa.Table,
    shown: pa.Table,
    model: Model,
    to: Location,
) -> None:
    """Write ``scores/`` and ``pca_features.csv``; tasks write both in pieces."""
    chunks = []
    even = math.ceil(len(places) / math.ceil(len(places) / _MOST_ROWS_A_FILE))
    for number, start in enumerate(range(0, len(places), even)):
        rows = places.slice(start, even)
        photos = shown.join(rows.select(["image_id"]), "image_id", join_type="left semi")
        chunks.append(_Chunk(number, _parts(rows), photos.sort_by("path")))
    shared = spark.sparkContext.broadcast(model)
    stage.tasks(lambda given: _score(given, store, shared, to), chunks, "score the photos")
    pieces = [to / _CSV_PIECES / f"{chunk.number:05d}.csv" for chunk in chunks]
    (to / CSV).write_stream(piece.read() for piece in pieces)
    (to / _CSV_PIECES).delete_all()


def _score(
    chunks: Sequence[_Chunk], store: Parts, model: "Broadcast[Model]", to: Location
) -> Iterator[int]:
    """In a Spark task: the scores of each chunk's photos, as Parquet and as a piece of the CSV."""
    for chunk in chunks:
        ids: list[str] = []
        scored: list[NDArray[np.float32]] = []
        for part, rows in chunk.parts:  # one after another: their features would fill the memory
            table = store.read(part).take(rows)
            ids += table["image_id"].to_pylist()
            scored.append(model.value.transform(featurize.matrix(table)).astype(np.float32))
        scores = np.concatenate(scored)
        lists = pa.ListArray.from_arrays(
            np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32), scores.ravel()
        )
        written = pa.table({"image_id": ids, "scores": lists})
        tables.write_parquet(to / SCORES / f"part-{chunk.number:05d}.parquet", written)
        row_of = {image_id: row for row, image_id in enumerate(ids)}
        shown = [row_of[image_id] for image_id in chunk.photos["image_id"].to_pylist()]
        columns = {name: chunk.photos[name] for name in ("path", "label", "side")}
        components = scores[shown].T
        columns |= {f"pc_{i}": pa.array(values) for i, values in enumerate(components, start=1)}
        text = io.BytesIO()
        heading = pyarrow.csv.WriteOptions(include_header=chunk.number == 0)
        pyarrow.csv.write_csv(pa.table(columns), text, heading)
        (to / _CSV_PIECES / f"{chunk.number:05d}.csv").write(text.getvalue())
        yield len(ids)


def _draw(model: Model, standardized: bool, to: Location) -> None:
    from helpers import figures  # the tasks import this module, and need no plots

    chosen = len(model.components)
    ratios = model.explained_variance_ratio
    figures.save(figures.explained_variance(model.spectrum, chosen), to / FIGURES / "variance.png")
    loadings = figures.loadings(model.loadings()[:2], ratios, standardized)
    figures.save(loadings, to / FIGURES / "loadings.png")


def _write_model(model: Model, entering: dict[str, Any], to: Location) -> None:
    arrays = {field.name: getattr(model, field.name) for field in fields(model)}
    rows = arrays.pop("rows")
    content = io.BytesIO()
    np.savez(content, **arrays)
    (to / ARRAYS).write(content.getvalue())
    described = {
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
        "parameters": entering,
        "fitted_rows": rows,
        "components": len(model.components),
        "explained_variance": float(model.explained_variance_ratio.sum()),
    }
    snapshots.write_json(to / MODEL, described)
