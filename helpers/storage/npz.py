"""NumPy arrays in files, without pickles."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.storage.base import Location


def write_arrays(location: Location, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as one ``.npz`` file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    location.write(content.getbuffer())


def read_arrays(location: Location) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file.

    Raises
    ------
    OSError
        If the file cannot be read or is damaged; the message names it.
    """
    content = io.BytesIO(location.read())
    try:
        with np.load(content, allow_pickle=False) as arrays:
            return dict(arrays.items())
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise OSError(f"damaged: {location.uri} holds no arrays ({error})") from error
