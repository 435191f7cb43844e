"""Decoding on one thread: small photos, and one of 12 megapixels."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.compare import DifferentError
from benchmarks.context import Context
from benchmarks.findings import Goal, Group, Line
from benchmarks.photos import LIMITS
from benchmarks.timing import time_call
from helpers.backbones import INPUT_SIZE
from helpers.photos.decode import FILTER, decode_rgb, open_image
from helpers.photos.sandbox import Sandbox

TURNS = 5
MAX_LEVELS = 1.0  # mean difference of pixels from 0 to 255

PROJECT, SANDBOX = "as in 02", "as in 02, in its sandbox"
PILLOW, WHOLE = "with Pillow alone", "with Pillow: all of it decoded, then resized"


def measure_small(context: Context) -> Group:
    """Measure the decoding of small photos."""
    photos = context.photos.read_small()
    seconds = context.processes.call(decode_small, photos)
    lines = [Line(name, times, len(photos)) for name, times in seconds.items()]
    return Group(f"Decode {len(photos)} small photos on one thread", PROJECT, lines)


def measure_large(context: Context) -> Group:
    """Measure the decoding of a photo of 12 megapixels."""
    photo = context.photos.make_large()
    seconds, difference = context.processes.call(decode_large, photo)
    if difference >= MAX_LEVELS:
        raise DifferentError(
            f"mean difference must be below {MAX_LEVELS} levels, got {difference:.2f}"
        )
    lines = {name: Line(name, times, 1) for name, times in seconds.items()}
    return Group(
        "Decode a photo of 12 megapixels to the network's input on one thread",
        PROJECT,
        list(lines.values()),
        [
            Goal.at_least(
                4,
                "12 megapixels to the network's input beside full decoding and resizing",
                lines[PROJECT].compare_speed(lines[WHOLE]),
                f"mean difference {difference:.2f} levels",
            )
        ],
    )


def decode_small(photos: list[bytes]) -> dict[str, list[float]]:
    """Decode photos in each way; return its seconds, by name."""
    return _take_turns(
        {
            PROJECT: lambda: [_decode(photo) for photo in photos],
            PILLOW: lambda: [_decode_with_pillow(photo) for photo in photos],
        }
    )


def decode_large(photo: bytes) -> tuple[dict[str, list[float]], float]:
    """Decode a photo in each way.

    Returns
    -------
    seconds, difference
        Seconds of each way, by name; mean difference of the pixels, in levels from 0 to 255.
    """
    with Sandbox() as sandbox:
        seconds = _take_turns(
            {
                PROJECT: lambda: _decode(photo),
                SANDBOX: lambda: sandbox.decode(photo, INPUT_SIZE, LIMITS),
                WHOLE: lambda: _decode_with_pillow(photo),
            }
        )
    difference = np.abs(_decode(photo).astype(float) - _decode_with_pillow(photo)).mean()
    return seconds, float(difference)


def _take_turns(ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Time each way in turn, several times; the first turn only warms up."""
    turns = [{name: time_call(way) for name, way in ways.items()} for _ in range(TURNS + 1)]
    return {name: [turn[name] for turn in turns[1:]] for name in ways}


def _decode(content: bytes) -> NDArray[np.uint8]:
    return decode_rgb(open_image(content, LIMITS), INPUT_SIZE)


def _decode_with_pillow(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
        target = (min(rgb.width, INPUT_SIZE), min(rgb.height, INPUT_SIZE))
        return np.asarray(rgb if target == rgb.size else rgb.resize(target, FILTER))
