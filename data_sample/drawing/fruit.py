"""The fruit of each class, as a cloud of points.

A model draws its random numbers in the order of its lines: another order gives another picture.
"""

from dataclasses import dataclass

import numpy as np

from drawing.body import Body
from drawing.colors import fill, paint
from drawing.patterns import find_nearest, sample_noise, scatter_directions, smoothstep
from drawing.shapes import Cloud, make_leaf, make_stem, make_tube
from drawing.vectors import Random, Triple, make_rotation, make_vector


@dataclass(frozen=True)
class Apple:
    """An apple: a ground color, and a flush in streaks on the side towards the sun."""

    ground: str  # hex code
    flush: str  # hex code
    deep_flush: str  # hex code of the flush where it is strongest
    amount: float  # of the flush, -1 to 1
    streaks: float  # strength of the streaks, from 0
    russet: float  # opacity of the brown about the stem, 0 to 1
    height: float  # half the height of the body

    def model(self, rng: Random) -> Cloud:
        """Model the apple, with its stem."""
        body = Body((1, self.height, 0.97), self.ground, rng)
        body.taper([-1, -0.4, 0.3, 1], [0.86, 0.96, 1.02, 1.03])
        body.add_ribs(5, 0.022)
        body.add_lumps(0.03)
        body.dent(0.40, 0.32)
        body.dent(0.22, 0.30, upper=False)
        sun = body.compute_cosine(0.80, 0.25, 0.55)
        streak = body.sample_noise((15, 1.6, 15))
        flush = self.amount + sun + 0.45 * body.sample_noise(2) + self.streaks * streak
        off_stem = 1 - 0.85 * body.mask_stem(0.42, 0.1)
        body.paint(self.flush, smoothstep(-0.55, 0.75, flush) * off_stem)
        body.paint(self.deep_flush, 0.8 * smoothstep(0.35, 1.5, sun + self.amount + 0.7 * streak))
        body.paint("#8a9a3c", 0.7 * body.mask_stem(0.36, 0.1))
        russet = body.sample_noise(4, octaves=5) + 1.1 * body.mask_stem(0.5, 0.1)
        body.paint("#8d6a34", self.russet * smoothstep(0.2, 1.5, russet))
        body.paint("#dfbd84", 0.32 * body.mask_specks(380, 0.004, 0.016))
        body.paint("#4b3519", 0.9 * body.mask_bottom(0.16, 0.05))
        displacement = 0.004 * body.sample_noise(5) - 0.02 * body.mask_bottom(0.2, 0.05)
        skin = body.make_cloud(0.66, displacement)
        return Cloud.join([skin, make_stem(body.top, (0.14, 0.56, 0.05), 0.045, rng)])


@dataclass(frozen=True)
class Citrus:
    """A citrus fruit: pores, a green button at the stem, its ends pressed in or drawn out."""

    ripe: str  # hex code
    unripe: str  # hex code
    pore: str  # hex code
    radii: Triple
    pore_count: int
    pore_depth: float
    nipple: float  # how far the lower end is drawn out; 0: both ends are pressed in
    unripeness: float  # opacity of the unripe color, 0 to 1
    gloss: float  # 0 to 1

    def model(self, rng: Random) -> Cloud:
        """Model the citrus fruit, with its stem."""
        body = Body(self.radii, self.ripe, rng)
        body.add_lumps(0.035)
        if self.nipple:
            body.dent(-0.55 * self.nipple, 0.30)
            body.dent(-self.nipple, 0.24, upper=False)
        else:
            body.dent(0.07, 0.30)
            body.dent(0.05, 0.14, upper=False)
        spacing = float((4 * np.pi / self.pore_count) ** 0.5)
        centers = scatter_directions(self.pore_count, 0.1 * spacing, rng)
        angle, nearest = find_nearest(body.directions, centers)
        pore = smoothstep(0.45, 0.05, angle / spacing)
        depth = rng.uniform(0, 1, self.pore_count).astype(np.float32)[nearest]
        green = body.sample_noise(1.6) + 0.5 * body.compute_cosine(0.7, 0.3, -0.6)
        scar = smoothstep(0.75, 1.15, body.sample_noise((7, 4, 7), octaves=4))
        edge = body.axis_distance + 0.02 * body.sample_noise(12)
        button = smoothstep(0.13, 0.09, edge) * body.upper
        body.paint(self.unripe, self.unripeness * smoothstep(-0.7, 1.2, green))
        blotch = smoothstep(0.2, 1.2, body.sample_noise(4))
        body.paint(self.pore, 0.35 * pore * depth + 0.25 * blotch)
        body.paint("#b98c48", 0.5 * scar)
        body.paint("#4d6b2b", button)
        body.paint("#6d4a20", 0.9 * body.mask_bottom(0.075, 0.03))
        folds = 0.02 * np.cos(9 * body.azimuth) * body.mask_stem(0.4, 0.12)
        displacement = folds - self.pore_depth * pore + 0.006 * body.sample_noise(6) - 0.012 * scar
        skin = body.make_cloud(self.gloss * (1 - 0.8 * button), displacement)
        return Cloud.join([skin, make_stem(body.top, (0.015, 0.07, 0.01), 0.05, rng, "#6b6a35")])


