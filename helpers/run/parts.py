"""Append-only tables: Parquet files that are each written once, whole or not at all."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from helpers.run.schemas import Table
from helpers.storage.location import Location
from helpers.storage.parquet import read_parquet, write_parquet

PREFIX, SUFFIX = "part-", ".parquet"

MAX_ROWS = 256
MIN_ROWS = 32
MAX_BYTES = 32 * 1024 * 1024


def choose_part_rows(total: int, row_bytes: int) -> int:
    """Choose how many rows a part holds: 1 % of ``total``, within 32 and 256 rows and 32 MiB."""
    rows = min(MAX_ROWS, max(MIN_ROWS, total // 100))
    return max(1, min(rows, MAX_BYTES // row_bytes))


def name_part(keys: Iterable[str], attempt: int = 1) -> str:
    """Name the part that holds the rows of these keys."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:20]
    return f"{PREFIX}{digest}" + (f"-attempt-{attempt}" if attempt > 1 else "") + SUFFIX


def is_part(file: str) -> bool:
    """Tell whether a file of a table is a part, by its path below the table."""
    return file.startswith(PREFIX) and file.endswith(SUFFIX)


@dataclass(frozen=True)
class Parts:
    """A table in parts. A row counts only where a reader's lineage reaches it (``run.plan``)."""

    location: Location
    table: Table

    def list_names(self) -> list[str]:
        """List the file names of the parts, sorted."""
        return sorted(filter(is_part, (entry.path for entry in self.location.list_files())))

    def has(self, name: str) -> bool:
        """Tell whether the part was written."""
        return (self.location / name).is_file()

    def write(self, name: str, rows: pa.Table) -> None:
        """Write a part."""
        write_parquet(self.location / name, rows.cast(self.table.schema))

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a part, or some of its columns."""
        return read_parquet(self.location / name, columns)
