"""Types of arrays, vectors of three numbers, and rotations."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Random = np.random.Generator
Triple = tuple[float, float, float]


def make_vector(x: float, y: float, z: float) -> Array:
    """Return three numbers as a vector, (3,)."""
    return np.array([x, y, z], np.float32)


def make_unit_vector(x: float, y: float, z: float) -> Array:
    """Return the vector of length 1 in the direction of x, y, z, which are not all 0; (3,)."""
    return make_vector(x, y, z) / np.float32(np.sqrt(x * x + y * y + z * z))


def make_rotation(axis: Literal["x", "y", "z"], degrees: float) -> Array:
    """Return the matrix of a right-handed rotation about an axis, (3, 3)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], np.float32)
