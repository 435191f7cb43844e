"""What a catalog and its photos look like: sums, short tables, and photos to show."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from helpers.photos.preview import preview
from helpers.run import plan
from helpers.run.manifest import Record, Run
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.run.results import Catalog, open_pixels, read_catalog, to_photos, to_rgb

SIZE = 400  # largest height and width of a picture, in pixels
#: reasons of rejects that are not decoded to be shown either
_NEVER_DECODED = ("too_many_pixels", "extreme_aspect", "decode_limit")
_MAX_ROWS = 50  # of a table to show

_KINDS = """
SELECT k.kind, count(*) AS photos, min(d.photo) AS photo
FROM decoded AS d JOIN pixels AS k ON k.position = d.position
GROUP BY k.kind
"""
_SIZES = """
SELECT k.height, k.width, count(*) AS photos
FROM decoded AS d JOIN pixels AS k ON k.position = d.position
GROUP BY k.height, k.width ORDER BY photos DESC, k.height, k.width LIMIT {rows}
"""
#: images that lie under several paths, and under how many labels
_REPEATED = """
SELECT d.image_id, count(DISTINCT i.label) AS labels
FROM decoded AS d JOIN images AS i ON i.photo = d.photo
GROUP BY d.image_id HAVING count(*) > 1
"""
_DUPLICATES = """
SELECT lower(hex(d.image_id)) AS image_id, i.path, i.label
FROM decoded AS d
JOIN images AS i ON i.photo = d.photo
JOIN repeated AS r ON r.image_id = d.image_id
ORDER BY d.image_id, d.photo LIMIT {rows}
"""
_CHOSEN = """
SELECT i.path, i.length, i.modified, m.start, m.stored, m.method, m.crc, d.position
FROM decoded AS d JOIN images AS i ON i.photo = d.photo LEFT JOIN members AS m ON m.path = i.path
WHERE d.photo IN ({photos}) ORDER BY d.photo
"""
_REJECTED = """
SELECT i.path, r.reason, r.position
FROM rejected AS r JOIN images AS i ON i.photo = r.photo ORDER BY r.photo LIMIT {rows}
"""


_CLASSES = """
SELECT label, folder_side, count(*) AS photos FROM images
GROUP BY label, folder_side ORDER BY label, folder_side
"""
_BYTES = """
SELECT sum(length) AS total, median(length) AS median, max(length) AS largest FROM images
"""
_EXTREME = """
SELECT path, length FROM images
WHERE length = 0 OR length = (SELECT max(length) FROM images) ORDER BY photo LIMIT {rows}
"""
_FIRST = """
SELECT path, label, folder_side, length FROM images ORDER BY photo LIMIT {rows}
"""


@dataclass(frozen=True)
class CatalogSummary:
    """What a catalog looks like. Tables have at most 50 rows, except ``classes``.

    Attributes
    ----------
    classes
        ``label``, ``folder_side`` and ``photos``: one row per class and side.
    bytes
        ``total``, ``median`` and ``largest`` length of the photos' files.
    extreme
        ``path`` and ``length`` of the empty and the largest files.
    first
        The first rows of ``images``.
    """

    classes: pd.DataFrame
    bytes: dict[str, float]
    extreme: pd.DataFrame
    first: pd.DataFrame


@dataclass(frozen=True)
class Example:
    """A decoded photo.

    Attributes
    ----------
    path
        Its path.
    file
        The picture in the file, at most 400 pixels wide and high.
    file_size
        Width and height of the file's picture.
    stored
        What ``pixels`` holds of it.
    """

    path: str
    file: Image.Image
    file_size: tuple[int, int]
    stored: Image.Image


@dataclass(frozen=True)
class RejectExample:
    """A rejected photo.

    Attributes
    ----------
    path, reason, detail
        As in ``rejects``.
    picture
        As much as can be shown, or None.
    """

    path: str
    reason: str
    detail: str
    picture: Image.Image | None


@dataclass(frozen=True)
class PhotoSummary:
    """What the photos of a run look like. Tables have at most 50 rows.

    Attributes
    ----------
    kinds
        ``kind`` (format, mode and size in the file) and ``photos``, the most frequent first.
    sizes
        ``height``, ``width`` (as stored) and ``photos``, the most frequent first.
    duplicates
        ``image_id``, ``path`` and ``label`` of photos whose bytes lie under several paths.
    conflicts
        Distinct photos that lie under more than one label.
    examples
        Decoded photos: one of each rare kind, then some of the others.
    rejects
        The first rejected photos by path.
    """

    kinds: pd.DataFrame
    sizes: pd.DataFrame
    duplicates: pd.DataFrame
    conflicts: int
    examples: list[Example]
    rejects: list[RejectExample]


def summarize_catalog(catalog: Catalog) -> CatalogSummary:
    """Summarize a catalog."""
    with Planner() as planner:
        plan.load_catalog(planner, catalog.iterate_images())
        return CatalogSummary(
            classes=planner.read(_CLASSES).to_pandas(),
            bytes={name: float(n) for name, n in planner.read(_BYTES).to_pylist()[0].items()},
            extreme=planner.read(_EXTREME.format(rows=_MAX_ROWS)).to_pandas(),
            first=planner.read(_FIRST.format(rows=_MAX_ROWS)).to_pandas(),
        )


def summarize_photos(run: Run, record: Record, examples: int, rejects: int) -> PhotoSummary:
    """Summarize the photos of a finished 02.

    Parameters
    ----------
    record
        Of 02.
    examples, rejects
        Photos to show of each.
    """
    catalog = read_catalog(run, record)
    pixels, rejected = open_pixels(run, record.lineage["pixels"])
    with Planner() as planner:
        plan.load_catalog(planner, catalog.iterate_images(), catalog.iterate_members())
        plan.match_photos(planner, pixels, rejected)
        planner.define("kinds", _KINDS)
        planner.define("repeated", _REPEATED)
        kinds = planner.read(
            f"SELECT kind, photos FROM kinds ORDER BY photos DESC, kind LIMIT {_MAX_ROWS}"
        )
        chosen = _choose_photos(planner, examples)
        rows = planner.read(_CHOSEN.format(photos=", ".join(map(str, chosen)) or "NULL"))
        originals = catalog.source.read_all(to_photos(rows))
        shown = []
        for (photo, content), position in zip(originals, rows["position"].to_pylist(), strict=True):
            # A photo that can no longer be read is left out.
            if not isinstance(content, OSError) and (seen := preview(content, SIZE)):
                stored = _read_stored(planner, pixels, position)
                shown.append(Example(photo.path, *seen, stored))
        return PhotoSummary(
            kinds=kinds.to_pandas(),
            sizes=planner.read(_SIZES.format(rows=_MAX_ROWS)).to_pandas(),
            duplicates=planner.read(_DUPLICATES.format(rows=_MAX_ROWS)).to_pandas(),
            conflicts=planner.read_value("SELECT count(*) FROM repeated WHERE labels > 1"),
            examples=shown,
            rejects=[
                _show_reject(planner, rejected, row)
                for row in planner.read(_REJECTED.format(rows=rejects)).to_pylist()
            ],
        )


def _choose_photos(planner: Planner, number: int) -> list[int]:
    """Choose photos to show: one of each rare kind, then evenly spread ones."""
    rare = planner.read(f"SELECT photo FROM kinds ORDER BY photos, kind LIMIT {number // 2}")
    count = planner.count("decoded")
    spread = planner.read(
        "SELECT photo FROM (SELECT photo, row_number() OVER (ORDER BY photo) - 1 AS number "
        f"FROM decoded) WHERE number % {max(1, count // number)} = 0 ORDER BY photo"
    )
    photos = dict.fromkeys([*rare["photo"].to_pylist(), *spread["photo"].to_pylist()])
    return list(photos)[:number]


def _read_stored(planner: Planner, pixels: Parts, position: int) -> Image.Image:
    part, row = planner.find_row("pixels", position)
    rows = pixels.read(part, ["height", "width", "pixels"]).slice(row, 1)
    return Image.fromarray(to_rgb(rows)[0])


def _show_reject(planner: Planner, rejects: Parts, row: dict[str, Any]) -> RejectExample:
    part, number = planner.find_row("rejects", row["position"])
    stored = rejects.read(part, ["detail", "content"]).slice(number, 1)
    detail, content = (stored[name][0].as_py() for name in ("detail", "content"))
    is_safe = row["reason"] not in _NEVER_DECODED
    seen = preview(content, SIZE) if content and is_safe else None
    return RejectExample(row["path"], row["reason"], detail, seen[0] if seen else None)
