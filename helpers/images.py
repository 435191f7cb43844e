"""A photo's bytes become RGB pixels, or a reason why not. Pillow and NumPy only."""

import ctypes
import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, _imaging
from PIL.PngImagePlugin import PngImageFile

#: rises when any golden pixel changes
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
    "not_an_image": "no image format is recognised",
    "unsupported": "of a format, a mode or a packing in an archive that is not read here",
    "truncated": "the file breaks off",
    "undecodable": "the decoder refuses the file",
    "decode_limit": "decoding took too long, too much memory, or killed the process",
    "unreadable": "the bytes could not be read, or were not what the listing said",
}

# What Pillow's decoders raise on hostile bytes, beyond its own errors.
_DECODER_ERRORS = (
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

_TURNED = {
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

# By how much Pillow scales the grey of a shallow PNG: its transparent colour stays as it was.
_SHALLOW = {"1": 255, "L;2": 85, "L;4": 17}

_SILENT = logging.NullHandler()
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class RejectedError(Exception):
    """A photo that is refused: ``reason`` is a key of :data:`REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """What a photo may be: pixels (height x width), and longer side over shorter side."""

    pixels: int
    aspect: float


def opened(content: bytes, limits: Limits) -> Image.Image:
    """Open a photo by its header, and check it against the limits; nothing is decoded yet.

    Raises
    ------
    RejectedError
        If the bytes are no image, of no supported format, or beyond a limit.
    """
    if not content:
        raise RejectedError("empty", "0 bytes")
    with _quiet():
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError as error:
            found = re.search(r"\d+", str(error))
            count = f"{int(found[0]):,} pixels" if found else str(error)
            detail = f"{count}, above {limits.pixels:,}"
            raise RejectedError("too_many_pixels", detail) from error
        except UnidentifiedImageError as error:
            raise RejectedError(*_unidentified(content)) from error
        except _DECODER_ERRORS as error:
            raise RejectedError(*_refusal(error)) from error
    width, height = image.size
    if width * height > limits.pixels:
        detail = f"{width * height:,} pixels, above {limits.pixels:,}"
        raise RejectedError("too_many_pixels", detail)
    if max(image.size) > limits.aspect * min(image.size):
        raise RejectedError("extreme_aspect", f"{width} x {height} is above {limits.aspect:g} : 1")
    return image


def kind(image: Image.Image) -> str:
    """Format, mode and size of an opened photo, and whether its header says that it is turned.

    Nothing is decoded, so what stands behind the picture in a PNG is not known.
    """
    in_header = "exif" in image.info or image.format == "TIFF"
    with _quiet():
        turned = ", turned" if in_header and _orientation(image) in _TURNED else ""
    return f"{image.format} {image.mode} {image.width} x {image.height}{turned}"


def pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Decode an opened photo to RGB.

    The picture is turned as its EXIF orientation says. A height or a width above ``size`` is
    reduced to ``size`` by an antialiased bicubic filter, the aspect not kept; nothing is
    enlarged. Transparency lies over white, 16 bits are scaled to 8, of an animation the first
    frame counts.

    Parameters
    ----------
    image
        What :func:`opened` returned.
    size
        Greatest height and width of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    RejectedError
        If there is no such picture in the file.
    """
    with _quiet():
        try:
            scaled = None
            if image.width > size and image.height > size:
                least = math.ceil(DRAFT_FACTOR * size)
                scaled = image.draft(None, (least, least))
            _load(image)
            orientation = _orientation(image)
            rgb = _rgb(image)
            target = (min(rgb.width, size), min(rgb.height, size))
            if target != rgb.size:
                # At a DCT scale the last row and column may reach beyond the picture's edge.
                rgb = rgb.resize(target, FILTER, box=scaled[1] if scaled else None)
            if orientation in _TURNED:
                rgb = rgb.transpose(_TURNED[orientation])
            return np.asarray(rgb)
        except MemoryError as error:
            raise RejectedError("decode_limit", "not enough memory") from error
        except _DECODER_ERRORS as error:
            raise RejectedError(*_refusal(error)) from error


def visible(content: bytes, most: int) -> tuple[Image.Image, tuple[int, int]] | None:
    """What can be seen of a photo's file, as it is, to show it; None where there is nothing.

    Of a file that breaks off, the part that is there.

    Parameters
    ----------
    most
        Greatest width and height of the picture; a larger one is reduced.

    Returns
    -------
    picture, (width, height)
        The width and the height are the file's.
    """
    with _quiet():
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except _DECODER_ERRORS:
            return None
        size = image.size
        with suppress(*_DECODER_ERRORS, MemoryError):
            image.draft(None, (most, most))
            _load(image)
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = []  # nothing more to decode: what there is is shown
        try:
            shown = _rgb(image)
            shown.thumbnail((most, most))
        except (*_DECODER_ERRORS, RejectedError, MemoryError):
            return None
        return shown, size


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: what is wrong with a photo becomes a reason, not a line."""
    logging.getLogger("PIL").addHandler(_SILENT)  # else Python prints what nobody handles
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unidentified(content: bytes) -> tuple[str, str]:
    """Why Pillow does not know these bytes, by the signatures of all its formats."""
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "unsupported", "HEIF is not read here"
    Image.init()
    start = content[:16].ljust(16, b"\0")  # the tests of signatures index it
    for name, (_, accepts) in Image.OPEN.items():
        if accepts is not None and accepts(start):
            if name in FORMATS:
                return "undecodable", f"begins as {name}, but its header is damaged or of no use"
            return "unsupported", f"{name} is not read here"
    return "not_an_image", "no known image format begins like this"


def _refusal(error: BaseException) -> tuple[str, str]:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    cut = any(word in detail.lower() for word in _TRUNCATED)
    return "truncated" if cut else "undecodable", detail


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where the EXIF data does not say it or cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODER_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _load(image: Image.Image) -> None:
    """Decode, without libtiff's lines on standard error, and with 8-bit transparent colours."""
    if image.format == "TIFF":
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    if isinstance(image, PngImageFile) and image.tile and "transparency" in image.info:
        depth, colour = image.tile[0].args, image.info["transparency"]
        if depth == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in colour)
        elif depth in _SHALLOW:
            image.info["transparency"] = colour * _SHALLOW[depth]
    image.load()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # 65535 / 255 = 257: the whole range of 16 bits onto the whole range of 8.
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide + 128) // 257).astype(np.uint8)
        grey[wide == image.info.get("transparency", -1)] = 255  # of a PNG, over white
        return Image.fromarray(grey).convert("RGB")
    if image.mode in _UNSCALED_MODES:
        raise RejectedError("unsupported", f"pixels of mode {image.mode} have no stated range")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        pane = image.convert("RGBA")
        white = Image.new("RGBA", pane.size, "white")
        return Image.alpha_composite(white, pane).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
