"""Draw the sample photos: fruit on white, turning frame by frame, in the layout of Fruits-360.

    python data_sample/draw.py [--to FOLDER]

Each fruit is a cloud of surface points with a normal, a colour and a gloss at every point. A frame
turns the cloud, keeps the nearest point of every pixel, lights it, adds the shadow on the ground,
and averages 3x3 pixels into one. Colours and textures belong to the points, so spots, blush and
stem travel with the fruit as it turns.

Ten files are odd on purpose, see ``ODD`` and ``DUPLICATES``. Only Training/ and Test/ of the folder
are removed and drawn anew, and only if they hold nothing but this script's files. Every run writes
the same bytes; they depend on the version of Pillow (its JPEG encoder), and a few may differ with
another NumPy or processor.

Axes: x to the right, y up, z towards the viewer. A fruit's own axis is y, its widest radius about
1. Grids of points have the shape (rows, columns, 3): rows from stem to bottom, columns around.
"""

from __future__ import annotations

import argparse
import io
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Random = np.random.Generator
Place = tuple[float, float, float]

SEED = 360
SIZE = 100  # pixels of a side
OVERSAMPLE = 3
JPEG_QUALITY = 92
FRAMES_PER_TURN = 327
UPRIGHT_FRAMES = 25  # turning about the fruit's own axis: "<frame>_100.jpg"
LYING_FRAMES = 12  # laid on its side, turning about the vertical: "r_<frame>_100.jpg"
TEST_EVERY = 4  # every fourth frame lies in Test, its neighbours in Training

# Frames stored otherwise than as an ordinary JPEG, and how. Each takes its frame's place.
ODD = {
    "Training/Banana/118_100.jpg": "truncated",
    "Test/Kiwi/131_100.jpg": "empty",
    "Training/Pear/r_109_100.jpg": "text",
    "Training/Strawberry/157_100.jpg": "cmyk",
    "Training/Avocado/105_100.jpg": "exif_rotated",
    "Training/Peach/209_100.png": "grey16",
    "Test/Lemon/183_100.png": "palette_alpha",
    "Training/Watermelon/249_100.png": "oversized",
}

# Copies, byte for byte, and of what: the first under the same label, the second under another.
DUPLICATES = {
    "Training/Orange/201_100.jpg": "Training/Orange/196_100.jpg",
    "Test/Clementine/140_100.jpg": "Training/Orange/144_100.jpg",
}

# ------------------------------------------------------------------------------------- patterns


def vector(x: float, y: float, z: float) -> Array:
    """Three numbers as float32."""
    return np.array([x, y, z], np.float32)


def unit(x: float, y: float, z: float) -> Array:
    """The direction of a vector."""
    return vector(x, y, z) / np.float32(np.sqrt(x * x + y * y + z * z))


