"""01: a source becomes the catalogue ``images``. It lists, and opens no image."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from helpers.parameters import KAGGLE, Parameters, fingerprint
from helpers.stage import Stage
from helpers.storage import archive, snapshots, tables
from helpers.storage.location import Folder, Location, contains, locate, real
from helpers.storage.run import Record, Run, StaleError, require_sum
from helpers.storage.source import Member, Photo, Source, open_source

STAGE = "01_ingest"
CATALOGUE = "images.parquet"
MEMBERS = "_members.parquet"
UNPACKED = "source"
COMPLETE = "_complete.json"

#: endings of the files that are taken; HEIC and AVIF are taken to be counted as rejects
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp",
    ".heic", ".heif", ".avif",
)  # fmt: skip

SKIP_RULES = {
    "hidden": "a name on the path begins with . or _",
    "folder_marker": "an S3 key that ends with /, or a link to a folder: it is not entered",
    "not_a_file": "in an archive: a link, a device, or a name that leads outside",
    "name_not_utf8": "the name is not UTF-8",
    "outside_glob": "the glob does not take it",
    "other_ending": "no ending of an image file",
    "no_label": "fewer folders above it than LABEL_LEVEL",
    "sample_fraction": "beyond SAMPLE_FRACTION of its class",
    "limit": "beyond LIMIT of its class",
    "superseded": "the archive holds a later file of the same name",
}

_TRAIN, _TEST = ("train", "training"), ("test",)


@dataclass(frozen=True)
class Catalogue:
    """The photos taken: ``images`` (an Arrow table), and how many files were skipped by rule.

    ``stamp`` is of the archive that holds the photos, if one does.
    """

    images: pa.Table
    source: Source
    fingerprint: str
    skipped: dict[str, int]
    members: dict[str, Member]
    stamp: str | None

    @property
    def found(self) -> int:
        """Files found: those taken and those skipped."""
        return len(self.images) + sum(self.skipped.values())

    def require_unchanged(self) -> None:
        """Raise if the photos lie in an archive that was replaced: they are read by offset.

        Raises
        ------
        StaleError
        """
        if self.source.archive is not None:
            place = self.source.base / self.source.archive
            if place.stamp() != self.stamp:
                raise StaleError(f"{place.uri} was replaced since {STAGE} listed it: rerun {STAGE}")

    def photos(self, rows: pa.Table) -> list[Photo]:
        """Rows of the catalogue as tasks read them."""
        paths, lengths = rows["path"].to_pylist(), rows["length"].to_pylist()
        modified = rows["modified"].cast(pa.int64()).to_pylist()
        return [
            Photo(*key, self.members.get(key[0]))
            for key in zip(paths, lengths, modified, strict=True)
        ]


def ingest(parameters: Parameters) -> Catalogue:
    """List the source and write the catalogue, unless the very same one is there.

    Raises
    ------
    OSError
        If the source is missing or may not be read.
    ValueError
        If it holds no photo, or SOURCE_URI and RUN_URI lie inside each other.
    """
    run = Run(locate(parameters.RUN_URI))
    in_place = _in_place(parameters, run)  # refuses before anything is written
    with Stage(run, STAGE) as stage:
        source, left = (in_place, {}) if in_place else _fetched(parameters.SOURCE_URI, run)
        found, rows, members, skipped = _listed(source, parameters, left)
        images = _table(rows)
        require_sum("files found", found, images=len(images), **skipped)
        if not rows:
            seen = ", ".join(f"{count:,} {rule}" for rule, count in skipped.items()) or "no file"
            raise ValueError(f"SOURCE_URI must hold photos, got {parameters.SOURCE_URI!r}: {seen}")
        entering = parameters.entering("images")
        packed = None if source.archive is None else (source.base / source.archive).stamp()
        content = {"parameters": entering, "rows": _digest(images), "archive": packed}
        name = fingerprint(content)
        new = snapshots.find(run.table("images"), name) is None
        if new:
            draft = snapshots.draft(run.table("images"), name, stage.run_id)
            tables.write_parquet(draft.location / CATALOGUE, images)
            if members:
                tables.write_parquet(draft.location / MEMBERS, _member_table(members))
            stage.check()
            draft.finish(
                {
                    "parameters": entering,
                    "source": source.base.uri,
                    "archive": source.archive,
                    "stamp": packed,
                    "skipped": skipped,
                }
            )
        counts = {
            "found": found,
            "skipped": skipped,
            "images": len(images),
        }
        stage.finish({"images": name}, entering, counts, images=len(images), worked=new)
        return Catalogue(images, source, name, skipped, members, packed)


def catalogue(run: Run, record: Record) -> Catalogue:
    """The catalogue in the lineage of a record.

    Raises
    ------
    FileNotFoundError
        If its snapshot is gone.
    """
    name = record.lineage["images"]
    snapshot = snapshots.require(run.table("images"), name)
    manifest = snapshot.manifest
    images = tables.read_parquet(snapshot.location / CATALOGUE)
    members = {}
    if manifest["archive"] is not None:
        table = tables.read_parquet(snapshot.location / MEMBERS)
        members = {row.pop("path"): Member(**row) for row in table.to_pylist()}
    source = Source(locate(manifest["source"]), manifest["archive"])
    return Catalogue(images, source, name, manifest["skipped"], members, manifest["stamp"])


def _in_place(parameters: Parameters, run: Run) -> Source | None:
    """The source as it lies; None where it must be unpacked first."""
    uri = parameters.SOURCE_URI
    if uri.startswith("kaggle://") or archive.is_compressed(uri):
        return None
    source = open_source(uri)
    inside, outside = real(run.location), real(source.base)
    if source.archive is None and (contains(outside, inside) or contains(inside, outside)):
        raise ValueError(
            f"RUN_URI and SOURCE_URI must not lie inside each other, got RUN_URI="
            f"{parameters.RUN_URI!r} and SOURCE_URI={uri!r}"
        )
    return source


def _fetched(uri: str, run: Run) -> tuple[Source, dict[str, int]]:
    """A source that cannot be read in place, downloaded or unpacked below the run, once.

    The numbers are of what was left in the archive, by the rule that skips it.
    """
    if uri.startswith("kaggle://"):
        return Source(_downloaded(uri, run)), {}
    place, left = _unpacked(locate(uri), run)
    return Source(place), left


def _unpacked(packed: Location, run: Run) -> tuple[Location, dict[str, int]]:
    identity = {"from": packed.uri, "stamp": packed.stamp()}
    place = run.table(UNPACKED) / fingerprint(identity)
    to = place / packed.name.partition(".")[0]  # the name that labels photos in no folder
    if not (place / COMPLETE).is_file():
        left = archive.unpack(packed, to)
        snapshots.write_json(place / COMPLETE, {**identity, "left": left})
    return to, snapshots.read_json(place / COMPLETE)["left"]


def _downloaded(uri: str, run: Run) -> Location:
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
                f"{uri} needs kagglehub: pip install '.[kaggle]' in the project's folder"
            ) from error
        downloaded = Folder(kagglehub.dataset_download(f"{owner}/{name}"))
        for entry in downloaded.entries():
            (to / entry.path).write((downloaded / entry.path).read())
        snapshots.write_json(place / COMPLETE, {"from": uri})
    return to


Row = tuple[str, str, str | None, int, int]


def _listed(
    source: Source, parameters: Parameters, left: dict[str, int]
) -> tuple[int, list[Row], dict[str, Member], dict[str, int]]:
    """Files found; rows of the catalogue by path; members of the archive; skipped files by rule."""
    found = sum(left.values())
    skipped = Counter(left)
    rows: dict[str, Row] = {}
    members: dict[str, Member] = {}
    for entry, member in source.entries():
        found += 1
        is_file = member is None or member.method != archive.NOT_A_FILE
        rule = _skip_rule(entry.path, source) if is_file else "not_a_file"
        label = None if rule else _label(entry.path, source, parameters.LABEL_LEVEL)
        if rule or label is None:
            skipped[rule or "no_label"] += 1
            continue
        skipped["superseded"] += entry.path in rows
        side = _folder_side(entry.path)
        rows[entry.path] = (entry.path, label, side, entry.length, entry.modified)
        if member is not None:
            members[entry.path] = member
    kept = _limited(rows.values(), parameters, skipped)
    paths = {row[0] for row in kept}
    members = {path: member for path, member in members.items() if path in paths}
    return found, sorted(kept), members, dict(sorted((+skipped).items()))


def _skip_rule(path: str, source: Source) -> str | None:
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


def _label(path: str, source: Source, level: int) -> str | None:
    """The folder ``level`` steps above the file; the source's own name tops the path."""
    if source.archive is None:
        parts = [source.base.name, *path.split("/")]
    else:
        parts = [source.archive.partition(".")[0], *path.partition(archive.SEPARATOR)[2].split("/")]
    folders = [part for part in parts[:-1] if part]
    return folders[-level] if level <= len(folders) else None


