"""Decode a photo's bytes to RGB pixels, or name the reason why that fails."""

import ctypes
import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, _imaging
from PIL.PngImagePlugin import PngImageFile

#: rises when the pixels of any photo change
PIXELS_VERSION = 1

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
FILTER = Image.Resampling.BICUBIC
#: a JPEG is decoded at the smallest DCT scale that keeps this many times IMAGE_SIZE
DRAFT_FACTOR = 1.5

REASONS = {
    "empty": "the file has no bytes",
    "too_large_file": "more bytes than MAX_BYTES; not read",
    "too_many_pixels": "more pixels than MAX_PIXELS, as its header says; not decoded",
    "extreme_aspect": "longer side over shorter side above MAX_ASPECT; not decoded",
    "not_an_image": "no image format is recognized",
    "unsupported": "of a format, a mode or a packing in an archive that is not read here",
    "truncated": "the file breaks off",
    "undecodable": "the decoder refuses the file",
    "decode_limit": "decoding took too long, too much memory, or killed the process",
    "unreadable": "the bytes could not be read, or were not what the listing said",
}

# What Pillow's decoders raise on hostile bytes, beyond its own errors.
DECODER_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    TypeError,
    SyntaxError,
    RuntimeError,
    AssertionError,
    struct.error,
    Image.DecompressionBombError,
)
_TRUNCATED = ("truncated", "unexpected end", "not enough", "eof")

ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_UNSCALED_MODES = ("I", "F")

# By how much Pillow scales the gray of a shallow PNG; it leaves the transparent color as it is.
_SHALLOW = {"1": 255, "L;2": 85, "L;4": 17}

_SILENT = logging.NullHandler()
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class RejectedError(Exception):
    """A photo is refused.

    Attributes
    ----------
    reason
        A key of :data:`REASONS`.
    detail
        Why, in a sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """The largest photo that is decoded.

    Attributes
    ----------
    pixels
        Height x width.
    aspect
        Longer side over shorter side.
    """

    pixels: int
    aspect: float


def open_image(content: bytes, limits: Limits) -> Image.Image:
    """Open a photo and check its header against the limits. Nothing is decoded yet.

    Raises
    ------
    RejectedError
        If the bytes are no image, if the format is not supported, or if a limit is exceeded.
    """
    if not content:
        raise RejectedError("empty", "0 bytes")
    with silence_pillow():
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError as error:
            found = re.search(r"\d+", str(error))
            count = f"{int(found[0]):,} pixels" if found else str(error)
            detail = f"{count}, above {limits.pixels:,}"
            raise RejectedError("too_many_pixels", detail) from error
        except UnidentifiedImageError as error:
            raise RejectedError(*_explain_unidentified(content)) from error
        except DECODER_ERRORS as error:
            raise RejectedError(*_explain(error)) from error
    width, height = image.size
    if width * height > limits.pixels:
        detail = f"{width * height:,} pixels, above {limits.pixels:,}"
        raise RejectedError("too_many_pixels", detail)
    if max(image.size) > limits.aspect * min(image.size):
        raise RejectedError("extreme_aspect", f"{width} x {height} is above {limits.aspect:g} : 1")
    return image


def decode_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Decode an opened photo to RGB.

    The picture is rotated as its EXIF orientation says. A height or a width above ``size`` is
    reduced to ``size`` by an antialiased bicubic filter, so the aspect is not kept. Nothing is
    enlarged. Transparent pixels are laid over white, 16 bits are scaled to 8, and an animation
    gives its first frame.

    Parameters
    ----------
    image
        What :func:`open_image` returned.
    size
        Largest height and width of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    RejectedError
        If the file holds no such picture.
    """
    with silence_pillow():
        try:
            scaled = None
            if image.width > size and image.height > size:
                least = math.ceil(DRAFT_FACTOR * size)
                scaled = image.draft(None, (least, least))
            load_image(image)
            orientation = read_orientation(image)
            rgb = convert_rgb(image)
            target = (min(rgb.width, size), min(rgb.height, size))
            if target != rgb.size:
                # At a DCT scale the last row and column may reach beyond the picture's edge.
                rgb = rgb.resize(target, FILTER, box=scaled[1] if scaled else None)
            if orientation in ROTATIONS:
                rgb = rgb.transpose(ROTATIONS[orientation])
            return np.asarray(rgb)
        except MemoryError as error:
            raise RejectedError("decode_limit", "not enough memory") from error
        except DECODER_ERRORS as error:
            raise RejectedError(*_explain(error)) from error


@contextmanager
def silence_pillow() -> Iterator[None]:
    """Silence Pillow's warnings: what is wrong with a photo becomes a reason instead."""
    logging.getLogger("PIL").addHandler(_SILENT)  # else Python prints them to stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _explain_unidentified(content: bytes) -> tuple[str, str]:
    """Find why Pillow cannot identify these bytes: compare them with every format's signature."""
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "unsupported", "HEIF is not read here"
    Image.init()
    start = content[:16].ljust(16, b"\0")  # the tests of signatures index it
    for name, (_, accepts) in Image.OPEN.items():
        if accepts is not None and accepts(start):
            if name in FORMATS:
                return "undecodable", f"begins as {name}, but its header is damaged or unusable"
            return "unsupported", f"{name} is not read here"
    return "not_an_image", "no known image format begins like this"


def _explain(error: BaseException) -> tuple[str, str]:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    cut = any(word in detail.lower() for word in _TRUNCATED)
    return "truncated" if cut else "undecodable", detail


def read_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 where the EXIF data has none or cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) else 1


def load_image(image: Image.Image) -> None:
    """Decode an opened picture; libtiff prints nothing, and a transparent color has 8 bits."""
    if image.format == "TIFF":
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    if isinstance(image, PngImageFile) and image.tile and "transparency" in image.info:
        depth, color = image.tile[0].args, image.info["transparency"]
        if depth == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in color)
        elif depth in _SHALLOW:
            image.info["transparency"] = color * _SHALLOW[depth]
    image.load()


def convert_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture to RGB.

    Raises
    ------
    RejectedError
        If the range of its values is not known.
    """
    if image.mode.startswith("I;16"):
        # 65535 / 255 = 257: the whole range of 16 bits becomes the whole range of 8.
        wide = np.asarray(image).astype(np.uint32)
        gray = ((wide + 128) // 257).astype(np.uint8)
        gray[wide == image.info.get("transparency", -1)] = 255  # of a PNG, over white
        return Image.fromarray(gray).convert("RGB")
    if image.mode in _UNSCALED_MODES:
        raise RejectedError("unsupported", f"pixels of mode {image.mode} have no stated range")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        pane = image.convert("RGBA")
        white = Image.new("RGBA", pane.size, "white")
        return Image.alpha_composite(white, pane).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
