"""Append-only tables: parts, their names, and the index of their rows."""

from pathlib import Path

import pyarrow as pa
import pytest

from helpers.run import schemas
from helpers.run.parts import Parts, choose_part_rows, name_part
from helpers.storage.local import LocalLocation

NO_FEATURES = schemas.FEATURES.schema.empty_table()


@pytest.fixture
def features(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "features" / "fp")), schemas.FEATURES.schema)


def test_a_part_is_read_as_it_was_written(features: Parts) -> None:
    table = pa.table({"image_id": ["b", "a"], "features": [[1.0, 2.0], [3.0, 4.0]]})
    features.write("part-1.parquet", table)
    assert features.has("part-1.parquet")
    assert not features.has("part-2.parquet")
    read = features.read("part-1.parquet")
    assert read.schema.equals(schemas.FEATURES.schema)
    assert read.to_pydict() == table.to_pydict()
    assert features.read("part-1.parquet", ["image_id"]).to_pydict() == {"image_id": ["b", "a"]}


def test_metadata_is_kept_with_each_part(features: Parts) -> None:
    features.write("part-1.parquet", NO_FEATURES.replace_schema_metadata({b"kinds": b"1"}))
    features.write("part-2.parquet", NO_FEATURES)
    names = ["part-2.parquet", "part-1.parquet"]
    assert features.read_metadata(names) == [{}, {b"kinds": b"1"}]


def test_only_whole_parts_have_names(features: Parts) -> None:
    features.write("part-1.parquet", NO_FEATURES)
    for debris in ("_tmp-part-2.parquet", "part-3.parquet.crc", "x/part-4.parquet", "_manifest"):
        (features.location / debris).write(b"")
    assert features.list_names() == ["part-1.parquet"]


def test_the_index_has_the_part_and_the_row_of_every_row(features: Parts) -> None:
    for number in (2, 1):
        ids = [f"{number}{letter}" for letter in "ab"]
        features.write(f"part-{number}.parquet", pa.table({"image_id": ids, "features": [[], []]}))
    assert features.read_index(["image_id"]).to_pydict() == {
        "image_id": ["1a", "1b", "2a", "2b"],
        "part": ["part-1.parquet"] * 2 + ["part-2.parquet"] * 2,
        "row": [0, 1, 0, 1],
    }


def test_the_index_of_an_empty_table_has_its_columns(features: Parts) -> None:
    assert features.read_index(["image_id"]).column_names == ["image_id", "part", "row"]
    assert len(features.read_index(["image_id"])) == 0


@pytest.mark.parametrize(
    ("total", "row_bytes", "rows"),
    [
        (1, 1, 32),
        (3_200, 1, 32),
        (12_884, 1, 128),
        (10**7, 1, 256),
        (10**7, 224 * 224 * 3, 222),
        (10**7, 512 * 512 * 3, 42),
        (10, 10**9, 1),
    ],
)
def test_a_part_is_bounded_in_rows_and_bytes(total: int, row_bytes: int, rows: int) -> None:
    assert choose_part_rows(total, row_bytes) == rows


def test_a_part_is_named_after_its_rows_and_attempt() -> None:
    names = {
        name_part(["a", "b"]),
        name_part(["b", "a"]),
        name_part(["a"]),
        name_part(["a", "b"], attempt=2),
        name_part(["a", "b"], attempt=3),
    }
    assert len(names) == 5
    assert name_part(["a", "b"]) == name_part(iter(["a", "b"]), attempt=1)
    assert all(name.startswith("part-") and name.endswith(".parquet") for name in names)
