"""Units of work: rows that tasks read from small files."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from helpers.run.units import Unit, write_units
from helpers.storage.location import Location, locate

FILE_ROWS = 16_384


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return locate(str(tmp_path / "units"))


def make_rows(sizes: list[int]) -> pa.RecordBatch:
    """Rows of units of these sizes; the numbers of the units have gaps."""
    unit = np.repeat(np.arange(len(sizes)) * 1_000_000_007, sizes)
    names = [f"é {number}" if number % 3 else None for number in range(len(unit))]
    return pa.record_batch({"unit": unit, "name": names, "number": np.arange(len(unit))})


def cut(rows: pa.RecordBatch, sizes: list[int]) -> list[pa.RecordBatch]:
    """Cut rows into batches of these sizes, over and over again."""
    batches: list[pa.RecordBatch] = []
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(rows):
            return batches
        batches.append(rows.slice(start, size))
        start += size
    raise AssertionError


def require_whole(units: list[Unit], rows: pa.RecordBatch, sizes: list[int]) -> None:
    """Each unit has its rows in their order, and no others."""
    read = [unit.read() for unit in units]
    assert pa.concat_tables(read).equals(pa.Table.from_batches([rows]))
    assert [unit.rows for unit in units] == [len(table) for table in read] == sizes
    assert all(len(table["unit"].unique()) == 1 for table in read)


@pytest.mark.parametrize("batches", [[1], [2], [3, 1, 0, 7], [5], [100]])
def test_a_unit_has_its_rows_wherever_batches_end(batches: list[int], folder: Location) -> None:
    sizes = [5, 1, 3, 5, 10, 1, 1, 2]
    rows = make_rows(sizes)
    require_whole(write_units(cut(rows, batches), folder), rows, sizes)


def test_no_rows_make_no_unit_and_no_file(folder: Location) -> None:
    assert write_units([], folder) == []
    assert write_units([make_rows([])], folder) == []
    assert list(folder.list_files()) == []


def test_units_of_one_row_share_a_file(folder: Location) -> None:
    units = write_units([make_rows([1] * 50)], folder)
    assert len({unit.file for unit in units}) == 1
    assert [unit.group for unit in units] == list(range(50))


@pytest.mark.parametrize("batch", [1_000, FILE_ROWS, 50_000])
def test_many_units_lie_in_several_files_and_none_in_two(batch: int, folder: Location) -> None:
    """A file is closed once it has enough rows, so it may hold one unit more."""
    sizes = [int(size) for size in np.random.default_rng(0).integers(1, 5_000, 40)]
    rows = make_rows(sizes)
    units = write_units(cut(rows, [batch]), folder)
    require_whole(units, rows, sizes)
    files = [list(group) for _, group in itertools.groupby(units, key=lambda unit: unit.file.uri)]
    assert [unit.group for group in files for unit in group] == [
        number for group in files for number in range(len(group))
    ]
    assert len(files) == len(list(folder.list_files())) > 3
    for group in files[:-1]:
        assert FILE_ROWS <= sum(unit.rows for unit in group) < FILE_ROWS + 5_000


def test_a_unit_larger_than_a_file_stays_whole(folder: Location) -> None:
    sizes = [2, 3 * FILE_ROWS, 2]
    rows = make_rows(sizes)
    require_whole(write_units(cut(rows, [FILE_ROWS]), folder), rows, sizes)