def rotation(axis: str, degrees: float) -> Array:
    """Matrix of a right-handed rotation about x, y or z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], np.float32)


def ramp(start: float, end: float, value: Array) -> Array:
    """0 up to start, 1 from end on, smooth between; start may be the larger one."""
    t = np.clip((value - start) / (end - start), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def noise(points: Array, frequency: float | Place, rng: Random, octaves: int = 3) -> Array:
    """Fractal value noise at points (..., 3), about -1 to 1.

    A frequency for each axis stretches it: (6, 1, 6) gives streaks along y.
    """
    total = np.zeros(points.shape[:-1], np.float32)
    for octave in range(octaves):
        lattice = rng.uniform(-1, 1, (32, 32, 32)).astype(np.float32)
        place = points * (np.asarray(frequency, np.float32) * 2**octave)
        place += rng.uniform(0, 32, 3).astype(np.float32)
        total += interpolated(lattice, place) * 0.6**octave
    return total


def interpolated(lattice: Array, place: Array) -> Array:
    """Smooth trilinear interpolation in a cubic lattice that repeats itself."""
    side = len(lattice)
    stride = side + 1
    wrapped: Array = np.pad(lattice, (0, 1), mode="wrap").ravel()
    low = np.floor(place)
    t = place - low
    t *= t * (3 - 2 * t)
    cell = low.astype(np.int32) % side
    corner = (cell[..., 0] * stride + cell[..., 1]) * stride + cell[..., 2]

    def along(axis: int, offset: int) -> Array:
        if axis < 0:
            corners: Array = wrapped[corner + offset]
            return corners
        first = along(axis - 1, offset)
        second = along(axis - 1, offset + stride ** (2 - axis))
        between: Array = first + t[..., axis] * (second - first)
        return between

    return along(2, 0)


def scattered(count: int, jitter: float, rng: Random) -> Array:
    """Directions spread evenly over the sphere (Fibonacci's lattice), shaken; (count, 3)."""
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    centres = np.stack([ring * np.sin(angle), height, ring * np.cos(angle)], axis=-1)
    centres += rng.normal(0, jitter, centres.shape)
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    result: Array = centres.astype(np.float32)
    return result


def nearest(directions: Array, centres: Array) -> tuple[Array, Indices]:
    """Angle in radians from each direction of a grid to the nearest centre, and which it is."""
    angle = np.empty(directions.shape[:-1], np.float32)
    index = np.empty(directions.shape[:-1], np.intp)
    for row, line in enumerate(directions):
        cosine = line @ centres.T
        index[row] = cosine.argmax(axis=-1)
        angle[row] = np.arccos(np.clip(cosine.max(axis=-1), -1, 1))
    return angle, index


def blurred(image: Array, radius: int, times: int = 3) -> Array:
    """Repeated box blur of (height, width), its border extended."""
    width = 2 * radius + 1
    for _ in range(2 * times):
        padded = np.pad(image, ((radius + 1, radius), (0, 0)), mode="edge")
        sums = np.cumsum(padded, axis=0, dtype=np.float64)
        image = ((sums[width:] - sums[:-width]) / width).astype(np.float32).T
    return image


# --------------------------------------------------------------------------------------- colour


def linear(code: str) -> Array:
    """Linear RGB of an sRGB code such as "#c81e1e"."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb_bytes(colours: Array) -> Pixels:
    """sRGB bytes of linear RGB."""
    clipped: Array = np.clip(colours, 0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def filled(grid: Array, code: str) -> Array:
    """One colour at every point of a grid."""
    return np.broadcast_to(linear(code), grid.shape)


def painted(colours: Array, code: str, share: Array | float) -> Array:
    """The colours with another laid over them: share, clipped to 0 to 1, of it at each point."""
    mixed: Array = colours + (linear(code) - colours) * np.clip(share, 0, 1)[..., None]
    return mixed


# --------------------------------------------------------------------------------------- shapes


@dataclass(frozen=True)
class Cloud:
    """Surface points of a fruit, n of them."""

    points: Array  # (n, 3)
    normals: Array  # (n, 3), outward
    colours: Array  # (n, 3), linear RGB
    gloss: Array  # (n,), 0 matt to 1 polished
    glow: Array  # (n,), share of light that shines through

    @staticmethod
    def of_grid(
        grid: Array,
        colours: Array,
        gloss: Array | float,
        bumps: Array | float = 0.0,
        glow: float = 0.0,
        around: bool = True,
    ) -> Cloud:
        """A grid's points, raised by the bumps along their normals.

        around says that the last column meets the first.
        """
        shape = grid.shape[:-1]
        raised = grid + normals_of(grid, around) * np.broadcast_to(bumps, shape)[..., None]
        return Cloud(
            raised.reshape(-1, 3).astype(np.float32),
            normals_of(raised, around).reshape(-1, 3),
            colours.reshape(-1, 3).astype(np.float32),
            np.broadcast_to(gloss, shape).reshape(-1).astype(np.float32),
            np.full(grid.size // 3, glow, np.float32),
        )

    @staticmethod
    def joined(parts: list[Cloud]) -> Cloud:
        """All points of the parts."""
        return Cloud(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.normals for part in parts]),
            np.concatenate([part.colours for part in parts]),
            np.concatenate([part.gloss for part in parts]),
            np.concatenate([part.glow for part in parts]),
        )

    def moved(self, turned: Array, shift: Array) -> Cloud:
        """The cloud rotated, then shifted."""
        points = self.points @ turned.T + shift
        return Cloud(points, self.normals @ turned.T, self.colours, self.gloss, self.glow)


def normals_of(grid: Array, around: bool) -> Array:
    """Unit normals of a grid."""
    down = np.gradient(grid, axis=0)
    if around:
        along = np.roll(grid, -1, axis=1) - np.roll(grid, 1, axis=1)
    else:
        along = np.gradient(grid, axis=1)
    normal = np.cross(down, along)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    result: Array = (normal / np.maximum(length, 1e-12)).astype(np.float32)
    return result


class Body:
    """A closed surface about the y axis, while it is being shaped and painted.

    It starts as an ellipsoid. Patterns are made on the sphere of its first directions, so they
    follow the skin whatever the shape becomes.
    """

    def __init__(self, radii: Place, code: str, rng: Random) -> None:
        theta = np.linspace(0.004, np.pi - 0.004, 430)[:, None]
        phi = np.linspace(-np.pi, np.pi, 860, endpoint=False)[None, :]
        x, z = np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)
        grid = np.stack(np.broadcast_arrays(x, np.cos(theta), z), axis=-1)
        self.rng = rng
        self.directions: Array = grid.astype(np.float32)
        self.angle = np.broadcast_to(phi, grid.shape[:-1]).astype(np.float32)  # 0 towards +z
        self.ring = np.hypot(self.directions[..., 0], self.directions[..., 2])  # 0 on the axis
        self.upper = self.directions[..., 1] > 0
        self.points: Array = self.directions * vector(*radii)
        self.colours = filled(grid, code)

    # Shape

    @property
    def top(self) -> Array:
        """The point where the axis leaves the surface, beside the stem."""
        top: Array = self.points[0].mean(axis=0)
        return top

    def lumps(self, amount: float) -> None:
        """Slow irregularity, so that no two sides are alike."""
        self.points = self.points * (1 + amount * self.noise(1.1, octaves=2))[..., None]

    def taper(self, heights: list[float], factors: list[float]) -> None:
        """Multiply the widths by a factor that depends on the height, smooth between the knots."""
        window = np.hanning(43) / np.hanning(43).sum()
        fine = np.linspace(heights[0], heights[-1], 400)
        knots = np.pad(np.interp(fine, heights, factors), len(window) // 2, mode="edge")
        smooth = np.convolve(knots, window, "valid")
        self._widen(np.interp(self.points[..., 1], fine, smooth).astype(np.float32))

    def furrow(self, depth: float, width: float) -> None:
        """A seam from stem to bottom on the side of +z; width in radians."""
        fall = np.exp(-np.sqrt(self.angle**2 + 0.0004) / width)
        self._widen(1 - depth * fall * ramp(0.0, 0.4, self.ring))

    def ribs(self, count: int, depth: float) -> None:
        """Soft ribs about the lower end, and half as deep about the upper one."""
        strength = np.where(self.upper, 0.5, 1.0) * np.abs(self.directions[..., 1])
        wave = depth * strength * np.cos(count * self.angle)
        self.points = self.points * (1 + wave.astype(np.float32))[..., None]

    def hollow(self, depth: float, width: float, upper: bool = True) -> None:
        """A dimple about the axis at one end; a negative depth draws the end out."""
        fall = np.exp(-(self.points[..., 0] ** 2 + self.points[..., 2] ** 2) / width**2)
        sign = -1 if upper else 1
        self.points = self.points.copy()
        self.points[..., 1] += sign * depth * np.where(self.upper == upper, fall, 0)

    def _widen(self, factor: Array) -> None:
        self.points = self.points * np.stack([factor, np.ones_like(factor), factor], axis=-1)

    # Patterns, one value a point

    def noise(self, frequency: float | Place, octaves: int = 3) -> Array:
        """Fractal noise over the skin, about -1 to 1."""
        return noise(self.directions, frequency, self.rng, octaves)

    def facing(self, x: float, y: float, z: float) -> Array:
        """Cosine of the angle to a direction: 1 on that side, -1 on the other."""
        cosine: Array = self.directions @ unit(x, y, z)
        return cosine

    def about_stem(self, far: float, near: float) -> Array:
        """1 about the stem, 0 farther than ``far`` from the axis and on the lower half."""
        share: Array = ramp(far, near, self.ring) * self.upper
        return share

    def about_bottom(self, far: float, near: float) -> Array:
        """1 about the lower end, 0 farther than ``far`` from the axis and on the upper half."""
        share: Array = ramp(far, near, self.ring) * ~self.upper
        return share

    def specks(self, count: int, smallest: float, largest: float) -> Array:
        """1 on specks of random radius in radians, 0 off them."""
        angle, which = nearest(self.directions, scattered(count, 0.05, self.rng))
        radius = self.rng.uniform(smallest, largest, count).astype(np.float32)
        return ramp(1.4, 0.5, angle / radius[which])

    # Result

    def paint(self, code: str, share: Array | float) -> None:
        """Lay a colour over the skin, share (clipped to 0 to 1) of it at each point."""
        self.colours = painted(self.colours, code, np.broadcast_to(share, self.ring.shape))

    def cloud(self, gloss: Array | float, bumps: Array | float = 0.0, glow: float = 0.0) -> Cloud:
        """The finished skin."""
        return Cloud.of_grid(self.points, self.colours, gloss, bumps, glow)


def tube(path: Array, radius: Array, columns: int, edges: int = 0) -> Array:
    """A grid around a path (n, 3) that lies in about one plane of constant z.

    edges above 0 makes the section a rounded polygon of so many edges.
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


def stem(base: Array, reach: Place, thick: float, rng: Random, code: str = "#5b3d20") -> Cloud:
    """A woody stem from a little below its base, bent, thicker at its end."""
    s = np.linspace(0, 1, 130)[:, None]
    root = base - vector(0, 0.05, 0)
    along = base + vector(*reach) - root
    bend = vector(0.18, 0, 0) * np.linalg.norm(along)
    path = root + along * s + bend * (s * s - s)
    radius = thick * np.interp(s[:, 0], [0, 0.15, 0.8, 0.97, 1], [1.2, 0.8, 0.85, 1.15, 0.02])
    grid = tube(path, radius, 70)
    grain = noise(grid, (30, 5, 30), rng)
    colours = painted(filled(grid, code), "#2a190b", 0.5 + 0.6 * grain)
    colours = painted(colours, "#9a8456", np.broadcast_to(ramp(0.92, 0.98, s), grain.shape))
    return Cloud.of_grid(grid, colours, 0.12, bumps=grain * thick * 0.12)


def leaf(length: float, width: float, lift: float, droop: float, rng: Random) -> Cloud:
    """A pointed leaf from the origin along +z, its upper and its lower side.

    lift is the slope at its base, droop how far its tip bends down; both per unit of length.
    """
    s = np.linspace(0, 1, 110)[:, None]
    t = np.linspace(-1, 1, 55)[None, :]
    half = width / 2 * np.sin(np.pi * np.clip(s, 0.03, 0.995) ** 0.75) ** 0.9
    y = length * (lift * s - droop * s * s) + 0.35 * half * t * t
    stacked = np.stack(np.broadcast_arrays(half * t, y, length * s), axis=-1)
    grid: Array = stacked.astype(np.float32)
    grid[..., 1] += 0.02 * length * noise(grid, 5 / length, rng, octaves=2)
    vein = np.exp(-((t / 0.08) ** 2)) * (1 - s)
    colours = filled(grid, "#4f8a2a")
    colours = painted(colours, "#16320c", 0.35 + 0.4 * noise(grid, 9 / length, rng))
    colours = painted(colours, "#b7cf78", 0.6 * vein)
    colours = painted(colours, "#8a7a3a", np.broadcast_to(0.7 * ramp(0.9, 1.0, s), vein.shape))
    upper = Cloud.of_grid(grid[:, ::-1], colours[:, ::-1], 0.25, glow=0.2, around=False)
    pale = painted(colours, "#8fae62", np.full(vein.shape, 0.4, np.float32))
    lower = Cloud.of_grid(grid, pale, 0.1, glow=0.2, around=False)
    return Cloud.joined([upper, lower])


# ---------------------------------------------------------------------------------------- fruit


@dataclass(frozen=True)
class Apple:
    """An apple: a ground colour, and on its sunny side a flush in streaks."""

    ground: str
    flush: str
    deep: str  # the flush at its strongest
    amount: float  # of flush, -1 to 1
    streaks: float
    russet: float
    height: float

    def __call__(self, rng: Random) -> list[Cloud]:
        body = Body((1, self.height, 0.97), self.ground, rng)
        body.taper([-1, -0.4, 0.3, 1], [0.86, 0.96, 1.02, 1.03])
        body.ribs(5, 0.022)
        body.lumps(0.03)
        body.hollow(0.40, 0.32)
        body.hollow(0.22, 0.30, upper=False)
        sun = body.facing(0.80, 0.25, 0.55)
        streak = body.noise((15, 1.6, 15))
        flushed = self.amount + sun + 0.45 * body.noise(2) + self.streaks * streak
        body.paint(self.flush, ramp(-0.55, 0.75, flushed) * (1 - 0.85 * body.about_stem(0.42, 0.1)))
        body.paint(self.deep, 0.8 * ramp(0.35, 1.5, sun + self.amount + 0.7 * streak))
        body.paint("#8a9a3c", 0.7 * body.about_stem(0.36, 0.1))
        rust = body.noise(4, octaves=5) + 1.1 * body.about_stem(0.5, 0.1)
        body.paint("#8d6a34", self.russet * ramp(0.2, 1.5, rust))
        body.paint("#dfbd84", 0.32 * body.specks(380, 0.004, 0.016))
        body.paint("#4b3519", 0.9 * body.about_bottom(0.16, 0.05))
        bumps = 0.004 * body.noise(5) - 0.02 * body.about_bottom(0.2, 0.05)
        return [body.cloud(0.66, bumps), stem(body.top, (0.14, 0.56, 0.05), 0.045, rng)]


@dataclass(frozen=True)
class Citrus:
    """A citrus fruit: pores, a green button at the stem, a navel or nipples at the ends."""

    ripe: str
    unripe: str
    pit: str  # colour in the pores
    radii: Place
    pores: int
    relief: float  # depth of the pores
    nipple: float  # how far the lower end is drawn out
    unripeness: float
    gloss: float

    def __call__(self, rng: Random) -> list[Cloud]:
        body = Body(self.radii, self.ripe, rng)
        body.lumps(0.035)
        if self.nipple:
            body.hollow(-0.55 * self.nipple, 0.30)
            body.hollow(-self.nipple, 0.24, upper=False)
        else:
            body.hollow(0.07, 0.30)
            body.hollow(0.05, 0.14, upper=False)
        spacing = float((4 * np.pi / self.pores) ** 0.5)
        angle, which = nearest(body.directions, scattered(self.pores, 0.1 * spacing, rng))
        pit = ramp(0.45, 0.05, angle / spacing)
        depth = rng.uniform(0, 1, self.pores).astype(np.float32)[which]
        green = body.noise(1.6) + 0.5 * body.facing(0.7, 0.3, -0.6)
        scar = ramp(0.75, 1.15, body.noise((7, 4, 7), octaves=4))
        button = ramp(0.13, 0.09, body.ring + 0.02 * body.noise(12)) * body.upper
        body.paint(self.unripe, self.unripeness * ramp(-0.7, 1.2, green))
        body.paint(self.pit, 0.35 * pit * depth + 0.25 * ramp(0.2, 1.2, body.noise(4)))
        body.paint("#b98c48", 0.5 * scar)
        body.paint("#4d6b2b", button)
        body.paint("#6d4a20", 0.9 * body.about_bottom(0.075, 0.03))
        folds = 0.02 * np.cos(9 * body.angle) * body.about_stem(0.4, 0.12)
        bumps = folds - self.relief * pit + 0.006 * body.noise(6) - 0.012 * scar
        skin = body.cloud(self.gloss * (1 - 0.8 * button), bumps)
        return [skin, stem(body.top, (0.015, 0.07, 0.01), 0.05, rng, "#6b6a35")]


def avocado(rng: Random) -> list[Cloud]:
    """Dark green, pebbled, turning purple on one side."""
    body = Body((0.80, 1.10, 0.78), "#34491c", rng)
    body.taper([-1.1, -0.5, 0.1, 0.6, 1.1], [1.0, 1.04, 0.93, 0.76, 0.70])
    body.lumps(0.03)
    pebble = body.noise(17, octaves=2)
    purple = ramp(0.0, 1.1, body.facing(0.7, -0.3, 0.6) + 0.5 * body.noise(2))
    body.paint("#1d2c11", 0.4 + 0.5 * body.noise(4))
    body.paint("#2b1a1e", 0.75 * purple)
    body.paint("#6f8a3c", 0.55 * ramp(0.35, 0.9, pebble) * (1 - 0.7 * purple))
    body.paint("#a5874a", 0.9 * body.about_stem(0.09, 0.05))
    skin = body.cloud(0.42, 0.014 * pebble)
    return [skin, stem(body.top, (0.02, 0.06, 0), 0.06, rng, "#7a5a2c")]


def banana(rng: Random) -> list[Cloud]:
    """Ripe, its stem to the right, its section five-edged, flecked with brown."""
    s = np.linspace(0, 1, 700)
    bend = np.radians(np.interp(s, [0, 1], [-58, 54]))
    reach = 1.25 * (1.0 + 0.16 * ramp(0.8, 1.0, s))
    path = np.stack([reach * np.sin(bend), -reach * np.cos(bend), 0 * s], axis=-1)
    knots = [0, 0.012, 0.03, 0.08, 0.2, 0.45, 0.72, 0.84, 0.905, 0.985, 0.995, 1]
    radii = [0.01, 0.07, 0.09, 0.20, 0.31, 0.34, 0.315, 0.21, 0.095, 0.10, 0.09, 0.005]
    padded = np.pad(np.interp(s, knots, radii), 5, mode="edge")
    grid = tube(path, np.convolve(padded, np.ones(11) / 11, "valid"), 420, edges=5)
    phi = np.linspace(0, 2 * np.pi, 420, endpoint=False)
    edge = np.broadcast_to(np.cos(5 * phi), grid.shape[:-1])
    blotch = noise(grid, 3, rng)
    along = s[:, None] + 0.01 * blotch  # 0 at the tip, 1 at the end of the stem
    fleck = ramp(0.62, 0.82, noise(grid, 13, rng, 2) + 0.25 * noise(grid, 2.2, rng))
    colours = painted(filled(grid, "#eebf1f"), "#f6d84c", 0.5 + 0.5 * blotch)
    colours = painted(colours, "#c9951c", 0.55 * ramp(0.85, 1.0, edge))
    colours = painted(colours, "#a5b23a", 0.8 * ramp(0.74, 0.9, along))
    colours = painted(colours, "#9aa338", 0.5 * ramp(0.1, 0.03, along))
    colours = painted(colours, "#5b3412", 0.85 * fleck * ramp(0.9, 0.75, along))
    colours = painted(colours, "#7a4a14", 0.6 * ramp(0.6, 1.1, noise(grid, 2.4, rng)))
    colours = painted(colours, "#24170d", ramp(0.035, 0.022, along))
    colours = painted(colours, "#4a3416", 0.9 * ramp(0.965, 0.985, along))
    return [Cloud.of_grid(grid, colours, 0.22, 0.004 * noise(grid, 18, rng, 2))]


def grape(rng: Random) -> list[Cloud]:
    """White: translucent, its veins faintly seen, brown specks on one side, bloom."""
    body = Body((0.86, 1.0, 0.84), "#b9c062", rng)
    body.lumps(0.02)
    amber = ramp(0.3, 1.1, body.facing(0.5, -0.4, 0.75) + 0.4 * body.noise(3))
    bloom = ramp(0.1, 0.9, body.noise(3, octaves=4))
    body.paint("#d7d488", 0.45 + 0.4 * body.noise(2))
    body.paint("#e2e0a4", 0.3 * ramp(0.75, 1.0, np.cos(7 * body.angle + 1.2 * body.noise(2))))
    body.paint("#c9a24c", 0.5 * amber)
    body.paint("#7c5a24", 0.8 * ramp(0.55, 0.75, body.noise(9, octaves=2)) * amber)
    body.paint("#e6eadc", 0.3 * bloom)
    body.paint("#5f4a22", 0.9 * ramp(0.1, 0.05, body.ring))
    skin = body.cloud(0.8 - 0.4 * bloom, 0.003 * body.noise(6), glow=0.55)
    return [skin, stem(body.top, (0.03, 0.16, 0.02), 0.045, rng, "#8f9a4a")]


def kiwi(rng: Random) -> list[Cloud]:
    """Brown and matt, with a fuzz of short hairs."""
    body = Body((0.82, 1.0, 0.78), "#967547", rng)
    body.lumps(0.03)
    body.hollow(-0.05, 0.14, upper=False)
    hair = body.noise((55, 16, 55), octaves=2)
    patch = body.noise(3)
    body.paint("#5a3f1d", 0.4 + 0.4 * patch + 0.4 * hair)
    body.paint("#cdb07a", 0.7 * ramp(0.35, 1.1, hair))
    body.paint("#6f7a3a", 0.35 * ramp(0.0, 0.9, body.facing(0.6, 0.2, 0.75)))
    body.paint("#33200e", 0.9 * ramp(0.14, 0.06, body.ring + 0.02 * patch))
    bumps = 0.017 * hair + 0.01 * body.noise(6) + 0.02 * ramp(0.16, 0.1, body.ring)
    return [body.cloud(0.03, bumps)]


def peach(rng: Random) -> list[Cloud]:
    """Yellow to crimson, downy, with a furrow from stem to tip."""
    body = Body((1.0, 0.93, 0.97), "#efb566", rng)
    body.lumps(0.03)
    body.furrow(0.11, 0.16)
    body.hollow(0.28, 0.26)
    body.hollow(-0.05, 0.12, upper=False)
    sun = body.facing(0.6, 0.35, 0.7)
    mottle = body.noise(9)
    body.paint("#d85a48", ramp(-0.9, 0.9, sun + 0.5 * body.noise(2) + 0.25 * mottle))
    body.paint("#93162b", 0.85 * ramp(0.0, 1.4, sun + 0.45 * body.noise(3) + 0.15 * mottle))
    body.paint("#d9b45a", 0.6 * body.about_stem(0.3, 0.08))
    skin = body.cloud(0.05, 0.0025 * body.noise(60, octaves=1))
    return [skin, stem(body.top, (0.02, 0.10, 0), 0.055, rng)]


def pear(rng: Random) -> list[Cloud]:
    """Green to yellow, dotted, russet about the stem, its neck leaning."""
    body = Body((0.84, 1.12, 0.82), "#b3b13c", rng)
    body.taper([-1.12, -0.5, 0.0, 0.45, 0.8, 1.12], [0.98, 1.04, 0.93, 0.70, 0.60, 0.62])
    body.points[..., 0] += 0.07 * ramp(0.0, 1.1, body.points[..., 1])
    body.lumps(0.04)
    body.hollow(0.12, 0.22, upper=False)
    sun = body.facing(-0.75, 0.2, 0.6)
    rust = body.noise(6, octaves=4) + 1.4 * ramp(0.5, 0.0, body.ring)
    body.paint("#d6bf4f", 0.5 + 0.6 * body.noise(2.2))
    body.paint("#c47a3a", 0.6 * ramp(0.35, 1.1, sun + 0.35 * body.noise(3)))
    body.paint("#6f5a26", 0.75 * body.specks(900, 0.007, 0.017))
    body.paint("#94692f", 0.75 * ramp(0.2, 0.8, rust))
    body.paint("#33230f", 0.9 * body.about_bottom(0.15, 0.06))
    skin = body.cloud(0.28, 0.006 * body.noise(7))
    return [skin, stem(body.top, (0.16, 0.42, 0.04), 0.045, rng)]


def plum(rng: Random) -> list[Cloud]:
    """Dark, red on one side, a furrow, a pale bloom rubbed off in places."""
    body = Body((0.9, 1.0, 0.88), "#2c1030", rng)
    body.lumps(0.03)
    body.furrow(0.08, 0.15)
    body.hollow(0.13, 0.2)
    bloom = ramp(-0.7, 1.3, body.noise(2.2, octaves=5) + 0.3 * body.directions[..., 1])
    bloom *= 1 - 0.8 * ramp(0.3, 0.7, body.noise((2, 7, 5)))
    body.paint("#6b1230", ramp(-0.1, 1.0, body.facing(-0.7, 0.1, 0.7) + 0.4 * body.noise(2)))
    body.paint("#8084ad", 0.6 * bloom)
    body.paint("#b98a86", 0.4 * body.specks(500, 0.004, 0.012))
    skin = body.cloud(0.75 - 0.62 * bloom, 0.003 * body.noise(9))
    return [skin, stem(body.top, (0.08, 0.32, 0), 0.035, rng, "#6f5a2c")]


def strawberry(rng: Random) -> list[Cloud]:
    """Tip down: seeds in pits, green sepals and a stem on top."""
    body = Body((0.86, 1.08, 0.80), "#c8101a", rng)
    body.taper([-1.1, -0.8, -0.2, 0.4, 1.1], [0.62, 0.70, 0.88, 1.06, 1.08])
    body.lumps(0.06)
    body.hollow(0.16, 0.35)
    seeds = scattered(190, 0.035, rng)
    angle, which = nearest(body.directions, seeds)
    off = (body.directions - seeds[which]) * vector(1.55, 1, 1.55)
    seed = ramp(0.052, 0.036, np.linalg.norm(off, axis=-1))
    pit = ramp(0.125, 0.045, angle)
    shade = rng.uniform(0, 1, len(seeds)).astype(np.float32)[which]
    pale = ramp(0.62, 1.02, body.directions[..., 1] + 0.15 * body.noise(3))
    side = ramp(0.2, 1.0, body.facing(-0.8, 0.3, -0.5) + 0.4 * body.noise(2))
    body.paint("#94060f", 0.5 + 0.6 * body.noise(2.5))
    body.paint("#e2452e", 0.55 * side)
    body.paint("#f0b59a", 0.8 * pale)
    body.paint("#7d040c", 0.55 * pit * (1 - pale))
    body.paint("#e3b34a", seed)
    body.paint("#a8641c", seed * shade * 0.7)
    parts = [body.cloud(0.6, 0.034 * seed - 0.042 * pit + 0.008 * body.noise(8), glow=0.05)]
    for number in range(11):
        length, width = rng.uniform(0.55, 0.85), rng.uniform(0.22, 0.32)
        sepal = leaf(length, width, rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.85), rng)
        turned = rotation("y", number * 360 / 11 + rng.uniform(-9, 9))
        parts.append(sepal.moved(turned, body.top + vector(0, 0.03, 0)))
    return [*parts, stem(body.top, (0.16, 0.5, 0.05), 0.05, rng, "#6d9440")]


