"""Shapes: clouds of points on a surface, and the tubes, stems and leaves that become one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drawing.colors import fill, paint
from drawing.patterns import sample_noise, smoothstep
from drawing.vectors import Array, Random, Triple, make_vector


@dataclass(frozen=True)
class Cloud:
    """n points on the surface of a fruit, and what the light needs to know of each."""

    points: Array  # (n, 3)
    normals: Array  # (n, 3), unit vectors that point outwards
    colors: Array  # (n, 3), linear RGB
    gloss: Array  # (n,), from 0 (matte) to 1 (polished)
    translucency: Array  # (n,), share of the light that shines through

    @staticmethod
    def from_grid(
        grid: Array,
        colors: Array,
        gloss: Array | float,
        displacement: Array | float = 0.0,
        translucency: float = 0.0,
        closed: bool = True,
    ) -> Cloud:
        """Turn a grid of points into a cloud.

        Parameters
        ----------
        grid, colors
            (rows, columns, 3)
        gloss, displacement
            (rows, columns), or one number for all; displacement raises the points along their
            normals
        translucency
            for all points
        closed
            whether the last column meets the first
        """
        shape = grid.shape[:-1]
        heights = np.broadcast_to(displacement, shape)[..., None]
        raised = grid + compute_normals(grid, closed) * heights
        return Cloud(
            raised.reshape(-1, 3).astype(np.float32),
            compute_normals(raised, closed).reshape(-1, 3),
            colors.reshape(-1, 3).astype(np.float32),
            np.broadcast_to(gloss, shape).reshape(-1).astype(np.float32),
            np.full(grid.size // 3, translucency, np.float32),
        )

    @staticmethod
    def join(clouds: list[Cloud]) -> Cloud:
        """Return one cloud with the points of all clouds."""
        return Cloud(
            np.concatenate([cloud.points for cloud in clouds]),
            np.concatenate([cloud.normals for cloud in clouds]),
            np.concatenate([cloud.colors for cloud in clouds]),
            np.concatenate([cloud.gloss for cloud in clouds]),
            np.concatenate([cloud.translucency for cloud in clouds]),
        )

    def transform(self, rotation: Array, shift: Array) -> Cloud:
        """Return the cloud rotated by a matrix (3, 3), then shifted by a vector (3,)."""
        points = self.points @ rotation.T + shift
        normals = self.normals @ rotation.T
        return Cloud(points, normals, self.colors, self.gloss, self.translucency)


def compute_normals(grid: Array, closed: bool) -> Array:
    """Return the unit normals of a grid (rows, columns, 3), as the cross product of its tangents.

    ``closed`` says whether the last column meets the first.
    """
    down = np.gradient(grid, axis=0)
    if closed:
        along = np.roll(grid, -1, axis=1) - np.roll(grid, 1, axis=1)
    else:
        along = np.gradient(grid, axis=1)
    normal = np.cross(down, along)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    result: Array = (normal / np.maximum(length, 1e-12)).astype(np.float32)
    return result


def make_tube(path: Array, radius: Array, columns: int, edges: int = 0) -> Array:
    """Return the grid of a tube around a path, (n, columns, 3).

    Parameters
    ----------
    path
        (n, 3), of about one z
    radius
        (n,), at each point of the path
    edges
        0 for a round section, otherwise the section is a rounded polygon with so many edges
    """
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    out = np.array([0.0, 0.0, 1.0])
    across = np.cross(tangent, out)
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :, None]
    section = 1 + (0.055 * np.cos(edges * phi) if edges else 0)
    ring = np.sin(phi) * across[:, None] + np.cos(phi) * out
    grid: Array = (path[:, None] + radius[:, None, None] * section * ring).astype(np.float32)
    return grid


def make_stem(
    base: Array, reach: Triple, thickness: float, rng: Random, hex_code: str = "#5b3d20"
) -> Cloud:
    """Make a woody stem, bent and thicker at its end.

    It starts a little below ``base`` (3,), inside the fruit, and ends at ``base`` plus ``reach``.
    """
    s = np.linspace(0, 1, 130)[:, None]
    root = base - make_vector(0, 0.05, 0)
    along = base + make_vector(*reach) - root
    bend = make_vector(0.18, 0, 0) * np.linalg.norm(along)
    path = root + along * s + bend * (s * s - s)
    profile = np.interp(s[:, 0], [0, 0.15, 0.8, 0.97, 1], [1.2, 0.8, 0.85, 1.15, 0.02])
    grid = make_tube(path, thickness * profile, 70)
    grain = sample_noise(grid, (30, 5, 30), rng)
    colors = paint(fill(grid, hex_code), "#2a190b", 0.5 + 0.6 * grain)
    colors = paint(colors, "#9a8456", np.broadcast_to(smoothstep(0.92, 0.98, s), grain.shape))
    return Cloud.from_grid(grid, colors, 0.12, displacement=grain * thickness * 0.12)


def make_leaf(length: float, width: float, lift: float, droop: float, rng: Random) -> Cloud:
    """Make a pointed leaf, its upper and its lower side, from the origin along z.

    ``lift`` is the slope at its base, ``droop`` how far its tip bends down, both per unit of
    length.
    """
    s = np.linspace(0, 1, 110)[:, None]
    t = np.linspace(-1, 1, 55)[None, :]
    half = width / 2 * np.sin(np.pi * np.clip(s, 0.03, 0.995) ** 0.75) ** 0.9
    y = length * (lift * s - droop * s * s) + 0.35 * half * t * t
    stacked = np.stack(np.broadcast_arrays(half * t, y, length * s), axis=-1)
    grid: Array = stacked.astype(np.float32)
    grid[..., 1] += 0.02 * length * sample_noise(grid, 5 / length, rng, octaves=2)
    vein = np.exp(-((t / 0.08) ** 2)) * (1 - s)
    colors = fill(grid, "#4f8a2a")
    colors = paint(colors, "#16320c", 0.35 + 0.4 * sample_noise(grid, 9 / length, rng))
    colors = paint(colors, "#b7cf78", 0.6 * vein)
    colors = paint(colors, "#8a7a3a", np.broadcast_to(0.7 * smoothstep(0.9, 1.0, s), vein.shape))
    upper = Cloud.from_grid(grid[:, ::-1], colors[:, ::-1], 0.25, translucency=0.2, closed=False)
    pale = paint(colors, "#8fae62", np.full(vein.shape, 0.4, np.float32))
    lower = Cloud.from_grid(grid, pale, 0.1, translucency=0.2, closed=False)
    return Cloud.join([upper, lower])
