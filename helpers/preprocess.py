"""02: each photo is read once, hashed, decoded; it ends in ``pixels`` or in ``rejects``."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from pyspark.sql import SparkSession

from helpers import images, ingest
from helpers.parameters import Parameters, fingerprint
from helpers.sandbox import Sandbox
from helpers.stage import Stage, is_retried
from helpers.storage import live, tables
from helpers.storage.archive import UnsupportedPackingError
from helpers.storage.location import locate
from helpers.storage.parts import MOST_BYTES, Parts, part_name, part_rows
from helpers.storage.run import Record, Run, require_sum
from helpers.storage.source import Photo, Source

STAGE = "02_preprocess"

# Beyond these a photo is decoded in the sandbox: it could stall or exhaust a worker.
SANDBOX_BYTES = 1_000_000
SANDBOX_PIXELS = 4_000_000
SANDBOX_SCANS = 64  # a progressive JPEG decodes the whole picture once a scan

_SCAN_MARKER = b"\xff\xda"
SHOWN = 400  # pixels on a side, of a picture in a notebook
_MET = b"met"  # kinds of photos, to their paths
_NEVER_DECODED = ("too_many_pixels", "extreme_aspect", "decode_limit")


class TooManyRejectsError(RuntimeError):
    """More photos were rejected than MAX_REJECT_FRACTION allows, or all of them."""


@dataclass(frozen=True)
class Preprocessed:
    """What 02 finished: the tables, what became of each photo, and the counts."""

    record: Record
    photos: pa.Table
    pixels: Parts
    rejects: Parts
    catalogue: ingest.Catalogue
    new: int

    @property
    def counts(self) -> dict[str, Any]:
        return self.record.counts


class Example(NamedTuple):
    """A decoded photo to show: as a file (its width and height beside it), and as stored."""

    path: str
    before: Image.Image
    size: tuple[int, int]
    after: Image.Image


@dataclass(frozen=True)
class _Unit:
    """Photos that one part answers for."""

    name: str
    attempt: int
    photos: list[Photo]


@dataclass(frozen=True)
class _Work:
    """What every task needs to know."""

    source: Source
    pixels: Parts
    rejects: Parts
    size: int
    max_bytes: int
    limits: images.Limits


def preprocess(spark: SparkSession, parameters: Parameters) -> Preprocessed:
    """Decode the photos of the catalogue that were not decoded yet under these parameters.

    Raises
    ------
    StaleError
        If 01 has not finished in RUN_URI, or the archive it listed was replaced.
    AccountingError
        If a photo is neither in ``pixels`` nor in ``rejects`` at the end.
    TooManyRejectsError
        If more than MAX_REJECT_FRACTION of the photos, or all of them, are rejected.
    """
    run = Run(locate(parameters.RUN_URI))
    with Stage(run, STAGE, spark) as stage:
        catalogue = ingest.catalogue(run, run.upstream(ingest.STAGE))
        name = pixels_fingerprint(parameters)
        pixels, rejects = stores(run, name)
        todo = _todo(live.photos(catalogue.images, pixels, rejects), parameters.RETRY_REJECTS)
        work = _Work(
            source=catalogue.source,
            pixels=pixels,
            rejects=rejects,
            size=parameters.IMAGE_SIZE,
            max_bytes=parameters.MAX_BYTES,
            limits=images.Limits(parameters.MAX_PIXELS, parameters.MAX_ASPECT),
        )
        if len(todo):
            catalogue.require_unchanged()
        units = _units(catalogue, todo, parameters.IMAGE_SIZE)
        stage.tasks(lambda given: _make_parts(given, work), units, f"decode {len(todo):,} photos")
        photos = live.photos(catalogue.images, pixels, rejects)
        counts = _counts(photos)
        refused = _mostly_bad(counts, parameters.MAX_REJECT_FRACTION)
        passed = live.decoded(photos)
        rows = dict(zip(passed["path"].to_pylist(), passed["image_id"].to_pylist(), strict=True))
        lineage = {
            "images": catalogue.fingerprint,
            "pixels": name,
            "decoded": fingerprint(rows),  # a reject that passes later changes this alone
        }
        record = stage.finish(
            lineage,
            parameters.entering("pixels"),
            counts,
            images=len(todo),
            worked=len(todo) > 0,
            refused=refused,
        )
        if refused:
            raise TooManyRejectsError(refused)
        return Preprocessed(record, photos, pixels, rejects, catalogue, len(todo))


def pixels_fingerprint(parameters: Parameters) -> str:
    """Fingerprint of ``pixels`` and ``rejects``: the rules that made them, not the photos."""
    rules = {
        "version": images.PIXELS_VERSION,
        "filter": images.FILTER.name,
        "draft_factor": images.DRAFT_FACTOR,
        "formats": list(images.FORMATS),
    }
    return fingerprint({**parameters.entering("pixels"), **rules})


def stores(run: Run, name: str) -> tuple[Parts, Parts]:
    """The parts tables ``pixels`` and ``rejects`` of a fingerprint."""
    return (
        Parts(run.table("pixels") / name, tables.PIXELS),
        Parts(run.table("rejects") / name, tables.REJECTS),
    )


def modes_met(result: Preprocessed) -> dict[str, int]:
    """Format, mode and size of the photos decoded, to their number, most frequent first."""
    return {kind: len(paths) for kind, paths in _met(result).items()}


def examples(result: Preprocessed, number: int) -> list[Example]:
    """Decoded photos to show: one of each rare kind, then some of the others.

    A photo that can no longer be read is left out.
    """
    decoded = live.decoded(result.photos)
    rare = [paths[0] for paths in reversed(_met(result).values())][: number // 2]
    spread = np.linspace(0, len(decoded) - 1, min(number, len(decoded))).round().astype(int)
    others = [path for path in decoded["path"].take(spread).to_pylist() if path not in rare]
    wanted = pa.array([*rare, *others][:number])
    shown = []
    rows = decoded.filter(pc.is_in(decoded["path"], wanted))
    originals = result.catalogue.source.read_all(result.catalogue.photos(rows))
    for (photo, content), row in zip(originals, rows.to_pylist(), strict=True):
        if isinstance(content, OSError):
            continue
        stored = result.pixels.read(row["part"], ["height", "width", "pixels"])
        after = Image.fromarray(rgb(stored.slice(row["row"], 1))[0])
        if seen := images.visible(content, SHOWN):
            before, size = seen
            shown.append(Example(photo.path, before, size, after))
    return shown


def refusals(result: Preprocessed, number: int) -> list[tuple[str, str, str, Image.Image | None]]:
    """Path, reason, detail and what can be seen of the first rejected photos by path."""
    refused = result.photos.filter(pc.equal(result.photos["table"], live.REJECTS))
    shown = []
    for row in refused.slice(0, number).to_pylist():
        part = result.rejects.read(row["part"], ["detail", "content"]).slice(row["row"], 1)
        detail, content = (part[name][0].as_py() for name in ("detail", "content"))
        small = row["reason"] not in _NEVER_DECODED
        seen = images.visible(content, SHOWN) if content and small else None
        shown.append((row["path"], row["reason"], detail, seen[0] if seen else None))
    return shown


def rgb(rows: pa.Table) -> list[NDArray[np.uint8]]:
    """Rows of ``pixels`` as arrays of shape (height, width, 3)."""
    columns = (rows[name].to_pylist() for name in ("height", "width", "pixels"))
    return [
        np.frombuffer(content, np.uint8).reshape(height, width, 3)
        for height, width, content in zip(*columns, strict=True)
    ]


def _met(result: Preprocessed) -> dict[str, list[str]]:
    """Kinds of photos to the paths of those decoded, most frequent first."""
    decoded = live.decoded(result.photos)
    live_rows = set(zip(decoded["part"].to_pylist(), decoded["path"].to_pylist(), strict=True))
    parts = sorted({part for part, _ in live_rows})
    met: defaultdict[str, list[str]] = defaultdict(list)
    for part, metadata in zip(parts, result.pixels.metadata(parts), strict=True):
        for kind, paths in json.loads(metadata[_MET]).items():
            if still := [path for path in paths if (part, path) in live_rows]:
                met[kind] += still
    return dict(sorted(met.items(), key=lambda item: (-len(item[1]), item[0])))


def _todo(photos: pa.Table, retry_rejects: bool) -> pa.Table:
    """Photos to decode: those not tried, and rejects to be tried again."""
    again = pc.equal(photos["reason"], "unreadable")
    if retry_rejects:
        again = pc.equal(photos["table"], live.REJECTS)
    wanted = pc.or_kleene(pc.is_null(photos["table"]), again)
    return photos.filter(pc.fill_null(wanted, False))


def _units(catalogue: ingest.Catalogue, todo: pa.Table, size: int) -> list[_Unit]:
    """The photos to decode, dealt to parts; photos of one attempt together."""
    rows = part_rows(len(todo), row_bytes=3 * size * size)
    todo = todo.sort_by([("attempt", "ascending"), ("path", "ascending")])
    attempts = ((attempt or 0) + 1 for attempt in todo["attempt"].to_pylist())
    units = []
    paired = zip(attempts, catalogue.photos(todo), strict=True)
    for attempt, together in groupby(paired, key=lambda pair: pair[0]):
        photos = [photo for _, photo in together]
        for start in range(0, len(photos), rows):
            part = photos[start : start + rows]
            keys = (_identity(photo.path, photo.length, photo.modified) for photo in part)
            units.append(_Unit(part_name(keys, attempt), attempt, part))
    return units


def _make_parts(units: Sequence[_Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: decode the photos of each unit, and write its parts."""
    retried = is_retried()
    with Sandbox() as sandbox:
        for unit in units:
            if not (retried and work.pixels.has(unit.name)):
                _make_part(unit, work, sandbox, retried)
            yield len(unit.photos)