def watermelon(rng: Random) -> list[Cloud]:
    """Dark ragged stripes on light green, one pale side where it lay."""
    body = Body((1.0, 0.97, 1.0), "#8fae58", rng)
    body.lumps(0.025)
    body.hollow(0.05, 0.12)
    ragged = body.noise((5, 9, 5), octaves=4)
    stripe = ramp(-0.15, 0.35, np.cos(10 * body.angle + 0.9 * ragged) + 0.45 * ragged)
    lain = body.facing(-0.8, -0.35, -0.48) + 0.06 * body.noise(5)
    body.paint("#b3c67c", 0.4 + 0.5 * body.noise(3))
    body.paint("#3f6a30", 0.5 * ramp(0.12, 0.02, np.abs(body.noise((9, 5, 9)))))
    body.paint("#24502a", 0.93 * stripe)
    body.paint("#12300f", 0.5 * stripe * ramp(0.0, 0.8, ragged))
    body.paint("#e0cf84", 0.85 * ramp(0.72, 0.95, lain))
    body.paint("#6d6a3a", 0.8 * ramp(0.1, 0.05, body.ring))
    skin = body.cloud(0.4, 0.004 * body.noise(6))
    return [skin, stem(body.top, (0.12, 0.18, 0.03), 0.05, rng, "#7d7a3e")]


