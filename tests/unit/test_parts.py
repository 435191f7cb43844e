"""Append-only tables: parts and their names."""

from pathlib import Path

import pyarrow as pa
import pytest

from helpers.run import schemas
from helpers.run.parts import Parts, choose_part_rows, name_part
from helpers.storage.local import LocalLocation

NO_FEATURES = schemas.FEATURES.schema.empty_table()


@pytest.fixture
def features(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "features" / "fp")), schemas.FEATURES)


def test_a_part_is_read_as_it_was_written(features: Parts) -> None:
    table = pa.table({"image_id": ["b", "a"], "features": [[1.0, 2.0], [3.0, 4.0]]})
    features.write("part-1.parquet", table)
    assert features.has("part-1.parquet")
    assert not features.has("part-2.parquet")
    read = features.read("part-1.parquet")
    assert read.schema.equals(schemas.FEATURES.schema)
    assert read.to_pydict() == table.to_pydict()
    assert features.read("part-1.parquet", ["image_id"]).to_pydict() == {"image_id": ["b", "a"]}


def test_only_whole_parts_have_names(features: Parts) -> None:
    features.write("part-1.parquet", NO_FEATURES)
    debris = ("_tmp-part-2.parquet", "part-3.parquet.crc", "x/part-4.parquet", "_manifest")
    for name in (*debris, "_index/part-5.parquet"):
        (features.location / name).write(b"")
    assert features.list_names() == ["part-1.parquet"]


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
