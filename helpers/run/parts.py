"""Append-only tables: Parquet files that are each written once, whole or not at all."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, read_schema_metadata, write_parquet

PREFIX, SUFFIX = "part-", ".parquet"

MAX_ROWS = 256
MIN_ROWS = 32
MAX_BYTES = 32 * 1024 * 1024

_POSITION = (pa.field("part", pa.string()), pa.field("row", pa.int32()))


def choose_part_rows(total: int, row_bytes: int) -> int:
    """Choose how many rows a part holds: 1 % of ``total``, within 32 and 256 rows and 32 MiB."""
    rows = min(MAX_ROWS, max(MIN_ROWS, total // 100))
    return max(1, min(rows, MAX_BYTES // row_bytes))


def name_part(keys: Iterable[str], attempt: int = 1) -> str:
    """Name the part that holds the rows of these keys."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:20]
    return f"{PREFIX}{digest}" + (f"-attempt-{attempt}" if attempt > 1 else "") + SUFFIX


@dataclass(frozen=True)
class Parts:
    """A table in parts. A row counts only where a reader's lineage reaches it (``run.plan``)."""

    location: Location
    schema: pa.Schema

    def list_names(self) -> list[str]:
        """List the file names of the parts, sorted."""
        return sorted(
            entry.path
            for entry in self.location.list_files()
            if entry.path.startswith(PREFIX) and entry.path.endswith(SUFFIX)
        )

    def has(self, name: str) -> bool:
        """Tell whether the part was written."""
        return (self.location / name).is_file()

    def write(self, name: str, rows: pa.Table) -> None:
        """Write a part. Metadata of the table's schema is kept with it."""
        described = self.schema.with_metadata(rows.schema.metadata)
        write_parquet(self.location / name, rows.cast(described))

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a part, or some of its columns."""
        return read_parquet(self.location / name, columns)

    def read_metadata(self, names: list[str]) -> list[dict[bytes, bytes]]:
        """Read the schema metadata that each part was written with."""
        with ThreadPoolExecutor(self.location.concurrency) as pool:
            found = pool.map(lambda name: read_schema_metadata(self.location / name), names)
            return list(found)

    def read_index(self, columns: list[str]) -> pa.Table:
        """Read columns of every stored row, with ``part`` (file name) and ``row`` (in the file)."""
        names = self.list_names()
        schema = pa.schema([*(self.schema.field(column) for column in columns), *_POSITION])
        with ThreadPoolExecutor(self.location.concurrency) as pool:
            parts = pool.map(lambda name: self.read(name, columns), names)
            placed = [
                part.append_column(_POSITION[0], pa.repeat(name, len(part))).append_column(
                    _POSITION[1], pa.array(range(len(part)), pa.int32())
                )
                for name, part in zip(names, parts, strict=True)
            ]
        return pa.concat_tables([schema.empty_table(), *placed])