# Some are easily mistaken for one another: two red apples, orange and clementine, lemon and lime.
FRUITS: dict[str, Callable[[Random], list[Cloud]]] = {
    "Apple Braeburn": Apple("#d9bd55", "#bd2a22", "#7c1118", 0.30, 0.62, 0.20, height=0.90),
    "Apple Golden": Apple("#d3c458", "#dfb458", "#d28f58", -0.1, 0.08, 0.70, height=0.95),
    "Apple Red": Apple("#d8a24a", "#b3161f", "#6d0a16", 0.75, 0.30, 0.15, height=0.96),
    "Avocado": avocado,
    "Banana": banana,
    "Clementine": Citrus(
        "#ee6a0a", "#f29318", "#c84e04", (1.0, 0.82, 0.98), 1000, 0.014, 0, 0.6, gloss=0.5
    ),
    "Grape White": grape,
    "Kiwi": kiwi,
    "Lemon": Citrus(
        "#f0c80f", "#c3c42c", "#d29c06", (0.80, 0.95, 0.78), 900, 0.013, 0.22, 0.5, gloss=0.35
    ),
    "Limes": Citrus(
        "#6f8f34", "#c0bb48", "#4a6a22", (0.88, 0.93, 0.86), 900, 0.012, 0.12, 0.8, gloss=0.45
    ),
    "Orange": Citrus(
        "#ee7d0c", "#f2a022", "#c65a05", (1.0, 0.95, 0.98), 1300, 0.016, 0, 0.5, gloss=0.35
    ),
    "Peach": peach,
    "Pear": pear,
    "Plum": plum,
    "Strawberry": strawberry,
    "Watermelon": watermelon,
}

