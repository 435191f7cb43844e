"""Which rows count: those that the catalog reaches, one for each photo."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.run import plan, schemas
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.storage.local import LocalLocation

START = datetime(2020, 1, 1, tzinfo=UTC)

Key = dict[str, Any]


@pytest.fixture
def planner() -> Iterator[Planner]:
    with Planner() as planner:
        yield planner


@pytest.fixture
def pixels(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "pixels" / "fp")), schemas.PIXELS)


@pytest.fixture
def rejects(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "rejects" / "fp")), schemas.REJECTS)


@pytest.fixture
def features(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "features" / "fp")), schemas.FEATURES)


def make_id(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def make_key(path: str, version: int = 0) -> Key:
    """The key of a photo; another version has another length and another time."""
    return {"path": path, "length": 10 + version, "modified": START + timedelta(seconds=version)}


def make_images(*keys: Key) -> pa.Table:
    """A catalog, sorted by path as 01 writes it."""
    rows = [{**key, "label": "apple", "folder_side": None} for key in keys]
    return pa.Table.from_pylist(rows, schema=schemas.IMAGES.schema).sort_by("path")


def write_pixels(table: Parts, name: str, *rows: tuple[Key, str]) -> None:
    """Write a part of ``pixels``: keys, and what the photos contain."""
    stored = {"kind": "PNG RGB 1 x 1", "height": 1, "width": 1, "pixels": b"rgb"}
    given = [{**key, "image_id": make_id(content), **stored} for key, content in rows]
    table.write(name, pa.Table.from_pylist(given, schema=schemas.PIXELS.schema))


def write_rejects(table: Parts, name: str, attempt: int, *rows: tuple[Key, str]) -> None:
    given = [{**key, "reason": reason, "detail": "", "attempt": attempt} for key, reason in rows]
    table.write(name, pa.Table.from_pylist(given, schema=schemas.REJECTS.schema))


def write_features(table: Parts, name: str, *contents: str) -> None:
    ids = [make_id(content) for content in contents]
    table.write(name, pa.table({"image_id": ids, "features": [[1.0]] * len(ids)}))


def match(planner: Planner, images: pa.Table, pixels: Parts, rejects: Parts) -> None:
    plan.load_catalog(planner, [images])
    plan.match_photos(planner, pixels, rejects)


def read_paths(planner: Planner, table: str) -> list[str]:
    """Read the paths of the photos of a table, sorted."""
    select = f"SELECT i.path FROM {table} AS t JOIN images AS i ON i.photo = t.photo ORDER BY 1"
    paths: list[str] = planner.read(select)["path"].to_pylist()
    return paths


def read_decoded(planner: Planner) -> dict[str, tuple[str, str, int]]:
    """Read image_id, part and row of the decoded photos, by path."""
    rows = planner.read(
        "SELECT i.path, lower(hex(d.image_id)) AS image_id, d.position "
        "FROM decoded AS d JOIN images AS i ON i.photo = d.photo"
    ).to_pylist()
    found = {
        row["path"]: (row["image_id"], *planner.find_row("pixels", row["position"])) for row in rows
    }
    assert len(found) == len(rows)
    return found


def read_rejected(planner: Planner) -> dict[str, tuple[str, int, str, int]]:
    """Read reason, attempt, part and row of the rejected photos, by path."""
    rows = planner.read(
        "SELECT i.path, r.reason, r.attempt, r.position "
        "FROM rejected AS r JOIN images AS i ON i.photo = r.photo"
    ).to_pylist()
    found = {
        row["path"]: (
            row["reason"],
            row["attempt"],
            *planner.find_row("rejects", row["position"]),
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


# The catalog


def test_photos_are_numbered_in_the_order_of_the_catalog(planner: Planner) -> None:
    pieces = [make_images(make_key("a"), make_key("b")), make_images(make_key("c"))]
    plan.load_catalog(planner, pieces)
    rows = planner.read("SELECT * FROM images ORDER BY photo").to_pylist()
    assert [(row["photo"], row["path"]) for row in rows] == [(0, "a"), (1, "b"), (2, "c")]
    assert rows[0]["modified"] == int(START.timestamp()) * 1_000_000


def test_a_catalog_without_an_archive_has_no_members(planner: Planner) -> None:
    plan.load_catalog(planner, [make_images(make_key("a"))])
    assert planner.count("members") == 0


# What became of the photos


def test_each_photo_of_the_catalog_counts_once(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("a"), "one"))
    write_rejects(rejects, "part-1.parquet", 1, (make_key("b"), "truncated"))
    match(planner, make_images(*map(make_key, "cab")), pixels, rejects)
    assert read_decoded(planner) == {"a": (make_id("one"), "part-1.parquet", 0)}
    assert read_rejected(planner) == {"b": ("truncated", 1, "part-1.parquet", 0)}
    assert plan.count_untried(planner) == 1


def test_photos_have_the_part_and_the_row_of_their_pixels(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-2.parquet", (make_key("d"), "four"), (make_key("c"), "three"))
    write_pixels(pixels, "part-1.parquet", (make_key("b"), "two"), (make_key("a"), "one"))
    match(planner, make_images(*map(make_key, "abcd")), pixels, rejects)
    assert read_decoded(planner) == {
        "a": (make_id("one"), "part-1.parquet", 1),
        "b": (make_id("two"), "part-1.parquet", 0),
        "c": (make_id("three"), "part-2.parquet", 1),
        "d": (make_id("four"), "part-2.parquet", 0),
    }


def test_nothing_was_tried_before_the_first_run(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    match(planner, make_images(*map(make_key, "ab")), pixels, rejects)
    assert (read_decoded(planner), read_rejected(planner)) == ({}, {})
    assert plan.count_untried(planner) == 2


def test_rows_of_removed_and_changed_photos_do_not_count(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(
        pixels, "part-1.parquet", (make_key("removed"), "one"), (make_key("changed"), "two")
    )
    write_rejects(
        rejects, "part-1.parquet", 1, (make_key("gone"), "empty"), (make_key("mended"), "empty")
    )
    match(planner, make_images(make_key("changed", 1), make_key("mended", 1)), pixels, rejects)
    assert (read_decoded(planner), read_rejected(planner)) == ({}, {})
    assert plan.count_untried(planner) == 2
    plan.find_distinct(planner)
    assert planner.count("distinct_photos") == 0


@pytest.mark.parametrize(
    "change", [{"length": 11}, {"modified": START + timedelta(microseconds=1)}]
)
def test_another_length_or_time_makes_another_photo(
    change: Key, planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("a"), "one"))
    write_rejects(rejects, "part-1.parquet", 1, (make_key("b"), "empty"))
    changed = [{**make_key(path), **change} for path in "ab"]
    match(planner, make_images(*changed), pixels, rejects)
    assert plan.count_untried(planner) == 2


def test_the_row_of_a_changed_photos_present_bytes_counts(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    for number, content in enumerate(("old", "present", "older")):
        write_pixels(pixels, f"part-{number}.parquet", (make_key("a", number), content))
    match(planner, make_images(make_key("a", 1)), pixels, rejects)
    assert read_decoded(planner) == {"a": (make_id("present"), "part-1.parquet", 0)}


@pytest.mark.parametrize("part", ["part-0.parquet", "part-2.parquet"])
def test_pixels_come_before_rejects_of_any_attempt(
    part: str, planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_rejects(rejects, "part-1.parquet", 9, (make_key("a"), "unreadable"))
    write_pixels(pixels, part, (make_key("a"), "one"))
    match(planner, make_images(make_key("a")), pixels, rejects)
    assert read_decoded(planner) == {"a": (make_id("one"), part, 0)}
    assert read_rejected(planner) == {}
    assert plan.find_undecoded(planner, retry_rejects=True) == 0


@pytest.mark.parametrize("order", [(1, 2, 10), (10, 2, 1), (2, 10, 1)])
def test_the_highest_attempt_of_a_reject_counts(
    order: tuple[int, ...], planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    for number, attempt in enumerate(order):
        rejected = (make_key("a"), f"reason {attempt}")
        write_rejects(rejects, f"part-{number}.parquet", attempt, rejected)
    match(planner, make_images(make_key("a")), pixels, rejects)
    part = f"part-{order.index(10)}.parquet"
    assert read_rejected(planner) == {"a": ("reason 10", 10, part, 0)}


def test_the_last_attempt_alone_decides_whether_a_reject_is_tried_again(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    for attempt, (of_a, of_b) in enumerate(
        [("unreadable", "truncated"), ("truncated", "unreadable")], start=1
    ):
        rows = ((make_key("a"), of_a), (make_key("b"), of_b))
        write_rejects(rejects, f"part-{attempt}.parquet", attempt, *rows)
    match(planner, make_images(*map(make_key, "ab")), pixels, rejects)
    assert plan.find_undecoded(planner, retry_rejects=False) == 1
    assert read_paths(planner, "undecoded") == ["b"]


def test_a_photo_decoded_twice_counts_once(planner: Planner, pixels: Parts, rejects: Parts) -> None:
    for number in (2, 1):
        row = (make_key("a"), "one")
        write_pixels(pixels, f"part-{number}.parquet", row, row)
    match(planner, make_images(make_key("a")), pixels, rejects)
    assert read_decoded(planner) == {"a": (make_id("one"), "part-1.parquet", 0)}


def test_a_photo_rejected_twice_in_one_attempt_counts_once(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    for number in (2, 1):
        row = (make_key("a"), "empty")
        write_rejects(rejects, f"part-{number}.parquet", 3, row, row)
    match(planner, make_images(make_key("a")), pixels, rejects)
    assert read_rejected(planner) == {"a": ("empty", 3, "part-1.parquet", 0)}


def test_parts_that_were_written_since_are_matched_as_well(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    """02 matches twice: before its tasks and after them."""
    write_pixels(pixels, "part-5.parquet", (make_key("a"), "one"))
    write_rejects(rejects, "part-5.parquet", 1, (make_key("b"), "unreadable"))
    match(planner, make_images(*map(make_key, "abc")), pixels, rejects)
    write_pixels(pixels, "part-1.parquet", (make_key("b"), "two"))
    write_rejects(rejects, "part-1.parquet", 1, (make_key("c"), "empty"))
    plan.match_photos(planner, pixels, rejects)
    assert read_decoded(planner) == {
        "a": (make_id("one"), "part-5.parquet", 0),
        "b": (make_id("two"), "part-1.parquet", 0),
    }
    assert read_rejected(planner) == {"c": ("empty", 1, "part-1.parquet", 0)}
    assert plan.count_untried(planner) == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_odd_paths_are_told_apart(
    reverse: bool, planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    paths = ["a\nb", "a b", "é", "e\u0301", "A", "a", "a\0", "🍎", "'", '"', "%", "_", "\\"]
    rows = [(make_key(path), path) for path in sorted(paths, reverse=reverse)]
    write_pixels(pixels, "part-1.parquet", *rows)
    match(planner, make_images(*map(make_key, paths)), pixels, rejects)
    found = {path: image_id for path, (image_id, _, _) in read_decoded(planner).items()}
    assert found == {path: make_id(path) for path in paths}


# What is left to decode


def test_photos_not_tried_and_unreadable_ones_are_to_be_decoded(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", (make_key("a"), "one"))
    write_rejects(
        rejects, "part-1.parquet", 1, (make_key("b"), "truncated"), (make_key("c"), "unreadable")
    )
    match(planner, make_images(*map(make_key, "abcd")), pixels, rejects)
    assert plan.find_undecoded(planner, retry_rejects=False) == 2
    assert read_paths(planner, "undecoded") == ["c", "d"]
    assert plan.find_undecoded(planner, retry_rejects=True) == 3
    assert read_paths(planner, "undecoded") == ["b", "c", "d"]


def test_the_next_attempt_follows_the_last_one(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_rejects(rejects, "part-1.parquet", 1, (make_key("b"), "unreadable"))
    for attempt in (1, 2, 3):
        name = f"part-a{attempt}.parquet"
        write_rejects(rejects, name, attempt, (make_key("c"), "unreadable"))
    match(planner, make_images(*map(make_key, "abc")), pixels, rejects)
    plan.find_undecoded(planner, retry_rejects=False)
    rows = planner.read("SELECT photo, attempt FROM undecoded ORDER BY photo")
    assert rows.to_pydict() == {"photo": [0, 1, 2], "attempt": [1, 2, 4]}


def read_units(planner: Planner, rows: int) -> list[tuple[int, list[str]]]:
    """Read attempt and paths of the units of photos to decode."""
    units: dict[int, tuple[int, list[str]]] = {}
    for row in planner.read(plan.DECODING_UNITS.format(rows=rows)).to_pylist():
        attempt, paths = units.setdefault(row["unit"], (row["attempt"], []))
        assert attempt == row["attempt"]
        paths.append(row["path"])
    return list(units.values())


def test_units_to_decode_hold_photos_of_one_attempt_in_the_order_of_paths(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_rejects(
        rejects, "part-1.parquet", 1, *((make_key(path), "unreadable") for path in "bdfh")
    )
    match(planner, make_images(*map(make_key, "hgfedcba")), pixels, rejects)
    plan.find_undecoded(planner, retry_rejects=False)
    assert read_units(planner, rows=3) == [
        (1, ["a", "c", "e"]),
        (1, ["g"]),
        (2, ["b", "d", "f"]),
        (2, ["h"]),
    ]


def test_units_of_many_attempts_differ(planner: Planner, pixels: Parts, rejects: Parts) -> None:
    attempts = (1, 2, 3, 10, 1000)
    keys = [make_key(f"{number}.jpg") for number in range(len(attempts))]
    for key, attempt in zip(keys, attempts, strict=True):
        write_rejects(rejects, f"part-{attempt}.parquet", attempt, (key, "unreadable"))
    match(planner, make_images(*keys), pixels, rejects)
    plan.find_undecoded(planner, retry_rejects=False)
    expected = [(attempt + 1, [key["path"]]) for key, attempt in zip(keys, attempts, strict=True)]
    assert read_units(planner, rows=3) == expected


def test_units_to_decode_say_where_a_photo_lies_in_its_archive(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    keys = [make_key(f"z.zip!/{name}") for name in "ab"]
    places = [
        {"path": key["path"], "start": start, "stored": 8, "method": 0, "crc": 2**32 - 1}
        for start, key in enumerate(keys, start=2**40)
    ]
    members = pa.Table.from_pylist(places, schema=schemas.MEMBERS.schema)
    plan.load_catalog(planner, [make_images(*keys)], [members])
    plan.match_photos(planner, pixels, rejects)
    plan.find_undecoded(planner, retry_rejects=False)
    rows = planner.read(plan.DECODING_UNITS.format(rows=32))
    assert rows.select(members.column_names).to_pylist() == places
    assert rows["length"].to_pylist() == [10, 10]
    assert rows["modified"].to_pylist() == [int(START.timestamp()) * 1_000_000] * 2


def test_units_to_decode_outside_an_archive_have_no_packing(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    match(planner, make_images(make_key("a")), pixels, rejects)
    plan.find_undecoded(planner, retry_rejects=False)
    (row,) = planner.read(plan.DECODING_UNITS.format(rows=32)).to_pylist()
    assert [row[name] for name in ("start", "stored", "method", "crc")] == [None] * 4


# Distinct photos and their features


def test_equal_bytes_are_several_photos_and_one_distinct_photo(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    """The first path of equal bytes stands for them, wherever its row lies."""
    write_pixels(pixels, "part-1.parquet", (make_key("b"), "same"), (make_key("c"), "other"))
    write_pixels(pixels, "part-2.parquet", (make_key("e"), "same"), (make_key("a"), "same"))
    write_rejects(rejects, "part-1.parquet", 1, (make_key("d"), "truncated"))
    match(planner, make_images(*map(make_key, "abcde")), pixels, rejects)
    plan.find_distinct(planner)
    assert read_paths(planner, "decoded") == ["a", "b", "c", "e"]
    assert read_paths(planner, "rejected") == ["d"]
    assert read_paths(planner, "distinct_photos") == ["a", "c"]
    rows = planner.read("SELECT position FROM distinct_photos ORDER BY photo")["position"]
    assert [planner.find_row("pixels", position) for position in rows.to_pylist()] == [
        ("part-2.parquet", 1),
        ("part-1.parquet", 1),
    ]


def test_another_path_stands_for_equal_bytes_when_the_first_is_gone(
    planner: Planner, pixels: Parts, rejects: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", *((make_key(path), "same") for path in "abc"))
    match(planner, make_images(make_key("a", 1), make_key("b"), make_key("c")), pixels, rejects)
    plan.find_distinct(planner)
    assert read_paths(planner, "distinct_photos") == ["b"]


def find_features(planner: Planner, pixels: Parts, rejects: Parts, features: Parts) -> None:
    match(planner, make_images(*map(make_key, "abc")), pixels, rejects)
    plan.find_distinct(planner)
    plan.match_features(planner, features)


def test_features_are_those_of_the_photos_that_count(
    planner: Planner, pixels: Parts, rejects: Parts, features: Parts
) -> None:
    rows = ((make_key("b"), "two"), (make_key("a"), "one"), (make_key("x"), "gone"))
    write_pixels(pixels, "part-1.parquet", *rows)
    for number, contents in enumerate((("gone", "two"), ("two", "one"))):
        write_features(features, f"part-{number}.parquet", *contents)
    find_features(planner, pixels, rejects, features)
    found = planner.read(
        "SELECT lower(hex(image_id)) AS image_id, photo, position FROM featurized ORDER BY photo"
    ).to_pylist()
    assert [
        (row["image_id"], row["photo"], planner.find_row("features", row["position"]))
        for row in found
    ] == [
        (make_id("one"), 0, ("part-1.parquet", 1)),
        (make_id("two"), 1, ("part-0.parquet", 1)),
    ]
    assert planner.count("unfeaturized") == 0


def test_distinct_photos_without_features_are_left(
    planner: Planner, pixels: Parts, rejects: Parts, features: Parts
) -> None:
    rows = ((make_key("a"), "one"), (make_key("b"), "two"), (make_key("c"), "two"))
    write_pixels(pixels, "part-1.parquet", *rows)
    write_features(features, "part-1.parquet", "one")
    find_features(planner, pixels, rejects, features)
    assert planner.read(plan.FEATURIZING_UNITS).to_pylist() == [
        {"unit": 0, "part": "part-1.parquet", "row": 1, "image_id": make_id("two")}
    ]


def test_features_that_were_written_since_are_matched_as_well(
    planner: Planner, pixels: Parts, rejects: Parts, features: Parts
) -> None:
    write_pixels(pixels, "part-1.parquet", *((make_key(path), path) for path in "abc"))
    write_features(features, "part-5.parquet", "b")
    find_features(planner, pixels, rejects, features)
    assert read_paths(planner, "featurized") == ["b"]
    write_features(features, "part-1.parquet", "a", "c")
    plan.match_features(planner, features)
    assert read_paths(planner, "featurized") == ["a", "b", "c"]
    assert planner.count("unfeaturized") == 0


def test_units_to_featurize_lie_in_one_part_each(
    planner: Planner, pixels: Parts, rejects: Parts, features: Parts
) -> None:
    for number, paths in enumerate(("fa", "be", "cd")):
        rows = [(make_key(path), path) for path in paths]
        write_pixels(pixels, f"part-{number}.parquet", *rows)
    write_features(features, "part-1.parquet", "b", "e", "f")
    match(planner, make_images(*map(make_key, "abcdef")), pixels, rejects)
    plan.find_distinct(planner)
    plan.match_features(planner, features)
    rows = planner.read(plan.FEATURIZING_UNITS).to_pylist()
    assert [(row["unit"], row["part"], row["row"]) for row in rows] == [
        (0, "part-0.parquet", 1),
        (2, "part-2.parquet", 0),
        (2, "part-2.parquet", 1),
    ]
    assert [row["image_id"] for row in rows] == [make_id(path) for path in "acd"]


def test_rows_are_grouped_by_part(planner: Planner, pixels: Parts) -> None:
    for number in range(3):
        rows = [(make_key(f"{number}{row}"), "") for row in range(3)]
        write_pixels(pixels, f"part-{number}.parquet", *rows)
    planner.load_parts("pixels", pixels)
    wanted = planner.read(
        "SELECT position FROM pixels WHERE path IN ('00', '02', '21') ORDER BY position"
    )
    found = planner.group_by_part("pixels", wanted["position"])
    assert [(part, rows.tolist()) for part, rows in found] == [
        ("part-0.parquet", [0, 2]),
        ("part-2.parquet", [1]),
    ]
