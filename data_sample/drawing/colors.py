"""Colors: sRGB and linear RGB, and paint laid over them.

Light adds up in linear RGB, so colors are painted and lit in linear RGB and become sRGB at the end.
A color is given as a hex code of sRGB such as "#c81e1e". Both formulas are those of IEC 61966-2-1.
"""

import numpy as np

from drawing.vectors import Array, Pixels


def decode_srgb(hex_code: str) -> Array:
    """Return the linear RGB of a hex code, (3,), from 0 to 1."""
    srgb = np.array([int(hex_code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encode_srgb(colors: Array) -> Pixels:
    """Return the sRGB bytes of linear RGB (..., 3), which is clipped to 0 to 1; the same shape."""
    clipped: Array = np.clip(colors, 0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def fill(grid: Array, hex_code: str) -> Array:
    """Return one color for every point of a grid (rows, columns, 3); the same shape."""
    return np.broadcast_to(decode_srgb(hex_code), grid.shape)


def paint(colors: Array, hex_code: str, opacity: Array | float) -> Array:
    """Return the colors (..., 3) with another laid over them.

    ``opacity`` (...) is clipped to 0 to 1.
    """
    mixed: Array = colors + (decode_srgb(hex_code) - colors) * np.clip(opacity, 0, 1)[..., None]
    return mixed
