"""Append-only tables, their rows that count, and Parquet files that are damaged."""

import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.storage.tables import read_metadata, read_parquet, write_parquet

from helpers.run import plan, schemas
from helpers.run.parts import Parts, choose_part_rows, name_part
from helpers.storage.location import LocalLocation, Location

START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def pixels(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "pixels" / "fp")), schemas.PIXELS.schema)


@pytest.fixture
def rejects(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "rejects" / "fp")), schemas.REJECTS.schema)


@pytest.fixture
def features(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "features" / "fp")), schemas.FEATURES.schema)


def key(path: str, version: int = 0) -> dict[str, Any]:
    """The key of a photo; another version is another length and another time."""
    return {"path": path, "length": 10 + version, "modified": START + timedelta(seconds=version)}


def images(*keys: dict[str, Any]) -> pa.Table:
    rows = [{**each, "label": "apple", "folder_side": None} for each in keys]
    return pa.Table.from_pylist(rows, schema=schemas.IMAGES.schema)


def decoded(store: Parts, name: str, *rows: tuple[dict[str, Any], str]) -> None:
    given = [
        {**each, "image_id": image_id, "height": 1, "width": 1, "pixels": b"rgb"}
        for each, image_id in rows
    ]
    store.write(name, pa.Table.from_pylist(given, schema=schemas.PIXELS.schema))


def refused(store: Parts, name: str, attempt: int, *rows: tuple[dict[str, Any], str]) -> None:
    given = [{**each, "reason": reason, "detail": "", "attempt": attempt} for each, reason in rows]
    store.write(name, pa.Table.from_pylist(given, schema=schemas.REJECTS.schema))


def ends(catalogue: pa.Table, pixels: Parts, rejects: Parts) -> dict[str, tuple[Any, ...]]:
    """What became of each path: table, reason, attempt."""
    return {
        row["path"]: (row["table"], row["reason"], row["attempt"])
        for row in plan.match_photos(catalogue, pixels, rejects).to_pylist()
    }


# Parts


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
    table = schemas.FEATURES.schema.empty_table()
    features.write("part-1.parquet", table.replace_schema_metadata({b"met": b"1"}))
    features.write("part-2.parquet", table)
    assert features.metadata(["part-2.parquet", "part-1.parquet"]) == [{}, {b"met": b"1"}]


def test_only_whole_parts_have_names(features: Parts) -> None:
    features.write("part-1.parquet", schemas.FEATURES.schema.empty_table())
    for debris in ("_tmp-part-2.parquet", "part-3.parquet.crc", "x/part-4.parquet", "_manifest"):
        (features.location / debris).write(b"")
    assert features.list_names() == ["part-1.parquet"]


def test_the_index_places_every_row(features: Parts) -> None:
    for number in (2, 1):
        ids = [f"{number}{letter}" for letter in "ab"]
        features.write(f"part-{number}.parquet", pa.table({"image_id": ids, "features": [[], []]}))
    assert features.read_index(["image_id"]).to_pydict() == {
        "image_id": ["1a", "1b", "2a", "2b"],
        "part": ["part-1.parquet"] * 2 + ["part-2.parquet"] * 2,
        "row": [0, 1, 0, 1],
    }


def test_the_index_of_an_empty_store_has_its_columns(features: Parts) -> None:
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


# Live rows


def test_each_photo_of_the_catalogue_has_one_row(pixels: Parts, rejects: Parts) -> None:
    decoded(pixels, "part-1.parquet", (key("a"), "ida"))
    refused(rejects, "part-1.parquet", 1, (key("b"), "truncated"))
    assert ends(images(key("c"), key("a"), key("b")), pixels, rejects) == {
        "a": ("pixels", None, None),
        "b": ("rejects", "truncated", 1),
        "c": (None, None, None),
    }


def test_live_rows_are_sorted_and_placed(pixels: Parts, rejects: Parts) -> None:
    decoded(pixels, "part-1.parquet", (key("b"), "idb"), (key("a"), "ida"))
    rows = plan.match_photos(images(key("b"), key("a")), pixels, rejects)
    assert rows.select(["path", "label", "image_id", "part", "row"]).to_pylist() == [
        {"path": "a", "label": "apple", "image_id": "ida", "part": "part-1.parquet", "row": 1},
        {"path": "b", "label": "apple", "image_id": "idb", "part": "part-1.parquet", "row": 0},
    ]


def test_removed_and_changed_photos_are_not_reached(pixels: Parts, rejects: Parts) -> None:
    decoded(pixels, "part-1.parquet", (key("removed"), "id1"), (key("changed"), "id2"))
    refused(rejects, "part-1.parquet", 1, (key("gone"), "empty"), (key("mended"), "empty"))
    assert ends(images(key("changed", 1), key("mended", 1)), pixels, rejects) == {
        "changed": (None, None, None),
        "mended": (None, None, None),
    }


def test_of_a_changed_photo_the_row_of_its_present_bytes_counts(
    pixels: Parts, rejects: Parts
) -> None:
    for number, image_id in enumerate(("old", "present", "older")):
        decoded(pixels, f"part-{number}.parquet", (key("a", number), image_id))
    (row,) = plan.match_photos(images(key("a", 1)), pixels, rejects).to_pylist()
    assert row["image_id"] == "present"


@pytest.mark.parametrize("part", ["part-0.parquet", "part-2.parquet"])
def test_pixels_come_before_rejects_whatever_their_attempt(
    part: str, pixels: Parts, rejects: Parts
) -> None:
    refused(rejects, "part-1.parquet", 9, (key("a"), "unreadable"))
    decoded(pixels, part, (key("a"), "ida"))
    assert ends(images(key("a")), pixels, rejects) == {"a": ("pixels", None, None)}


