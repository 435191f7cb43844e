"""01: list a source and write the catalog ``images``. No photo is opened."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from helpers.parameters import KAGGLE, Parameters, fingerprint
from helpers.photos import archive
from helpers.photos.archive import Packing
from helpers.photos.source import Source, open_source
from helpers.run import schemas
from helpers.run.manifest import INGEST, Run, require_sum
from helpers.run.results import IMAGES, MEMBERS, Catalog, write_pieces
from helpers.stages.stage import StageResult, run_stage
from helpers.storage.digest import digest_rows
from helpers.storage.json_object import read_json, write_json
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location, contains, locate, resolve

UNPACKED = "source"
COMPLETE = "_complete.json"

_ROWS_PER_PIECE = 100_000

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

_TRAIN, _TEST = ("train", "training"), ("test",)


@dataclass(frozen=True)
class Ingested(StageResult):
    """What 01 finished.

    Attributes
    ----------
    catalog
        The photos taken.
    """

    catalog: Catalog


@dataclass(frozen=True)
class _Row:
    """A row of the catalog, and how the photo lies inside an archive if there is one."""

    path: str
    label: str
    folder_side: str | None
    length: int
    modified: int
    packing: Packing | None


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
    with run_stage(parameters.RUN_URI, INGEST) as stage:
        unpacked = (in_place, {}) if in_place else _fetch(parameters.SOURCE_URI, run)
        source, skipped = unpacked[0], Counter(unpacked[1])
        found, listed = _list_photos(source, parameters, skipped)
        rows = sorted(_sample(listed, parameters, skipped), key=lambda row: row.path)
        rules = dict(sorted((+skipped).items()))
        images = _tabulate(rows)
        require_sum("files found", found, images=len(images), **rules)
        if not rows:
            seen = ", ".join(f"{count:,} {rule}" for rule, count in rules.items()) or "no file"
            raise ValueError(f"SOURCE_URI must hold photos, got {parameters.SOURCE_URI!r}: {seen}")
        inputs = parameters.fingerprint_inputs("images")
        tag = (source.base / source.archive).version_tag() if source.archive else None
        packing = {row.path: row.packing for row in rows if row.packing is not None}
        modified = images["modified"].cast(pa.int64())
        counts = {"found": found, "skipped": rules, "images": len(images)}
        digest = digest_rows(images.set_column(4, "modified", modified).to_batches())
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
                folder = snapshot.location
                write_pieces(folder / IMAGES, images.to_batches(max_chunksize=_ROWS_PER_PIECE))
                if packing:
                    members = _tabulate_packing(packing).to_batches(max_chunksize=_ROWS_PER_PIECE)
                    write_pieces(folder / MEMBERS, members)
        new = len(images) if snapshot.is_new else 0
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


def _list_photos(
    source: Source, parameters: Parameters, skipped: Counter[str]
) -> tuple[int, list[_Row]]:
    """List the source: files found, and the photos among them; count the others by rule."""
    found = skipped.total()
    rows: dict[str, _Row] = {}
    for entry, packing in source.list_files():
        found += 1
        is_file = packing is None or packing.method != archive.NOT_A_FILE
        rule = _find_skip_rule(entry.path, source) if is_file else "not_a_file"
        label = None if rule else _find_label(entry.path, source, parameters.LABEL_LEVEL)
        if rule or label is None:
            skipped[rule or "no_label"] += 1
            continue
        skipped["superseded"] += entry.path in rows
        side = _find_folder_side(entry.path)
        rows[entry.path] = _Row(entry.path, label, side, entry.length, entry.modified, packing)
    return found, list(rows.values())


def _find_skip_rule(path: str, source: Source) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "name_not_utf8"
    inside = path.partition(archive.SEPARATOR)[2] if source.archive else path
    if not inside or inside.endswith("/"):
        return "folder_marker"
    if ".." in inside.split("/"):
        return "not_a_file"
    if any(part.startswith((".", "_")) for part in inside.split("/")):
        return "hidden"
    if not source.matches(path):
        return "outside_glob"
    if not path.lower().endswith(ENDINGS):
        return "other_ending"
    return None


def _find_label(path: str, source: Source, level: int) -> str | None:
    """Find the folder ``level`` steps above the file; the source's own name is the topmost."""
    if source.archive is None:
        parts = [source.base.name, *path.split("/")]
    else:
        parts = [source.archive.partition(".")[0], *path.partition(archive.SEPARATOR)[2].split("/")]
    folders = [part for part in parts[:-1] if part]
    return folders[-level] if level <= len(folders) else None


def _find_folder_side(path: str) -> str | None:
    """Find the side that the path's nearest Training or Test folder names."""
    for part in reversed(path.lower().split("/")[:-1]):
        if part in _TRAIN:
            return "train"
        if part in _TEST:
            return "test"
    return None


def _sample(rows: list[_Row], parameters: Parameters, skipped: Counter[str]) -> Iterable[_Row]:
    """Sample each class by SAMPLE_FRACTION and LIMIT, in the order of the paths' SHA-256."""
    if parameters.LIMIT == 0 and parameters.SAMPLE_FRACTION == 1.0:
        return rows
    classes: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hashlib.sha256(row.path.encode()).digest()):
        classes[row.label].append(row)
    kept: list[_Row] = []
    for members in classes.values():
        sampled = members[: max(1, round(parameters.SAMPLE_FRACTION * len(members)))]
        taken = sampled[: parameters.LIMIT] if parameters.LIMIT else sampled
        skipped["sample_fraction"] += len(members) - len(sampled)
        skipped["limit"] += len(sampled) - len(taken)
        kept += taken
    return kept


def _tabulate(rows: list[_Row]) -> pa.Table:
    schema = schemas.IMAGES.schema
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _tabulate_packing(packing: Mapping[str, Packing]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"path": path, **place._asdict()} for path, place in packing.items()
    ]
    return pa.Table.from_pylist(rows, schema=schemas.MEMBERS.schema)
