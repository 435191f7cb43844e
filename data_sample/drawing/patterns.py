"""Patterns: smooth steps, noise, directions spread over a sphere, and blur."""

import numpy as np

from drawing.vectors import Array, Indices, Random, Triple


def smoothstep(start: float, end: float, value: Array) -> Array:
    """Rise from 0 at start to 1 at end along 3t² - 2t³, constant outside; shaped as value.

    Where start is larger than end, it falls from 1 to 0 as value grows.
    """
    t = np.clip((value - start) / (end - start), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def sample_noise(points: Array, frequency: float | Triple, rng: Random, octaves: int = 3) -> Array:
    """Sample fractal value noise, from about -1 to 1, at points (..., 3); returns (...).

    Each octave has twice the frequency of the one before, and 0.6 times its amplitude. One
    frequency per axis stretches the noise: (6, 1, 6) gives streaks along y.
    """
    total = np.zeros(points.shape[:-1], np.float32)
    for octave in range(octaves):
        lattice = rng.uniform(-1, 1, (32, 32, 32)).astype(np.float32)
        position = points * (np.asarray(frequency, np.float32) * 2**octave)
        position += rng.uniform(0, 32, 3).astype(np.float32)
        total += interpolate(lattice, position) * 0.6**octave
    return total


def interpolate(lattice: Array, position: Array) -> Array:
    """Interpolate trilinearly, with smooth steps, in a lattice that repeats in every direction.

    ``lattice`` is (n, n, n); ``position`` is (..., 3), in steps of the lattice. Returns (...).
    """
    side = len(lattice)
    stride = side + 1
    wrapped: Array = np.pad(lattice, (0, 1), mode="wrap").ravel()
    low = np.floor(position)
    t = position - low
    t *= t * (3 - 2 * t)
    cell = low.astype(np.int32) % side
    corner = (cell[..., 0] * stride + cell[..., 1]) * stride + cell[..., 2]

    def interpolate_axis(axis: int, offset: int) -> Array:
        """Interpolate along the axes up to this one, from the corner at the offset."""
        if axis < 0:
            corners: Array = wrapped[corner + offset]
            return corners
        first = interpolate_axis(axis - 1, offset)
        second = interpolate_axis(axis - 1, offset + stride ** (2 - axis))
        between: Array = first + t[..., axis] * (second - first)
        return between

    return interpolate_axis(2, 0)


def scatter_directions(count: int, jitter: float, rng: Random) -> Array:
    """Spread unit vectors evenly over the sphere, then move each at random; (count, 3).

    They are the points of a Fibonacci lattice. ``jitter`` is the standard deviation of the move
    per axis.
    """
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.sin(angle), height, ring * np.cos(angle)], axis=-1)
    directions += rng.normal(0, jitter, directions.shape)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    result: Array = directions.astype(np.float32)
    return result


def find_nearest(directions: Array, centers: Array) -> tuple[Array, Indices]:
    """Find the center that is nearest to each direction of a grid.

    ``directions`` is (rows, columns, 3), ``centers`` is (n, 3), all unit vectors. Returns the angle
    to the nearest center in radians and its index, both (rows, columns).
    """
    angle = np.empty(directions.shape[:-1], np.float32)
    index = np.empty(directions.shape[:-1], np.intp)
    for row, line in enumerate(directions):
        cosine = line @ centers.T
        index[row] = cosine.argmax(axis=-1)
        angle[row] = np.arccos(np.clip(cosine.max(axis=-1), -1, 1))
    return angle, index


def blur(image: Array, radius: int) -> Array:
    """Blur an image (height, width) with three box filters; its edge pixels are repeated outwards.

    A box is 2 * radius + 1 pixels wide. Three of them come close to a Gaussian.
    """
    width = 2 * radius + 1
    for _ in range(2 * 3):  # columns and rows in turn
        padded = np.pad(image, ((radius + 1, radius), (0, 0)), mode="edge")
        sums = np.cumsum(padded, axis=0, dtype=np.float64)
        image = ((sums[width:] - sums[:-width]) / width).astype(np.float32).T
    return image