# How far an upright fruit leans to the left, in degrees; the others stand straight.
LEAN = {"Banana": 28}

# --------------------------------------------------------------------------------------- camera

VIEW = rotation("x", 18)  # seen from 18 degrees above
UP = VIEW @ vector(0, 1, 0)
LIGHT = unit(-0.48, 0.66, 0.58)  # a large soft box, upper left
FILL = unit(0.75, 0.10, 0.65)  # a weak light from the right
BOX_X = unit(LIGHT[2], 0, -LIGHT[0])  # along the soft box's width
BOX_Y = np.cross(LIGHT, BOX_X)  # along its height


@dataclass(frozen=True)
class Camera:
    """Parallel projection of view space on a square picture."""

    centre: Array  # x and y that lie in the middle
    scale: float  # pixels a unit
    side: int  # pixels

    def pixels(self, points: Array) -> tuple[Indices, Mask]:
        """Flat index of each point's pixel, and whether it lies in the picture."""
        half = self.side / 2
        x = np.floor(half + self.scale * (points[:, 0] - self.centre[0])).astype(np.intp)
        y = np.floor(half - self.scale * (points[:, 1] - self.centre[1])).astype(np.intp)
        return y * self.side + x, (x >= 0) & (x < self.side) & (y >= 0) & (y < self.side)

    def seen(self, points: Array) -> Indices:
        """Index of the point seen at each pixel, -1 where there is none; (side, side)."""
        pixel, inside = self.pixels(points)
        order = np.flatnonzero(inside)
        order = order[np.argsort(points[order, 2], kind="stable")]
        flat = np.full(self.side * self.side, -1, np.intp)
        flat[pixel[order]] = order  # of the points at one pixel the last, the nearest, stays
        seen = flat.reshape(self.side, self.side)
        for axis in (0, 1):  # close holes of one pixel between neighbouring points
            before, after = np.roll(seen, 1, axis), np.roll(seen, -1, axis)
            seen = np.where((seen < 0) & (before >= 0) & (after >= 0), before, seen)
        return seen


