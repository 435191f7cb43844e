"""03: turn pixels into features, one row per distinct photo."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers.network.calibration import Calibration
from helpers.network.inference import load_engine
from helpers.network.spec import Network
from helpers.network.store import prepare_network, specify_network
from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, results, schemas
from helpers.run.manifest import FEATURIZE, PREPROCESS, Record, require_sum
from helpers.run.parts import Parts, name_part
from helpers.spark.tasks import is_retried
from helpers.stages.split import TRAIN, split_photos
from helpers.stages.stage import Stage, StageResult, run_stage
from helpers.storage.prefetch import prefetch


@dataclass(frozen=True)
class Featurized(StageResult):
    """What 03 finished.

    Attributes
    ----------
    positions
        ``image_id``, ``part`` and ``row`` of each distinct photo's features.
    features
        The table that holds them.
    network
        The network that computed them.
    """

    positions: pa.Table
    features: Parts
    network: Network


@dataclass(frozen=True)
class _Unit:
    """Rows of one part of ``pixels``, which make one part of ``features``."""

    name: str
    part: str
    rows: list[int]


@dataclass(frozen=True)
class _Work:
    """What every task needs."""

    pixels: Parts
    features: Parts
    network: "Broadcast[Network]"


def featurize(spark: SparkSession, parameters: Parameters) -> Featurized:
    """Compute the features of the photos that have none yet.

    Raises
    ------
    StaleError
        If 02 has not finished on what 01 finished last.
    ValueError
        If the pixels are smaller than the network's input, or if the weights do not fit.
    StageError
        If a feature is not finite; the message names the photo.
    AccountingError
        If a distinct photo has no features at the end.
    """
    with run_stage(parameters.RUN_URI, FEATURIZE, spark) as stage:
        upstream = stage.run.require(PREPROCESS, parameters.PIXELS)
        pixels, photos = results.read_decoded(stage.run, upstream)
        spec, weights = specify_network(parameters, upstream.lineage["pixels"])
        _require_size(upstream, spec.input_size)
        calibration = None
        if spec.precision == "int8":
            train = _select_training(stage, photos, parameters)
            calibration = Calibration(pixels, train, parameters.SEED)
        table = stage.run.table("networks")
        network = prepare_network(table, stage.run_id, spec, weights, calibration)
        name = fingerprint({"pixels": upstream.lineage["pixels"], "network": network.fingerprint})
        features = results.open_features(stage.run, name)
        distinct = plan.select_distinct(photos)
        units = _plan_units(plan.select_without_features(distinct, features))
        new = sum(len(unit.rows) for unit in units)
        work = _Work(pixels, features, stage.broadcast(network))
        stage.run_tasks(
            lambda given: _compute_units(given, work), units, f"featurize {new:,} photos"
        )
        positions = plan.match_features(photos, features)
        require_sum("distinct photos", len(distinct), features=len(positions))
        metrics = {"width": network.width, "alpha": network.alpha}
        if calibration:
            metrics |= calibration.count(network)
        record = stage.finish(
            upstream.lineage | {"networks": network.fingerprint, "features": name},
            new,
            parameters=parameters.fingerprint_inputs("networks"),
            counts={"features": len(positions)},
            metrics=metrics,
        )
        return Featurized(record, new, positions, features, network)


def sample_features(result: Featurized, number: int, seed: int) -> NDArray[np.float32]:
    """Draw the features of at most ``number`` photos, part by part; shape (photos, width)."""
    parts = sorted(set(result.positions["part"].to_pylist()))
    drawn: list[NDArray[np.float32]] = []
    count = 0
    for part in np.random.default_rng(seed).permutation(parts):
        rows = result.positions.filter(pc.equal(result.positions["part"], part))["row"]
        stored = result.features.read(part, ["features"])
        drawn.append(results.to_matrix(stored["features"].take(rows)))
        count += len(rows)
        if count >= number:
            break
    return np.concatenate(drawn)[:number]


def _require_size(upstream: Record, needed: int) -> None:
    size = upstream.parameters["IMAGE_SIZE"]
    if size < needed:
        raise ValueError(
            f"IMAGE_SIZE must be at least the network's input of {needed} pixels, got pixels made "
            f"with {size}: rerun {PREPROCESS} with IMAGE_SIZE={needed}"
        )


def _plan_units(rows: pa.Table) -> list[_Unit]:
    """Group photos by the part that holds their pixels."""
    ordered = rows.sort_by([("part", "ascending"), ("row", "ascending")])
    groups = ordered.group_by("part", use_threads=False).aggregate(
        [("image_id", "list"), ("row", "list")]
    )
    return [
        _Unit(name_part(group["image_id_list"]), group["part"], group["row_list"])
        for group in groups.to_pylist()
    ]


def _compute_units(units: Sequence[_Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: read each unit's pixels, compute the features, write them as one part."""
    if is_retried():
        units = [unit for unit in units if not work.features.has(unit.name)]
    engine = load_engine(work.network.value)

    def read(unit: _Unit) -> tuple[_Unit, pa.Table]:
        return unit, work.pixels.read(unit.part, ["image_id", "path", "height", "width", "pixels"])

    for unit, part in prefetch(read, units, threads=1, size=lambda _: 0):
        rows = part.take(unit.rows)
        features = engine.compute(results.to_rgb(rows))
        _require_finite(features, rows)
        work.features.write(unit.name, _tabulate(rows["image_id"], features))
        yield len(unit.rows)


def _require_finite(features: NDArray[np.float32], rows: pa.Table) -> None:
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        path = rows["path"][int(np.argmin(finite))].as_py()
        raise ValueError(f"features must be finite, and those of {path!r} are not")


def _tabulate(image_id: pa.ChunkedArray, features: NDArray[np.float32]) -> pa.Table:
    count, width = features.shape
    values = pa.Array.from_buffers(
        pa.float32(), features.size, [None, pa.py_buffer(np.ascontiguousarray(features))]
    )
    offsets = pa.Array.from_buffers(
        pa.int32(),
        count + 1,
        [None, pa.py_buffer(np.arange(0, features.size + 1, width, dtype=np.int32))],
    )
    lists = pa.ListArray.from_arrays(offsets, values)
    return pa.table([image_id.combine_chunks(), lists], schema=schemas.FEATURES.schema)


def _select_training(stage: Stage, photos: pa.Table, parameters: Parameters) -> pa.Table:
    """Select the distinct photos of the training side, by image_id."""
    _, sides = split_photos(stage, photos, parameters)
    train = sides.filter(pc.equal(sides["side"], TRAIN)).select(["image_id"])
    distinct = plan.select_distinct(photos)
    return distinct.join(train, "image_id", join_type="left semi").sort_by("image_id")