def model_avocado(rng: Random) -> Cloud:
    """Model an avocado: dark green, pebbled, purple on one side."""
    body = Body((0.80, 1.10, 0.78), "#34491c", rng)
    body.taper([-1.1, -0.5, 0.1, 0.6, 1.1], [1.0, 1.04, 0.93, 0.76, 0.70])
    body.add_lumps(0.03)
    pebble = body.sample_noise(17, octaves=2)
    side = body.compute_cosine(0.7, -0.3, 0.6)
    purple = smoothstep(0.0, 1.1, side + 0.5 * body.sample_noise(2))
    body.paint("#1d2c11", 0.4 + 0.5 * body.sample_noise(4))
    body.paint("#2b1a1e", 0.75 * purple)
    body.paint("#6f8a3c", 0.55 * smoothstep(0.35, 0.9, pebble) * (1 - 0.7 * purple))
    body.paint("#a5874a", 0.9 * body.mask_stem(0.09, 0.05))
    skin = body.make_cloud(0.42, 0.014 * pebble)
    return Cloud.join([skin, make_stem(body.top, (0.02, 0.06, 0), 0.06, rng, "#7a5a2c")])


def model_banana(rng: Random) -> Cloud:
    """Model a ripe banana: a five-edged section, brown flecks, its stem to the right."""
    s = np.linspace(0, 1, 700)
    bend = np.radians(np.interp(s, [0, 1], [-58, 54]))
    reach = 1.25 * (1.0 + 0.16 * smoothstep(0.8, 1.0, s))
    path = np.stack([reach * np.sin(bend), -reach * np.cos(bend), 0 * s], axis=-1)
    knots = [0, 0.012, 0.03, 0.08, 0.2, 0.45, 0.72, 0.84, 0.905, 0.985, 0.995, 1]
    radii = [0.01, 0.07, 0.09, 0.20, 0.31, 0.34, 0.315, 0.21, 0.095, 0.10, 0.09, 0.005]
    padded = np.pad(np.interp(s, knots, radii), 5, mode="edge")
    grid = make_tube(path, np.convolve(padded, np.ones(11) / 11, "valid"), 420, edges=5)
    phi = np.linspace(0, 2 * np.pi, 420, endpoint=False)
    edge = np.broadcast_to(np.cos(5 * phi), grid.shape[:-1])
    blotch = sample_noise(grid, 3, rng)
    along = s[:, None] + 0.01 * blotch  # 0 at the tip, 1 at the end of the stem
    spots = sample_noise(grid, 13, rng, 2) + 0.25 * sample_noise(grid, 2.2, rng)
    fleck = smoothstep(0.62, 0.82, spots)
    colors = paint(fill(grid, "#eebf1f"), "#f6d84c", 0.5 + 0.5 * blotch)
    colors = paint(colors, "#c9951c", 0.55 * smoothstep(0.85, 1.0, edge))
    colors = paint(colors, "#a5b23a", 0.8 * smoothstep(0.74, 0.9, along))
    colors = paint(colors, "#9aa338", 0.5 * smoothstep(0.1, 0.03, along))
    colors = paint(colors, "#5b3412", 0.85 * fleck * smoothstep(0.9, 0.75, along))
    colors = paint(colors, "#7a4a14", 0.6 * smoothstep(0.6, 1.1, sample_noise(grid, 2.4, rng)))
    colors = paint(colors, "#24170d", smoothstep(0.035, 0.022, along))
    colors = paint(colors, "#4a3416", 0.9 * smoothstep(0.965, 0.985, along))
    return Cloud.from_grid(grid, colors, 0.22, 0.004 * sample_noise(grid, 18, rng, 2))


