"""01: list a source and write the catalog ``images``. No photo is opened."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from helpers.parameters import KAGGLE, Parameters, fingerprint
from helpers.photos import archive
from helpers.photos.archive import Packing
from helpers.photos.source import Source, open_source
from helpers.run import schemas
from helpers.run.manifest import INGEST, Run, require_sum
from helpers.run.planner import Planner
from helpers.run.results import IMAGES, MEMBERS, Catalog, write_pieces
from helpers.stages.stage import StageResult, run_stage
from helpers.storage.json_object import read_json, write_json
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location, contains, locate, resolve

UNPACKED = "source"
COMPLETE = "_complete.json"

_LISTED_AT_ONCE = 16_384

#: endings of the files that are taken; HEIC and AVIF are taken so that they count as rejects
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp",
    ".heic", ".heif", ".avif",
)  # fmt: skip

SKIP_RULES = {
    "hidden": "a name on the path begins with . or _",
    "folder_marker": "an S3 key that ends with /, or a link to a folder: it is not entered",
    "not_a_file": "in an archive: a link, a device, or a name that leads outside",
    "name_not_utf8": "the name is not UTF-8",
    "outside_glob": "the glob does not match it",
    "other_ending": "no ending of an image file",
    "no_label": "fewer folders above it than LABEL_LEVEL",
    "sample_fraction": "beyond SAMPLE_FRACTION of its class",
    "limit": "beyond LIMIT of its class",
    "superseded": "the archive holds a later file of the same name",
}

#: names of folders that name a side
SIDES = {"train": "train", "training": "train", "test": "test"}

_FILES = pa.schema(
    [
        ("number", pa.int64()),  # in the order of the listing
        ("path", pa.string()),
        ("is_utf8", pa.bool_()),
        ("length", pa.int64()),
        ("modified", pa.int64()),
        *((field.name, field.type) for field in schemas.MEMBERS.schema if field.name != "path"),
    ]
)
#: the files with the path inside the archive, and the folders on it, the source's name first
_PLACED = """
SELECT *, {inside} AS inside,
       list_filter(string_split($top || '/' || {inside}, '/')[:-2], name -> name != '') AS folders
FROM files
"""
#: the files with label, side and the rule that skips them; the rules in their order
_RULED = f"""
SELECT *,
       CASE WHEN len(folders) >= $level THEN folders[-$level] END AS label,
       {{side}} AS folder_side,
       CASE WHEN method = {archive.NOT_A_FILE} THEN 'not_a_file'
            WHEN NOT is_utf8 THEN 'name_not_utf8'
            WHEN inside = '' OR inside LIKE '%/' THEN 'folder_marker'
            WHEN regexp_matches(inside, '(^|/)\\.\\.(/|$)') THEN 'not_a_file'
            WHEN regexp_matches(inside, '(^|/)[._]') THEN 'hidden'
            WHEN NOT regexp_full_match(path, $pattern, 's') THEN 'outside_glob'
            WHEN NOT regexp_matches(lower(path), '({"|".join(map(re.escape, ENDINGS))})$')
                THEN 'other_ending'
            WHEN len(folders) < $level THEN 'no_label'
       END AS rule
FROM placed
"""
#: of several members of one name the last counts
_SUPERSEDED = """
SELECT * REPLACE (CASE WHEN rule IS NULL AND number < max(number) OVER (
    PARTITION BY path, rule IS NULL) THEN 'superseded' ELSE rule END AS rule)
FROM ruled
"""
#: each class in the order of the paths' SHA-256, cut by SAMPLE_FRACTION and LIMIT
_SAMPLED = """
WITH ranked AS (
    SELECT number, row_number() OVER (PARTITION BY label ORDER BY sha256(path)) AS rank,
           greatest(1, round_even($fraction * count(*) OVER (PARTITION BY label), 0)) AS share
    FROM listed WHERE rule IS NULL
)
SELECT l.* REPLACE (CASE WHEN l.rule IS NOT NULL THEN l.rule
                         WHEN r.rank > r.share THEN 'sample_fraction'
                         WHEN $most > 0 AND r.rank > $most THEN 'limit' END AS rule)
