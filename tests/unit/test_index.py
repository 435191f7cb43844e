"""The index of a table in parts: a reader finds the same rows with it and without it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.run import index, schemas
from helpers.run.index import list_parts, merge_segments, read_keys, write_segment
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, read_schema_metadata, write_parquet

START = datetime(2020, 1, 1, tzinfo=UTC)

Rows = dict[tuple[str, int], tuple[Any, ...]]


@pytest.fixture
def table(tmp_path: Path) -> Parts:
    return Parts(LocalLocation(str(tmp_path / "rejects" / "fp")), schemas.REJECTS)


def write_part(table: Parts, number: int, rows: int = 3) -> dict[str, pa.Table]:
    """Write a part whose keys differ from those of all others; return it by its name."""
    name = f"part-{number:04d}.parquet"
    given = [
        {
            "path": f"{number}/é {row}.jpg",
            "length": 2**33 + row,
            "modified": START + timedelta(microseconds=number),
            "image_id": f"{number * 1000 + row:064x}" if row % 2 else None,
            "reason": f"reason {row}",
            "attempt": number + 1,
            "content": b"x" * row,
        }
        for row in range(rows)
    ]
    part = pa.Table.from_pylist(given, schema=table.table.schema)
    table.write(name, part)
    return {name: part}


def write_parts(table: Parts, *segments: Sequence[int]) -> None:
    """Write parts, and a segment for each group of them."""
    for numbers in segments:
        written: dict[str, pa.Table] = {}
        for number in numbers:
            written |= write_part(table, number)
        write_segment(table, written)


def list_segments(table: Parts) -> list[Location]:
    folder = table.location / index.FOLDER
    return [folder / entry.path for entry in folder.list_files()]


def read_parts(table: Parts) -> Rows:
    """Read the keys of every part without the index, by part and row."""
    return {
        (name, number): tuple(row.values())
        for name in table.list_names()
        for number, row in enumerate(table.read(name, list(table.table.key)).to_pylist())
    }


def read_planned(planner: Planner) -> Rows:
    """Read the keys that a planner has loaded, by part and row."""
    rows = planner.read(
        "SELECT * REPLACE (lower(hex(image_id)) AS image_id, "
        "make_timestamptz(modified) AS modified) FROM t"
    ).to_pylist()
    found = {planner.find_row("t", row.pop("position")): tuple(row.values()) for row in rows}
    assert len(found) == len(rows)
    return found


def load(table: Parts) -> Rows:
    with Planner() as planner:
        planner.load_parts("t", table)
        return read_planned(planner)


# Reading


def test_an_empty_table_has_no_rows(table: Parts) -> None:
    assert load(table) == {}


def test_rows_are_found_without_an_index(table: Parts) -> None:
    for number in range(70):  # more than are read at once
        write_part(table, number)
    assert len(read_parts(table)) == 210
    assert load(table) == read_parts(table)


@pytest.mark.parametrize("metadata", [{}, {"covers": '{"names": [], "rows": 1}'}])
def test_a_segment_that_says_not_what_it_covers_covers_nothing(
    table: Parts, metadata: dict[str, str]
) -> None:
    write_parts(table, [1, 2])
    [segment] = list_segments(table)
    keys = read_parquet(segment).replace_schema_metadata(metadata)
    write_parquet(segment, keys)
    assert load(table) == read_parts(table)


def test_rows_are_found_with_an_index(table: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part is opened that a segment covers."""
    write_parts(table, [3, 0], [2, 1, 4])
    expected = read_parts(table)
    with monkeypatch.context() as patch:
        patch.delattr(Parts, "read")
        assert load(table) == expected


def test_rows_are_found_where_the_index_covers_some_parts(table: Parts) -> None:
    write_part(table, 2)
    write_parts(table, [3, 0], [4])
    write_part(table, 1)
    assert load(table) == read_parts(table)


def test_rows_are_found_after_segments_were_deleted(table: Parts) -> None:
    write_parts(table, [3, 0], [1], [4, 2])
    while segments := list_segments(table):
        segments[0].delete()
        assert load(table) == read_parts(table)


def test_rows_are_found_while_segments_are_deleted(table: Parts) -> None:
    """A stage merges segments while another one reads them."""
    write_parts(table, [0], [1, 2])
    names, segments = list_parts(table)
    for segment in segments:
        segment.location.delete()
    numbers = {name: number for number, name in enumerate(names)}
    keys = pa.concat_tables(read_keys(table, numbers, segments)).sort_by("position")
    expected = [row[0] for _, row in sorted(read_parts(table).items())]
    assert keys["path"].to_pylist() == expected


def test_rows_of_a_deleted_part_are_not_found(table: Parts) -> None:
    write_parts(table, [0, 1, 2], [3])
    for number in (1, 3):
        (table.location / f"part-{number:04d}.parquet").delete()
    found = load(table)
    assert found == read_parts(table)
    assert {part for part, _ in found} == {"part-0000.parquet", "part-0002.parquet"}


