"""Divide photos into sides: ``train``, ``test`` or ``gap``.

Fruits-360 films a fruit that turns on a shaft, so frames with neighboring numbers are nearly the
same picture. A split that separates neighbors leaks: the classifier is tested on what it has seen.
"""

from helpers.parameters import Parameters, fingerprint
from helpers.run import schemas
from helpers.run.planner import Planner
from helpers.run.results import SIDES, list_parts, write_pieces
from helpers.stages.stage import Stage
from helpers.storage.parquet import read_parquet

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
_FRAME = r"^(?:(r\d*)_)?(\d{1,4})(?:_\d{1,4})?\.\w+$"

LEAKS = {
    "blocked": "frames of one fruit are kept in blocks, with a gap of frames at each border; the "
    "same fruit still lies on both sides, seen from another angle",
    "folder": "frames of the same fruit lie in the Training and in the Test folder, so a test "
    "photo often has a near twin on the training side",
    "random": "neighboring frames fall on both sides, so most test photos have a near twin on "
    "the training side",
}


_FOLDER = """
SELECT d.image_id, lower(hex(d.image_id)) AS block, i.folder_side AS side
FROM distinct_photos AS d JOIN images AS i ON i.photo = d.photo
"""

# A hash below a fifth of its range: hexadecimal digits are ordered as the numbers are.
_RANDOM = """
SELECT image_id, lower(hex(image_id)) AS block,
       CASE WHEN substr(sha256('{seed}/' || lower(hex(image_id))), 1, 16) <= '3333333333333333'
            THEN 'test' ELSE 'train' END AS side
FROM {photos}
"""

#: image_id, turn and number of the frames; turn is null for photos that are no frames
_FRAMES = """
SELECT d.image_id,
       CASE WHEN number != ''
            THEN i.label || '/' || coalesce(nullif(shaft, ''), 'r0') END AS turn,
       try_cast(number AS BIGINT) AS number
FROM (
    SELECT *, regexp_extract(path, '[^/]*$') AS name,
           regexp_extract(name, '{frame}', 1) AS shaft, regexp_extract(name, '{frame}', 2) AS number
    FROM images
) AS i JOIN distinct_photos AS d ON d.photo = i.photo
"""

# A full turn in blocks of equal angle; the last block is beside the first.
_BLOCKED = """
WITH turns AS (
    SELECT turn, min(number) AS first, max(number) - min(number) + 1 AS span,
           CAST(floor(
               CAST('0x' || substr(sha256('{seed}/' || turn), 1, 8) AS BIGINT) / 4294967296
               * {blocks}
           ) AS BIGINT) AS start
    FROM frames WHERE turn IS NOT NULL GROUP BY turn
), placed AS (
    SELECT f.image_id, f.turn, t.start,
           CAST(floor((f.number - t.first) * {blocks} / t.span) AS BIGINT) AS block
    FROM frames AS f JOIN turns AS t ON t.turn = f.turn
)
SELECT image_id, turn || '/' || lpad(CAST(block AS VARCHAR), 2, '0') AS block,
       CASE WHEN (block - start + {blocks}) % {blocks} < {test} THEN 'test'
            WHEN (block - start + {blocks}) % {blocks} IN ({test}, {blocks} - 1) THEN 'gap'
            ELSE 'train' END AS side
FROM placed
"""


def split_photos(stage: Stage, planner: Planner, parameters: Parameters) -> str:
    """Find the side of every decoded photo: load the split, or draw and write it.

    Parameters
    ----------
    planner
        Has ``images``, ``decoded`` and ``distinct_photos``; gets ``sides``: ``photo``,
        ``image_id`` and ``side`` of every decoded photo.

    Returns
    -------
    str
        The fingerprint of the split.

    Raises
    ------
    ValueError
        If SPLIT is ``folder`` and a photo's path names no side.
    """
    digest = planner.digest(
        # The label names the turn that a frame belongs to; LABEL_LEVEL may change it.
        "SELECT i.path, d.image_id, i.label FROM decoded AS d JOIN images AS i "
        "ON i.photo = d.photo ORDER BY d.photo"
    )
    inputs = parameters.fingerprint_inputs("splits")
    rules = {"version": SPLITS_VERSION, "blocks": BLOCKS, "share": TEST_SHARE}
    name = fingerprint({**inputs, **rules, "photos": digest})
    description = {"parameters": inputs, "photos": digest}
    with stage.write_snapshot("splits", name, description) as snapshot:
        if snapshot.is_new:
            assign_sides(planner, parameters.SPLIT, parameters.SEED)
            rows = planner.iterate(
                'SELECT i.path, lower(hex(s.image_id)) AS image_id, s.block AS "group", s.side '
                "FROM assigned AS s JOIN images AS i ON i.photo = s.photo ORDER BY s.photo"
            )
            write_pieces(snapshot.location / SIDES, rows)
    planner.load(
        "split", schemas.SPLITS.schema, map(read_parquet, list_parts(snapshot.location / SIDES))
    )
    planner.define(
        "sides",
        "SELECT i.photo, s.image_id, s.side FROM split AS s JOIN images AS i ON i.path = s.path",
    )
    return name


def assign_sides(planner: Planner, rule: str, seed: int) -> None:
    """Draw the sides: define ``assigned`` with ``photo``, ``image_id``, ``block`` and ``side``.

    All paths of one ``image_id`` take the side of its first path.

    Raises
    ------
    ValueError
        If ``rule`` is ``folder`` and a path names no side.
    """
    match rule:
        case "folder":
            _require_folder_sides(planner)
            planner.define("drawn", _FOLDER)
        case "random":
            planner.define("drawn", _RANDOM.format(seed=seed, photos="distinct_photos"))
        case _:
            planner.define("frames", _FRAMES.format(frame=_FRAME))
            planner.define("single", "SELECT image_id FROM frames WHERE turn IS NULL")
            blocked = _BLOCKED.format(seed=seed, blocks=BLOCKS, test=_TEST_BLOCKS)
            random = _RANDOM.format(seed=seed, photos="single")
            planner.define("drawn", f"{blocked} UNION ALL {random}")
    planner.define(
        "assigned",
        "SELECT d.photo, d.image_id, a.block, a.side "
        "FROM decoded AS d JOIN drawn AS a ON a.image_id = d.image_id",
    )


def _require_folder_sides(planner: Planner) -> None:
    nameless = planner.read(
        "SELECT i.path FROM distinct_photos AS d JOIN images AS i ON i.photo = d.photo "
        "WHERE i.folder_side IS NULL ORDER BY d.photo LIMIT 1"
    )
    if len(nameless):
        raise ValueError(
            "SPLIT='folder' needs a Training or Test folder on every path, got "
            f"{nameless['path'][0].as_py()!r}; 'blocked' needs none"
        )
