"""Parquet files: what they hold, and files that are damaged or cannot be read."""

import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typing_extensions import override

from helpers.run import schemas
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, read_schema_metadata, write_parquet

METADATA = {b"kinds": b'{"JPEG RGB": ["a.jpg"]}'}
ROWS = [
    {
        "path": "a.jpg",
        "length": 10,
        "modified": datetime(2020, 1, 1, tzinfo=UTC),
        "image_id": "id",
        "height": 1,
        "width": 1,
        "pixels": random.Random(0).randbytes(20_000),
    }
]


@pytest.fixture
def table() -> pa.Table:
    described = schemas.PIXELS.schema.with_metadata(METADATA)
    return pa.Table.from_pylist(ROWS, schema=described)


@pytest.fixture
def written(tmp_path: Path, table: pa.Table) -> LocalLocation:
    location = LocalLocation(str(tmp_path / "part-1.parquet"))
    write_parquet(location, table)
    return location


def test_a_table_is_read_as_it_was_written(written: LocalLocation, table: pa.Table) -> None:
    assert read_parquet(written).equals(table, check_metadata=True)
    assert read_parquet(written, ["image_id", "path"]).to_pydict() == {
        "image_id": ["id"],
        "path": ["a.jpg"],
    }
    assert read_schema_metadata(written) == METADATA


def test_a_schema_without_metadata_has_none(tmp_path: Path) -> None:
    location = LocalLocation(str(tmp_path / "empty.parquet"))
    write_parquet(location, schemas.SPLITS.schema.empty_table())
    assert read_schema_metadata(location) == {}
    assert read_parquet(location).equals(schemas.SPLITS.schema.empty_table())


def test_other_readers_read_what_is_written(written: LocalLocation) -> None:
    assert pq.read_table(written.path).schema.equals(schemas.PIXELS.schema)


def test_only_short_columns_have_dictionaries_and_statistics(tmp_path: Path) -> None:
    """Values of pixels and features are long and hardly repeat."""
    location = LocalLocation(str(tmp_path / "features.parquet"))
    table = pa.table({"image_id": ["a", "a"], "features": [[1.0], [1.0]], "pixels": [b"x", b"x"]})
    write_parquet(location, table)
    group = pq.read_metadata(location.path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    short = [column.path_in_schema for column in columns if column.has_dictionary_page]
    assert short == ["image_id"]
    assert [column.path_in_schema for column in columns if column.is_stats_set] == short


@pytest.mark.parametrize("read", [read_parquet, read_schema_metadata])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_breaks_off_is_named(
    share: float, read: Callable[[Location], Any], written: LocalLocation
) -> None:
    content = written.read()
    written.write(content[: int(share * len(content))])
    with pytest.raises(OSError, match=f"damaged: {written.path} is no whole Parquet file"):
        read(written)


def flip_bit(content: bytes, first: int, last: int, seed: int) -> bytes:
    """Flip one bit between two bytes."""
    generator = random.Random(seed)
    damaged = bytearray(content)
    damaged[generator.randrange(first, last)] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def test_a_flipped_bit_of_the_data_is_found_out_and_the_file_named(written: LocalLocation) -> None:
    """Even in the pixels themselves: zstd and Parquet have no checksum unless asked."""
    content, whole = written.read(), read_parquet(written)
    pixels_start = pq.read_metadata(written.path).row_group(0).column(6).data_page_offset + 100
    for seed in range(100):
        written.write(flip_bit(content, pixels_start, pixels_start + 19_000, seed))
        with pytest.raises(OSError, match=f"damaged: {written.path}"):
            read_parquet(written)
    written.write(content)
    assert read_parquet(written).equals(whole)


def test_a_flipped_bit_anywhere_is_no_other_error(written: LocalLocation) -> None:
    content = written.read()
    for seed in range(300):
        first = len(content) - 2000 if seed % 2 else 0
        written.write(flip_bit(content, first, len(content), seed))
        with contextlib.suppress(OSError):
            read_parquet(written)


@pytest.mark.parametrize("read", [read_parquet, read_schema_metadata])
def test_a_file_that_does_not_exist_is_named_and_not_called_damaged(
    read: Callable[[Location], Any], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"part-9\.parquet"):
        read(LocalLocation(str(tmp_path / "part-9.parquet")))


class UnreachableLocation(LocalLocation):
    """A location whose files are opened by ranges, and whose server does not answer."""

    open = Location.open

    @override
    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        raise ConnectionError(f"no S3 server answers for {self.uri}")


def test_an_error_of_the_storage_is_not_called_damage(written: LocalLocation) -> None:
    with pytest.raises(ConnectionError, match="no S3 server"):
        read_parquet(UnreachableLocation(written.path))
