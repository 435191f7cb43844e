"""The two files of a saved model: its arrays, and what describes them."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from helpers.storage.json_object import read_json, write_json
from helpers.storage.location import Location
from helpers.storage.npz import read_arrays, write_arrays

DESCRIPTION, ARRAYS = "model.json", "model.npz"


def save_model(
    folder: Location, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any]
) -> None:
    """Write a model's arrays, and its description together with their shapes."""
    write_arrays(folder / ARRAYS, arrays)
    write_json(folder / DESCRIPTION, {**description, "arrays": _list_shapes(arrays)})


def load_model(folder: Location) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a model's arrays and its description.

    Raises
    ------
    OSError
        If a file cannot be read or is damaged, or the two do not fit; the message names it.
    """
    arrays, description = read_arrays(folder / ARRAYS), read_json(folder / DESCRIPTION)
    shapes, described = _list_shapes(arrays), description.get("arrays")
    if shapes != described:
        uri = (folder / ARRAYS).uri
        raise OSError(f"damaged: {uri} holds arrays of shapes {shapes}, not {described}")
    return arrays, description


def _list_shapes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in arrays.items()}
