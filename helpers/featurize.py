"""03: pixels become features, one row for each distinct photo."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.broadcast import Broadcast
from pyspark.sql import SparkSession

from helpers import backbones, ingest, preprocess
from helpers.backbones import Network
from helpers.engines import engine
from helpers.parameters import Parameters, fingerprint
from helpers.split import TRAIN, split
from helpers.stage import Stage, is_retried
from helpers.storage import live, tables
from helpers.storage.ahead import ahead
from helpers.storage.location import locate
from helpers.storage.parts import Parts, part_name
from helpers.storage.run import Record, Run, StaleError, require_sum

STAGE = "03_featurize"


@dataclass(frozen=True)
class Featurized:
    """What 03 finished: where each photo's features lie, the network, the counts."""

    record: Record
    places: pa.Table
    features: Parts
    network: Network
    new: int

    @property
    def counts(self) -> dict[str, Any]:
        return self.record.counts


@dataclass(frozen=True)
class _Unit:
    """Rows of one part of ``pixels``, which make one part of ``features``."""

    name: str
    part: str
    rows: list[int]


@dataclass(frozen=True)
class _Work:
    """What every task needs to know."""

    pixels: Parts
    features: Parts
    network: "Broadcast[Network]"


def featurize(spark: SparkSession, parameters: Parameters) -> Featurized:
    """Push the photos that have no features yet through the network.

    Raises
    ------
    StaleError
        If 02 has not finished on what 01 finished last.
    ValueError
        If the pixels are smaller than the network's input, or the weights do not fit.
    StageError
        If a feature is not finite; the message names the photo.
    AccountingError
        If a distinct photo has no features at the end.
    """
    run = Run(locate(parameters.RUN_URI))
    with Stage(run, STAGE, spark) as stage:
        upstream = run.upstream(preprocess.STAGE, parameters.PIXELS)
        _require_size(upstream, backbones.input_size(parameters))
        pixels, photos = decoded(run, upstream)
        lineage = dict(upstream.lineage)
        network = backbones.network(
            parameters,
            run.table("networks"),
            stage.run_id,
            lineage["pixels"],
            lambda: _calibration(
                _training(photos, parameters, run, stage.run_id), pixels, parameters
            ),
        )
        name = fingerprint({"pixels": lineage["pixels"], "network": network.fingerprint})
        store = Parts(run.table("features") / name, tables.FEATURES)
        distinct = live.distinct(photos)
        units = _units(_todo(distinct, store))
        work = _Work(pixels, store, spark.sparkContext.broadcast(network))
        pushed = sum(len(unit.rows) for unit in units)
        stage.tasks(lambda given: _make_parts(given, work), units, f"featurize {pushed:,} photos")
        found = live.features(photos, store)
        require_sum("distinct photos", len(distinct), features=len(found))
        figures = {"width": network.width, "alpha": network.alpha}
        if network.calibrated:
            figures |= _calibrated(network, _training(photos, parameters, run, stage.run_id))
        record = stage.finish(
            lineage | {"networks": network.fingerprint, "features": name},
            parameters.entering("networks"),
            {"features": len(found)},
            images=pushed,
            worked=pushed > 0,
            figures=figures,
        )
        return Featurized(record, found, store, network, pushed)


def sample(result: Featurized, number: int, seed: int) -> NDArray[np.float32]:
    """Features of at most ``number`` photos, drawn part by part; shape (photos, width)."""
    names = np.random.default_rng(seed).permutation(sorted(set(result.places["part"].to_pylist())))
    drawn: list[NDArray[np.float32]] = []
    count = 0
    for name in names:
        rows = result.places.filter(pc.equal(result.places["part"], name))["row"]
        drawn.append(matrix(result.features.read(name, ["features"]).take(rows)))
        count += len(rows)
        if count >= number:
            break
    return np.concatenate(drawn)[:number]


def matrix(rows: pa.Table) -> NDArray[np.float32]:
    """Rows of ``features`` as an array of shape (rows, width)."""
    flat = rows["features"].combine_chunks().flatten()
    values: NDArray[np.float32] = flat.to_numpy().reshape(len(rows), -1)
    return values


