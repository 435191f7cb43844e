"""Random pictures made from the training photos: the input of the student and of the teacher."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from training.photos import STORED_SIZE

# Shares of two kinds of picture; the rest are Fruits-360 photos on their white background.
PHONE_SHARE = 0.45
PASTED_SHARE = 0.30

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Sources:
    """The decoded training photos.

    Attributes
    ----------
    fruits
        Fruits on white, 100 x 100 pixels.
    phone
        Phone photos of any size.
    """

    fruits: list[Image.Image]
    phone: list[Image.Image]


def draw_picture(sources: Sources, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one random picture.

    It is a crop of a phone photo, such a crop with one to five fruits pasted on it, or a fruit on
    white. It is flipped, rotated and recolored at random. A color may be unnatural for the class,
    since the target is the teacher's answer to this picture, not the class.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB; height and width are from 64 to 224 pixels.
    """
    kind = rng.random()
    if kind < PHONE_SHARE:
        image = _crop_phone_photo(sources.phone, rng, min_area=0.06)
    elif kind < PHONE_SHARE + PASTED_SHARE:
        image = _paste_fruits(sources, rng)
    else:
        image = _place_on_white(_choose(sources.fruits, rng), rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(_recolor(image, rng))


def _choose(images: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    return images[int(rng.integers(len(images)))]


def _crop_phone_photo(
    images: list[Image.Image], rng: np.random.Generator, min_area: float
) -> Image.Image:
    """Crop a box of random area and aspect, and resize it to a random size."""
    image = _choose(images, rng)
    size = STORED_SIZE if rng.random() < 0.7 else int(rng.integers(64, STORED_SIZE + 1))
    width, height = image.size
    if rng.random() > 0.2:  # else the whole photo, as the pipeline sees it
        area = width * height * float(np.exp(rng.uniform(np.log(min_area), 0.0)))
        aspect = float(np.exp(rng.uniform(-0.35, 0.35)))
        width = min(width, max(8, round((area * aspect) ** 0.5)))
        height = min(height, max(8, round((area / aspect) ** 0.5)))
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    box = (left, top, left + width, top + height)
    return image.resize((size, size), FILTERS[int(rng.integers(len(FILTERS)))], box=box)


def _paste_fruits(sources: Sources, rng: np.random.Generator) -> Image.Image:
    """Paste one to five fruits, rotated and scaled, on a crop of a phone photo."""
    background = _crop_phone_photo(sources.phone, rng, min_area=0.02)
    if rng.random() < 0.5:
        background = background.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 4.0))))
    for _ in range(int(rng.integers(1, 6))):
        fruit = _cut_out(_choose(sources.fruits, rng))
        side = max(16, round(background.width * float(rng.uniform(0.25, 0.85))))
        fruit = fruit.resize((side, side), Image.Resampling.BICUBIC)
        fruit = fruit.rotate(float(rng.uniform(0, 360)), Image.Resampling.BILINEAR, expand=True)
        left, top = (
            int(rng.integers(-fruit.width // 3, background.width - fruit.width // 2))
            for _ in range(2)
        )
        background.paste(fruit, (left, top), fruit)
    return background


def _cut_out(image: Image.Image) -> Image.Image:
    """Make the white background transparent; highlights inside the fruit stay white."""
    solid = ndimage.binary_fill_holes(np.asarray(image).min(axis=2) < 235)
    mask = Image.fromarray(solid.astype(np.uint8) * 255)
    result = image.convert("RGBA")
    result.putalpha(mask.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.7)))
    return result


def _place_on_white(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Copy the photo or, two times in three, rotate, scale and move it on white."""
    if rng.random() < 1 / 3:
        return image.copy()
    angle, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-0.4, 0.5))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    center = np.array(image.size) / 2
    shift = center + rng.uniform(-0.12, 0.12, 2) * image.width
    x0 = shift[0] - cos * center[0] + sin * center[1]
    y0 = shift[1] - sin * center[0] - cos * center[1]
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (cos, -sin, x0, sin, cos, y0),
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )


def _recolor(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change hue, saturation, contrast, brightness and white balance at random."""
    if rng.random() < 0.3:
        hue, saturation, value = image.convert("HSV").split()
        shifted = (np.asarray(hue).astype(int) + int(rng.integers(256))) % 256
        hue = Image.fromarray(shifted.astype(np.uint8))
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
