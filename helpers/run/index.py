"""The index of a table in parts: its key columns, so that no reader opens every part.

An index consists of segments in ``_index``. A segment holds the key columns of some parts. Tasks
write a segment for the parts that they wrote, and a stage merges small segments into large ones.
Segments may be deleted at any time: a reader opens the parts that no segment covers. A segment
covers a part of the same name and length: a part that was deleted and written again may differ.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from helpers.run.parts import Parts, is_part
from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, read_schema_metadata, write_parquet

FOLDER = "_index"
#: a position is ``part << ROW_BITS | row``
ROW_BITS = 16

_COVERS = b"covers"  # key of the schema metadata: names and lengths of the parts, number of rows
_POSITION = pa.field("position", pa.int64())
_PARTS_AT_ONCE = 64
_MAX_SMALL = 16  # segments
_FULL_ROWS = 1_000_000


@dataclass(frozen=True)
class Segment:
    """A segment of an index.

    Attributes
    ----------
    location
        Its file.
    names
        Names of the parts that it covers, empty where a part is gone or another one now; positions
        in it count them.
    rows
        Number of its rows.
    """

    location: Location
    names: Sequence[str]
    rows: int


def list_parts(parts: Parts) -> tuple[list[str], list[Segment]]:
    """List the names of the parts, sorted, and the segments of the index, the largest first."""
    lengths = {entry.path: entry.length for entry in parts.location.list_files()}
    places = [parts.location / file for file in lengths if file.startswith(f"{FOLDER}/part-")]
    with ThreadPoolExecutor(parts.location.concurrency) as pool:
        opened = pool.map(lambda place: _open_segment(place, lengths), places)
        segments = [segment for segment in opened if segment is not None]
    return sorted(filter(is_part, lengths)), sorted(segments, key=lambda segment: -segment.rows)


def read_keys(
    parts: Parts, numbers: Mapping[str, int], segments: Sequence[Segment]
) -> Iterator[pa.Table]:
    """Read the key columns of parts, and ``position``.

    Parameters
    ----------
    numbers
        Number of each part to read, by name; positions count with it.
    segments
        Segments that are read in place of the parts that they cover.
    """
    left = dict(numbers)
    for segment in segments:
        if left.keys().isdisjoint(segment.names):
            continue
        try:
            rows = read_parquet(segment.location)
        except FileNotFoundError:  # merged or deleted since it was listed
            continue
        taken = np.array([left.pop(name, -1) for name in segment.names], np.int64)
        yield _renumber(rows, taken)
    names = list(left)
    with ThreadPoolExecutor(parts.location.concurrency) as pool:
        for start in range(0, len(names), _PARTS_AT_ONCE):
            some = names[start : start + _PARTS_AT_ONCE]
            tables = pool.map(lambda name: parts.read(name, list(parts.table.key)), some)
            yield pa.concat_tables(
                _place(rows, left[name]) for name, rows in zip(some, tables, strict=True)
            )


def write_segment(parts: Parts, written: Mapping[str, pa.Table]) -> None:
    """Write a segment for parts.

    Parameters
    ----------
    written
        Rows of each part by name; only their key columns are kept.
    """
    keys = [
        _place(rows.select(list(parts.table.key)), number)
        for number, rows in enumerate(written.values())
    ]
    _write(parts, list(written), keys)


def merge_segments(parts: Parts) -> None:
    """Merge small segments, and parts that no segment covers, where there are many of them."""
    names, segments = list_parts(parts)
    small = [segment for segment in segments if segment.rows < _FULL_ROWS // 2]
    if len(small) <= _MAX_SMALL:
        return
    covered = {name for segment in segments if segment not in small for name in segment.names}
    left = [name for name in names if name not in covered]
    written: set[Location] = set()
    if left:
        written = _write_merged(parts, left, small)
    for segment in small:
        if segment.location not in written:
            segment.location.delete()


def _write_merged(parts: Parts, left: Sequence[str], small: Sequence[Segment]) -> set[Location]:
    """Write segments for the parts in ``left``; return their files."""
    keys = read_keys(parts, {name: number for number, name in enumerate(left)}, small)
    table = pa.concat_tables(keys).sort_by("position")
    written: set[Location] = set()
    number = table["position"].to_numpy() >> ROW_BITS
    for first in range(0, len(left), _FULL_ROWS // 256):
        last = min(first + _FULL_ROWS // 256, len(left))
        begin, end = np.searchsorted(number, (first, last))
        some = table.slice(begin, end - begin)
        shifted = pa.array(some["position"].to_numpy() - (first << ROW_BITS))
        column = some.schema.get_field_index("position")
        written.add(_write(parts, left[first:last], [some.set_column(column, _POSITION, shifted)]))
    return written


def _open_segment(location: Location, lengths: Mapping[str, int]) -> Segment | None:
    try:
        covers = json.loads(read_schema_metadata(location)[_COVERS])
        pairs = list(zip(covers["names"], covers["lengths"], strict=True))
    except FileNotFoundError:  # merged or deleted since it was listed
        return None
    except (KeyError, ValueError):  # of an earlier version: its parts are read instead
        return None
    names = [name if lengths.get(name) == length else "" for name, length in pairs]
    return Segment(location, names, covers["rows"])


def _renumber(rows: pa.Table, taken: NDArray[np.int64]) -> pa.Table:
    """Renumber the parts of a segment as in ``taken``; drop those with a negative number."""
    position = rows["position"].to_numpy()
    number = taken[position >> ROW_BITS]
    column = rows.schema.get_field_index("position")
    renumbered = pa.array(number << ROW_BITS | position & (2**ROW_BITS - 1))
    placed = rows.replace_schema_metadata(None).set_column(column, _POSITION, renumbered)
    return placed if (taken >= 0).all() else placed.filter(pa.array(number >= 0))


def _place(rows: pa.Table, number: int) -> pa.Table:
    position = (number << ROW_BITS) + np.arange(len(rows), dtype=np.int64)
    return rows.replace_schema_metadata(None).append_column(_POSITION, pa.array(position))


def _write(parts: Parts, names: Sequence[str], keys: Sequence[pa.Table]) -> Location:
    table = pa.concat_tables(keys)
    lengths = [(parts.location / name).length() for name in names]
    covers = json.dumps({"names": list(names), "lengths": lengths, "rows": len(table)})
    digest = hashlib.sha256(covers.encode()).hexdigest()[:20]
    location = parts.location / FOLDER / f"part-{digest}.parquet"
    write_parquet(location, table.replace_schema_metadata({_COVERS: covers.encode()}))
    return location
