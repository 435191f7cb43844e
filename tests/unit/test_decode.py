"""A photo's bytes become RGB pixels or a reason of rejection."""

import io
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.pictures import FORMATS, draw_photo, draw_scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from helpers.photos.decode import (
    DRAFT_FACTOR,
    FILTER,
    REASONS,
    Limits,
    RejectedError,
    decode_rgb,
    open_image,
)

LIMITS = Limits(pixels=100_000_000, aspect=20.0)
WHITE = [255, 255, 255]

Encode = Callable[..., bytes]

pytestmark = pytest.mark.filterwarnings("error")


def decode(content: bytes, size: int = 64, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Decode a photo and check the array, or the reason and detail of the error."""
    try:
        array = decode_rgb(open_image(content, limits), size)
    except RejectedError as error:
        require_documented(error)
        raise
    assert array.dtype == np.uint8
    assert array.ndim == 3
    assert array.shape[2] == 3
    assert 0 < min(array.shape[:2]) <= max(array.shape[:2]) <= size
    return array


def require_documented(error: RejectedError) -> None:
    assert error.reason in REASONS
    assert error.detail
    assert "\n" not in error.detail


def find_reason(content: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(RejectedError) as rejected:
        decode(content, limits=limits)
    return rejected.value.reason


def find_outcome(content: bytes) -> str:
    """Return ``pixels``, or the reason of the reject; any other error fails the test."""
    try:
        decode(content)
    except RejectedError as error:
        return error.reason
    return "pixels"


def make_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(
    width: int, height: int, depth: int, color: int, rows: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    """Make a PNG by hand, for depths that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*each) for each in chunks)


# Modes


@pytest.mark.parametrize(
    ("mode", "value", "kind", "expected"),
    [
        ("1", 1, "PNG", WHITE),
        ("1", 0, "TIFF", [0, 0, 0]),
        ("L", 77, "JPEG", [77, 77, 77]),
        ("L", 77, "BMP", [77, 77, 77]),
        ("LA", (77, 255), "PNG", [77, 77, 77]),
        ("LA", (77, 0), "PNG", WHITE),
        ("LA", (55, 51), "TIFF", [215, 215, 215]),
        ("RGB", (1, 2, 3), "PNG", [1, 2, 3]),
        ("RGB", (1, 2, 3), "GIF", [1, 2, 3]),
        ("RGBX", (1, 2, 3, 4), "TIFF", [1, 2, 3]),
        ("RGBA", (10, 20, 30, 255), "PNG", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "PNG", WHITE),
        ("RGBA", (0, 100, 250, 51), "PNG", [204, 224, 254]),
        ("RGBA", (0, 100, 250, 51), "TIFF", [204, 224, 254]),
        ("CMYK", (0, 255, 255, 0), "JPEG", [255, 0, 0]),
        ("CMYK", (10, 20, 30, 40), "TIFF", [207, 198, 190]),
        ("YCbCr", (128, 128, 128), "TIFF", [128, 128, 128]),
        ("YCbCr", (76, 85, 255), "TIFF", [254, 0, 0]),
        ("LAB", (255, 128, 128), "TIFF", [254, 255, 254]),
    ],
)
def test_every_mode_becomes_rgb(
    mode: str, value: object, kind: str, expected: list[int], encoded: Encode
) -> None:
    content = encoded(Image.new(mode, (3, 2), value), kind)  # type: ignore[arg-type]
    assert decode(content).tolist() == [[expected] * 3] * 2


def test_a_palette_becomes_its_colors(encoded: Encode) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decode(encoded(image, "PNG")).tolist() == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [(0, [WHITE, [40, 50, 60]]), (b"\xff\x33", [[10, 20, 30], [212, 214, 216]])],
)
def test_a_palette_with_transparency_lies_over_white(
    transparency: int | bytes, expected: list[list[int]], encoded: Encode
) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decode(encoded(image, "PNG", transparency=transparency)).tolist() == [expected]


