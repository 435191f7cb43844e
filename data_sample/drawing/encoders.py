"""Encoders: the pixels of a photo, (height, width, 3) of sRGB, become the bytes of a file."""

import io
import struct
import zlib

import numpy as np
from PIL import ExifTags, Image

from drawing.vectors import Pixels

JPEG_QUALITY = 92


def encode_jpeg(pixels: Pixels) -> bytes:
    """Encode an ordinary photo."""
    return save_jpeg(Image.fromarray(pixels))


def save_jpeg(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    """Return an image as a JPEG with its EXIF tags."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif or Image.Exif())
    return buffer.getvalue()


def encode_truncated_jpeg(pixels: Pixels) -> bytes:
    """Encode the first half of a JPEG."""
    whole = encode_jpeg(pixels)
    return whole[: len(whole) // 2]


def encode_nothing(_: Pixels) -> bytes:
    """Return no bytes."""
    return b""


def encode_text(_: Pixels) -> bytes:
    """Return a line of text."""
    return b"This is a line of text, though its name ends in .jpg.\n"


def encode_cmyk_jpeg(pixels: Pixels) -> bytes:
    """Encode a JPEG in CMYK, the colors of print."""
    return save_jpeg(Image.fromarray(pixels).convert("CMYK"))


def encode_rotated_jpeg(pixels: Pixels) -> bytes:
    """Encode a JPEG stored on its side, whose EXIF orientation sets it upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # rotate by 90 degrees clockwise to view
    return save_jpeg(Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90), exif)


def encode_gray_png(pixels: Pixels) -> bytes:
    """Encode a gray PNG with 16 bits per pixel."""
    gray = np.asarray(Image.fromarray(pixels).convert("L"), np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(gray * np.uint16(257)).save(buffer, "PNG")
    return buffer.getvalue()


def encode_palette_png(pixels: Pixels) -> bytes:
    """Encode a PNG with a palette, whose last color is a transparent black in place of white."""
    image = Image.fromarray(pixels).quantize(255)
    palette = (image.getpalette() or [])[: 255 * 3]
    index = np.array(image)
    index[(pixels == 255).all(axis=-1)] = 255
    result = Image.fromarray(index)
    result.putpalette(palette + [0] * (256 * 3 - len(palette)))
    buffer = io.BytesIO()
    result.save(buffer, "PNG", transparency=bytes([255] * 255 + [0]))
    return buffer.getvalue()


def encode_oversized_png(pixels: Pixels) -> bytes:
    """Encode the silhouette, enlarged 250 times, as a PNG with one bit per pixel.

    It is written row by row: the pixels of the whole would need 600 MB.
    """
    times = 250
    white = (pixels > 250).all(axis=-1)
    side = len(white) * times
    compressor = zlib.compressobj(9)
    body = bytearray()
    for line in white:
        row = b"\0" + np.packbits(line.repeat(times)).tobytes()  # filter 0 (none), then the pixels
        for _ in range(times):
            body += compressor.compress(row)
    body += compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # 1 bit, gray, not interlaced
    chunks = [(b"IHDR", header), (b"IDAT", bytes(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