def test_a_part_that_two_segments_cover_counts_once(table: Parts) -> None:
    first, second, third = (write_part(table, number) for number in range(3))
    write_segment(table, first | second)
    write_segment(table, third | second)
    assert len(list_segments(table)) == 2
    assert load(table) == read_parts(table)


def test_parts_without_rows_are_covered(table: Parts) -> None:
    write_segment(table, write_part(table, 0, rows=0) | write_part(table, 1, rows=2))
    write_segment(table, write_part(table, 2, rows=0))
    write_part(table, 3, rows=0)
    assert load(table) == read_parts(table)


def test_a_segment_holds_the_key_columns_alone(table: Parts) -> None:
    write_parts(table, [0, 1])
    (segment,) = list_parts(table)[1]
    (keys,) = read_keys(table, {name: n for n, name in enumerate(segment.names)}, [segment])
    assert keys.column_names == [*schemas.REJECTS.key, "position"]
    assert (segment.rows, list(segment.names)) == (6, ["part-0000.parquet", "part-0001.parquet"])


def test_a_segment_that_vanishes_after_it_was_listed_is_not_missed(
    table: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(table, [0], [1, 2])

    def vanish(location: Location) -> dict[bytes, bytes]:
        location.delete()
        return read_schema_metadata(location)

    monkeypatch.setattr("helpers.run.index.read_schema_metadata", vanish)
    assert load(table) == read_parts(table)
    assert list_segments(table) == []


# Loading again


def test_numbers_continue_when_parts_are_loaded_again(table: Parts) -> None:
    """A position that was read before stays the row that it was."""
    write_parts(table, [5, 7])
    write_part(table, 6)
    with Planner() as planner:
        planner.load_parts("t", table)
        before = read_planned(planner)
        positions = planner.read("SELECT position, path FROM t").to_pylist()
        write_parts(table, [1, 9])
        write_part(table, 8)
        planner.load_parts("t", table)
        found = read_planned(planner)
        assert found == read_parts(table)
        assert found.items() > before.items()
        for row in positions:
            select = "SELECT path FROM t WHERE position = $position"
            assert planner.read_value(select, position=row["position"]) == row["path"]
        numbers = planner.read("SELECT number, part FROM t_parts ORDER BY number").to_pylist()
    assert [row["number"] for row in numbers] == list(range(6))
    assert [row["part"] for row in numbers] == [
        f"part-{number:04d}.parquet" for number in (5, 6, 7, 1, 8, 9)
    ]


def test_nothing_is_loaded_twice_after_segments_were_merged(table: Parts) -> None:
    write_parts(table, *([number] for number in range(20)))
    with Planner() as planner:
        planner.load_parts("t", table)
        planner.load_parts("t", table)
        assert read_planned(planner) == read_parts(table)
        write_parts(table, [20])
        merge_segments(table)
        assert len(list_segments(table)) == 1
        planner.load_parts("t", table)
        assert read_planned(planner) == read_parts(table)


# Merging


def test_few_segments_are_left_as_they_are(table: Parts) -> None:
    write_parts(table, *([number] for number in range(16)))
    before = list_segments(table)
    merge_segments(table)
    assert list_segments(table) == before


def test_segments_of_parts_that_are_gone_are_deleted(table: Parts) -> None:
    write_parts(table, *([number] for number in range(20)))
    for name in table.list_names():
        (table.location / name).delete()
    merge_segments(table)
    assert list_segments(table) == []


def test_many_small_segments_are_merged_with_the_same_rows(table: Parts) -> None:
    """Parts that no segment covered are in the index after that, and deleted parts are not."""
    write_parts(table, *([number, 100 + number] for number in range(20)))
    write_part(table, 50)
    (table.location / "part-0103.parquet").delete()
    expected = read_parts(table)
    merge_segments(table)
    (segment,) = list_parts(table)[1]
    assert sorted(segment.names) == table.list_names()
    assert segment.rows == len(expected) == 120
    assert load(table) == expected
    merge_segments(table)
    assert [segment.location] == list_segments(table)


def test_merged_segments_are_bounded_and_full_ones_are_left(
    table: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_FULL_ROWS", 1024)  # 4 parts of 256 rows
    full: dict[str, pa.Table] = {}
    for number in range(100, 103):
        full |= write_part(table, number, rows=200)
    write_segment(table, full)
    (kept,) = list_segments(table)
    for number in range(18):
        write_segment(table, write_part(table, number, rows=number))
    merge_segments(table)
    segments = list_parts(table)[1]
    assert kept in [segment.location for segment in segments]
    assert sorted(len(segment.names) for segment in segments) == [2, 3, 4, 4, 4, 4]
    assert sorted(name for segment in segments for name in segment.names) == table.list_names()
    with monkeypatch.context() as patch:
        expected = read_parts(table)
        patch.delattr(Parts, "read")
        assert load(table) == expected


def test_a_part_that_was_written_again_with_other_rows_is_read_itself(table: Parts) -> None:
    write_parts(table, [1, 2, 3])
    write_part(table, 2, rows=1)  # under the same name, as after a part was deleted by hand
    found = load(table)
    assert found == read_parts(table)
    assert len(found) == 7
