"""04: fit the principal components in one distributed pass, and score every photo."""

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

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
from helpers.run import plan, results, schemas
from helpers.run.manifest import FEATURIZE, PCA, require_sum
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.run.results import PHOTOS, SCORES, to_matrix
from helpers.run.snapshots import Snapshot
from helpers.run.units import Unit
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


#: image_id, photo, side, part, row (of features): each distinct photo
_PLACED = """
SELECT f.image_id, f.photo, s.side, p.number, p.part, f.position - p.number * 65536 AS row
FROM featurized AS f
JOIN sides AS s ON s.photo = f.photo
JOIN features_parts AS p ON p.number = CAST(floor(f.position / 65536) AS BIGINT)
"""
_FITTED = f"SELECT image_id FROM placed WHERE side = '{TRAIN}' ORDER BY photo"
_COUNT_TRAINING_PARTS = f"SELECT count(DISTINCT number) FROM placed WHERE side = '{TRAIN}'"
_FITTING_UNITS = f"""
WITH ranked AS (
    SELECT number, row_number() OVER (ORDER BY number) - 1 AS rank
    FROM (SELECT DISTINCT number FROM placed WHERE side = '{TRAIN}')
)
SELECT CAST(floor(r.rank / {{parts}}) AS BIGINT) AS unit, p.part, p.row
FROM placed AS p JOIN ranked AS r ON r.number = p.number
WHERE p.side = '{TRAIN}'
ORDER BY p.number, p.row
"""
#: all paths of the photos of some parts, and which of them is the first of its photo
_SCORING_UNITS = """
WITH counted AS (
    SELECT number, sum(count(*)) OVER (ORDER BY number) - count(*) AS before
    FROM placed GROUP BY number
), numbered AS (
    SELECT number,
           dense_rank() OVER (ORDER BY CAST(floor(before / {rows}) AS BIGINT)) - 1 AS unit
    FROM counted
)
SELECT n.unit, p.part, p.row, lower(hex(p.image_id)) AS image_id, i.path, i.label, s.side,
       d.photo = p.photo AS is_first
FROM placed AS p
JOIN numbered AS n ON n.number = p.number
JOIN decoded AS d ON d.image_id = p.image_id
JOIN images AS i ON i.photo = d.photo
JOIN sides AS s ON s.photo = d.photo
ORDER BY n.unit, p.number, p.row, d.photo
"""


@dataclass(frozen=True)
class PcaResult(StageResult):
    """What 04 finished.

    Attributes
    ----------
    model
        The fitted PCA.
    snapshot
        Where model, scores and CSV lie.
    sides
        Distinct photos by side.
    """

    model: pca.PCA
    snapshot: Snapshot
    sides: Mapping[str, int]


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
        features = results.open_features(stage.run, upstream.lineage["features"])
        with results.plan_decoded(stage.run, upstream) as planner:
            split_name = split_photos(stage, planner, parameters)
            _match_sides(planner, features)
            sides = _count_sides(planner)
            inputs = parameters.fingerprint_inputs("pca")
            name = fingerprint(
                {
                    **inputs,
                    "features": upstream.lineage["features"],
                    "split": split_name,
                    "fitted": planner.digest(_FITTED),
                }
            )
            description = {"parameters": inputs, "lineage": upstream.lineage}
            with stage.write_snapshot("pca", name, description) as snapshot:
                if snapshot.is_new:
                    if not sides.get(TRAIN):
                        raise ValueError("PCA needs at least two photos to fit on, got 0")
                    moments = _compute_moments(stage, planner, features)
                    model = pca.fit_pca(moments, parameters.COMPONENTS, parameters.STANDARDIZE)
                    _write_scores(stage, planner, features, model, snapshot.location)
                    model.save(snapshot.location, inputs)
                    _draw(model, parameters.STANDARDIZE, snapshot.location / FIGURES)
                else:
                    model = pca.PCA.load(snapshot.location)
        new = sum(sides.values()) if snapshot.is_new else 0
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
        return PcaResult(record, new, model, snapshot, sides)


def _match_sides(planner: Planner, features: Parts) -> None:
    """Find features and side of each distinct photo: define ``placed``.

    Raises
    ------
    AccountingError
        If a distinct photo has no features.
    """
    plan.match_features(planner, features)
    distinct, found = planner.count("distinct_photos"), planner.count("featurized")
    require_sum("distinct photos", distinct, features=found)
    planner.define("placed", _PLACED)


