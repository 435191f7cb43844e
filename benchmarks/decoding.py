"""Decoding on one thread: small photos, and one of 12 megapixels."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.compare import DifferentError
from benchmarks.findings import Goal, Group, Line
from benchmarks.photos import LIMITS
from benchmarks.timing import timed
from benchmarks.work import Work
from helpers.backbones import INPUT
from helpers.photos import decode
from helpers.photos.sandbox import Sandbox

TURNS = 5
MOST_LEVELS = 1.0  # mean difference of pixels from 0 to 255

PROJECT, SANDBOX = "by 02", "by 02, in its sandbox"
PILLOW, WHOLE = "by Pillow alone", "by Pillow: all of it decoded, then resized"


def measure_small(work: Work) -> Group:
    photos = work.photos.small()
    seconds = work.processes.call(decode_small, photos)
    lines = [Line(name, times, len(photos)) for name, times in seconds.items()]
    return Group(f"Decode {len(photos)} small photos on one thread", PROJECT, lines)


def measure_large(work: Work) -> Group:
    photo = work.photos.large()
    seconds, difference = work.processes.call(decode_large, photo)
    if difference >= MOST_LEVELS:
        raise DifferentError(
            f"mean difference must be below {MOST_LEVELS} levels, got {difference:.2f}"
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
                lines[PROJECT].speed_beside(lines[WHOLE]),
                f"mean difference {difference:.2f} levels",
            )
        ],
    )


def decode_small(photos: list[bytes]) -> dict[str, list[float]]:
    """Seconds of each way, by name."""
    return _turns(
        {
            PROJECT: lambda: [_project(photo) for photo in photos],
            PILLOW: lambda: [_pillow(photo) for photo in photos],
        }
    )


def decode_large(photo: bytes) -> tuple[dict[str, list[float]], float]:
    """Seconds of each way, by name; mean difference of the pixels, in levels."""
    with Sandbox() as sandbox:
        seconds = _turns(
            {
                PROJECT: lambda: _project(photo),
                SANDBOX: lambda: sandbox.decode(photo, INPUT, LIMITS),
                WHOLE: lambda: _pillow(photo),
            }
        )
    difference = np.abs(_project(photo).astype(float) - _pillow(photo)).mean()
    return seconds, float(difference)


def _turns(ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Each way in turn, several times; the first turn only warms up."""
    turns = [{name: timed(way) for name, way in ways.items()} for _ in range(TURNS + 1)]
    return {name: [turn[name] for turn in turns[1:]] for name in ways}


def _project(content: bytes) -> NDArray[np.uint8]:
    return decode.decode_rgb(images.open_image(content, LIMITS), INPUT)


def _pillow(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
        target = (min(rgb.width, INPUT), min(rgb.height, INPUT))
        return np.asarray(rgb if target == rgb.size else rgb.resize(target, decode.FILTER))