def crevices(depth: Array, covered: Mask) -> Array:
    """Ambient occlusion, 0 to 1: how far a pixel lies behind its surroundings on the fruit."""
    weight = np.maximum(blurred(covered.astype(np.float32), 4), 1e-3)
    around = blurred(np.where(covered, depth, 0), 4) / weight
    behind: Array = np.clip((around - depth) * 3.5, 0, 1)
    return behind


def lit(cloud: Cloud, index: Indices, view: Array, occluded: Array) -> Array:
    """Light that the points at the index send to the viewer, linear RGB (n, 3).

    Wrapped Lambert for the soft box, a hemisphere and a fill light for the white surroundings, the
    soft box's mirror image for the highlight, Schlick's rim for polished skins.
    """
    normal = cloud.normals[index] @ view.T
    gloss, glow = cloud.gloss[index], cloud.glow[index]
    occluded = occluded * ramp(0.1, 0.6, normal[:, 2])  # the outline is no crevice
    up = normal @ UP
    key = normal @ LIGHT
    wrap = 0.12 + 0.5 * glow
    diffuse = 0.98 * np.clip((key + wrap) / (1 + wrap), 0, 1)
    ambient = 0.30 + 0.17 * up + 0.06 * np.clip(-up, 0, 1)
    ambient += 0.16 * np.clip(normal @ FILL, 0, 1)
    through = 0.55 * glow * np.clip(0.25 - key, 0, 1)
    light = diffuse * (1 - 0.45 * occluded) + ambient * (1 - 0.85 * occluded) + through

    mirror = 2 * normal[:, 2:] * normal - vector(0, 0, 1)
    spread = 0.13 + 0.30 * (1 - gloss)
    facing = mirror @ LIGHT
    box = np.exp(-((mirror @ BOX_X / spread) ** 4) - (mirror @ BOX_Y / (1.25 * spread)) ** 4)
    sheen = np.clip(facing, 0, 1) ** 9
    rim = (1 - np.clip(normal[:, 2], 0, 1)) ** 4
    shine = gloss * (0.75 * gloss * box * (facing > 0) + 0.10 * sheen + 0.16 * rim)
    result: Array = cloud.colours[index] * light[:, None] + (shine * (1 - occluded))[:, None]
    return result


