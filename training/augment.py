"""Random pictures made of the training photos: what the student sees and the teacher explains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from training.photos import STORED_SIZE

# Shares of the three kinds of picture; the rest are Fruits-360 photos on their white ground.
PHONE_SHARE = 0.45
PASTED_SHARE = 0.30

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Sources:
    """The decoded training photos: fruits on white (100x100) and phone photos (any size)."""

    fruits: list[Image.Image]
    phone: list[Image.Image]


def draw_picture(sources: Sources, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one random picture.

    It is a crop of a phone photo, such a crop with one to five fruits pasted on it, or a fruit on
    white; flipped, turned and recoloured at random. Colours may leave what is natural for the
    class: the target is the teacher's answer to the very same picture, not the class.

    Returns
    -------
    uint8 array (height, width, 3), RGB, both sides between 64 and 224 pixels.
    """
    kind = rng.random()
    if kind < PHONE_SHARE:
        image = _phone_crop(sources.phone, rng, least_area=0.06)
    elif kind < PHONE_SHARE + PASTED_SHARE:
        image = _pasted(sources, rng)
    else:
        image = _fruit_on_white(_choice(sources.fruits, rng), rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(_recolour(image, rng))


def _choice(images: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    return images[int(rng.integers(len(images)))]


def _phone_crop(
    images: list[Image.Image], rng: np.random.Generator, least_area: float
) -> Image.Image:
    """Crop a box of random area and aspect and bring it to a random stored size."""
    image = _choice(images, rng)
    size = STORED_SIZE if rng.random() < 0.7 else int(rng.integers(64, STORED_SIZE + 1))
    width, height = image.size
    if rng.random() > 0.2:  # else the whole photo, as the pipeline sees it
        area = width * height * float(np.exp(rng.uniform(np.log(least_area), 0.0)))
        aspect = float(np.exp(rng.uniform(-0.35, 0.35)))
        width = min(width, max(8, round((area * aspect) ** 0.5)))
        height = min(height, max(8, round((area / aspect) ** 0.5)))
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    box = (left, top, left + width, top + height)
    return image.resize((size, size), FILTERS[int(rng.integers(len(FILTERS)))], box=box)


def _pasted(sources: Sources, rng: np.random.Generator) -> Image.Image:
    """Paste one to five fruits, turned and scaled, on a crop of a phone photo."""
    ground = _phone_crop(sources.phone, rng, least_area=0.02)
    if rng.random() < 0.5:
        ground = ground.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 4.0))))
    for _ in range(int(rng.integers(1, 6))):
        fruit = _cut_out(_choice(sources.fruits, rng))
        side = max(16, round(ground.width * float(rng.uniform(0.25, 0.85))))
        fruit = fruit.resize((side, side), Image.Resampling.BICUBIC)
        fruit = fruit.rotate(float(rng.uniform(0, 360)), Image.Resampling.BILINEAR, expand=True)
        left, top = (
            int(rng.integers(-fruit.width // 3, ground.width - fruit.width // 2)) for _ in range(2)
        )
        ground.paste(fruit, (left, top), fruit)
    return ground


def _cut_out(image: Image.Image) -> Image.Image:
    """Make the white ground transparent; white inside the fruit (highlights) stays."""
    solid = ndimage.binary_fill_holes(np.asarray(image).min(axis=2) < 235)
    mask = Image.fromarray(solid.astype(np.uint8) * 255)
    result = image.convert("RGBA")
    result.putalpha(mask.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.7)))
    return result


def _fruit_on_white(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the photo as it is or, two times in three, turned, scaled and moved on white."""
    if rng.random() < 1 / 3:
        return image.copy()
    angle, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-0.4, 0.5))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    centre = np.array(image.size) / 2
    shift = centre + rng.uniform(-0.12, 0.12, 2) * image.width
    x0 = shift[0] - cos * centre[0] + sin * centre[1]
    y0 = shift[1] - sin * centre[0] - cos * centre[1]
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (cos, -sin, x0, sin, cos, y0),
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )


def _recolour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change hue, saturation, contrast, brightness and white balance at random."""
    if rng.random() < 0.3:
        hue, saturation, value = image.convert("HSV").split()
        turned = (np.asarray(hue).astype(int) + int(rng.integers(256))) % 256
        hue = Image.fromarray(turned.astype(np.uint8))
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if rng.random() < 0.7:
        image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.8:
        levels = np.linspace(0.0, 1.0, 256)[None, :]
        gamma = np.exp(rng.uniform(-0.4, 0.4))
        gain = np.exp(rng.uniform(-0.25, 0.25) + rng.uniform(-0.12, 0.12, (3, 1)))
        curves = np.clip(gain * levels**gamma, 0.0, 1.0) * 255
        image = image.point(np.rint(curves).astype(int).ravel().tolist())
    if rng.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.5))))
    return image