def _folder_side(path: str) -> str | None:
    """The side that a path's nearest telling folder names."""
    for part in reversed(path.lower().split("/")[:-1]):
        if part in _TRAIN:
            return "train"
        if part in _TEST:
            return "test"
    return None


def _limited(rows: Iterable[Row], parameters: Parameters, skipped: Counter[str]) -> Iterable[Row]:
    """The rows that SAMPLE_FRACTION and LIMIT leave of each class, by the paths' SHA-256."""
    if parameters.LIMIT == 0 and parameters.SAMPLE_FRACTION == 1.0:
        return rows
    classes: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hashlib.sha256(row[0].encode()).digest()):
        classes[row[1]].append(row)
    kept: list[Row] = []
    for members in classes.values():
        sampled = members[: max(1, round(parameters.SAMPLE_FRACTION * len(members)))]
        taken = sampled[: parameters.LIMIT] if parameters.LIMIT else sampled
        skipped["sample_fraction"] += len(members) - len(sampled)
        skipped["limit"] += len(sampled) - len(taken)
        kept += taken
    return kept


def _table(rows: list[Row]) -> pa.Table:
    columns: list[Any] = list(zip(*rows, strict=True)) or [[] for _ in tables.IMAGES]
    return pa.table(
        [
            pa.array(values, field.type)
            for values, field in zip(columns, tables.IMAGES, strict=True)
        ],
        schema=tables.IMAGES,
    )


def _member_table(members: dict[str, Member]) -> pa.Table:
    rows = [{"path": path, **member._asdict()} for path, member in members.items()]
    return pa.Table.from_pylist(rows, schema=tables.MEMBERS)


def _digest(images: pa.Table) -> str:
    """SHA-256 of the sorted rows, column by column."""
    digest = hashlib.sha256()
    for name in ("path", "label", "folder_side"):
        digest.update("\0".join(value or "" for value in images[name].to_pylist()).encode())
    for name in ("length", "modified"):
        digest.update(images[name].cast(pa.int64()).to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()