def cast(points: Array, camera: Camera, direction: Array, reach: float) -> Array:
    """Shadow of the points on the ground along a direction, weaker from higher up; 0 to 1."""
    height = points @ UP
    height -= height.min()
    feet = points - (height / (direction @ UP))[:, None] * direction
    pixel, inside = camera.pixels(feet)
    shade = np.zeros(camera.side * camera.side, np.float32)
    np.maximum.at(shade, pixel[inside], np.exp(-height[inside] / reach))
    return shade.reshape(camera.side, camera.side)


def fading(side: int, width: int) -> Array:
    """1 in the middle of a square picture, falling to 0 over a width along its border."""
    line = np.arange(side, dtype=np.float32)
    line = ramp(0, width, np.minimum(line, line[::-1]))
    return np.outer(line, line)


def ground(points: Array, camera: Camera) -> Array:
    """Light of the white ground under the fruit, 1 where no shadow falls; (side, side)."""
    contact = blurred(cast(points, camera, UP, 0.22), 2) * fading(camera.side, 7)
    thrown = blurred(cast(points, camera, LIGHT, 0.75), 4) * fading(camera.side, 20)
    light: Array = (1 - 0.62 * contact) * (1 - 0.36 * thrown)
    return light


def enlarged(image: Array) -> Array:
    """Every pixel as OVERSAMPLE x OVERSAMPLE equal ones."""
    return image.repeat(OVERSAMPLE, axis=0).repeat(OVERSAMPLE, axis=1)


