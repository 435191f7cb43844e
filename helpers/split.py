"""Photos to sides: ``train``, ``test`` or ``gap``.

Fruits-360 films a fruit that turns on a shaft, so neighbouring frame numbers are nearly the same
picture. A split that parts neighbours leaks: the classifier is asked what it has already seen.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from helpers.parameters import Parameters, fingerprint
from helpers.storage import live, snapshots, tables
from helpers.storage.run import Run

TRAIN, TEST, GAP = "train", "test", "gap"
TABLE = "split.parquet"

#: rises when photos change sides
SPLITS_VERSION = 1

#: share of the photos on the test side, for the splits that draw it
TEST_SHARE = 0.2
#: a turn is cut into this many blocks: 5 of them in a row are test, one on each side is gap
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


def split(photos: pa.Table, parameters: Parameters, run: Run, run_id: str) -> tuple[str, pa.Table]:
    """The side of every decoded photo: read if it is there, else drawn and written.

    Parameters
    ----------
    photos
        Decoded photos with ``path``, ``label``, ``folder_side`` and ``image_id``.

    Returns
    -------
    fingerprint, table
        The table has ``path``, ``image_id``, ``group`` and ``side``, sorted by path.

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
    entering = parameters.entering("splits")
    rules = {"version": SPLITS_VERSION, "blocks": BLOCKS, "share": TEST_SHARE}
    name = fingerprint({**entering, **rules, "photos": digest})
    table = run.table("splits")
    found = snapshots.find(table, name)
    if found is None:
        sides = assign(photos, parameters.SPLIT, parameters.SEED)
        found = snapshots.draft(table, name, run_id)
        tables.write_parquet(found.location / TABLE, sides)
        found.finish({"parameters": entering, "photos": digest})
        return name, sides
    return name, tables.read_parquet(found.location / TABLE)


def assign(photos: pa.Table, rule: str, seed: int) -> pa.Table:
    """Draw the sides; all paths of one ``image_id`` take the side of the first in order.

    Raises
    ------
    ValueError
        If ``rule`` is ``folder`` and a path names no side.
    """
    first = live.first_of(photos, ["image_id"], [("path", "ascending")]).sort_by("path")
    rows = first.to_pylist()
    match rule:
        case "folder":
            drawn = _by_folder(rows)
        case "random":
            drawn = _by_photo(rows, seed)
        case _:
            drawn = _by_blocks(rows, seed)
    decided = pa.table(
        {
            "image_id": list(drawn),
            "group": [group for group, _ in drawn.values()],
            "side": [side for _, side in drawn.values()],
        }
    )
    joined = photos.select(["path", "image_id"]).join(decided, "image_id").sort_by("path")
    return joined.select(tables.SPLITS.names).cast(tables.SPLITS)


Drawn = dict[str, tuple[str, str]]  # image_id to group and side


def _by_folder(rows: list[dict[str, str]]) -> Drawn:
    for row in rows:
        if row["folder_side"] is None:
            raise ValueError(
                "SPLIT='folder' needs a Training or Test folder on every path, got "
                f"{row['path']!r}; 'blocked' needs none"
            )
    return {row["image_id"]: (row["image_id"], row["folder_side"]) for row in rows}


def _by_photo(rows: Iterable[dict[str, str]], seed: int) -> Drawn:
    drawn = {}
    for row in rows:
        side = TEST if _uniform(seed, row["image_id"]) < TEST_SHARE else TRAIN
        drawn[row["image_id"]] = (row["image_id"], side)
    return drawn


def _by_blocks(rows: list[dict[str, str]], seed: int) -> Drawn:
    """Frames of one turning fruit in blocks; photos that are no frames, each for itself."""
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
        drawn |= _one_turn(turn, frames, seed)
    return drawn | _by_photo(single, seed)


def _one_turn(turn: str, frames: list[tuple[int, dict[str, str]]], seed: int) -> Drawn:
    """A full turn in blocks of equal angle; its last block neighbours its first."""
    first = min(number for number, _ in frames)
    span = max(number for number, _ in frames) - first + 1
    start = int(_uniform(seed, turn) * BLOCKS)
    drawn = {}
    for number, row in frames:
        block = (number - first) * BLOCKS // span
        step = (block - start) % BLOCKS
        borders = step in (_TEST_BLOCKS, BLOCKS - 1)
        side = TEST if step < _TEST_BLOCKS else GAP if borders else TRAIN
        drawn[row["image_id"]] = (f"{turn}/{block:02d}", side)
    return drawn


def _uniform(seed: int, name: str) -> float:
    """A number in [0, 1) that depends on nothing but these two."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
