"""SQL over the keys of a run, in an engine that uses all cores and spills to disk.

DuckDB runs within the driver's process. A table here has a row per photo, and no value of it
becomes a Python object unless a caller asks for a few rows.
"""

import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from helpers.run.index import ROW_BITS, list_parts, read_keys
from helpers.run.parts import Parts
from helpers.storage.digest import digest_rows

MEMORY = "2GB"
_BATCH_ROWS = 16_384
_ROW_MASK = 2**ROW_BITS - 1


class Planner:
    """An empty database on disk, removed at the end of the block."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fruit-features-")
        self._database = duckdb.connect(
            f"{self._folder.name}/plan.duckdb",
            config={
                "memory_limit": MEMORY,
                "temp_directory": f"{self._folder.name}/spill",
                "preserve_insertion_order": False,
            },
        )
        self._names: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def load(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        """Create a table, or append to it.

        Parameters
        ----------
        schema
            Its columns; further columns of the tables are dropped. ``image_id`` becomes 32 bytes,
            and a time becomes µs since 1970.
        """
        schema = pa.schema(map(_as_stored, schema))
        columns = ", ".join(
            "unhex(image_id) AS image_id" if name == "image_id" else f'"{name}"'
            for name in schema.names
        )
        self._database.register("_empty", schema.empty_table())
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT {columns} FROM _empty")
        for table in tables:
            self._database.register("_rows", table.select(schema.names).cast(schema))
            self._database.execute(f"INSERT INTO {name} SELECT {columns} FROM _rows")
            self._database.unregister("_rows")
        self._database.unregister("_empty")

    def load_parts(self, name: str, parts: Parts) -> None:
        """Load the key columns of a table in parts, or of the parts that are new in it.

        Besides its key columns the table has ``position``: ``number << 16 | row``. The table
        ``{name}_parts`` has the ``number`` of each ``part`` (file name).
        """
        listed, segments = list_parts(parts)
        names = self._names.setdefault(name, [])
        known = set(names)
        new = [part for part in listed if part not in known]
        numbers = {part: number for number, part in enumerate(new, start=len(names))}
        names += new
        self.load(
            f"{name}_parts",
            pa.schema([("number", pa.int64()), ("part", pa.string())]),
            [pa.table({"number": list(numbers.values()), "part": new})] if new else [],
        )
        schema = pa.schema(
            [*(parts.table.schema.field(key) for key in parts.table.key), ("position", pa.int64())]
        )
        self.load(name, schema, read_keys(parts, numbers, segments))

    def find_row(self, name: str, position: int) -> tuple[str, int]:
        """Return the part and the row in it of a position in a table in parts."""
        return self._names[name][position >> ROW_BITS], position & _ROW_MASK

    def group_by_part(
        self, name: str, positions: pa.ChunkedArray
    ) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield the parts of positions of a table, which are sorted, and the rows in each."""
        values = positions.to_numpy()
        numbers, starts = np.unique(values >> ROW_BITS, return_index=True)
        for number, rows in zip(numbers, np.split(values & _ROW_MASK, starts[1:]), strict=True):
            yield self._names[name][number], rows

    def count(self, name: str) -> int:
        """Count the rows of a table."""
        return int(self.read_value(f"SELECT count(*) FROM {name}"))

    def define(self, name: str, select: str, **values: Any) -> None:
        """Keep what a statement selects as a table; ``$name`` in it stands for a value."""
        self._database.execute(f"CREATE OR REPLACE TABLE {name} AS {select}", values or None)

    def iterate(self, select: str, **values: Any) -> Iterator[pa.RecordBatch]:
        """Select rows, in record batches."""
        yield from self._database.execute(select, values or None).to_arrow_reader(_BATCH_ROWS)

    def digest(self, select: str) -> str:
        """Compute a SHA-256 of ordered rows: see :func:`helpers.storage.digest.digest_rows`."""
        return digest_rows(self.iterate(select))

    def read(self, select: str, **values: Any) -> pa.Table:
        """Select a few rows."""
        return self._database.execute(select, values or None).to_arrow_table()

    def read_value(self, select: str, **values: Any) -> Any:
        """Select a single value."""
        row = self._database.execute(select, values or None).fetchone()
        assert row is not None
        return row[0]


def _as_stored(field: pa.Field) -> pa.Field:
    return field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field
