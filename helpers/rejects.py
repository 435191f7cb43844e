"""The photos that 02 rejected, written out to look at."""

import csv
from collections import Counter
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from helpers import ingest, preprocess
from helpers.storage import live
from helpers.storage.location import Location
from helpers.storage.run import Run

LISTING = "rejects.csv"
COLUMNS = ("path", "reason", "detail", "length", "attempt", "file")

_MOST_BYTES = 200  # of a file's name; file systems take 255
_FORBIDDEN = frozenset('/\\:*?"<>|')


def export(location: Location, to: Path) -> Counter[str]:
    """Write the rejected photos of a run to ``to/<reason>/`` and a listing of them.

    These are the photos that are rejected now: those of the catalogue that 02 finished last. The
    listing names no file for a photo whose bytes were not kept.

    Parameters
    ----------
    location
        The run's ``RUN_URI``.
    to
        A folder that is empty or not there.

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
    record = run.upstream(preprocess.STAGE, even_refused=True)
    catalogue = ingest.catalogue(run, record)
    pixels, rejects = preprocess.stores(run, record.lineage["pixels"])
    photos = live.photos(catalogue.images, pixels, rejects)
    refused = photos.filter(pc.equal(photos["table"], live.REJECTS))
    to.mkdir(parents=True, exist_ok=True)
    if any(to.iterdir()):
        raise FileExistsError(f"--to must name an empty folder, got {str(to)!r}")
    rows = [{**row, "number": number} for number, row in enumerate(refused.to_pylist(), start=1)]
    by_part = itemgetter("part")
    for part, together in groupby(sorted(rows, key=by_part), by_part):
        stored = rejects.read(part, ["detail", "content"])
        for row in together:
            row |= stored.slice(row["row"], 1).to_pylist()[0]
            row["file"] = _write(to, row)
    with (to / LISTING).open("w", newline="", encoding="utf-8") as file:
        listing = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        listing.writeheader()
        listing.writerows(rows)
    return Counter(refused["reason"].to_pylist())


def _write(to: Path, row: dict[str, Any]) -> str:
    """Write a photo, free its bytes; its file below ``to``, or nothing if there are none."""
    content = row.pop("content")
    if content is None:
        return ""
    name = f"{row['reason']}/{file_name(row['number'], row['path'])}"
    (to / name).parent.mkdir(exist_ok=True)
    (to / name).write_bytes(content)
    return name


def file_name(number: int, path: str) -> str:
    """A flat file name for a photo's path; the number makes it the only one.

    >>> file_name(7, "Training/Pear/r_109_100.jpg")
    '0007_Training_Pear_r_109_100.jpg'
    """
    flat = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in path)
    ending = flat.encode()[-_MOST_BYTES:].decode(errors="ignore")
    return f"{number:04}_{ending}"
