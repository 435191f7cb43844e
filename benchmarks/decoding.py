"""Decoding on one thread: small photos, and one of 12 megapixels."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.compare import DifferentError
from benchmarks.findings import Goal, Group, Line
from benchmarks.photos import LIMITS
from benchmarks.timing import timed
from benchmarks.work import Work
from helpers import images
from helpers.backbones import INPUT
from helpers.sandbox import Sandbox

TURNS = 5
MOST_LEVELS = 1.0  # mean difference of 0 to 255


@dataclass(frozen=True)
class Decoded:
    """Seconds of each way, by name; mean difference of the large photo, in levels."""

    seconds: dict[str, list[float]]
    difference: float


def measure(work: Work) -> Group:
    small, large = work.photos.small(), work.photos.large()
    decoded = work.processes.call(decode, small, large)
    if decoded.difference >= MOST_LEVELS:
        raise DifferentError(
            f"decoding: mean difference must be below {MOST_LEVELS} levels, "
            f"got {decoded.difference:.2f}"
        )
    counts = {"small": len(small), "large": 1}
    lines = {
        name: Line(name, seconds, counts[name.split()[0]])
        for name, seconds in decoded.seconds.items()
    }
    return Group(
        f"Decoding on one thread: {len(small)} small photos, one of 12 megapixels",
        "small",
        list(lines.values()),
        [
            Goal.at_least(
                4,
                "12 megapixels to the network's input beside full decoding and resizing",
                lines["large"].speed_beside(lines["large, all of it decoded, then resized"]),
                f"mean difference {decoded.difference:.2f} levels",
            )
        ],
    )


def decode(small: list[bytes], large: bytes) -> Decoded:
    """Time every way in turn, several times; the first turn only warms up."""
    with Sandbox() as sandbox:
        ways = {
            "small": lambda: [_project(content) for content in small],
            "small, by Pillow alone": lambda: [_pillow(content) for content in small],
            "large": lambda: _project(large),
            "large, in the sandbox as 02 does it": lambda: sandbox.decode(large, INPUT, LIMITS),
            "large, all of it decoded, then resized": lambda: _pillow(large),
        }
        turns = [{name: timed(way) for name, way in ways.items()} for _ in range(TURNS + 1)]
    difference = np.abs(_project(large).astype(float) - _pillow(large)).mean()
    seconds = {name: [turn[name] for turn in turns[1:]] for name in ways}
    return Decoded(seconds, float(difference))


def _project(content: bytes) -> NDArray[np.uint8]:
    return images.pixels(images.opened(content, LIMITS), INPUT)


def _pillow(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
        target = (min(rgb.width, INPUT), min(rgb.height, INPUT))
        return np.asarray(rgb if target == rgb.size else rgb.resize(target, images.FILTER))
