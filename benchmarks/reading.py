"""Listing, reading and hashing small files to Parquet, beside Spark's ``binaryFile``."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import functions as F

from benchmarks.compare import DifferentError
from benchmarks.context import Context
from benchmarks.findings import Goal, Group, Line
from benchmarks.sessions import open_session
from helpers.photos.source import Photo, Source, open_source
from helpers.run import schemas
from helpers.run.parts import choose_part_rows
from helpers.stages.stage import run_stage
from helpers.storage.location import Location, locate
from helpers.storage.parquet import write_parquet

SCHEMA = pa.schema(
    [*(schemas.PIXELS.schema.field(name) for name in schemas.KEY), ("image_id", pa.string())]
).append(pa.field("content", pa.binary()))

_MODIFIED = pa.timestamp("ms", tz="UTC")  # binaryFile knows milliseconds


def measure(context: Context) -> Group:
    """Measure the reading of files beside ``binaryFile``."""
    count = context.plan.photos
    photos = context.photos.write_folder(count)
    ours, theirs = (
        context.clear_folder("reading/project"),
        context.clear_folder("reading/binary_file"),
    )

    def run(function: Callable[[Path, Path], float], to: Path) -> float:
        return context.processes.call(function, photos, context.clear_folder(str(to)))

    rounds = context.budget.run_rounds(
        {
            "project": lambda: run(read_with_project, ours),
            "spark": lambda: run(read_with_spark, theirs),
        }
    )
    if _read_rows(ours) != _read_rows(theirs):
        raise DifferentError("reading: the project and binaryFile have not read the same")
    read = Line("the project's storage", rounds["project"], count)
    spark = Line("binaryFile at its defaults", rounds["spark"], count)
    return Group(
        f"List, read and hash {count:,} files to Parquet, the session just started",
        read.what,
        [read, spark],
        [Goal.at_least(3, f"reading {count:,} files beside binaryFile", read.compare_speed(spark))],
    )


def read_with_project(source: Path, to: Path) -> float:
    """Read the files with the project's own functions; return the seconds after session start."""
    place = locate(str(to))
    with open_session() as spark:
        started = time.monotonic()
        found = open_source(str(source))
        photos = [
            Photo(entry.path, entry.length, entry.modified) for entry, _ in found.list_files()
        ]
        size = choose_part_rows(len(photos), max(photo.length for photo in photos))
        units = [(number, photos[number : number + size]) for number in range(0, len(photos), size)]
        with run_stage(str(to), "read", spark) as stage:
            stage.run_tasks(
                lambda given: _read_units(given, found, place / "files"), units, "read files"
            )
        return time.monotonic() - started


def read_with_spark(source: Path, to: Path) -> float:
    """Read the files with Spark's reader and writer; return the seconds after session start."""
    with open_session() as spark:
        started = time.monotonic()
        files = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        files.load(f"file://{source}").select(
            F.col("path"),
            F.col("length"),
            F.col("modificationTime").alias("modified"),
            F.sha2("content", 256).alias("image_id"),
            F.col("content"),
        ).write.parquet(f"file://{to}/files")
        return time.monotonic() - started


def _read_units(
    units: Sequence[tuple[int, list[Photo]]], source: Source, to: Location
) -> Iterator[int]:
    for number, photos in units:
        rows = []
        for photo, content in source.read_all(photos):
            if isinstance(content, OSError):
                raise content
            image_id = hashlib.sha256(content).hexdigest()
            rows.append((photo.path, photo.length, photo.modified, image_id, content))
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)
        ]
        table = pa.table(columns, schema=SCHEMA)
        write_parquet(to / f"part-{number:06d}.parquet", table)
        yield len(photos)


def _read_rows(written: Path) -> set[tuple[str, int, object, str]]:
    """Read file name, length, time in milliseconds and hash of each row."""
    table = ds.dataset(written / "files").to_table(
        columns=["path", "length", "modified", "image_id"]
    )
    modified = table["modified"].cast(_MODIFIED, safe=False).to_pylist()
    names = [path.rpartition("/")[2] for path in table["path"].to_pylist()]
    lengths, hashes = table["length"].to_pylist(), table["image_id"].to_pylist()
    return set(zip(names, lengths, modified, hashes, strict=True))