def test_a_palette_with_alpha_lies_over_white(encoded: Encode) -> None:
    image = Image.new("PA", (1, 1), (1, 51))
    image.putpalette([0, 0, 0, 0, 100, 250])
    assert decode(encoded(image, "TIFF")).tolist() == [[[204, 224, 254]]]


@pytest.mark.parametrize(
    ("depth", "rows", "transparent", "expected"),
    [
        (1, b"\0\x40", 1, [0, 255]),
        (1, b"\0\x40", 0, [255, 255]),
        (2, b"\0\x18", 1, [0, 255, 170, 0]),
        (4, b"\0\x12\x3f", 2, [17, 255, 51, 255]),
        (8, b"\0\x07\x08", 7, [255, 8]),
        (16, b"\0\x40\x00\x40\x01", 0x4000, [255, 64]),
    ],
)
def test_the_transparent_gray_of_a_png_of_any_depth_becomes_white(
    depth: int, rows: bytes, transparent: int, expected: list[int]
) -> None:
    color = (b"tRNS", struct.pack(">H", transparent))
    content = make_png(len(expected), 1, depth, 0, rows, color)
    assert decode(content)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("depth", "kind"), [(8, ">3B"), (16, ">3H")])
def test_the_transparent_color_of_a_png_becomes_white(depth: int, kind: str) -> None:
    def widen(color: list[int]) -> list[int]:
        return color if depth == 8 else [value << 8 | 7 for value in color]

    transparent, other = [0x40, 0x20, 0x10], [0x40, 0x20, 0x11]
    row = struct.pack(kind, *widen(transparent)) + struct.pack(kind, *widen(other))
    color = (b"tRNS", struct.pack(">3H", *widen(transparent)))
    assert decode(make_png(2, 1, depth, 2, b"\0" + row, color)).tolist() == [[WHITE, other]]


def test_sixteen_bits_of_gray_are_scaled_exactly() -> None:
    values = np.arange(0, 65536, 257 * 3 + 1, dtype=np.uint16)
    content = make_png(len(values), 1, 16, 0, b"\0" + values.astype(">u2").tobytes())
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    wide = Limits(pixels=10_000, aspect=1_000.0)
    assert (decode(content, size=512, limits=wide)[0, :, 0] == expected).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_of_either_byte_order_are_the_same(mode: str, encoded: Encode) -> None:
    assert (decode(encoded(Image.new(mode, (3, 2), 0x8001), "TIFF")) == 128).all()


def test_sixteen_bits_a_color_become_eight() -> None:
    content = make_png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 0, 0x8080, 0xFFFF))
    assert decode(content).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_stated_range_are_unsupported(mode: str, encoded: Encode) -> None:
    assert find_reason(encoded(Image.new(mode, (3, 2), 1), "TIFF")) == "unsupported"


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str, encoded: Encode) -> None:
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(content)).n_frames == 3  # type: ignore[attr-defined]
    assert decode(content).tolist() == [[[255, 0, 0]] * 4] * 3


def test_a_camera_file_of_several_pictures_gives_its_first(encoded: Encode) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("white", "black")]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert (decode(content) == 255).all()


# Orientation

CORNERS = {  # orientation: where the first stored pixel is shown (row, column of -1, 0)
    1: (0, 0),
    2: (0, -1),
    3: (-1, -1),
    4: (-1, 0),
    5: (0, 0),
    6: (0, -1),
    7: (-1, -1),
    8: (-1, 0),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_rotates_the_picture(orientation: int, kind: str, encoded: Encode) -> None:
    image = Image.new("RGB", (48, 32), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = decode(encoded(image, kind, exif=exif))
    assert array.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))
    row, column = CORNERS[orientation]
    dark = [(y, x) for y in (0, -1) for x in (0, -1) if array[y, x].mean() < 128]
    assert dark == [(row, column)]


