"""04: fit the principal components in one distributed pass, and score every photo."""

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers.models import pca
from helpers.models.pca import Moments, merge_moments
from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, results
from helpers.run.manifest import FEATURIZE, PCA, require_sum
from helpers.run.parts import Parts
from helpers.run.results import SCORES, to_matrix
from helpers.run.snapshots import Snapshot
from helpers.stages.split import TRAIN, split_photos
from helpers.stages.stage import Stage, StageResult, run_stage
from helpers.storage.location import Location
from helpers.storage.parquet import write_parquet

CSV = "pca_features.csv"
FIGURES = "figures"

_CSV_PIECES = "_csv"
_TASKS_PER_CORE = 2
_MAX_PARTS = 64  # per piece of moments
_MERGED_AT_ONCE = 8
_ROWS_AT_ONCE = 512
_MAX_ROWS_PER_FILE = 2048


@dataclass(frozen=True)
class PcaResult(StageResult):
    """What 04 finished.

    Attributes
    ----------
    model
        The fitted PCA.
    snapshot
        Where model, scores and CSV lie.
    photos
        ``path``, ``label``, ``image_id`` and ``side`` of each decoded photo, by path.
    """

    model: pca.PCA
    snapshot: Snapshot
    photos: pa.Table


@dataclass(frozen=True)
class _Piece:
    """Rows of parts whose moments make one file."""

    file: Location
    parts: Mapping[str, list[int]]


@dataclass(frozen=True)
class _Chunk:
    """Photos whose scores make one file: rows of parts, and the photos' rows of the CSV."""

    number: int
    parts: Mapping[str, list[int]]
    photos: pa.Table


def fit_pca(spark: SparkSession, parameters: Parameters) -> PcaResult:
    """Fit the PCA on the training side; score every photo; write model, scores and CSV.

    Raises
    ------
    StaleError
        If 03 has not finished on what the stages before it finished last.
    ValueError
        If there are too few photos, or fewer components than COMPONENTS asks for.
    """
    with run_stage(parameters.RUN_URI, PCA, spark) as stage:
        upstream = stage.run.require(FEATURIZE, parameters.FEATURES)
        _, photos = results.read_decoded(stage.run, upstream)
        split_name, sides = split_photos(stage, photos, parameters)
        features = results.open_features(stage.run, upstream.lineage["features"])
        positions = _find_positions(photos, sides, features)
        train = positions.filter(pc.equal(positions["side"], TRAIN))
        shown = results.add_labels(sides, photos)
        inputs = parameters.fingerprint_inputs("pca")
        name = fingerprint(
            {
                **inputs,
                "features": upstream.lineage["features"],
                "split": split_name,
                "fitted": fingerprint({"ids": train["image_id"].to_pylist()}),
            }
        )
        description = {"parameters": inputs, "lineage": upstream.lineage}
        with stage.write_snapshot("pca", name, description) as snapshot:
            if snapshot.is_new:
                if len(train) == 0:
                    raise ValueError("PCA needs at least two photos to fit on, got 0")
                moments = _compute_moments(stage, features, train)
                model = pca.fit_pca(moments, parameters.COMPONENTS, parameters.STANDARDIZE)
                _write_scores(stage, features, positions, shown, model, snapshot.location)
                model.save(snapshot.location, inputs)
                _draw(model, parameters.STANDARDIZE, snapshot.location / FIGURES)
            else:
                model = pca.PCA.load(snapshot.location)
        new = len(positions) if snapshot.is_new else 0
        record = stage.finish(
            upstream.lineage | {"splits": split_name, "pca": name},
            new,
            parameters=inputs | parameters.fingerprint_inputs("splits"),
            metrics={
                "components": len(model.components),
                "explained_variance": float(model.explained_variance_ratio.sum()),
                "fitted_rows": model.n_samples,
            },
        )
        return PcaResult(record, new, model, snapshot, shown)


def _find_positions(photos: pa.Table, sides: pa.Table, features: Parts) -> pa.Table:
    """Find ``image_id``, ``side``, ``part`` and ``row`` of each distinct photo, by path."""
    stored = plan.match_features(photos, features)
    first = plan.first_per_key(
        sides.select(["path", "image_id", "side"]), ["image_id"], [("path", "ascending")]
    )
    require_sum("distinct photos", len(first), features=len(stored))
    return first.join(stored, "image_id").sort_by("path")


def _compute_moments(stage: Stage, features: Parts, train: pa.Table) -> Moments:
    """Compute the moments of the training side.

    Each task leaves those of its rows as a file, and few files are merged at once: matrices as
    wide as the features would fill the memory of Spark's JVMs.
    """
    scratch = stage.run.table(f"_moments-{stage.run_id}")
    pieces = _plan_pieces(train, stage.cores, scratch)
    stage.run_tasks(lambda given: _write_moments(given, features), pieces, "fit the PCA")
    files = [piece.file for piece in pieces]
    for level in itertools.count(1):
        groups = [files[i : i + _MERGED_AT_ONCE] for i in range(0, len(files), _MERGED_AT_ONCE)]
        if len(groups) == 1:
            break
        merged = [(scratch / f"{level}-{i}.npz", group) for i, group in enumerate(groups)]
        stage.run_tasks(_merge_files, merged, "merge the PCA")
        files = [file for file, _ in merged]
    moments = merge_moments(map(Moments.load, files))
    scratch.delete_tree()
    return moments


