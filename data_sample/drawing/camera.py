"""The camera: a cloud of points becomes a picture with light and shadow."""

from dataclasses import dataclass

import numpy as np

from drawing.colors import encode_srgb
from drawing.patterns import blur, smoothstep
from drawing.shapes import Cloud
from drawing.vectors import (
    Array,
    Indices,
    Mask,
    Pixels,
    make_rotation,
    make_unit_vector,
    make_vector,
)

SIZE = 100  # height and width of a picture in pixels
SUPERSAMPLING = 3  # a pixel is the mean of this many times as many, in each direction

# View space: x points right, y up in the picture, z towards the camera, 18 degrees above the fruit.
VIEW = make_rotation("x", 18)
UP = VIEW @ make_vector(0, 1, 0)
KEY_LIGHT = make_unit_vector(-0.48, 0.66, 0.58)  # a large softbox at the upper left
FILL_LIGHT = make_unit_vector(0.75, 0.10, 0.65)  # a weak light from the right
SOFTBOX_X = make_unit_vector(KEY_LIGHT[2], 0, -KEY_LIGHT[0])  # along the softbox's width
SOFTBOX_Y = np.cross(KEY_LIGHT, SOFTBOX_X)  # along its height


@dataclass(frozen=True)
class Camera:
    """A parallel projection of view space on a square picture."""

    center: Array  # (2,), x and y of the picture's middle
    scale: float  # pixels per unit of length
    side: int  # height and width of the picture in pixels

    def project(self, points: Array) -> tuple[Indices, Mask]:
        """Find the pixel of each point (n, 3).

        Returns its flat index, and whether it lies in the picture; both (n,).
        """
        half = self.side / 2
        x = np.floor(half + self.scale * (points[:, 0] - self.center[0])).astype(np.intp)
        y = np.floor(half - self.scale * (points[:, 1] - self.center[1])).astype(np.intp)
        return y * self.side + x, (x >= 0) & (x < self.side) & (y >= 0) & (y < self.side)

    def find_visible(self, points: Array) -> Indices:
        """Return the index of the point that each pixel shows, -1 for none; (side, side)."""
        pixel, inside = self.project(points)
        order = np.flatnonzero(inside)
        order = order[np.argsort(points[order, 2], kind="stable")]
        flat = np.full(self.side * self.side, -1, np.intp)
        flat[pixel[order]] = order  # the last point written to a pixel is the nearest
        visible = flat.reshape(self.side, self.side)
        for axis in (0, 1):  # close holes of one pixel between neighboring points
            before, after = np.roll(visible, 1, axis), np.roll(visible, -1, axis)
            visible = np.where((visible < 0) & (before >= 0) & (after >= 0), before, visible)
        return visible


def compute_occlusion(depth: Array, covered: Mask) -> Array:
    """Estimate the ambient occlusion of each pixel, from 0 to 1, in the shape of the arguments.

    It grows with the distance of a pixel behind its surroundings. ``depth`` is z in view space,
    ``covered`` says which pixels show the fruit; both are (height, width).
    """
    weight = np.maximum(blur(covered.astype(np.float32), 4), 1e-3)
    around = blur(np.where(covered, depth, 0), 4) / weight
    occlusion: Array = np.clip((around - depth) * 3.5, 0, 1)
    return occlusion


def shade(cloud: Cloud, index: Indices, view: Array, occlusion: Array) -> Array:
    """Return the light that n points of a cloud send to the camera, linear RGB (n, 3).

    The softbox lights the skin by Lambert's law, wrapped around the edge of the shadow; white
    surroundings light it by a hemisphere and a fill light. Highlights are the mirror image of the
    softbox, and a rim whose power is 4 where Schlick's approximation of Fresnel has 5.

    Parameters
    ----------
    index
        of the n points, (n,)
    view
        rotation of the cloud into view space, (3, 3)
    occlusion
        0 to 1, (n,)
    """
    normal = cloud.normals[index] @ view.T
    gloss, translucency = cloud.gloss[index], cloud.translucency[index]
    occlusion = occlusion * smoothstep(0.1, 0.6, normal[:, 2])  # none at the outline
    up = normal @ UP
    key = normal @ KEY_LIGHT
    wrap = 0.12 + 0.5 * translucency
    diffuse = 0.98 * np.clip((key + wrap) / (1 + wrap), 0, 1)
    ambient = 0.30 + 0.17 * up + 0.06 * np.clip(-up, 0, 1)
    ambient += 0.16 * np.clip(normal @ FILL_LIGHT, 0, 1)
    transmitted = 0.55 * translucency * np.clip(0.25 - key, 0, 1)
    light = diffuse * (1 - 0.45 * occlusion) + ambient * (1 - 0.85 * occlusion) + transmitted

    mirror = 2 * normal[:, 2:] * normal - make_vector(0, 0, 1)
    spread = 0.13 + 0.30 * (1 - gloss)
    facing = mirror @ KEY_LIGHT
    across, along = mirror @ SOFTBOX_X / spread, mirror @ SOFTBOX_Y / (1.25 * spread)
    softbox = np.exp(-(across**4) - along**4)
    sheen = np.clip(facing, 0, 1) ** 9
    rim = (1 - np.clip(normal[:, 2], 0, 1)) ** 4
    highlight = gloss * (0.75 * gloss * softbox * (facing > 0) + 0.10 * sheen + 0.16 * rim)
    highlight *= 1 - occlusion
    result: Array = cloud.colors[index] * light[:, None] + highlight[:, None]
    return result