def test_each_side_of_a_rotated_picture_is_reduced(encoded: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(draw_scene(200, 40), "JPEG", exif=exif)).shape == (64, 40, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_rotates_nothing(orientation: int, encoded: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, odd = encoded(draw_scene(), "PNG"), encoded(draw_scene(), "PNG", exif=exif)
    assert (decode(odd) == decode(plain)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 40]
)
def test_broken_exif_does_not_lose_the_picture(exif: bytes, kind: str, encoded: Encode) -> None:
    plain, broken = encoded(draw_scene(), kind), encoded(draw_scene(), kind, exif=exif)
    assert (decode(broken) == decode(plain)).all()


def test_reference_photos_of_all_orientations_look_alike(reference: Path) -> None:
    folder = reference / "data" / "odd" / "exif-orientation"
    for shape in ("Landscape", "Portrait"):
        upright = decode((folder / f"{shape}_1.jpg").read_bytes()).astype(int)
        for orientation in range(2, 9):
            rotated = decode((folder / f"{shape}_{orientation}.jpg").read_bytes())
            assert np.abs(rotated - upright).mean() < 3, (shape, orientation)


# Size


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (64, 64, (64, 64)),
        (10, 7, (7, 10)),
        (200, 100, (64, 64)),
        (200, 40, (40, 64)),
        (40, 65, (64, 40)),
        (1, 1, (1, 1)),
    ],
)
def test_each_side_is_reduced_by_itself_and_never_enlarged(
    width: int, height: int, expected: tuple[int, int], encoded: Encode
) -> None:
    assert decode(encoded(draw_scene(width, height), "PNG")).shape[:2] == expected


def test_a_photo_that_fits_keeps_every_pixel(encoded: Encode) -> None:
    image = draw_scene(64, 50)
    assert (decode(encoded(image, "PNG")) == np.asarray(image)).all()


def test_reducing_is_pillows_antialiased_bicubic(encoded: Encode) -> None:
    image = draw_scene(201, 130)
    expected = image.resize((64, 64), Image.Resampling.BICUBIC)
    assert (decode(encoded(image, "PNG")) == np.asarray(expected)).all()


@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (900, 2000), (1793, 1795)])
def test_a_jpeg_decoded_at_a_scale_is_as_good_as_one_decoded_whole(
    width: int, height: int, encoded: Encode
) -> None:
    content = encoded(draw_photo(width, height), "JPEG", quality=90)
    whole = Image.open(io.BytesIO(content)).resize((224, 224), FILTER)
    difference = decode(content, size=224).astype(int) - np.asarray(whole)
    assert np.abs(difference).mean() < 1
    assert difference.any()  # else nothing was decoded at a scale


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_keeps_enough_pixels(
    scale: int, encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def note_size(image: Image.Image, *args: Any, **kwargs: Any) -> Image.Image:
        decoded.append(image.size)
        return resize(image, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", note_size)
    least = int(DRAFT_FACTOR * 64)
    side = least * scale
    decode(encoded(Image.new("RGB", (side, side)), "JPEG"))
    decode(encoded(Image.new("RGB", (side - 1, 2 * side)), "JPEG"))
    coarser, finer = decoded
    assert coarser == (least, least)
    assert least < finer[0] <= 2 * least


# Reasons


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"\0", "not_an_image"),
        (b"no image at all", "not_an_image"),
        (b"\0" * 4096, "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "not_an_image"),  # a video
        (b"SIMPLE  =                    T", "unsupported"),  # FITS
        (b"\0\0\1\0\1\0", "unsupported"),  # ICO
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported"),
        (b"8BPS\0\1", "unsupported"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "unsupported"),
        (b"\xff\xd8\xff", "undecodable"),
        (b"II*\0", "undecodable"),
        (b"GIF89a", "undecodable"),
    ],
)
def test_bytes_that_are_no_photo_have_a_reason(content: bytes, expected: str) -> None:
    assert find_reason(content) == expected


def test_the_detail_names_the_format_that_is_not_read(encoded: Encode) -> None:
    with pytest.raises(RejectedError, match="unsupported: PPM is not read here"):
        decode(encoded(draw_scene(), "PPM"))


def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + make_chunk(b"IHDR", header) + make_chunk(b"IDAT", b"")
    assert find_reason(content) == "too_many_pixels"


