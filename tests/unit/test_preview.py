"""Photos described and shown as they are, whether they can be used or not."""

from collections.abc import Callable

import numpy as np
import pytest
from harness.pictures import FORMATS, draw_photo, draw_scene
from PIL import ExifTags, Image, ImageFile

from helpers.photos.decode import Limits, open_image
from helpers.photos.preview import describe, preview

LIMITS = Limits(pixels=100_000_000, aspect=20.0)

Encode = Callable[..., bytes]

pytestmark = pytest.mark.filterwarnings("error")


def show(content: bytes) -> tuple[Image.Image, tuple[int, int]]:
    shown = preview(content, 400)
    assert shown is not None
    return shown


# Previews


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_photo_is_shown_whole(kind: str, encoded: Encode) -> None:
    picture, size = show(encoded(draw_scene(), kind))
    assert (picture.size, picture.mode, size) == ((97, 61), "RGB", (97, 61))
    expected = np.asarray(draw_scene()).astype(int)
    assert np.abs(np.asarray(picture) - expected).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_upper_part_of_a_broken_photo_is_shown(kind: str, encoded: Encode) -> None:
    content = encoded(draw_photo(320, 240), kind)
    picture, _ = show(content[: len(content) // 2])
    top = np.asarray(picture)[:80].astype(int) - np.asarray(draw_photo(320, 240))[:80]
    assert np.abs(top).mean() < 12


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\xff\xd8\xff", b"II*\0", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_a_file_without_a_picture_has_no_preview(content: bytes) -> None:
    assert preview(content, 400) is None


def test_a_picture_that_cannot_be_converted_has_no_preview(encoded: Encode) -> None:
    assert preview(encoded(Image.new("F", (3, 2)), "TIFF"), 400) is None


def test_half_a_webp_has_no_preview(encoded: Encode) -> None:
    content = encoded(draw_scene(), "WEBP")
    assert preview(content[: len(content) // 2], 400) is None


def test_sixteen_bits_of_gray_are_shown_as_they_are_decoded(encoded: Encode) -> None:
    picture, _ = show(encoded(Image.new("I;16", (3, 2), 0x8001), "TIFF"))
    assert picture.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_photo_is_shown_small(kind: str, encoded: Encode) -> None:
    picture, size = show(encoded(draw_scene().resize((1200, 600)), kind))
    assert (picture.size, size) == ((400, 200), (1200, 600))


# Kinds


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_is_described_without_decoding_it(kind: str, encoded: Encode) -> None:
    """Decoding here would bypass the sandbox and the rule for transparent colors."""
    image = open_image(encoded(draw_scene(), kind), LIMITS)
    assert isinstance(image, ImageFile.ImageFile)
    before = list(image.tile)  # what is left to decode
    assert describe(image) == f"{kind} {image.mode} 97 x 61"
    assert image.tile == before
    if kind == "PNG":
        assert before


def test_the_description_says_that_a_photo_is_rotated(encoded: Encode) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = encoded(draw_scene(), "JPEG", exif=exif)
    assert describe(open_image(content, LIMITS)) == "JPEG RGB 97 x 61, rotated"
