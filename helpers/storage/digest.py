"""A digest of a table's content, whatever the pieces that it comes in."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def digest_rows(batches: Iterable[pa.RecordBatch]) -> str:
    """Compute a SHA-256 over the columns of record batches: text, bytes and integers.

    >>> rows = pa.RecordBatch.from_pydict({"a": ["x", None, "yz"], "b": [1, 2, 3]})
    >>> digest_rows([rows]) == digest_rows([rows.slice(0, 1), rows.slice(1)])
    True
    """
    hashes: dict[str, list[hashlib._Hash]] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            lengths, content = hashes.setdefault(name, [hashlib.sha256(), hashlib.sha256()])
            if pa.types.is_integer(column.type):
                content.update(column.to_numpy().astype("<i8").tobytes())
            else:
                values = column.cast(pa.large_binary())
                measured = pc.fill_null(pc.binary_length(values), -1)
                lengths.update(measured.to_numpy().astype("<i8").tobytes())
                content.update(_join(values.fill_null(b"")))  # a null may hide bytes
    whole = hashlib.sha256()
    for name, pair in hashes.items():
        whole.update(b"\0".join([name.encode(), *(part.digest() for part in pair)]))
    return whole.hexdigest()


def _join(values: pa.LargeBinaryArray) -> memoryview:
    """Return the bytes of all values, one after the other."""
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]] if len(ends) else memoryview(b"")
