"""The photos that 02 rejected, exported to look at them."""

import csv
from collections import Counter
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from helpers.run import plan, results
from helpers.run.manifest import PREPROCESS, Run
from helpers.storage.location import Location

LISTING = "rejects.csv"
COLUMNS = ("path", "reason", "detail", "length", "attempt", "file")

_MAX_BYTES = 200  # of a file's name; file systems allow 255
_FORBIDDEN = frozenset('/\\:*?"<>|')


def export_rejects(location: Location, to: Path) -> Counter[str]:
    """Write the rejected photos of a run to ``to/<reason>/``, and a list of them.

    These are the rejects of the catalog that 02 finished last. The list names no file for a photo
    whose bytes were not kept.

    Parameters
    ----------
    location
        The run's ``RUN_URI``.
    to
        A folder that is empty or does not exist.

    Returns
    -------
    Counter
        Photos by reason.

    Raises
    ------
    StaleError
        If 02 has not finished on what 01 finished last.
    FileExistsError
        If ``to`` holds anything.
    """
    run = Run(location)
    record = run.require(PREPROCESS, even_blocked=True)
    catalog = results.read_catalog(run, record)
    pixels, rejects = results.open_pixels(run, record.lineage["pixels"])
    rejected = plan.select_rejected(plan.match_photos(catalog.images, pixels, rejects))
    to.mkdir(parents=True, exist_ok=True)
    if any(to.iterdir()):
        raise FileExistsError(f"--to must be an empty folder, got {str(to)!r}")
    rows = [{**row, "number": number} for number, row in enumerate(rejected.to_pylist(), start=1)]
    by_part = itemgetter("part")
    for part, together in groupby(sorted(rows, key=by_part), by_part):
        stored = rejects.read(part, ["detail", "content"])
        for row in together:
            row |= stored.slice(row["row"], 1).to_pylist()[0]
            row["file"] = _write_photo(to, row)
    with (to / LISTING).open("w", newline="", encoding="utf-8") as file:
        listing = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        listing.writeheader()
        listing.writerows(rows)
    return Counter(rejected["reason"].to_pylist())


def _write_photo(to: Path, row: dict[str, Any]) -> str:
    """Write a photo and free its bytes; return its file below ``to``, or nothing if it has none."""
    content = row.pop("content")
    if content is None:
        return ""
    name = f"{row['reason']}/{name_file(row['number'], row['path'])}"
    (to / name).parent.mkdir(exist_ok=True)
    (to / name).write_bytes(content)
    return name


def name_file(number: int, path: str) -> str:
    """Name a flat file for a photo's path; the number makes it unique.

    >>> name_file(7, "Training/Pear/r_109_100.jpg")
    '0007_Training_Pear_r_109_100.jpg'
    """
    flat = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in path)
    ending = flat.encode()[-_MAX_BYTES:].decode(errors="ignore")
    return f"{number:04}_{ending}"
