"""Divide photos into sides: ``train``, ``test`` or ``gap``.

Fruits-360 films a fruit that turns on a shaft, so frames with neighboring numbers are nearly the
same picture. A split that separates neighbors leaks: the classifier is tested on what it has seen.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from helpers.parameters import Parameters, fingerprint
from helpers.run import plan, schemas
from helpers.run.results import SPLIT
from helpers.stages.stage import Stage
from helpers.storage.parquet import read_parquet, write_parquet

TRAIN, TEST, GAP = "train", "test", "gap"

#: rises when photos change sides
SPLITS_VERSION = 1

#: share of the photos on the test side, for the splits that draw it
TEST_SHARE = 0.2
#: a turn is cut into this many blocks: 5 in a row are test, one on each side of them is gap
BLOCKS = 25
_TEST_BLOCKS = round(BLOCKS * TEST_SHARE)

# Fruits-360 names a frame 12_100.jpg, r_12_100.jpg or r2_12_100.jpg (r: other shafts), and
# r0_12.jpg in its original-size edition. A longer number is a camera's date, not a frame's.
_FRAME = re.compile(r"(?:(r\d*)_)?(\d{1,4})(?:_\d{1,4})?\.\w+", re.ASCII)

LEAKS = {
    "blocked": "frames of one fruit are kept in blocks, with a gap of frames at each border; the "
    "same fruit still lies on both sides, seen from another angle",
    "folder": "frames of the same fruit lie in the Training and in the Test folder, so a test "
    "photo often has a near twin on the training side",
    "random": "neighbouring frames fall on both sides, so most test photos have a near twin on "
    "the training side",
}


def split_photos(stage: Stage, photos: pa.Table, parameters: Parameters) -> tuple[str, pa.Table]:
    """Find the side of every decoded photo: read the split, or draw and write it.

    Parameters
    ----------
    photos
        Decoded photos with ``path``, ``label``, ``folder_side`` and ``image_id``.

    Returns
    -------
    fingerprint, sides
        The table ``splits``: ``path``, ``image_id``, ``group`` and ``side``, sorted by path.

    Raises
    ------
    ValueError
        If SPLIT is ``folder`` and a photo's path names no side.
    """
    photos = photos.sort_by("path")
    # The label names the turn that a frame belongs to; LABEL_LEVEL may change it.
    columns = (photos[name].to_pylist() for name in ("path", "image_id", "label"))
    rows = map("\0".join, zip(*columns, strict=True))
    digest = hashlib.sha256("\0".join(rows).encode()).hexdigest()
    inputs = parameters.fingerprint_inputs("splits")
    rules = {"version": SPLITS_VERSION, "blocks": BLOCKS, "share": TEST_SHARE}
    name = fingerprint({**inputs, **rules, "photos": digest})
    description = {"parameters": inputs, "photos": digest}
    with stage.write_snapshot("splits", name, description) as snapshot:
        if snapshot.is_new:
            sides = assign_sides(photos, parameters.SPLIT, parameters.SEED)
            write_parquet(snapshot.location / SPLIT, sides)
    return name, read_parquet(snapshot.location / SPLIT)


def assign_sides(photos: pa.Table, rule: str, seed: int) -> pa.Table:
    """Draw the sides; all paths of one ``image_id`` take the side of its first path.

    Raises
    ------
    ValueError
        If ``rule`` is ``folder`` and a path names no side.
    """
    first = plan.first_per_key(photos, ["image_id"], [("path", "ascending")]).sort_by("path")
    rows = first.to_pylist()
    match rule:
        case "folder":
            drawn = _follow_folders(rows)
        case "random":
            drawn = _draw_photos(rows, seed)
        case _:
            drawn = _draw_blocks(rows, seed)
    decided = pa.table(
        {
            "image_id": list(drawn),
            "group": [group for group, _ in drawn.values()],
            "side": [side for _, side in drawn.values()],
        }
    )
    joined = photos.select(["path", "image_id"]).join(decided, "image_id").sort_by("path")
    return joined.select(schemas.SPLITS.schema.names).cast(schemas.SPLITS.schema)


Drawn = dict[str, tuple[str, str]]  # image_id to group and side


def _follow_folders(rows: list[dict[str, str]]) -> Drawn:
    for row in rows:
        if row["folder_side"] is None:
            raise ValueError(
                "SPLIT='folder' needs a Training or Test folder on every path, got "
                f"{row['path']!r}; 'blocked' needs none"
            )
    return {row["image_id"]: (row["image_id"], row["folder_side"]) for row in rows}


def _draw_photos(rows: Iterable[dict[str, str]], seed: int) -> Drawn:
    drawn = {}
    for row in rows:
        side = TEST if _draw_uniform(seed, row["image_id"]) < TEST_SHARE else TRAIN
        drawn[row["image_id"]] = (row["image_id"], side)
    return drawn


def _draw_blocks(rows: list[dict[str, str]], seed: int) -> Drawn:
    """Draw blocks of frames of one turning fruit; draw photos that are no frames one by one."""
    turns: defaultdict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    single: list[dict[str, str]] = []
    for row in rows:
        frame = _FRAME.fullmatch(row["path"].rpartition("/")[2])
        if frame is None:
            single.append(row)
        else:
            turns[f"{row['label']}/{frame[1] or 'r0'}"].append((int(frame[2]), row))
    drawn: Drawn = {}
    for turn, frames in turns.items():
        drawn |= _draw_turn(turn, frames, seed)
    return drawn | _draw_photos(single, seed)


def _draw_turn(turn: str, frames: list[tuple[int, dict[str, str]]], seed: int) -> Drawn:
    """Cut a full turn into blocks of equal angle; the last block is beside the first."""
    first = min(number for number, _ in frames)
    span = max(number for number, _ in frames) - first + 1
    start = int(_draw_uniform(seed, turn) * BLOCKS)
    drawn = {}
    for number, row in frames:
        block = (number - first) * BLOCKS // span
        step = (block - start) % BLOCKS
        borders = step in (_TEST_BLOCKS, BLOCKS - 1)
        side = TEST if step < _TEST_BLOCKS else GAP if borders else TRAIN
        drawn[row["image_id"]] = (f"{turn}/{block:02d}", side)
    return drawn


def _draw_uniform(seed: int, name: str) -> float:
    """Draw a number in [0, 1) that depends on these two alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
