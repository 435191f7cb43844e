"""The columns of every table, the same everywhere."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.storage.location import Location

TIMESTAMP = pa.timestamp("us", tz="UTC")

KEY = ["path", "length", "modified"]
_KEY = [("path", pa.string()), ("length", pa.int64()), ("modified", TIMESTAMP)]

IMAGES = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("folder_side", pa.string()),
        ("length", pa.int64()),
        ("modified", TIMESTAMP),
    ]
)
MEMBERS = pa.schema(
    [
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("stored", pa.int64()),
        ("method", pa.int64()),
        ("crc", pa.int64()),
    ]
)
PIXELS = pa.schema(
    [
        *_KEY,
        ("image_id", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("pixels", pa.binary()),
    ]
)
REJECTS = pa.schema(
    [
        *_KEY,
        ("image_id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempt", pa.int32()),
        ("content", pa.binary()),
    ]
)
FEATURES = pa.schema([("image_id", pa.string()), ("features", pa.list_(pa.float32()))])
SPLITS = pa.schema(
    [
        ("path", pa.string()),
        ("image_id", pa.string()),
        ("group", pa.string()),
        ("side", pa.string()),
    ]
)

#: columns whose values are as good as unique and big: no dictionary, no statistics
BULKY = ("pixels", "content", "features", "scores")


def write_parquet(location: Location, table: pa.Table) -> None:
    """Write a table as one Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    small = [name for name in table.column_names if name not in BULKY]
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=small,
        write_statistics=small,
        write_page_checksum=True,
    )
    location.write(buffer.getbuffer())


def read_parquet(location: Location, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns.

    Raises
    ------
    OSError
        If the file cannot be read or is no whole Parquet file; the message names it.
    """
    with _opened(location) as file:
        return file.read(columns=columns, use_threads=False)


def read_metadata(location: Location) -> dict[bytes, bytes]:
    """The metadata in a Parquet file's schema.

    Raises
    ------
    OSError
        As :func:`read_parquet`.
    """
    with _opened(location) as file:
        return dict(file.schema_arrow.metadata or {})


@contextmanager
def _opened(location: Location) -> Iterator[pq.ParquetFile]:
    with location.open() as file:
        try:
            yield pq.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and (error.errno or location.uri in str(error)):
                raise  # the storage's own
            raise OSError(f"damaged: {location.uri} is no whole Parquet file ({error})") from error
