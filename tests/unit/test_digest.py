"""The digest of rows: it depends on what the rows are, and not on the batches they come in."""

import hashlib
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.storage.digest import digest_rows

TEXTS = st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=20)


def digest(*columns: pa.Array, names: str = "ab") -> str:
    return digest_rows([pa.record_batch(list(columns), names=list(names)[: len(columns)])])


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_the_ends_of_batches_do_not_matter(texts: list[str | None], data: st.DataObject) -> None:
    rows = pa.record_batch(
        {
            "text": pa.array(texts, pa.string()),
            "bytes": pa.array([text and text.encode() for text in texts], pa.binary()),
            "number": pa.array(range(-3, len(texts) - 3), pa.int64()),
        }
    )
    ends = data.draw(st.lists(st.integers(0, len(texts)), max_size=5).map(sorted))
    cuts = [0, *ends, len(texts)]
    batches = [rows.slice(start, end - start) for start, end in pairwise(cuts)]
    assert digest_rows(batches) == digest_rows([rows])


def distinguish(values: list[list[Any]], kind: pa.DataType) -> None:
    """Require that columns of these values have digests that all differ."""
    digests = {digest(pa.array(each, kind)) for each in values}
    assert len(digests) == len(values)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_nulls_empty_texts_and_ends_of_texts_matter(kind: pa.DataType) -> None:
    values: list[list[str | None]] = [
        [None],
        [""],
        [None, None],
        ["", None],
        [None, ""],
        ["", ""],
        ["ab", ""],
        ["a", "b"],
        ["", "ab"],
        ["ba", ""],
        ["ab", None],
        ["ab"],
        ["a\0b"],
        ["a", "\0", "b"],
    ]
    distinguish(values, kind)


def test_bytes_and_their_ends_matter() -> None:
    distinguish([[b""], [None], [b"\0"], [b"\0\0"], [b"\0", b"\0"], [b"\xff"]], pa.binary())


def test_each_number_matters() -> None:
    numbers = [[0], [1], [-1], [2**63 - 1], [-(2**63)], [0, 0], [0, 1], [1, 0]]
    distinguish(numbers, pa.int64())


def test_the_order_of_rows_and_of_columns_matters() -> None:
    one, other = pa.array(["x", "y"]), pa.array(["y", "x"])
    digests = {
        digest(one, other),
        digest(other, one),
        digest(one, other, names="ba"),
        digest(other, one, names="ba"),
        digest(one),
        digest(one, names="b"),
    }
    assert len(digests) == 6


def test_the_width_of_the_type_does_not_matter() -> None:
    assert digest(pa.array([1, -2], pa.int32())) == digest(pa.array([1, -2], pa.int64()))
    assert digest(pa.array(["é"], pa.string())) == digest(pa.array(["é"], pa.large_string()))


def test_bytes_below_a_null_do_not_matter() -> None:
    """Arrow allows any bytes there."""
    whole = pa.array(["a", "hidden", "b"])
    _, offsets, data = whole.buffers()
    validity = pa.array([True, False, True]).buffers()[1]
    hiding = pa.StringArray.from_buffers(3, offsets, data, validity, 1)
    assert hiding.to_pylist() == ["a", None, "b"]
    assert digest(hiding) == digest(pa.array(["a", None, "b"]))


def test_a_null_number_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        digest(pa.array([1, None], pa.int64()))


def test_a_sorted_and_sliced_table_has_the_digest_of_its_rows() -> None:
    texts = pa.array(["d", "b", None, "a", "c"])
    taken = texts.take(pc.sort_indices(texts)).slice(1, 3)
    assert digest(taken) == digest(pa.array(["b", "c", "d"]))


def test_the_digest_never_changes() -> None:
    """Another digest would give the snapshots of every run another name."""
    rows = pa.record_batch({"path": ["a", None, "bc"], "length": [1, 2, 3]})
    lengths = b"".join(n.to_bytes(8, "little", signed=True) for n in (1, -1, 2))
    numbers = b"".join(n.to_bytes(8, "little", signed=True) for n in (1, 2, 3))
    parts = [(b"path", lengths, b"abc"), (b"length", b"", numbers)]
    expected = hashlib.sha256()
    for name, *contents in parts:
        digests = (hashlib.sha256(content).digest() for content in contents)
        expected.update(b"\0".join([name, *digests]))
    assert digest_rows([rows]) == expected.hexdigest()
