"""The body of a fruit: a closed surface that is shaped, then painted."""

import numpy as np

from drawing.colors import fill, paint
from drawing.patterns import find_nearest, sample_noise, scatter_directions, smoothstep
from drawing.shapes import Cloud
from drawing.vectors import Array, Random, Triple, make_unit_vector, make_vector


class Body:
    """A closed surface about the y axis, which starts as an ellipsoid of one color.

    Patterns are made on the unit sphere it started from, so they follow the skin whatever the shape
    becomes. Every array has the grid's shape (rows, columns), or (rows, columns, 3).

    Attributes
    ----------
    directions
        the grid on the unit sphere, (rows, columns, 3)
    azimuth
        angle around the y axis in radians, 0 towards +z
    axis_distance
        distance from the y axis on the unit sphere, 0 to 1
    upper
        whether a point lies on the upper half
    points, colors
        the surface as it is now and its linear RGB, (rows, columns, 3)
    """

    def __init__(self, radii: Triple, hex_code: str, rng: Random) -> None:
        theta = np.linspace(0.004, np.pi - 0.004, 430)[:, None]
        phi = np.linspace(-np.pi, np.pi, 860, endpoint=False)[None, :]
        x, z = np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)
        grid = np.stack(np.broadcast_arrays(x, np.cos(theta), z), axis=-1)
        self.rng = rng
        self.directions: Array = grid.astype(np.float32)
        self.azimuth = np.broadcast_to(phi, grid.shape[:-1]).astype(np.float32)
        self.axis_distance = np.hypot(self.directions[..., 0], self.directions[..., 2])
        self.upper = self.directions[..., 1] > 0
        self.points: Array = self.directions * make_vector(*radii)
        self.colors = fill(grid, hex_code)

    # Shape

    @property
    def top(self) -> Array:
        """The point where the axis leaves the surface, at the stem; (3,)."""
        top: Array = self.points[0].mean(axis=0)
        return top

    def add_lumps(self, amount: float) -> None:
        """Make the surface slightly uneven, so that no two sides look alike."""
        self.points = self.points * (1 + amount * self.sample_noise(1.1, octaves=2))[..., None]

    def taper(self, heights: list[float], factors: list[float]) -> None:
        """Multiply the widths by a factor per height, smooth between the heights given."""
        window = np.hanning(43) / np.hanning(43).sum()
        fine = np.linspace(heights[0], heights[-1], 400)
        knots = np.pad(np.interp(fine, heights, factors), len(window) // 2, mode="edge")
        smooth = np.convolve(knots, window, "valid")
        self._widen(np.interp(self.points[..., 1], fine, smooth).astype(np.float32))

    def cut_furrow(self, depth: float, width: float) -> None:
        """Cut a furrow from stem to bottom on the side of +z; its width is in radians."""
        profile = np.exp(-np.sqrt(self.azimuth**2 + 0.0004) / width)
        self._widen(1 - depth * profile * smoothstep(0.0, 0.4, self.axis_distance))

    def add_ribs(self, count: int, depth: float) -> None:
        """Add soft ribs about the lower end, and ribs half as deep about the upper end."""
        strength = np.where(self.upper, 0.5, 1.0) * np.abs(self.directions[..., 1])
        wave = depth * strength * np.cos(count * self.azimuth)
        self.points = self.points * (1 + wave.astype(np.float32))[..., None]

    def dent(self, depth: float, width: float, upper: bool = True) -> None:
        """Press one end in along the axis; a negative depth draws it out."""
        profile = np.exp(-(self.points[..., 0] ** 2 + self.points[..., 2] ** 2) / width**2)
        sign = -1 if upper else 1
        self.points = self.points.copy()
        self.points[..., 1] += sign * depth * np.where(self.upper == upper, profile, 0)

    def _widen(self, factor: Array) -> None:
        self.points = self.points * np.stack([factor, np.ones_like(factor), factor], axis=-1)

    # Patterns, one value per point

    def sample_noise(self, frequency: float | Triple, octaves: int = 3) -> Array:
        """Sample fractal noise over the skin, from about -1 to 1."""
        return sample_noise(self.directions, frequency, self.rng, octaves)

    def compute_cosine(self, x: float, y: float, z: float) -> Array:
        """Return the cosine of the angle to a direction: 1 on that side, -1 on the other."""
        cosine: Array = self.directions @ make_unit_vector(x, y, z)
        return cosine

    def mask_stem(self, outer: float, inner: float) -> Array:
        """Return 1 within ``inner`` of the axis, falling to 0 at ``outer``, on the upper half."""
        mask: Array = smoothstep(outer, inner, self.axis_distance) * self.upper
        return mask

    def mask_bottom(self, outer: float, inner: float) -> Array:
        """Return 1 within ``inner`` of the axis, falling to 0 at ``outer``, on the lower half."""
        mask: Array = smoothstep(outer, inner, self.axis_distance) * ~self.upper
        return mask

    def mask_specks(self, count: int, smallest: float, largest: float) -> Array:
        """Return 1 on specks of a random radius, given in radians, and 0 between them."""
        centers = scatter_directions(count, 0.05, self.rng)
        angle, nearest = find_nearest(self.directions, centers)
        radius = self.rng.uniform(smallest, largest, count).astype(np.float32)
        return smoothstep(1.4, 0.5, angle / radius[nearest])

    # Result

    def paint(self, hex_code: str, opacity: Array | float) -> None:
        """Lay a color over the skin; opacity is clipped to 0 to 1."""
        spread = np.broadcast_to(opacity, self.axis_distance.shape)
        self.colors = paint(self.colors, hex_code, spread)

    def make_cloud(
        self,
        gloss: Array | float,
        displacement: Array | float = 0.0,
        translucency: float = 0.0,
    ) -> Cloud:
        """Return the skin as a cloud; displacement raises its points along their normals."""
        return Cloud.from_grid(self.points, self.colors, gloss, displacement, translucency)