def photograph(cloud: Cloud, turned: Array, scale: float) -> Pixels:
    """Picture of the cloud after a rotation, (SIZE, SIZE, 3); scale in pixels a unit."""
    view = VIEW @ turned
    points = cloud.points @ view.T
    x, y = points[:, 0], points[:, 1]
    centre = np.array([x.min() + x.max(), y.min() + y.max() - 5 / scale], np.float32) / 2

    front = np.flatnonzero(cloud.normals @ view[2] > 0)
    seen = Camera(centre, scale * OVERSAMPLE, SIZE * OVERSAMPLE).seen(points[front])
    covered = seen >= 0
    index = front[seen[covered]]
    depth = np.zeros(seen.shape, np.float32)
    depth[covered] = points[index, 2]
    middle = slice(OVERSAMPLE // 2, None, OVERSAMPLE)
    occluded = enlarged(crevices(depth[middle, middle], covered[middle, middle]))

    white = enlarged(ground(points[::3], Camera(centre, scale, SIZE)))
    picture = np.repeat(white[..., None], 3, axis=-1)
    picture[covered] = np.minimum(lit(cloud, index, view, occluded[covered]), 1)
    return srgb_bytes(picture.reshape(SIZE, OVERSAMPLE, SIZE, OVERSAMPLE, 3).mean(axis=(1, 3)))


def fitting_scale(cloud: Cloud, rotations: list[Array], width: int = 90, height: int = 86) -> float:
    """Pixels a unit at which every frame of a turn fits into width x height pixels."""
    some = cloud.points[::40].T
    extents = [np.ptp(VIEW[:2] @ turned @ some, axis=1) for turned in rotations]
    return float(min(min(width / x, height / y) for x, y in extents))


# ---------------------------------------------------------------------------------------- files


def jpeg(pixels: Pixels) -> bytes:
    """An ordinary photo."""
    return saved_jpeg(Image.fromarray(pixels))


def saved_jpeg(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    """The image's bytes as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif or Image.Exif())
    return buffer.getvalue()


def truncated(pixels: Pixels) -> bytes:
    """A JPEG that ends in the middle."""
    whole = jpeg(pixels)
    return whole[: len(whole) // 2]


def empty(_: Pixels) -> bytes:
    """No bytes at all."""
    return b""


def text(_: Pixels) -> bytes:
    """Words under the name of a photo."""
    return b"This is a line of text, though its name ends in .jpg.\n"


def cmyk(pixels: Pixels) -> bytes:
    """A JPEG in the colours of print."""
    return saved_jpeg(Image.fromarray(pixels).convert("CMYK"))


def exif_rotated(pixels: Pixels) -> bytes:
    """A JPEG stored lying on its left side, with the EXIF orientation that sets it upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return saved_jpeg(Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90), exif)


def grey16(pixels: Pixels) -> bytes:
    """A grey PNG of 16 bits a pixel."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey * np.uint16(257)).save(buffer, "PNG")
    return buffer.getvalue()


def palette_alpha(pixels: Pixels) -> bytes:
    """A PNG with a palette whose last colour, black, is transparent and stands for the white."""
    image = Image.fromarray(pixels).quantize(255)
    palette = (image.getpalette() or [])[: 255 * 3]
    index = np.array(image)
    index[(pixels == 255).all(axis=-1)] = 255
    result = Image.fromarray(index)
    result.putpalette(palette + [0] * (256 * 3 - len(palette)))
    buffer = io.BytesIO()
    result.save(buffer, "PNG", transparency=bytes([255] * 255 + [0]))
    return buffer.getvalue()


def oversized(pixels: Pixels) -> bytes:
    """A PNG of 25,000 x 25,000 pixels, one bit each: the silhouette, enlarged row by row."""
    times = 250
    white = (pixels > 250).all(axis=-1)
    side = len(white) * times
    press = zlib.compressobj(9)
    body = bytearray()
    for line in white:
        row = b"\0" + np.packbits(line.repeat(times)).tobytes()  # filter "none", then the pixels
        for _ in range(times):
            body += press.compress(row)
    body += press.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # 1 bit, grey, not interlaced
    chunks = [(b"IHDR", header), (b"IDAT", bytes(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


ENCODERS: dict[str, Callable[[Pixels], bytes]] = {
    "truncated": truncated,
    "empty": empty,
    "text": text,
    "cmyk": cmyk,
    "exif_rotated": exif_rotated,
    "grey16": grey16,
    "palette_alpha": palette_alpha,
    "oversized": oversized,
}


@dataclass(frozen=True)
class Frame:
    """A photo to take: its path below the sample's folder, and the fruit's rotation."""

    path: str
    turned: Array


def turn(name: str, lying: bool) -> list[Frame]:
    """The frames of one full turn of a fruit."""
    count = LYING_FRAMES if lying else UPRIGHT_FRAMES
    pose = rotation("x", 90) if lying else rotation("z", LEAN.get(name, 0))
    frames = []
    for index in range(count):
        number = round(index * FRAMES_PER_TURN / count)
        side = "Test" if index % TEST_EVERY == 2 else "Training"
        bare = f"{side}/{name}/{'r_' if lying else ''}{number}_100"
        path = f"{bare}.png" if f"{bare}.png" in ODD else f"{bare}.jpg"
        frames.append(Frame(path, rotation("y", number * 360 / FRAMES_PER_TURN) @ pose))
    return frames


def paths() -> set[str]:
    """Path of every file of the sample, below its folder."""
    turns = [turn(name, lying) for name in FRUITS for lying in (False, True)]
    return {frame.path for frames in turns for frame in frames} | set(DUPLICATES)


def files() -> dict[str, bytes]:
    """Every file of the sample by its path."""
    result: dict[str, bytes] = {}
    for name, fruit in FRUITS.items():
        cloud = Cloud.joined(fruit(np.random.default_rng([SEED, zlib.crc32(name.encode())])))
        for lying in (False, True):
            frames = turn(name, lying)
            scale = fitting_scale(cloud, [frame.turned for frame in frames])
            for frame in frames:
                encode = ENCODERS[ODD[frame.path]] if frame.path in ODD else jpeg
                result[frame.path] = encode(photograph(cloud, frame.turned, scale))
    return result | {copy: result[original] for copy, original in DUPLICATES.items()}


def foreign(folder: Path) -> Iterator[Path]:
    """Files below Training/ and Test/ of a folder that are not the sample's."""
    own = paths()
    for side in ("Training", "Test"):
        for path in sorted((folder / side).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in own:
                yield path


def main() -> None:
    """Draw the sample where the command line says."""
    parser = argparse.ArgumentParser(description="Draw the sample photos.")
    parser.add_argument(
        "--to",
        type=Path,
        default=Path(__file__).parent,
        metavar="FOLDER",
        help="where Training/ and Test/ are drawn anew (default: %(default)s)",
    )
    folder: Path = parser.parse_args().to
    for path in foreign(folder):
        parser.error(f"{path} is none of this script's files; it would be lost, so move it first")
    drawn = files()
    for side in ("Training", "Test"):
        if (folder / side).exists():
            shutil.rmtree(folder / side)
    for name, content in drawn.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"{len(drawn)} files, {sum(map(len, drawn.values())) / 1e6:.1f} MB, in {folder}")


if __name__ == "__main__":
    main()
