"""Append-only tables: Parquet files that are each written once, whole or not at all."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from helpers.storage.location import Location
from helpers.storage.tables import read_metadata, read_parquet, write_parquet

PREFIX, SUFFIX = "part-", ".parquet"

MOST_ROWS = 256
FEWEST_ROWS = 32
MOST_BYTES = 32 * 1024 * 1024

_PLACE = (pa.field("part", pa.string()), pa.field("row", pa.int32()))


def part_rows(total: int, row_bytes: int) -> int:
    """Rows a part answers for: a hundredth of ``total``, within 32 and 256 and 32 MiB."""
    rows = min(MOST_ROWS, max(FEWEST_ROWS, total // 100))
    return max(1, min(rows, MOST_BYTES // row_bytes))


def part_name(keys: Iterable[str], attempt: int = 1) -> str:
    """Name of the part that answers for the rows of these keys."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:20]
    return f"{PREFIX}{digest}" + (f"-attempt-{attempt}" if attempt > 1 else "") + SUFFIX


@dataclass(frozen=True)
class Parts:
    """A parts table: a store whose rows count only where a reader's lineage reaches them."""

    location: Location
    schema: pa.Schema

    def names(self) -> list[str]:
        """File names of the whole parts, sorted."""
        return sorted(
            entry.path
            for entry in self.location.entries()
            if entry.path.startswith(PREFIX) and entry.path.endswith(SUFFIX)
        )

    def has(self, name: str) -> bool:
        return (self.location / name).is_file()

    def write(self, name: str, table: pa.Table) -> None:
        """Write a part; metadata of the table's schema is kept with it."""
        described = self.schema.with_metadata(table.schema.metadata)
        write_parquet(self.location / name, table.cast(described))

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        return read_parquet(self.location / name, columns)

    def metadata(self, names: list[str]) -> list[dict[bytes, bytes]]:
        """The schema metadata that each part was written with."""
        with ThreadPoolExecutor(self.location.concurrency) as pool:
            found = pool.map(lambda name: read_metadata(self.location / name), names)
            return list(found)

    def index(self, columns: list[str]) -> pa.Table:
        """The named columns of every stored row, with ``part`` (file name) and ``row`` (in it)."""
        names = self.names()
        schema = pa.schema([*(self.schema.field(column) for column in columns), *_PLACE])
        with ThreadPoolExecutor(self.location.concurrency) as pool:
            tables = pool.map(lambda name: self.read(name, columns), names)
            placed = [
                table.append_column(_PLACE[0], pa.repeat(name, len(table))).append_column(
                    _PLACE[1], pa.array(range(len(table)), pa.int32())
                )
                for name, table in zip(names, tables, strict=True)
            ]
        return pa.concat_tables([schema.empty_table(), *placed])