def decoded(run: Run, record: Record) -> tuple[Parts, pa.Table]:
    """The store of pixels and the decoded photos in the lineage of a record, sorted by path.

    Raises
    ------
    StaleError
        If a photo is in no table any more.
    """
    catalogue = ingest.catalogue(run, record)
    pixels, rejects = preprocess.stores(run, record.lineage["pixels"])
    photos = live.photos(catalogue.images, pixels, rejects)
    if missing := photos["table"].null_count:
        raise StaleError(
            f"{missing:,} of {len(photos):,} photos are neither in {pixels.location.uri} nor among "
            f"its rejects: rerun {preprocess.STAGE}"
        )
    return pixels, live.decoded(photos)


def _require_size(upstream: Record, needed: int) -> None:
    size = upstream.parameters["IMAGE_SIZE"]
    if size < needed:
        raise ValueError(
            f"IMAGE_SIZE must be at least the network's input of {needed} pixels, got pixels made "
            f"with {size}: rerun 02_preprocess with IMAGE_SIZE={needed}"
        )


def _todo(distinct: pa.Table, store: Parts) -> pa.Table:
    columns = ["image_id", "part", "row"]
    done = store.index(["image_id"]).select(["image_id"])
    return distinct.select(columns).join(done, "image_id", join_type="left anti")


def _units(todo: pa.Table) -> list[_Unit]:
    """The photos to push through the network, by the part that holds their pixels."""
    by_part = todo.sort_by([("part", "ascending"), ("row", "ascending")]).group_by(
        "part", use_threads=False
    )
    groups = by_part.aggregate([("image_id", "list"), ("row", "list")]).to_pylist()
    return [
        _Unit(part_name(group["image_id_list"]), group["part"], group["row_list"])
        for group in groups
    ]


def _make_parts(units: Sequence[_Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: the features of each unit's photos, written as one part each."""
    if is_retried():
        units = [unit for unit in units if not work.features.has(unit.name)]
    network = engine(work.network.value)

    def read(unit: _Unit) -> tuple[_Unit, pa.Table]:
        return unit, work.pixels.read(unit.part, ["image_id", "path", "height", "width", "pixels"])

    for unit, table in ahead(read, units, threads=1, size=lambda _: 0):
        rows = table.take(unit.rows)
        features = network.features(preprocess.rgb(rows))
        _require_finite(features, rows)
        work.features.write(unit.name, _table(rows["image_id"], features))
        yield len(unit.rows)


def _require_finite(features: NDArray[np.float32], rows: pa.Table) -> None:
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        path = rows["path"][int(np.argmin(finite))].as_py()
        raise ValueError(f"features must be finite, and those of {path!r} are not")


def _table(image_id: pa.ChunkedArray, features: NDArray[np.float32]) -> pa.Table:
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
    return pa.table([image_id.combine_chunks(), lists], schema=tables.FEATURES)


def _training(photos: pa.Table, parameters: Parameters, run: Run, run_id: str) -> pa.Table:
    """The distinct photos of the training side, by image_id."""
    _, sides = split(photos, parameters, run, run_id)
    train = sides.filter(pc.equal(sides["side"], TRAIN)).select(["image_id"])
    return live.distinct(photos).join(train, "image_id", join_type="left semi").sort_by("image_id")


def _calibration(
    train: pa.Table, pixels: Parts, parameters: Parameters
) -> dict[str, NDArray[np.uint8]]:
    """Photos of the training side, drawn by SEED, to calibrate int8 with; by image_id."""
    count = min(backbones.CALIBRATION_PHOTOS, len(train))
    drawn = np.random.default_rng(parameters.SEED).choice(len(train), count, replace=False)
    pictures: dict[str, NDArray[np.uint8]] = {}
    for unit in _units(train.take(np.sort(drawn))):
        rows = pixels.read(unit.part, ["image_id", "height", "width", "pixels"]).take(unit.rows)
        pictures |= zip(rows["image_id"].to_pylist(), preprocess.rgb(rows), strict=True)
    return dict(sorted(pictures.items()))  # in an order that does not depend on the parts


def _calibrated(network: Network, train: pa.Table) -> dict[str, int]:
    """How many photos int8 was calibrated with, and how many are not on the training side now."""
    elsewhere = set(network.calibrated).difference(train["image_id"].to_pylist())
    return {
        "calibration_photos": len(network.calibrated),
        "calibration_photos_elsewhere": len(elsewhere),
    }
