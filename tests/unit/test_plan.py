"""Which rows count: those that the catalog reaches, one for each photo."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.run import plan, schemas
from helpers.run.parts import Parts
from helpers.storage.local import LocalLocation

START = datetime(2020, 1, 1, tzinfo=UTC)

Key = dict[str, Any]


@pytest.fixture
def pixels(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "pixels" / "fp")), schemas.PIXELS.schema)


@pytest.fixture
def rejects(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "rejects" / "fp")), schemas.REJECTS.schema)


@pytest.fixture
def features(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "features" / "fp")), schemas.FEATURES.schema)


def make_key(path: str, version: int = 0) -> Key:
    """The key of a photo; another version has another length and another time."""
    return {"path": path, "length": 10 + version, "modified": START + timedelta(seconds=version)}


def make_images(*keys: Key) -> pa.Table:
    rows = [{**key, "label": "apple", "folder_side": None} for key in keys]
    return pa.Table.from_pylist(rows, schema=schemas.IMAGES.schema)


def write_pixels(table: Parts, name: str, *rows: tuple[Key, str]) -> None:
    given = [
        {**key, "image_id": image_id, "height": 1, "width": 1, "pixels": b"rgb"}
        for key, image_id in rows
    ]
    table.write(name, pa.Table.from_pylist(given, schema=schemas.PIXELS.schema))


def write_rejects(table: Parts, name: str, attempt: int, *rows: tuple[Key, str]) -> None:
    given = [{**key, "reason": reason, "detail": "", "attempt": attempt} for key, reason in rows]
    table.write(name, pa.Table.from_pylist(given, schema=schemas.REJECTS.schema))


def match(images: pa.Table, pixels: Parts, rejects: Parts) -> dict[str, tuple[Any, ...]]:
    """What became of each path: table, reason, attempt."""
    return {
        row["path"]: (row["table"], row["reason"], row["attempt"])
        for row in plan.match_photos(images, pixels, rejects).to_pylist()
    }


def test_each_photo_of_the_catalog_has_one_row(pixels: Parts, rejects: Parts) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("a"), "ida"))
    write_rejects(rejects, "part-1.parquet", 1, (make_key("b"), "truncated"))
    images = make_images(make_key("c"), make_key("a"), make_key("b"))
    assert match(images, pixels, rejects) == {
        "a": ("pixels", None, None),
        "b": ("rejects", "truncated", 1),
        "c": (None, None, None),
    }


def test_rows_are_sorted_by_path_and_have_their_position(pixels: Parts, rejects: Parts) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("b"), "idb"), (make_key("a"), "ida"))
    rows = plan.match_photos(make_images(make_key("b"), make_key("a")), pixels, rejects)
    assert rows.select(["path", "label", "image_id", "part", "row"]).to_pylist() == [
        {"path": "a", "label": "apple", "image_id": "ida", "part": "part-1.parquet", "row": 1},
        {"path": "b", "label": "apple", "image_id": "idb", "part": "part-1.parquet", "row": 0},
    ]


def test_rows_of_removed_and_changed_photos_do_not_count(pixels: Parts, rejects: Parts) -> None:
    write_pixels(
        pixels, "part-1.parquet", (make_key("removed"), "id1"), (make_key("changed"), "id2")
    )
    write_rejects(
        rejects, "part-1.parquet", 1, (make_key("gone"), "empty"), (make_key("mended"), "empty")
    )
    images = make_images(make_key("changed", 1), make_key("mended", 1))
    assert match(images, pixels, rejects) == {
        "changed": (None, None, None),
        "mended": (None, None, None),
    }


def test_the_row_of_a_changed_photos_present_bytes_counts(pixels: Parts, rejects: Parts) -> None:
    for number, image_id in enumerate(("old", "present", "older")):
        write_pixels(pixels, f"part-{number}.parquet", (make_key("a", number), image_id))
    (row,) = plan.match_photos(make_images(make_key("a", 1)), pixels, rejects).to_pylist()
    assert row["image_id"] == "present"


@pytest.mark.parametrize("part", ["part-0.parquet", "part-2.parquet"])
def test_pixels_come_before_rejects_of_any_attempt(
    part: str, pixels: Parts, rejects: Parts
) -> None:
    write_rejects(rejects, "part-1.parquet", 9, (make_key("a"), "unreadable"))
    write_pixels(pixels, part, (make_key("a"), "ida"))
    assert match(make_images(make_key("a")), pixels, rejects) == {"a": ("pixels", None, None)}


@pytest.mark.parametrize("order", [(1, 2, 10), (10, 2, 1), (2, 10, 1)])
def test_the_highest_attempt_of_a_reject_counts(
    order: tuple[int, ...], pixels: Parts, rejects: Parts
) -> None:
    for number, attempt in enumerate(order):
        rejected = (make_key("a"), f"reason {attempt}")
        write_rejects(rejects, f"part-{number}.parquet", attempt, rejected)
    found = match(make_images(make_key("a")), pixels, rejects)
    assert found == {"a": ("rejects", "reason 10", 10)}


def test_a_photo_decoded_twice_counts_once(pixels: Parts, rejects: Parts) -> None:
    for number in (2, 1):
        row = (make_key("a"), "ida")
        write_pixels(pixels, f"part-{number}.parquet", row, row)
    (found,) = plan.match_photos(make_images(make_key("a")), pixels, rejects).to_pylist()
    assert (found["part"], found["row"]) == ("part-1.parquet", 0)


def test_photos_not_tried_and_unreadable_ones_are_to_be_decoded(
    pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("a"), "ida"))
    write_rejects(
        rejects, "part-1.parquet", 1, (make_key("b"), "truncated"), (make_key("c"), "unreadable")
    )
    photos = plan.match_photos(make_images(*map(make_key, "abcd")), pixels, rejects)
    left = plan.select_undecoded(photos, retry_rejects=False)
    assert left["path"].to_pylist() == ["c", "d"]
    left = plan.select_undecoded(photos, retry_rejects=True)
    assert left["path"].to_pylist() == ["b", "c", "d"]


def test_equal_bytes_are_two_photos_and_one_distinct_photo(pixels: Parts, rejects: Parts) -> None:
    write_pixels(
        pixels,
        "part-1.parquet",
        (make_key("b"), "same"),
        (make_key("a"), "same"),
        (make_key("c"), "other"),
    )
    write_rejects(rejects, "part-1.parquet", 1, (make_key("d"), "truncated"))
    photos = plan.match_photos(make_images(*map(make_key, "abcd")), pixels, rejects)
    assert len(photos) == 4
    assert plan.select_decoded(photos)["path"].to_pylist() == ["a", "b", "c"]
    assert plan.select_rejected(photos)["path"].to_pylist() == ["d"]
    assert plan.select_distinct(photos)["path"].to_pylist() == ["a", "c"]


def test_features_are_those_of_the_photos_that_count(
    pixels: Parts, rejects: Parts, features: Parts
) -> None:
    write_pixels(
        pixels,
        "part-1.parquet",
        (make_key("b"), "id2"),
        (make_key("a"), "id1"),
        (make_key("x"), "gone"),
    )
    for number, ids in enumerate((["gone", "id2"], ["id2", "id1"])):
        features.write(
            f"part-{number}.parquet", pa.table({"image_id": ids, "features": [[1.0]] * 2})
        )
    photos = plan.match_photos(make_images(*map(make_key, "abc")), pixels, rejects)
    assert plan.match_features(photos, features).to_pylist() == [
        {"image_id": "id1", "part": "part-1.parquet", "row": 1},
        {"image_id": "id2", "part": "part-0.parquet", "row": 1},
    ]


def test_distinct_photos_without_features_are_left(
    pixels: Parts, rejects: Parts, features: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", *((make_key(name), f"id {name}") for name in "ab"))
    features.write("part-1.parquet", pa.table({"image_id": ["id a"], "features": [[1.0]]}))
    photos = plan.match_photos(make_images(*map(make_key, "ab")), pixels, rejects)
    left = plan.select_without_features(plan.select_distinct(photos), features)
    assert left.to_pylist() == [{"image_id": "id b", "part": "part-1.parquet", "row": 1}]


def test_rows_are_grouped_by_part_in_their_order() -> None:
    positions = pa.table({"part": ["p2", "p1", "p2"], "row": [5, 0, 3]})
    assert plan.group_rows_by_part(positions) == {"p2": [5, 3], "p1": [0]}


def test_odd_paths_are_told_apart(pixels: Parts, rejects: Parts) -> None:
    paths = ["a\nb", "a b", "é", "e\u0301", "A", "a", "a\0", "🍎"]
    write_pixels(pixels, "part-1.parquet", *((make_key(path), f"id {path}") for path in paths))
    rows = plan.match_photos(make_images(*map(make_key, paths)), pixels, rejects).to_pylist()
    assert {row["path"]: row["image_id"] for row in rows} == {path: f"id {path}" for path in paths}