def _make_part(unit: _Unit, work: _Work, sandbox: Sandbox, retried: bool) -> None:
    decoded: list[dict[str, Any]] = []
    refused = _Refused(unit, work.rejects)
    met: defaultdict[str, list[str]] = defaultdict(list)
    readable = []
    for photo in unit.photos:
        if photo.length == 0:
            refused.add(photo, "empty", "0 bytes")
        elif photo.length > work.max_bytes:
            detail = f"{photo.length:,} bytes are above {work.max_bytes:,}"
            refused.add(photo, "too_large_file", detail)
        else:
            readable.append(photo)
    for photo, content in work.source.read_all(readable):
        if isinstance(content, OSError):
            packed = isinstance(content, UnsupportedPackingError)
            reason = "unsupported" if packed else "unreadable"
            refused.add(photo, reason, " ".join(str(content).split()))
            continue
        image_id = hashlib.sha256(content).hexdigest()
        try:
            kind, array = _decoded(content, work, sandbox, retried)
        except images.RejectedError as error:
            refused.add(photo, error.reason, error.detail, image_id, content)
            continue
        met[kind].append(photo.path)
        decoded.append(
            {
                **_key(photo),
                "image_id": image_id,
                "height": array.shape[0],
                "width": array.shape[1],
                "pixels": array.tobytes(),
            }
        )
    refused.write()
    if decoded:
        table = pa.Table.from_pylist(decoded, schema=tables.PIXELS)
        work.pixels.write(
            unit.name, table.replace_schema_metadata({_MET: json.dumps(met).encode()})
        )


