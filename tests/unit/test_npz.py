"""Arrays in files: any dtype and shape, damaged files, and no pickles."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.storage.local import LocalLocation
from helpers.storage.npz import read_arrays, write_arrays


@pytest.fixture
def location(tmp_path: Path) -> LocalLocation:
    return LocalLocation(str(tmp_path / "model" / "model.npz"))


@pytest.mark.parametrize(
    "array",
    [
        np.array(7),
        np.zeros((0, 3), np.float32),
        np.array([[1.5, np.nan], [-0.0, np.inf]]),
        np.arange(24, dtype=np.int32).reshape(2, 3, 4)[:, ::2],
        np.array(["Apple", "é 🍎"]),
        np.array([True, False]),
    ],
)
def test_arrays_are_read_as_they_were_written(array: NDArray[Any], location: LocalLocation) -> None:
    write_arrays(location, {"first": array, "second": np.ones(2)})
    arrays = read_arrays(location)
    assert list(arrays) == ["first", "second"]
    assert arrays["first"].dtype == array.dtype
    np.testing.assert_array_equal(arrays["first"], array, strict=True)


def test_numpy_reads_what_is_written(location: LocalLocation) -> None:
    write_arrays(location, {"mean": np.arange(3.0)})
    with np.load(location.path) as arrays:
        assert arrays["mean"].tolist() == [0.0, 1.0, 2.0]


def test_a_write_replaces_all_arrays(location: LocalLocation) -> None:
    write_arrays(location, {"old": np.ones(1000)})
    write_arrays(location, {"new": np.ones(1)})
    assert list(read_arrays(location)) == ["new"]


def test_a_file_that_does_not_exist_is_named_and_not_called_damaged(
    location: LocalLocation,
) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.npz"):
        read_arrays(location)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_breaks_off_is_named(share: float, location: LocalLocation) -> None:
    write_arrays(location, {"mean": np.arange(1000.0)})
    content = location.read()
    location.write(content[: int(share * len(content))])
    with pytest.raises(OSError, match=f"damaged: {location.path} holds no arrays"):
        read_arrays(location)


@pytest.mark.parametrize("content", [b"no arrays at all", b"\x93NUMPY", bytes(100)])
def test_a_file_of_another_kind_is_named(content: bytes, location: LocalLocation) -> None:
    location.write(content)
    with pytest.raises(OSError, match=f"damaged: {location.path} holds no arrays"):
        read_arrays(location)


def test_a_single_array_is_no_file_of_arrays(location: LocalLocation) -> None:
    content = io.BytesIO()
    np.save(content, np.ones(3))
    location.write(content.getvalue())
    with pytest.raises(OSError, match=f"damaged: {location.path} holds no arrays"):
        read_arrays(location)


def test_an_array_of_a_damaged_file_is_whole_or_an_error(location: LocalLocation) -> None:
    """Wherever the damage is: in an array, in its header, or in what the file says of it."""
    whole = {"mean": np.arange(20.0), "count": np.array(3), "labels": np.array(["a", "b"])}
    write_arrays(location, whole)
    content = location.read()
    noticed = 0
    for position in range(len(content)):
        for change in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= change
            location.write(bytes(damaged))
            try:
                arrays = read_arrays(location)
            except OSError as error:
                noticed += location.path in str(error)
                continue
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, whole[name], strict=True)
    assert noticed > len(content)


def test_a_header_that_leaves_values_out_is_found_out(location: LocalLocation) -> None:
    write_arrays(location, {"mean": np.arange(9000.0)})
    content = location.read()
    assert content.count(b"(9000,)") == 1
    location.write(content.replace(b"(9000,)", b"(1000,)"))
    with pytest.raises(OSError, match=f"damaged: {location.path}"):
        read_arrays(location)


class Intruder:
    """An object whose pickle runs code when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was read",))


def test_pickled_objects_are_refused(location: LocalLocation) -> None:
    content = io.BytesIO()
    np.savez(content, evil=np.array([Intruder()], dtype=object))
    location.write(content.getvalue())
    with pytest.raises(OSError, match=f"damaged: {location.path} holds no arrays"):
        read_arrays(location)
