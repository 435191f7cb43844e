"""NumPy arrays in files, without pickles."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.storage.base import Location

SUFFIX = ".npy"


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
        # np.load skips the checksum of an array whose damaged header makes it shorter.
        with zipfile.ZipFile(content) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        return {
            name.removesuffix(SUFFIX): np.load(io.BytesIO(member), allow_pickle=False)
            for name, member in members.items()
        }
    # RuntimeError: a damaged file seems to be encrypted, or packed by an unknown method.
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise OSError(f"damaged: {location.uri} holds no arrays ({error})") from error
