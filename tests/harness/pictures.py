"""Pictures for tests, drawn from numbers alone."""

import numpy as np
from PIL import Image, ImageDraw

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")


def draw_scene(width: int = 97, height: int = 61) -> Image.Image:
    """Draw gradients and an edge; every corner has another color."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))
    ImageDraw.Draw(image).ellipse((width // 5, height // 4, width // 2, height // 2), "red")
    return image


def draw_photo(width: int, height: int) -> Image.Image:
    """Draw what a camera would take: soft shapes, an edge and some noise."""
    rough = np.random.default_rng(0).integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    image = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), "orange")
    noise = np.random.default_rng(1).normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