def model_grape(rng: Random) -> Cloud:
    """Model a white grape: translucent, faint veins, brown specks on one side, a waxy bloom."""
    body = Body((0.86, 1.0, 0.84), "#b9c062", rng)
    body.add_lumps(0.02)
    side = body.compute_cosine(0.5, -0.4, 0.75)
    amber = smoothstep(0.3, 1.1, side + 0.4 * body.sample_noise(3))
    bloom = smoothstep(0.1, 0.9, body.sample_noise(3, octaves=4))
    body.paint("#d7d488", 0.45 + 0.4 * body.sample_noise(2))
    vein = np.cos(7 * body.azimuth + 1.2 * body.sample_noise(2))
    body.paint("#e2e0a4", 0.3 * smoothstep(0.75, 1.0, vein))
    body.paint("#c9a24c", 0.5 * amber)
    body.paint("#7c5a24", 0.8 * smoothstep(0.55, 0.75, body.sample_noise(9, octaves=2)) * amber)
    body.paint("#e6eadc", 0.3 * bloom)
    body.paint("#5f4a22", 0.9 * smoothstep(0.1, 0.05, body.axis_distance))
    skin = body.make_cloud(0.8 - 0.4 * bloom, 0.003 * body.sample_noise(6), translucency=0.55)
    return Cloud.join([skin, make_stem(body.top, (0.03, 0.16, 0.02), 0.045, rng, "#8f9a4a")])


def model_kiwi(rng: Random) -> Cloud:
    """Model a kiwi: brown and matte, covered with short hairs."""
    body = Body((0.82, 1.0, 0.78), "#967547", rng)
    body.add_lumps(0.03)
    body.dent(-0.05, 0.14, upper=False)
    hair = body.sample_noise((55, 16, 55), octaves=2)
    patch = body.sample_noise(3)
    body.paint("#5a3f1d", 0.4 + 0.4 * patch + 0.4 * hair)
    body.paint("#cdb07a", 0.7 * smoothstep(0.35, 1.1, hair))
    body.paint("#6f7a3a", 0.35 * smoothstep(0.0, 0.9, body.compute_cosine(0.6, 0.2, 0.75)))
    body.paint("#33200e", 0.9 * smoothstep(0.14, 0.06, body.axis_distance + 0.02 * patch))
    ends = smoothstep(0.16, 0.1, body.axis_distance)
    displacement = 0.017 * hair + 0.01 * body.sample_noise(6) + 0.02 * ends
    return body.make_cloud(0.03, displacement)


def model_peach(rng: Random) -> Cloud:
    """Model a peach: yellow to crimson, downy, a furrow from stem to bottom."""
    body = Body((1.0, 0.93, 0.97), "#efb566", rng)
    body.add_lumps(0.03)
    body.cut_furrow(0.11, 0.16)
    body.dent(0.28, 0.26)
    body.dent(-0.05, 0.12, upper=False)
    sun = body.compute_cosine(0.6, 0.35, 0.7)
    mottle = body.sample_noise(9)
    red = sun + 0.5 * body.sample_noise(2) + 0.25 * mottle
    body.paint("#d85a48", smoothstep(-0.9, 0.9, red))
    crimson = sun + 0.45 * body.sample_noise(3) + 0.15 * mottle
    body.paint("#93162b", 0.85 * smoothstep(0.0, 1.4, crimson))
    body.paint("#d9b45a", 0.6 * body.mask_stem(0.3, 0.08))
    skin = body.make_cloud(0.05, 0.0025 * body.sample_noise(60, octaves=1))
    return Cloud.join([skin, make_stem(body.top, (0.02, 0.10, 0), 0.055, rng)])


def model_pear(rng: Random) -> Cloud:
    """Model a pear: green to yellow, dotted, brown about the stem, its neck leaning."""
    body = Body((0.84, 1.12, 0.82), "#b3b13c", rng)
    body.taper([-1.12, -0.5, 0.0, 0.45, 0.8, 1.12], [0.98, 1.04, 0.93, 0.70, 0.60, 0.62])
    body.points[..., 0] += 0.07 * smoothstep(0.0, 1.1, body.points[..., 1])
    body.add_lumps(0.04)
    body.dent(0.12, 0.22, upper=False)
    sun = body.compute_cosine(-0.75, 0.2, 0.6)
    russet = body.sample_noise(6, octaves=4) + 1.4 * smoothstep(0.5, 0.0, body.axis_distance)
    body.paint("#d6bf4f", 0.5 + 0.6 * body.sample_noise(2.2))
    body.paint("#c47a3a", 0.6 * smoothstep(0.35, 1.1, sun + 0.35 * body.sample_noise(3)))
    body.paint("#6f5a26", 0.75 * body.mask_specks(900, 0.007, 0.017))
    body.paint("#94692f", 0.75 * smoothstep(0.2, 0.8, russet))
    body.paint("#33230f", 0.9 * body.mask_bottom(0.15, 0.06))
    skin = body.make_cloud(0.28, 0.006 * body.sample_noise(7))
    return Cloud.join([skin, make_stem(body.top, (0.16, 0.42, 0.04), 0.045, rng)])


