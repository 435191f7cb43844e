"""The statements of ``helpers.run.plan`` select the same rows in Spark SQL as in DuckDB."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from helpers.run import plan, schemas
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.storage.location import locate

#: statements that define tables, each from those before it
TABLES = {
    "decoded": plan.DECODED,
    "rejected": plan.REJECTED,
    "undecoded": plan.UNDECODED.format(reasons="'unreadable'"),
    "retried": plan.UNDECODED.format(reasons="r.reason"),
    "distinct_photos": plan.DISTINCT,
    "unfeaturized": plan.UNFEATURIZED,
    "featurized": plan.FEATURIZED,
}
#: statements whose order counts
UNITS = {
    "decoding units": plan.DECODING_UNITS.format(rows=2),
    "featurizing units": plan.FEATURIZING_UNITS,
}
#: what the tests load: the catalog, and the key columns of tables in parts
LOADED = (
    "images", "members", "pixels", "pixels_parts", "rejects", "rejects_parts", "features",
    "features_parts",
)  # fmt: skip
START = datetime(2020, 1, 1, tzinfo=UTC)


def make_key(path: str, version: int = 0) -> dict[str, Any]:
    """The key of a photo; another version has another length and another time."""
    return {"path": path, "length": 10 + version, "modified": START + timedelta(seconds=version)}


def make_id(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def make_decoded(path: str, content: str, version: int = 0) -> dict[str, Any]:
    stored = {"kind": "PNG RGB 1 x 1", "height": 1, "width": 1, "pixels": b"rgb"}
    return {**make_key(path, version), "image_id": make_id(content), **stored}


def make_rejected(path: str, reason: str, attempt: int, version: int = 0) -> dict[str, Any]:
    return {**make_key(path, version), "reason": reason, "detail": "", "attempt": attempt}


def write_parts(table: Parts, *parts: list[dict[str, Any]]) -> Parts:
    for number, rows in enumerate(parts):
        rows_of_part = pa.Table.from_pylist(rows, schema=table.table.schema)
        table.write(f"part-{number}.parquet", rows_of_part)
    return table


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planner]:
    """Photos of every fate: decoded, twice or changed, rejected, tried again, not tried."""
    place = locate(str(tmp_path_factory.mktemp("tables")))
    pixels = write_parts(
        Parts(place / "pixels", schemas.PIXELS),
        [make_decoded("a", "one"), make_decoded("b", "two"), make_decoded("gone", "three")],
        [make_decoded("c", "one"), make_decoded("a", "one"), make_decoded("d", "old", version=1)],
        [make_decoded("d", "new"), make_decoded("m", "four"), make_decoded("e", "five")],
    )
    rejects = write_parts(
        Parts(place / "rejects", schemas.REJECTS),
        [make_rejected("r", "unreadable", 1), make_rejected("s", "truncated", 1)],
        [make_rejected("r", "unreadable", 4), make_rejected("e", "unreadable", 1)],
        [make_rejected("r", "truncated", 2), make_rejected("t", "empty", 1, version=1)],
        [make_rejected("u", "unreadable", 1), make_rejected("s", "not_an_image", 1)],
    )
    features = write_parts(
        Parts(place / "features", schemas.FEATURES),
        [{"image_id": make_id(content), "features": [1.0]} for content in ("four", "one", "old")],
        [{"image_id": make_id("one"), "features": [1.0]}],
    )
    images = [
        {**make_key(path), "label": "apple", "folder_side": None}
        for path in ("a", "b", "c", "d", "e", "m", "r", "s", "t", "u", "v", "w")
    ]
    members = [
        {"path": path, "start": 2**40 + number, "stored": 9, "method": 8, "crc": 2**32 - 1}
        for number, path in enumerate("mtv")
    ]
    with Planner() as planner:
        plan.load_catalog(
            planner,
            [pa.Table.from_pylist(images, schema=schemas.IMAGES.schema)],
            [pa.Table.from_pylist(members, schema=schemas.MEMBERS.schema)],
        )
        for name, table in (("pixels", pixels), ("rejects", rejects), ("features", features)):
            planner.load_parts(name, table)
        for name, statement in TABLES.items():
            planner.define(name, statement)
        yield planner


@pytest.fixture(scope="module")
def views(spark: SparkSession, planner: Planner, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Spark's views of the same tables, and of what its own statements select from them."""
    folder = tmp_path_factory.mktemp("views")
    for name in LOADED:
        file = Path(folder / f"{name}.parquet")
        pq.write_table(planner.read(f"SELECT * FROM {name}"), file)
        spark.read.parquet(str(file)).createOrReplaceTempView(name)
    for name, statement in TABLES.items():
        spark.sql(statement).createOrReplaceTempView(name)


def read_duckdb(planner: Planner, statement: str) -> list[tuple[Any, ...]]:
    table = planner.read(statement)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def read_spark(spark: SparkSession, statement: str) -> list[tuple[Any, ...]]:
    rows = map(tuple, spark.sql(statement).collect())
    return [
        tuple(bytes(value) if isinstance(value, bytearray) else value for value in row)
        for row in rows
    ]


@pytest.mark.usefixtures("views")
@pytest.mark.parametrize("name", TABLES)
def test_spark_selects_the_rows_that_duckdb_selects(
    name: str, spark: SparkSession, planner: Planner
) -> None:
    ours, theirs = read_duckdb(planner, TABLES[name]), read_spark(spark, TABLES[name])
    assert sorted(theirs, key=repr) == sorted(ours, key=repr)
    assert len(ours) > 1
    columns = planner.read(f"SELECT * FROM {name} LIMIT 0").column_names
    assert spark.table(name).columns == columns


@pytest.mark.usefixtures("views")
@pytest.mark.parametrize("name", UNITS)
def test_spark_selects_units_in_the_same_order(
    name: str, spark: SparkSession, planner: Planner
) -> None:
    ours = read_duckdb(planner, UNITS[name])
    assert read_spark(spark, UNITS[name]) == ours
    assert len({unit for unit, *_ in ours}) > 1
