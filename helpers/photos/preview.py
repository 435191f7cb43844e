"""Describe and show a photo's file as it is, whether it can be used or not."""

import io
from contextlib import suppress

from PIL import Image, ImageFile

from helpers.photos.decode import (
    DECODER_ERRORS,
    FORMATS,
    ROTATIONS,
    RejectedError,
    convert_rgb,
    load_image,
    read_orientation,
    silence_pillow,
)


def describe(image: Image.Image) -> str:
    """Describe an opened photo: format, mode, size, and whether its header says it is rotated.

    Nothing is decoded. So a rotation that a PNG names after its picture is not known.
    """
    in_header = "exif" in image.info or image.format == "TIFF"
    with silence_pillow():
        rotated = ", rotated" if in_header and read_orientation(image) in ROTATIONS else ""
    return f"{image.format} {image.mode} {image.width} x {image.height}{rotated}"


def preview(content: bytes, size: int) -> tuple[Image.Image, tuple[int, int]] | None:
    """Decode as much of a photo's file as can be shown; None if there is nothing to show.

    A file that breaks off gives the part that it holds.

    Parameters
    ----------
    content
        The file's bytes.
    size
        Largest width and height of the picture; a larger one is reduced.

    Returns
    -------
    picture, (width, height)
        Width and height are those of the file's picture.
    """
    with silence_pillow():
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except DECODER_ERRORS:
            return None
        full = image.size
        with suppress(*DECODER_ERRORS, MemoryError):
            image.draft(None, (size, size))
            load_image(image)
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = []  # nothing more to decode: show what there is
        try:
            shown = convert_rgb(image)
            shown.thumbnail((size, size))
        except (*DECODER_ERRORS, RejectedError, MemoryError):
            return None
        return shown, full