@pytest.mark.parametrize("order", [(1, 2, 10), (10, 2, 1), (2, 10, 1)])
def test_of_rejects_the_highest_attempt_counts(
    order: tuple[int, ...], pixels: Parts, rejects: Parts
) -> None:
    for number, attempt in enumerate(order):
        refused(rejects, f"part-{number}.parquet", attempt, (key("a"), f"reason {attempt}"))
    assert ends(images(key("a")), pixels, rejects) == {"a": ("rejects", "reason 10", 10)}


def test_a_photo_decoded_twice_counts_once(pixels: Parts, rejects: Parts) -> None:
    for number in (2, 1):
        decoded(pixels, f"part-{number}.parquet", (key("a"), "ida"), (key("a"), "ida"))
    (row,) = plan.match_photos(images(key("a")), pixels, rejects).to_pylist()
    assert (row["part"], row["row"]) == ("part-1.parquet", 0)


def test_equal_bytes_are_two_photos_and_one_distinct(pixels: Parts, rejects: Parts) -> None:
    decoded(pixels, "part-1.parquet", (key("b"), "same"), (key("a"), "same"), (key("c"), "other"))
    refused(rejects, "part-1.parquet", 1, (key("d"), "truncated"))
    photos = plan.match_photos(images(*map(key, "abcd")), pixels, rejects)
    assert len(photos) == 4
    assert plan.select_distinct(photos)["path"].to_pylist() == ["a", "c"]


def test_features_are_those_of_live_photos(pixels: Parts, rejects: Parts, features: Parts) -> None:
    decoded(pixels, "part-1.parquet", (key("b"), "id2"), (key("a"), "id1"), (key("x"), "gone"))
    for number, ids in enumerate((["gone", "id2"], ["id2", "id1"])):
        features.write(
            f"part-{number}.parquet", pa.table({"image_id": ids, "features": [[1.0]] * 2})
        )
    photos = plan.match_photos(images(key("a"), key("b"), key("c")), pixels, rejects)
    assert plan.match_features(photos, features).to_pylist() == [
        {"image_id": "id1", "part": "part-1.parquet", "row": 1},
        {"image_id": "id2", "part": "part-0.parquet", "row": 1},
    ]


def test_odd_paths_are_told_apart(pixels: Parts, rejects: Parts) -> None:
    paths = ["a\nb", "a b", "é", "e\u0301", "A", "a", "a\0", "🍎"]
    decoded(pixels, "part-1.parquet", *((key(path), f"id {path}") for path in paths))
    rows = plan.match_photos(images(*map(key, paths)), pixels, rejects).to_pylist()
    assert {row["path"]: row["image_id"] for row in rows} == {path: f"id {path}" for path in paths}


# Parquet


@pytest.fixture
def written(tmp_path: Path) -> Folder:
    place = LocalLocation(str(tmp_path / "part-1.parquet"))
    content = random.Random(0).randbytes(20_000)
    rows = [{**key("a"), "image_id": "id", "height": 1, "width": 1, "pixels": content}]
    write_parquet(place, pa.Table.from_pylist(rows, schema=schemas.PIXELS.schema))
    return place


def test_other_readers_read_what_is_written(written: LocalLocation) -> None:
    assert pq.read_table(written.path).schema.equals(schemas.PIXELS.schema)


@pytest.mark.parametrize("reader", [read_parquet, read_metadata])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_breaks_off_is_named(
    share: float, reader: Callable[[LocalLocation], Any], written: Folder
) -> None:
    content = written.read()
    written.write(content[: int(share * len(content))])
    with pytest.raises(OSError, match=f"damaged: {written.path} is no whole Parquet file"):
        reader(written)


def flipped(content: bytes, first: int, last: int, seed: int) -> bytes:
    generator = random.Random(seed)
    damaged = bytearray(content)
    damaged[generator.randrange(first, last)] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def test_a_flipped_bit_of_the_data_is_found_out_and_the_file_named(written: LocalLocation) -> None:
    """Also in the pixels themselves: zstd and Parquet have no checksum unless asked."""
    content, whole = written.read(), read_parquet(written)
    pixels_start = pq.read_metadata(written.path).row_group(0).column(6).data_page_offset + 100
    for seed in range(100):
        written.write(flipped(content, pixels_start, pixels_start + 19_000, seed))
        with pytest.raises(OSError, match=f"damaged: {written.path}"):
            read_parquet(written)
    written.write(content)
    assert read_parquet(written).equals(whole)


def test_a_flipped_bit_anywhere_is_no_other_error(written: LocalLocation) -> None:
    content = written.read()
    for seed in range(300):
        written.write(flipped(content, len(content) - 2000 if seed % 2 else 0, len(content), seed))
        with contextlib.suppress(OSError):
            read_parquet(written)


def test_a_file_that_is_not_there_is_named_and_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"part-9\.parquet"):
        read_parquet(LocalLocation(str(tmp_path / "part-9.parquet")))


def test_an_error_of_the_storage_is_not_called_damage(
    written: LocalLocation,
) -> None:
    class Broken(LocalLocation):
        open = Location.open

        def read(self, *_: object) -> bytes:
            raise ConnectionError(f"no S3 server answers for {self.uri}")

    with pytest.raises(ConnectionError, match="no S3 server"):
        read_parquet(Broken(written.path))
