"""Tables as Parquet files, written whole or not at all."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.storage.base import Location


def write_parquet(location: Location, table: pa.Table) -> None:
    """Write a table as one Parquet file.

    Columns of bytes or lists (pixels, features) get no dictionary and no statistics: their values
    are long and hardly ever repeat.
    """
    buffer = io.BytesIO()
    short = [field.name for field in table.schema if not _is_long(field.type)]
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=short,
        write_statistics=short,
        write_page_checksum=True,
    )
    location.write(buffer.getbuffer())


def read_parquet(location: Location, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns.

    Raises
    ------
    OSError
        If the file cannot be read or is damaged; the message names it.
    """
    with _open_parquet(location) as file:
        return file.read(columns=columns, use_threads=False)


def count_rows(location: Location) -> int:
    """Count the rows of a Parquet file, from its footer.

    Raises
    ------
    OSError
        As :func:`read_parquet`.
    """
    with _open_parquet(location) as file:
        return int(file.metadata.num_rows)


def read_schema_metadata(location: Location) -> dict[bytes, bytes]:
    """Read the metadata in a Parquet file's schema.

    Raises
    ------
    OSError
        As :func:`read_parquet`.
    """
    with _open_parquet(location) as file:
        return dict(file.schema_arrow.metadata or {})


def _is_long(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_list(kind))


@contextmanager
def _open_parquet(location: Location) -> Iterator[pq.ParquetFile]:
    with location.open() as file:
        try:
            yield pq.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and (error.errno or location.uri in str(error)):
                raise  # the storage's own error
            raise OSError(f"damaged: {location.uri} is no whole Parquet file ({error})") from error


def write_row_groups(location: Location, groups: Sequence[pa.Table]) -> None:
    """Write tables of one schema as one Parquet file, each as a row group."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer, groups[0].schema, compression="zstd", write_statistics=False
    ) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
    location.write(buffer.getbuffer())


def read_row_group(location: Location, number: int) -> pa.Table:
    """Read one row group of a Parquet file.

    Raises
    ------
    OSError
        As :func:`read_parquet`.
    """
    with _open_parquet(location) as file:
        return file.read_row_group(number, use_threads=False)
