"""03: turn pixels into features, one row per distinct photo."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers.network.calibration import Calibration
from helpers.network.inference import load_engine
from helpers.network.spec import Network
from helpers.network.store import prepare_network, specify_network
from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, results, schemas
from helpers.run.index import merge_segments, write_segment
from helpers.run.manifest import FEATURIZE, PREPROCESS, Record, require_sum
from helpers.run.parts import Parts, name_part
from helpers.run.planner import Planner
from helpers.run.units import Unit
from helpers.spark.tasks import is_retried
from helpers.stages.split import TRAIN, split_photos
from helpers.stages.stage import Stage, StageResult, run_stage
from helpers.storage.prefetch import prefetch

_TRAINING = f"""
SELECT lower(hex(d.image_id)) AS image_id, p.part, d.position - p.number * 65536 AS row
FROM distinct_photos AS d
JOIN sides AS s ON s.photo = d.photo
JOIN pixels_parts AS p ON p.number = CAST(floor(d.position / 65536) AS BIGINT)
WHERE s.side = '{TRAIN}'
ORDER BY d.image_id
"""


@dataclass(frozen=True)
class Featurized(StageResult):
    """What 03 finished.

    Attributes
    ----------
    features
        The table that holds the features.
    network
        The network that computed them.
    """

    features: Parts
    network: Network


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
        spec, weights = specify_network(parameters, upstream.lineage["pixels"])
        _require_size(upstream, spec.input_size)
        pixels, _ = results.open_pixels(stage.run, upstream.lineage["pixels"])
        with results.plan_decoded(stage.run, upstream) as planner:
            calibration = None
            if spec.precision == "int8":
                train = _select_training(stage, planner, parameters)
                calibration = Calibration(pixels, train, parameters.SEED)
            table = stage.run.table("networks")
            network = prepare_network(table, stage.run_id, spec, weights, calibration)
            name = fingerprint(
                {"pixels": upstream.lineage["pixels"], "network": network.fingerprint}
            )
            features = results.open_features(stage.run, name)
            plan.match_features(planner, features)
            new = planner.count("unfeaturized")
            if new:
                work = _Work(pixels, features, stage.broadcast(network))
                stage.run_units(
                    lambda given: _compute_units(given, work),
                    planner.iterate(plan.FEATURIZING_UNITS),
                    f"featurize {new:,} photos",
                )
                merge_segments(features)
                plan.match_features(planner, features)
            distinct, found = planner.count("distinct_photos"), planner.count("featurized")
        require_sum("distinct photos", distinct, features=found)
        metrics = {"width": network.width, "alpha": network.alpha}
        if calibration:
            metrics |= calibration.count(network)
        record = stage.finish(
            upstream.lineage | {"networks": network.fingerprint, "features": name},
            new,
            parameters=parameters.fingerprint_inputs("networks"),
            counts={"features": found},
            metrics=metrics,
        )
        return Featurized(record, new, features, network)


def sample_features(result: Featurized, number: int, seed: int) -> NDArray[np.float32]:
    """Draw the features of at most ``number`` stored photos, part by part.

    Returns
    -------
    ndarray of float32, shape (photos, width)
    """
    drawn: list[NDArray[np.float32]] = []
    for part in np.random.default_rng(seed).permutation(result.features.list_names()):
        rows = result.features.read(part, ["features"])
        drawn.append(results.to_matrix(rows["features"]))
        if sum(map(len, drawn)) >= number:
            break
    return np.concatenate(drawn)[:number]


def _require_size(upstream: Record, needed: int) -> None:
    size = upstream.parameters["IMAGE_SIZE"]
    if size < needed:
        raise ValueError(
            f"IMAGE_SIZE must be at least the network's input of {needed} pixels, got pixels made "
            f"with {size}: rerun {PREPROCESS} with IMAGE_SIZE={needed}"
        )


def _compute_units(units: Sequence[Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: read each unit's pixels, compute the features, write them as one part."""
    retried = is_retried()
    engine = load_engine(work.network.value)
    written: dict[str, pa.Table] = {}

    def read(unit: Unit) -> tuple[pa.Table, pa.Table]:
        rows = unit.read()
        columns = ["image_id", "path", "height", "width", "pixels"]
        return rows, work.pixels.read(rows["part"][0].as_py(), columns).take(rows["row"])

    for rows, photos in prefetch(read, units, threads=1, size=lambda _: 0):
        name = name_part(rows["image_id"].to_pylist())
        if not (retried and work.features.has(name)):
            features = engine.compute(results.to_rgb(photos))
            _require_finite(features, photos)
            work.features.write(name, _tabulate(photos["image_id"], features))
            written[name] = photos.select(["image_id"])
        yield len(rows)
    if written:
        write_segment(work.features, written)


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


def _select_training(stage: Stage, planner: Planner, parameters: Parameters) -> pa.Table:
    """Select the distinct photos of the training side, by image_id: see :class:`Calibration`."""
    split_photos(stage, planner, parameters)
    return planner.read(_TRAINING)