def _count_sides(planner: Planner) -> dict[str, int]:
    counts = planner.read(
        "SELECT side, count(*) AS photos FROM placed GROUP BY side ORDER BY photos DESC, side"
    )
    return dict(zip(*(column.to_pylist() for column in counts.columns), strict=True))


def _compute_moments(stage: Stage, planner: Planner, features: Parts) -> Moments:
    """Compute the moments of the training side.

    Each task leaves those of its rows as a file, and few files are merged at once: matrices as
    wide as the features would fill the memory of Spark's JVMs.
    """
    scratch = stage.run.table(f"_moments-{stage.run_id}")
    parts = planner.read_value(_COUNT_TRAINING_PARTS)
    size = min(_MAX_PARTS, math.ceil(parts / (_TASKS_PER_CORE * stage.cores)))
    files = stage.run_units(
        lambda given: _write_moments(given, features, scratch),
        planner.iterate(_FITTING_UNITS.format(parts=size)),
        "fit the PCA",
    )
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


def _write_moments(units: Sequence[Unit], features: Parts, scratch: Location) -> Iterator[Location]:
    """In a Spark task: compute the moments of each unit's rows, many rows at a time."""
    for unit in units:
        rows = unit.read()
        file = scratch / f"0-{rows['unit'][0].as_py()}.npz"
        merge_moments(_iterate_moments(rows, features)).save(file)
        yield file


def _merge_files(groups: Sequence[tuple[Location, list[Location]]]) -> Iterator[int]:
    """In a Spark task: merge several files of moments into one."""
    for file, group in groups:
        merge_moments(map(Moments.load, group)).save(file)
        yield 1


def _iterate_moments(rows: pa.Table, features: Parts) -> Iterator[Moments]:
    held: list[NDArray[np.float32]] = []
    count = 0
    for part, numbers in _group_by_part(rows):
        held.append(to_matrix(features.read(part, ["features"])["features"])[numbers])
        count += len(numbers)
        if count >= _ROWS_AT_ONCE:
            yield Moments.from_rows(np.concatenate(held))
            held, count = [], 0
    if held:
        yield Moments.from_rows(np.concatenate(held))


def _group_by_part(rows: pa.Table) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each part of rows that are ordered by part, and the rows in it."""
    parts, numbers = rows["part"].to_pylist(), rows["row"].to_numpy()
    for part, group in groupby(range(len(parts)), key=parts.__getitem__):
        yield part, numbers[list(group)]


def _write_scores(
    stage: Stage, planner: Planner, features: Parts, model: pca.PCA, to: Location
) -> None:
    """Write ``scores/``, ``photos/`` and ``pca_features.csv``; tasks write all in pieces."""
    shared = stage.broadcast(model)
    numbers = stage.run_units(
        lambda given: _score_units(given, features, shared, to),
        planner.iterate(_SCORING_UNITS.format(rows=_MAX_ROWS_PER_FILE)),
        "score the photos",
    )
    pieces = [to / _CSV_PIECES / f"{number:05d}.csv" for number in sorted(numbers)]
    (to / CSV).write_stream(piece.read() for piece in pieces)
    (to / _CSV_PIECES).delete_tree()


def _score_units(
    units: Sequence[Unit], features: Parts, model: "Broadcast[pca.PCA]", to: Location
) -> Iterator[int]:
    """In a Spark task: score each unit's photos; write Parquet and a piece of the CSV."""
    for unit in units:
        photos = unit.read()
        number = photos["unit"][0].as_py()
        first = photos.filter(photos["is_first"])
        scored: list[NDArray[np.float32]] = []
        for part, rows in _group_by_part(first):  # one by one: all features would fill the memory
            matrix = to_matrix(features.read(part, ["features"])["features"])[rows]
            scored.append(model.value.transform(matrix).astype(np.float32))
        scores = np.concatenate(scored)
        lists = pa.ListArray.from_arrays(
            np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32), scores.ravel()
        )
        columns = schemas.SCORES.schema.names[:-1]
        name = f"part-{number:05d}.parquet"
        write_parquet(to / SCORES / name, first.select(columns).append_column("scores", lists))
        listed = photos.sort_by("path")
        write_parquet(to / PHOTOS / name, listed.select(schemas.PHOTOS.schema.names))
        order = pc.index_in(listed["image_id"], first["image_id"]).to_numpy()
        text = _format_csv(listed, scores[order], include_header=number == 0)
        (to / _CSV_PIECES / f"{number:05d}.csv").write(text)
        yield number


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
