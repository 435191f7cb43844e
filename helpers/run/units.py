"""Units of work as rows of small files, which the tasks read themselves.

Neither the JVM nor pickle carries a row per photo: a task receives the name of a file and the
number of a row group.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from helpers.storage.location import Location
from helpers.storage.parquet import read_row_group, write_row_groups

_FILE_ROWS = 16_384


@dataclass(frozen=True)
class Unit:
    """Rows that one task works on together.

    Attributes
    ----------
    file, group
        The Parquet file and the row group that hold them.
    rows
        Their number.
    """

    file: Location
    group: int
    rows: int

    def read(self) -> pa.Table:
        """Read the rows."""
        return read_row_group(self.file, self.group)


def write_units(batches: Iterable[pa.RecordBatch], folder: Location) -> list[Unit]:
    """Write rows as units.

    Parameters
    ----------
    batches
        Rows ordered by their column ``unit``, an integer; rows of one unit follow each other.
    """
    units: list[Unit] = []
    for number, groups in enumerate(_batch_groups(_split(batches))):
        file = folder / f"{number:05d}.parquet"
        write_row_groups(file, groups)
        units += [Unit(file, group, len(rows)) for group, rows in enumerate(groups)]
    return units


def _split(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Split rows into units."""
    held: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        if held is not None:
            rows = pa.concat_tables([held, rows])
        unit = rows["unit"].to_numpy()
        borders = [0, *(np.flatnonzero(np.diff(unit)) + 1)]
        for start, stop in pairwise(borders):
            yield rows.slice(start, stop - start)
        held = rows.slice(borders[-1])
    if held is not None and len(held):
        yield held


def _batch_groups(groups: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    """Batch units into files."""
    batch: list[pa.Table] = []
    for group in groups:
        batch.append(group.combine_chunks())
        if sum(map(len, batch)) >= _FILE_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
