"""Photos of a run to look at: decoded ones, rare ones, rejected ones."""

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from helpers.photos.preview import preview
from helpers.run import plan
from helpers.run.parts import Parts
from helpers.run.results import KINDS, Catalog, to_rgb

SIZE = 400  # largest height and width of a picture, in pixels
#: reasons of rejects that are not decoded to be shown either
_NEVER_DECODED = ("too_many_pixels", "extreme_aspect", "decode_limit")


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


def list_kinds(photos: pa.Table, pixels: Parts) -> dict[str, list[str]]:
    """List the kinds of the decoded photos with their paths, the most frequent kind first.

    A kind is format, mode and size as the file's header says, such as ``JPEG RGB 100 x 100``.

    Parameters
    ----------
    photos
        What became of each photo: see :func:`helpers.run.plan.match_photos`.
    """
    decoded = plan.select_decoded(photos)
    current = set(zip(decoded["part"].to_pylist(), decoded["path"].to_pylist(), strict=True))
    parts = sorted({part for part, _ in current})
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for part, metadata in zip(parts, pixels.read_metadata(parts), strict=True):
        for kind, paths in json.loads(metadata[KINDS]).items():
            if still := [path for path in paths if (part, path) in current]:
                kinds[kind] += still
    return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def pick_examples(catalog: Catalog, photos: pa.Table, pixels: Parts, number: int) -> list[Example]:
    """Pick decoded photos to show: one of each rare kind, then some of the others.

    A photo that can no longer be read is left out.
    """
    decoded = plan.select_decoded(photos)
    kinds = list_kinds(photos, pixels)
    rare = [paths[0] for paths in reversed(kinds.values())][: number // 2]
    spread = np.linspace(0, len(decoded) - 1, min(number, len(decoded))).round().astype(int)
    others = [path for path in decoded["path"].take(spread).to_pylist() if path not in rare]
    rows = decoded.filter(pc.is_in(decoded["path"], pa.array([*rare, *others][:number])))
    originals = catalog.source.read_all(catalog.to_photos(rows))
    shown = []
    for (photo, content), row in zip(originals, rows.to_pylist(), strict=True):
        if isinstance(content, OSError):
            continue
        part = pixels.read(row["part"], ["height", "width", "pixels"])
        stored = Image.fromarray(to_rgb(part.slice(row["row"], 1))[0])
        if seen := preview(content, SIZE):
            picture, size = seen
            shown.append(Example(photo.path, picture, size, stored))
    return shown


def pick_rejects(photos: pa.Table, rejects: Parts, number: int) -> list[RejectExample]:
    """Pick the first rejected photos by path."""
    shown = []
    for row in plan.select_rejected(photos).slice(0, number).to_pylist():
        part = rejects.read(row["part"], ["detail", "content"]).slice(row["row"], 1)
        detail, content = (part[name][0].as_py() for name in ("detail", "content"))
        is_safe = row["reason"] not in _NEVER_DECODED
        seen = preview(content, SIZE) if content and is_safe else None
        shown.append(RejectExample(row["path"], row["reason"], detail, seen[0] if seen else None))
    return shown