def test_the_limit_of_pixels_is_inclusive(encoded: Encode) -> None:
    content = encoded(draw_scene(30, 20), "PNG")
    assert decode(content, limits=Limits(600, 20.0)).shape == (20, 30, 3)
    assert find_reason(content, Limits(599, 20.0)) == "too_many_pixels"


def test_the_limit_of_aspect_is_inclusive(encoded: Encode) -> None:
    content = encoded(Image.new("RGB", (4, 10)), "PNG")
    assert decode(content, limits=Limits(100, 2.5)).shape == (10, 4, 3)
    assert find_reason(content, Limits(100, 2.49)) == "extreme_aspect"


def test_a_strip_is_refused(encoded: Encode) -> None:
    for size in ((1, 20_000), (20_000, 1)):
        assert find_reason(encoded(Image.new("L", size), "PNG")) == "extreme_aspect"


def test_nothing_is_decoded_beyond_a_limit(
    encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Image.Image) -> None:
        raise AssertionError("decoded")

    content = encoded(draw_scene(), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert find_reason(content, Limits(10, 20.0)) == "too_many_pixels"
    assert find_reason(content, Limits(10_000, 1.0)) == "extreme_aspect"


def test_a_photo_that_needs_too_much_memory_is_beyond_the_decode_limit(
    encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Image.Image) -> None:
        raise MemoryError

    content = encoded(draw_scene(), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert find_reason(content) == "decode_limit"


def test_the_bytes_say_what_format_a_file_is(encoded: Encode) -> None:
    assert (decode(encoded(draw_scene(60, 40), "BMP")) == np.asarray(draw_scene(60, 40))).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_with_a_huge_text_is_decoded_or_refused(compressed: bool, encoded: Encode) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "a" * 100_000_000, zip=compressed)
    assert find_outcome(encoded(draw_scene(), "PNG", pnginfo=notes)) in {"pixels", "undecodable"}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_breaks_off_is_never_taken_for_whole(kind: str, encoded: Encode) -> None:
    """Cut at every tenth of its length, it is rejected or has all of its pixels."""
    content = encoded(draw_scene(), kind)
    whole = decode(content)
    for tenth in range(10):
        cut = content[: len(content) * tenth // 10]
        end = find_outcome(cut)
        if end == "pixels":
            assert (decode(cut) == whole).all(), tenth
        else:
            assert end in {"empty", "truncated", "undecodable", "not_an_image"}, tenth


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_half_a_file_is_truncated(kind: str, encoded: Encode) -> None:
    content = encoded(draw_photo(320, 240), kind)
    assert find_reason(content[: len(content) // 2]) == "truncated"


# Hostile bytes


def make_samples() -> list[bytes]:
    """Make small valid files of every format, to be damaged."""
    image = draw_scene(23, 17)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        (image, "JPEG", {"exif": exif}),
        (image, "JPEG", {"progressive": True}),
        (image.convert("CMYK"), "JPEG", {}),
        (image, "PNG", {"exif": exif}),
        (image.convert("P"), "PNG", {"transparency": 3}),
        (image.convert("RGBA"), "PNG", {}),
        (image, "GIF", {"save_all": True, "append_images": [image.rotate(180)]}),
        (image, "WEBP", {"exif": exif}),
        (image, "WEBP", {"save_all": True, "append_images": [image.rotate(180)]}),
        (image.convert("1"), "TIFF", {"compression": "group4"}),
        *((image, "TIFF", {"compression": kind}) for kind in ("raw", "tiff_lzw", "jpeg")),
        (image, "TIFF", {"compression": "tiff_adobe_deflate", "exif": exif}),
        (image, "BMP", {}),
    ]
    files = []
    for picture, kind, options in made:
        file = io.BytesIO()
        picture.save(file, kind, **options)  # type: ignore[arg-type]
        files.append(file.getvalue())
    return files


SAMPLES = make_samples()


def test_the_undamaged_samples_are_decoded() -> None:
    assert {find_outcome(sample) for sample in SAMPLES} == {"pixels"}


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_end_in_pixels_or_a_reason(content: bytes) -> None:
    find_outcome(content)


@given(st.sampled_from(FORMATS), st.binary(max_size=100))
@settings(max_examples=300, deadline=None)
def test_any_bytes_after_a_signature_end_in_pixels_or_a_reason(kind: str, rest: bytes) -> None:
    signatures = {
        "JPEG": b"\xff\xd8\xff",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "GIF": b"GIF89a",
        "WEBP": b"RIFF\0\0\0\0WEBPVP8 ",
        "TIFF": b"II*\0\x08\0\0\0",
        "BMP": b"BM",
    }
    find_outcome(signatures[kind] + rest)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_photo_ends_in_pixels_or_a_reason(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    places = st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=20)
    for place, value in data.draw(changes):
        content[place] = value
    find_outcome(bytes(content[: data.draw(st.integers(0, len(content)))]))


def test_flipped_bits_end_in_pixels_or_a_reason_without_a_line_of_noise(
    capfd: pytest.CaptureFixture[str],
) -> None:
    generator = random.Random(0)
    outcomes = set()
    for sample in SAMPLES:
        for _ in range(100):
            content = bytearray(sample)
            for _ in range(generator.choice([1, 4, 16])):
                bit = generator.randrange(8 * len(content))
                content[bit // 8] ^= 1 << bit % 8
            outcomes.add(find_outcome(bytes(content)))
    assert {"pixels", "undecodable", "truncated"} <= outcomes
    assert capfd.readouterr() == ("", "")


def test_pillow_logs_nothing_to_stderr(encoded: Encode, tmp_path: Path) -> None:
    """In a process of its own, since pytest captures every log."""
    content = encoded(draw_scene(), "TIFF")
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert content.count(samples) == 1
    (tmp_path / "odd.tif").write_bytes(
        content.replace(samples, struct.pack("<HHII", 277, 3, 1, 255))
    )
    code = (
        "import sys; from helpers.photos.decode import Limits, RejectedError, open_image\n"
        "try: open_image(open(sys.argv[1], 'rb').read(), Limits(10**6, 20.0))\n"
        "except RejectedError as error: print(error.reason)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "odd.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("undecodable\n", "")


@pytest.mark.parametrize("seed", range(4))
def test_a_png_chunk_of_wrong_content_ends_in_pixels_or_a_reason(seed: int) -> None:
    generator = random.Random(seed)
    samples = [sample for sample in SAMPLES if sample.startswith(b"\x89PNG")]
    kinds = [b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"IDAT"]
    for _ in range(250):
        rest = generator.choice(samples)[8:]
        chunks = []
        while rest:
            (length,) = struct.unpack(">I", rest[:4])
            chunks.append((rest[4:8], rest[8 : 8 + length]))
            rest = rest[length + 12 :]
        place = generator.randrange(len(chunks))
        kind, body = chunks[place]
        if body and generator.random() < 0.7:
            at = generator.randrange(len(body))
            chunks[place] = (kind, body[:at] + generator.randbytes(1) + body[at + 1 :])
        else:
            new = generator.choice(kinds), generator.randbytes(generator.randrange(30))
            chunks.insert(place + 1, new)
        find_outcome(b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*each) for each in chunks))


def test_every_odd_reference_file_ends_in_pixels_or_a_reason_without_a_line_of_noise(
    reference: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = [path for path in sorted((reference / "data" / "odd").rglob("*")) if path.is_file()]
    outcomes = {path.name: find_outcome(path.read_bytes()) for path in files}
    assert len(files) == 274
    assert {outcomes["LICENSE"], outcomes["README"]} == {"not_an_image"}
    assert outcomes["basn2c16.png"] == "pixels"
    # A file is decoded unless it is damaged on purpose (x...) or has floating-point pixels.
    refused = {name for name, end in outcomes.items() if end not in {"pixels", "not_an_image"}}
    assert {name for name in refused if not name.startswith(("x", "rgb32f"))} == set()
    assert capfd.readouterr() == ("", "")