def cast_shadow(points: Array, camera: Camera, direction: Array, falloff: float) -> Array:
    """Return the shadow that points (n, 3) cast on the ground, from 0 to 1; (side, side).

    ``direction`` (3,) points to the light. A point casts 1/e of a full shadow at the height
    ``falloff`` above the ground.
    """
    height = points @ UP
    height -= height.min()
    feet = points - (height / (direction @ UP))[:, None] * direction
    pixel, inside = camera.project(feet)
    shadow = np.zeros(camera.side * camera.side, np.float32)
    np.maximum.at(shadow, pixel[inside], np.exp(-height[inside] / falloff))
    return shadow.reshape(camera.side, camera.side)


def fade_border(side: int, width: int) -> Array:
    """Return 1 inside a square picture, falling to 0 over ``width`` pixels at its border."""
    line = np.arange(side, dtype=np.float32)
    line = smoothstep(0, width, np.minimum(line, line[::-1]))
    return np.outer(line, line)


def light_ground(points: Array, camera: Camera) -> Array:
    """Return the light of the white ground under points (n, 3), 1 without shadow; (side, side)."""
    contact = blur(cast_shadow(points, camera, UP, 0.22), 2) * fade_border(camera.side, 7)
    key = blur(cast_shadow(points, camera, KEY_LIGHT, 0.75), 4) * fade_border(camera.side, 20)
    light: Array = (1 - 0.62 * contact) * (1 - 0.36 * key)
    return light


def enlarge(image: Array) -> Array:
    """Repeat each pixel SUPERSAMPLING times in both directions."""
    return image.repeat(SUPERSAMPLING, axis=0).repeat(SUPERSAMPLING, axis=1)


def render(cloud: Cloud, rotation: Array, scale: float) -> Pixels:
    """Render a cloud after a rotation (3, 3) as sRGB on white, (SIZE, SIZE, 3).

    ``scale`` is in pixels per unit of length.
    """
    view = VIEW @ rotation
    points = cloud.points @ view.T
    x, y = points[:, 0], points[:, 1]
    center = np.array([x.min() + x.max(), y.min() + y.max() - 5 / scale], np.float32) / 2

    front = np.flatnonzero(cloud.normals @ view[2] > 0)
    fine = Camera(center, scale * SUPERSAMPLING, SIZE * SUPERSAMPLING)
    visible = fine.find_visible(points[front])
    covered = visible >= 0
    index = front[visible[covered]]
    depth = np.zeros(visible.shape, np.float32)
    depth[covered] = points[index, 2]
    middle = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
    occlusion = enlarge(compute_occlusion(depth[middle, middle], covered[middle, middle]))

    ground = enlarge(light_ground(points[::3], Camera(center, scale, SIZE)))
    picture = np.repeat(ground[..., None], 3, axis=-1)
    picture[covered] = np.minimum(shade(cloud, index, view, occlusion[covered]), 1)
    blocks = picture.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 3)
    return encode_srgb(blocks.mean(axis=(1, 3)))


def fit_scale(cloud: Cloud, rotations: list[Array], width: int = 90, height: int = 86) -> float:
    """Return the pixels per unit at which each rotation (3, 3) fits into width x height pixels."""
    some = cloud.points[::40].T
    extents = [np.ptp(VIEW[:2] @ rotation @ some, axis=1) for rotation in rotations]
    return float(min(min(width / x, height / y) for x, y in extents))