def _plan_pieces(train: pa.Table, cores: int, scratch: Location) -> list[_Piece]:
    parts = list(plan.group_rows_by_part(train).items())
    size = min(_MAX_PARTS, math.ceil(len(parts) / (_TASKS_PER_CORE * cores)))
    return [
        _Piece(scratch / f"0-{number}.npz", dict(parts[start : start + size]))
        for number, start in enumerate(range(0, len(parts), size))
    ]


def _write_moments(pieces: Sequence[_Piece], features: Parts) -> Iterator[int]:
    """In a Spark task: compute the moments of each piece's rows, many rows at a time."""
    for piece in pieces:
        merge_moments(_iterate_moments(piece.parts, features)).save(piece.file)
        yield 1


def _merge_files(groups: Sequence[tuple[Location, list[Location]]]) -> Iterator[int]:
    """In a Spark task: merge several files of moments into one."""
    for file, group in groups:
        merge_moments(map(Moments.load, group)).save(file)
        yield 1


def _iterate_moments(parts: Mapping[str, list[int]], features: Parts) -> Iterator[Moments]:
    held: list[NDArray[np.float32]] = []
    count = 0
    for part, rows in parts.items():
        held.append(to_matrix(features.read(part, ["features"])["features"])[rows])
        count += len(rows)
        if count >= _ROWS_AT_ONCE:
            yield Moments.from_rows(np.concatenate(held))
            held, count = [], 0
    if held:
        yield Moments.from_rows(np.concatenate(held))


def _write_scores(
    stage: Stage,
    features: Parts,
    positions: pa.Table,
    shown: pa.Table,
    model: pca.PCA,
    to: Location,
) -> None:
    """Write ``scores/`` and ``pca_features.csv``; tasks write both in pieces."""
    chunks = []
    even = math.ceil(len(positions) / math.ceil(len(positions) / _MAX_ROWS_PER_FILE))
    for number, start in enumerate(range(0, len(positions), even)):
        rows = positions.slice(start, even)
        photos = shown.join(rows.select(["image_id"]), "image_id", join_type="left semi")
        chunks.append(_Chunk(number, plan.group_rows_by_part(rows), photos.sort_by("path")))
    shared = stage.broadcast(model)
    stage.run_tasks(
        lambda given: _score_chunks(given, features, shared, to), chunks, "score the photos"
    )
    pieces = [to / _CSV_PIECES / f"{chunk.number:05d}.csv" for chunk in chunks]
    (to / CSV).write_stream(piece.read() for piece in pieces)
    (to / _CSV_PIECES).delete_tree()


def _score_chunks(
    chunks: Sequence[_Chunk], features: Parts, model: "Broadcast[pca.PCA]", to: Location
) -> Iterator[int]:
    """In a Spark task: score each chunk's photos; write Parquet and a piece of the CSV."""
    for chunk in chunks:
        ids: list[str] = []
        scored: list[NDArray[np.float32]] = []
        for part, rows in chunk.parts.items():  # one by one: all features would fill the memory
            table = features.read(part).take(rows)
            ids += table["image_id"].to_pylist()
            matrix = to_matrix(table["features"])
            scored.append(model.value.transform(matrix).astype(np.float32))
        scores = np.concatenate(scored)
        lists = pa.ListArray.from_arrays(
            np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32), scores.ravel()
        )
        written = pa.table({"image_id": ids, "scores": lists})
        write_parquet(to / SCORES / f"part-{chunk.number:05d}.parquet", written)
        row_of = {image_id: row for row, image_id in enumerate(ids)}
        order = [row_of[image_id] for image_id in chunk.photos["image_id"].to_pylist()]
        text = _format_csv(chunk.photos, scores[order], include_header=chunk.number == 0)
        (to / _CSV_PIECES / f"{chunk.number:05d}.csv").write(text)
        yield len(ids)


def _format_csv(photos: pa.Table, scores: NDArray[np.float32], include_header: bool) -> bytes:
    columns = {name: photos[name] for name in ("path", "label", "side")}
    columns |= {f"pc_{i}": pa.array(values) for i, values in enumerate(scores.T, start=1)}
    text = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=include_header)
    pyarrow.csv.write_csv(pa.table(columns), text, options)
    return text.getvalue()


def _draw(model: pca.PCA, standardized: bool, to: Location) -> None:
    # Imported here: the tasks import this module and need no plots.
    from helpers.figures.style import save_figure
    from helpers.figures.variance import draw_explained_variance, draw_loadings

    chosen = len(model.components)
    scree = draw_explained_variance(model.all_variance_ratios, chosen)
    save_figure(scree, to / "variance.png")
    loadings = draw_loadings(
        model.compute_loadings()[:2], model.explained_variance_ratio, standardized
    )
    save_figure(loadings, to / "loadings.png")
