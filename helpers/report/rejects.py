"""The photos that 02 rejected, exported to look at them."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

from helpers.run import plan, results
from helpers.run.manifest import PREPROCESS, Run
from helpers.run.planner import Planner
from helpers.storage.location import Location

LISTING = "rejects.csv"
COLUMNS = ("path", "reason", "detail", "length", "attempt", "file")

_REJECTED = """
SELECT row_number() OVER (ORDER BY r.photo) AS number, i.path, i.length, r.reason, r.attempt,
       r.position
FROM rejected AS r JOIN images AS i ON i.photo = r.photo
ORDER BY r.photo
"""
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
    with Planner() as planner:
        plan.load_catalog(planner, catalog.iterate_images())
        plan.match_photos(planner, pixels, rejects)
        to.mkdir(parents=True, exist_ok=True)
        if any(to.iterdir()):
            raise FileExistsError(f"--to must be an empty folder, got {str(to)!r}")
        reasons: Counter[str] = Counter()
        with (to / LISTING).open("w", newline="", encoding="utf-8") as file:
            listing = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            listing.writeheader()
            for batch in planner.iterate(_REJECTED):
                for row in batch.to_pylist():
                    part, place = planner.find_row("rejects", row["position"])
                    stored = rejects.read(part, ["detail", "content"]).slice(place, 1)
                    row |= stored.to_pylist()[0]
                    row["file"] = _write_photo(to, row)
                    listing.writerow(row)
                    reasons[row["reason"]] += 1
    return reasons


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