def model_plum(rng: Random) -> Cloud:
    """Model a plum: dark, red on one side, a furrow, a pale bloom that is rubbed off in places."""
    body = Body((0.9, 1.0, 0.88), "#2c1030", rng)
    body.add_lumps(0.03)
    body.cut_furrow(0.08, 0.15)
    body.dent(0.13, 0.2)
    wax = body.sample_noise(2.2, octaves=5) + 0.3 * body.directions[..., 1]
    rubbed = smoothstep(0.3, 0.7, body.sample_noise((2, 7, 5)))
    bloom = smoothstep(-0.7, 1.3, wax) * (1 - 0.8 * rubbed)
    red = body.compute_cosine(-0.7, 0.1, 0.7) + 0.4 * body.sample_noise(2)
    body.paint("#6b1230", smoothstep(-0.1, 1.0, red))
    body.paint("#8084ad", 0.6 * bloom)
    body.paint("#b98a86", 0.4 * body.mask_specks(500, 0.004, 0.012))
    skin = body.make_cloud(0.75 - 0.62 * bloom, 0.003 * body.sample_noise(9))
    return Cloud.join([skin, make_stem(body.top, (0.08, 0.32, 0), 0.035, rng, "#6f5a2c")])


def model_strawberry(rng: Random) -> Cloud:
    """Model a strawberry, tip down: seeds in pits, green sepals and a stem on top."""
    body = Body((0.86, 1.08, 0.80), "#c8101a", rng)
    body.taper([-1.1, -0.8, -0.2, 0.4, 1.1], [0.62, 0.70, 0.88, 1.06, 1.08])
    body.add_lumps(0.06)
    body.dent(0.16, 0.35)
    seeds = scatter_directions(190, 0.035, rng)
    angle, nearest = find_nearest(body.directions, seeds)
    offset = (body.directions - seeds[nearest]) * make_vector(1.55, 1, 1.55)
    seed = smoothstep(0.052, 0.036, np.linalg.norm(offset, axis=-1))
    pit = smoothstep(0.125, 0.045, angle)
    shade = rng.uniform(0, 1, len(seeds)).astype(np.float32)[nearest]
    pale = smoothstep(0.62, 1.02, body.directions[..., 1] + 0.15 * body.sample_noise(3))
    side = body.compute_cosine(-0.8, 0.3, -0.5) + 0.4 * body.sample_noise(2)
    body.paint("#94060f", 0.5 + 0.6 * body.sample_noise(2.5))
    body.paint("#e2452e", 0.55 * smoothstep(0.2, 1.0, side))
    body.paint("#f0b59a", 0.8 * pale)
    body.paint("#7d040c", 0.55 * pit * (1 - pale))
    body.paint("#e3b34a", seed)
    body.paint("#a8641c", seed * shade * 0.7)
    displacement = 0.034 * seed - 0.042 * pit + 0.008 * body.sample_noise(8)
    parts = [body.make_cloud(0.6, displacement, translucency=0.05)]
    for number in range(11):
        length, width = rng.uniform(0.55, 0.85), rng.uniform(0.22, 0.32)
        sepal = make_leaf(length, width, rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.85), rng)
        rotation = make_rotation("y", number * 360 / 11 + rng.uniform(-9, 9))
        parts.append(sepal.transform(rotation, body.top + make_vector(0, 0.03, 0)))
    return Cloud.join([*parts, make_stem(body.top, (0.16, 0.5, 0.05), 0.05, rng, "#6d9440")])


def model_watermelon(rng: Random) -> Cloud:
    """Model a watermelon: dark ragged stripes on light green, pale on the side it lay on."""
    body = Body((1.0, 0.97, 1.0), "#8fae58", rng)
    body.add_lumps(0.025)
    body.dent(0.05, 0.12)
    ragged = body.sample_noise((5, 9, 5), octaves=4)
    stripe = smoothstep(-0.15, 0.35, np.cos(10 * body.azimuth + 0.9 * ragged) + 0.45 * ragged)
    underside = body.compute_cosine(-0.8, -0.35, -0.48) + 0.06 * body.sample_noise(5)
    body.paint("#b3c67c", 0.4 + 0.5 * body.sample_noise(3))
    body.paint("#3f6a30", 0.5 * smoothstep(0.12, 0.02, np.abs(body.sample_noise((9, 5, 9)))))
    body.paint("#24502a", 0.93 * stripe)
    body.paint("#12300f", 0.5 * stripe * smoothstep(0.0, 0.8, ragged))
    body.paint("#e0cf84", 0.85 * smoothstep(0.72, 0.95, underside))
    body.paint("#6d6a3a", 0.8 * smoothstep(0.1, 0.05, body.axis_distance))
    skin = body.make_cloud(0.4, 0.004 * body.sample_noise(6))
    return Cloud.join([skin, make_stem(body.top, (0.12, 0.18, 0.03), 0.05, rng, "#7d7a3e")])