FROM listed AS l LEFT JOIN ranked AS r ON r.number = l.number
"""
_COUNTED = """
SELECT rule, count(*) AS files FROM sampled WHERE rule IS NOT NULL GROUP BY rule
"""
_IMAGES = """
SELECT path, label, folder_side, length, modified FROM sampled WHERE rule IS NULL ORDER BY path
"""
_MEMBERS = """
SELECT path, "start", stored, method, crc FROM sampled WHERE rule IS NULL ORDER BY path
"""


@dataclass(frozen=True)
class Ingested(StageResult):
    """What 01 finished.

    Attributes
    ----------
    catalog
        The photos taken.
    """

    catalog: Catalog


def ingest(parameters: Parameters) -> Ingested:
    """List the source and write the catalog, unless the same catalog exists.

    Raises
    ------
    OSError
        If the source is missing or may not be read.
    ValueError
        If it holds no photo, or if SOURCE_URI and RUN_URI lie inside each other.
    """
    run = Run(locate(parameters.RUN_URI))
    in_place = _open_in_place(parameters, run)  # refuses before anything is written
    with run_stage(parameters.RUN_URI, INGEST) as stage, Planner() as planner:
        source, unpacked = (in_place, {}) if in_place else _fetch(parameters.SOURCE_URI, run)
        planner.load("files", _FILES, _list_files(source))
        _apply_rules(planner, source, parameters)
        counts = _count(planner, unpacked)
        if not counts["images"]:
            rules = counts["skipped"].items()
            seen = ", ".join(f"{count:,} {rule}" for rule, count in rules) or "no file"
            raise ValueError(f"SOURCE_URI must hold photos, got {parameters.SOURCE_URI!r}: {seen}")
        inputs = parameters.fingerprint_inputs("images")
        tag = (source.base / source.archive).version_tag() if source.archive else None
        digest = planner.digest(_IMAGES)
        name = fingerprint({"parameters": inputs, "rows": digest, "archive": tag})
        description = {
            "parameters": inputs,
            "source": source.base.uri,
            "archive": source.archive,
            "version_tag": tag,
            "counts": counts,
        }
        with stage.write_snapshot("images", name, description) as snapshot:
            if snapshot.is_new:
                schema = schemas.IMAGES.schema
                images = (batch.cast(schema) for batch in planner.iterate(_IMAGES))
                write_pieces(snapshot.location / IMAGES, images)
                if source.archive:
                    write_pieces(snapshot.location / MEMBERS, planner.iterate(_MEMBERS))
        new = counts["images"] if snapshot.is_new else 0
        record = stage.finish({"images": name}, new, parameters=inputs, counts=counts)
        return Ingested(record, new, Catalog(snapshot, source))


def _open_in_place(parameters: Parameters, run: Run) -> Source | None:
    """Open the source where it lies; None where it must be unpacked first."""
    uri = parameters.SOURCE_URI
    if uri.startswith("kaggle://") or archive.is_compressed(uri):
        return None
    source = open_source(uri)
    run_location, base = resolve(run.location), resolve(source.base)
    if source.archive is None and (contains(base, run_location) or contains(run_location, base)):
        raise ValueError(
            f"RUN_URI and SOURCE_URI must not lie inside each other, got RUN_URI="
            f"{parameters.RUN_URI!r} and SOURCE_URI={uri!r}"
        )
    return source


def _fetch(uri: str, run: Run) -> tuple[Source, Mapping[str, int]]:
    """Download or unpack a source below the run, once.

    Returns
    -------
    source, skipped
        The files left out of the archive, by rule.
    """
    if uri.startswith("kaggle://"):
        return Source(_download(uri, run)), {}
    folder, skipped = _unpack(locate(uri), run)
    return Source(folder), skipped


def _unpack(packed: Location, run: Run) -> tuple[Location, Mapping[str, int]]:
    identity = {"from": packed.uri, "version_tag": packed.version_tag()}
    place = run.table(UNPACKED) / fingerprint(identity)
    to = place / packed.name.partition(".")[0]  # the label of photos in no folder
    if not (place / COMPLETE).is_file():
        skipped = archive.unpack(packed, to)
        write_json(place / COMPLETE, {**identity, "skipped": skipped})
    return to, read_json(place / COMPLETE)["skipped"]


def _download(uri: str, run: Run) -> Location:
    if uri != KAGGLE:
        raise ValueError(f"SOURCE_URI of Kaggle must be {KAGGLE!r}, got {uri!r}")
    owner, _, name = uri.removeprefix("kaggle://").partition("/")
    place = run.table(UNPACKED) / owner
    to = place / name
    if not (place / COMPLETE).is_file():
        try:
            import kagglehub
        except ImportError as error:
            raise ValueError(
                f"{uri} needs kagglehub: run `pip install '.[kaggle]'` in the project's folder"
            ) from error
        downloaded = LocalLocation(kagglehub.dataset_download(f"{owner}/{name}"))
        for entry in downloaded.list_files():
            (to / entry.path).write((downloaded / entry.path).read())
        write_json(place / COMPLETE, {"from": uri})
    return to


def _list_files(source: Source) -> Iterator[pa.Table]:
    """List the source in pieces."""
    listed = source.list_files()
    number = 0
    while some := list(islice(listed, _LISTED_AT_ONCE)):
        entries = [entry for entry, _ in some]
        paths = [entry.path.encode(errors="backslashreplace").decode() for entry in entries]
        # A place that is None has no packing.
        packing = zip(*(place or (None,) * len(Packing._fields) for _, place in some), strict=True)
        columns = [
            range(number, number + len(some)),
            paths,
            [path == entry.path for path, entry in zip(paths, entries, strict=True)],
            [entry.length for entry in entries],
            [entry.modified for entry in entries],
            *packing,
        ]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, _FILES, strict=True)]
        yield pa.table(arrays, schema=_FILES)
        number += len(some)


def _apply_rules(planner: Planner, source: Source, parameters: Parameters) -> None:
    """Find label, side and rule of each file: define ``sampled``."""
    if source.archive is None:
        top, inside = source.base.name, "path"
    else:
        top, inside = source.archive.partition(".")[0], "regexp_extract(path, '!/(.*)$', 1, 's')"
    planner.define("placed", _PLACED.format(inside=inside), top=top)
    names = "|".join(SIDES)
    named = f"regexp_extract(lower(path), '^(?:.*/)?({names})/', 1, 's')"
    sides = " ".join(f"WHEN '{name}' THEN '{side}'" for name, side in SIDES.items())
    planner.define(
        "ruled",
        _RULED.replace("{side}", f"CASE {named} {sides} END"),
        level=parameters.LABEL_LEVEL,
        pattern=source.regex,
    )
    planner.define("listed", _SUPERSEDED)
    fraction, most = parameters.SAMPLE_FRACTION, parameters.LIMIT
    planner.define("sampled", _SAMPLED, fraction=fraction, most=most)


def _count(planner: Planner, unpacked: Mapping[str, int]) -> dict[str, Any]:
    """Count the files found, by what became of them.

    Parameters
    ----------
    unpacked
        Files that were left out of the archive, by rule.

    Raises
    ------
    AccountingError
        If a file is neither taken nor skipped.
    """
    rules = planner.read(_COUNTED).to_pylist()
    skipped = Counter({row["rule"]: row["files"] for row in rules}) + Counter(unpacked)
    found = planner.count("files") + sum(unpacked.values())
    images = planner.read_value("SELECT count(*) FROM sampled WHERE rule IS NULL")
    require_sum("files found", found, images=images, **skipped)
    return {"found": found, "skipped": dict(sorted(skipped.items())), "images": images}