class _Refused:
    """Rows of ``rejects`` on their way to parts bounded in bytes."""

    def __init__(self, unit: _Unit, store: Parts) -> None:
        self._unit = unit
        self._store = store
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(
        self,
        photo: Photo,
        reason: str,
        detail: str,
        image_id: str | None = None,
        content: bytes | None = None,
    ) -> None:
        self._rows.append(
            {
                **_key(photo),
                "image_id": image_id,
                "reason": reason,
                "detail": detail,
                "attempt": self._unit.attempt,
                "content": content,
            }
        )
        self._bytes += len(content or b"")
        if self._bytes > MOST_BYTES:
            self.write()

    def write(self) -> None:
        if self._rows:
            keys = (_identity(row["path"], row["length"], row["modified"]) for row in self._rows)
            table = pa.Table.from_pylist(self._rows, schema=tables.REJECTS)
            self._store.write(part_name(keys, self._unit.attempt), table)
            self._rows, self._bytes = [], 0


def _decoded(
    content: bytes, work: _Work, sandbox: Sandbox, retried: bool
) -> tuple[str, NDArray[np.uint8]]:
    """A photo's format, mode and size as its header says, and its pixels."""
    if retried:  # even a header may have killed the worker: the child opens it first
        array = sandbox.decode(content, work.size, work.limits)
        return images.kind(images.opened(content, work.limits)), array
    image = images.opened(content, work.limits)
    kind = images.kind(image)  # before decoding, which may scale the picture
    if _is_risky(image, content):
        return kind, sandbox.decode(content, work.size, work.limits)
    return kind, images.pixels(image, work.size)


def _is_risky(image: Image.Image, content: bytes) -> bool:
    """Whether a photo could stall or exhaust a worker that decodes it itself."""
    return (
        len(content) > SANDBOX_BYTES
        or image.width * image.height > SANDBOX_PIXELS
        or content.count(_SCAN_MARKER) > SANDBOX_SCANS
    )


def _key(photo: Photo) -> dict[str, Any]:
    return {"path": photo.path, "length": photo.length, "modified": photo.modified}


def _identity(path: str, length: int, modified: int) -> str:
    return f"{path}\0{length}\0{modified}"


def _counts(photos: pa.Table) -> dict[str, Any]:
    """The stage's sums over the catalogue.

    Raises
    ------
    AccountingError
        If a photo is neither decoded nor rejected.
    """
    decoded = live.decoded(photos)
    refused = photos.filter(pc.equal(photos["table"], live.REJECTS))
    require_sum("images", len(photos), pixels=len(decoded), rejects=len(refused))
    reasons = Counter(refused["reason"].to_pylist())
    return {
        "duplicates": len(decoded) - pc.count_distinct(decoded["image_id"]).as_py(),
        "rejects": dict(sorted(reasons.items())),
        "pixels": len(decoded),
    }


def _mostly_bad(counts: dict[str, Any], most: float) -> str:
    """Why the run stops at this many rejects; nothing if it does not."""
    rejected = sum(counts["rejects"].values())
    total = rejected + counts["pixels"]
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts["rejects"].items())
    if counts["pixels"] == 0:
        return f"all {total:,} photos are rejected: {reasons}"
    if rejected > most * total:
        return (
            f"{rejected:,} of {total:,} photos are rejected, above MAX_REJECT_FRACTION={most}: "
            f"{reasons}"
        )
    return ""
