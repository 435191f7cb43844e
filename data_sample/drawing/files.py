"""The files of the sample: their paths, their bytes, and how they are written."""

import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drawing import encoders
from drawing.camera import fit_scale, render
from drawing.classes import LEAN, MODELS
from drawing.vectors import Array, Pixels, make_rotation

SEED = 360
FOLDERS = ("Training", "Test")
FRAMES_PER_TURN = 327
UPRIGHT_FRAMES = 25  # about the axis of the fruit: "<frame>_100.jpg"
LYING_FRAMES = 12  # the fruit lies on its side: "r_<frame>_100.jpg"
TEST_EVERY = 4  # every fourth frame is in Test, its neighbors in Training

# Frames that are not stored as an ordinary JPEG, and how they are encoded.
ODD_FILES: dict[str, Callable[[Pixels], bytes]] = {
    "Training/Banana/118_100.jpg": encoders.encode_truncated_jpeg,
    "Test/Kiwi/131_100.jpg": encoders.encode_nothing,
    "Training/Pear/r_109_100.jpg": encoders.encode_text,
    "Training/Strawberry/157_100.jpg": encoders.encode_cmyk_jpeg,
    "Training/Avocado/105_100.jpg": encoders.encode_rotated_jpeg,
    "Training/Peach/209_100.png": encoders.encode_gray_png,
    "Test/Lemon/183_100.png": encoders.encode_palette_png,
    "Training/Watermelon/249_100.png": encoders.encode_oversized_png,
}

# Copies, byte for byte, and their originals: the first has the same label, the second another.
DUPLICATES = {
    "Training/Orange/201_100.jpg": "Training/Orange/196_100.jpg",
    "Test/Clementine/140_100.jpg": "Training/Orange/144_100.jpg",
}


@dataclass(frozen=True)
class Frame:
    """One photo of a turning fruit."""

    path: str  # below the folder of the sample
    rotation: Array  # of the fruit, (3, 3)


def list_frames(label: str, lying: bool) -> list[Frame]:
    """List the frames of one full turn of a class, upright or lying on its side."""
    count = LYING_FRAMES if lying else UPRIGHT_FRAMES
    pose = make_rotation("x", 90) if lying else make_rotation("z", LEAN.get(label, 0))
    frames = []
    for index in range(count):
        number = round(index * FRAMES_PER_TURN / count)
        folder = "Test" if index % TEST_EVERY == 2 else "Training"
        stem = f"{folder}/{label}/{'r_' if lying else ''}{number}_100"
        path = f"{stem}.png" if f"{stem}.png" in ODD_FILES else f"{stem}.jpg"
        frames.append(Frame(path, make_rotation("y", number * 360 / FRAMES_PER_TURN) @ pose))
    return frames


def list_paths() -> set[str]:
    """List the path of every file of the sample, below its folder."""
    turns = [list_frames(label, lying) for label in MODELS for lying in (False, True)]
    return {frame.path for frames in turns for frame in frames} | set(DUPLICATES)


def draw_class(label: str) -> dict[str, bytes]:
    """Draw every frame of a class; its files by path. Equal calls give equal bytes."""
    cloud = MODELS[label](np.random.default_rng([SEED, zlib.crc32(label.encode())]))
    files = {}
    for lying in (False, True):
        frames = list_frames(label, lying)
        scale = fit_scale(cloud, [frame.rotation for frame in frames])
        for frame in frames:
            encode = ODD_FILES.get(frame.path, encoders.encode_jpeg)
            files[frame.path] = encode(render(cloud, frame.rotation, scale))
    return files


def draw_files() -> dict[str, bytes]:
    """Draw every file of the sample; the files by path."""
    files = {path: data for label in MODELS for path, data in draw_class(label).items()}
    return files | {copy: files[original] for copy, original in DUPLICATES.items()}


def find_foreign_files(folder: Path) -> Iterator[Path]:
    """Find the files below Training/ and Test/ of a folder that the sample does not have."""
    own = list_paths()
    for name in FOLDERS:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in own:
                yield path


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Replace Training/ and Test/ of a folder by the files, given by path."""
    for name in FOLDERS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
