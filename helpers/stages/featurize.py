"""03: turn pixels into features, one row per distinct photo."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers.network.inference import load_engine
from helpers.network.spec import Network, NetworkSpec, choose_input_size
from helpers.network.store import build_network, find_network, read_weights
from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, results, schemas
from helpers.run.manifest import FEATURIZE, PREPROCESS, Record, require_sum
from helpers.run.parts import Parts, name_part
from helpers.spark.tasks import is_retried
from helpers.stages.split import TRAIN, split_photos
from helpers.stages.stage import Stage, StageResult, run_stage
from helpers.storage.prefetch import prefetch

CALIBRATION_PHOTOS = 300


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
        _require_size(upstream, choose_input_size(parameters))
        pixels, photos = results.read_decoded(stage.run, upstream)
        network = _prepare_network(stage, parameters, upstream, pixels, photos)
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
        if network.calibrated:
            train = _select_training(stage, photos, parameters)
            metrics |= _count_calibration(network, train)
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


def _prepare_network(
    stage: Stage, parameters: Parameters, upstream: Record, pixels: Parts, photos: pa.Table
) -> Network:
    """Find the network that the parameters ask for, or build it."""
    name, weights = read_weights(parameters.WEIGHTS)
    spec = NetworkSpec.from_parameters(parameters, name, upstream.lineage["pixels"])
    table = stage.run.table("networks")
    network = find_network(table, spec)
    if network is None:
        pictures: dict[str, NDArray[np.uint8]] = {}
        if spec.precision == "int8":
            train = _select_training(stage, photos, parameters)
            pictures = _draw_calibration(train, pixels, parameters.SEED)
        network = build_network(table, stage.run_id, spec, weights, pictures)
    return network


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


def _draw_calibration(train: pa.Table, pixels: Parts, seed: int) -> dict[str, NDArray[np.uint8]]:
    """Draw photos of the training side to calibrate int8 with, by image_id."""
    count = min(CALIBRATION_PHOTOS, len(train))
    drawn = np.random.default_rng(seed).choice(len(train), count, replace=False)
    pictures: dict[str, NDArray[np.uint8]] = {}
    for unit in _plan_units(train.take(np.sort(drawn))):
        rows = pixels.read(unit.part, ["image_id", "height", "width", "pixels"]).take(unit.rows)
        pictures |= zip(rows["image_id"].to_pylist(), results.to_rgb(rows), strict=True)
    return dict(sorted(pictures.items()))  # in an order that does not depend on the parts


def _count_calibration(network: Network, train: pa.Table) -> dict[str, int]:
    """Count the calibration photos, and those that are not on the training side now."""
    elsewhere = set(network.calibrated).difference(train["image_id"].to_pylist())
    return {
        "calibration_photos": len(network.calibrated),
        "calibration_photos_elsewhere": len(elsewhere),
    }
