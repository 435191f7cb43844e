"""02: read each photo once, hash it, decode it; it ends in ``pixels`` or in ``rejects``."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from pyspark.sql import SparkSession

from helpers.parameters import Parameters, fingerprint
from helpers.photos import decode
from helpers.photos.archive import UnsupportedPackingError
from helpers.photos.decode import Limits, RejectedError, decode_rgb, open_image
from helpers.photos.preview import describe
from helpers.photos.sandbox import Sandbox
from helpers.photos.source import Photo, Source
from helpers.run import plan, results, schemas
from helpers.run.manifest import INGEST, PREPROCESS, require_sum
from helpers.run.parts import MAX_BYTES, Parts, choose_part_rows, name_part
from helpers.run.results import Catalog
from helpers.spark.tasks import is_retried
from helpers.stages.stage import StageResult, run_stage

# Photos beyond these could stall or exhaust a worker: they are decoded in the sandbox.
SANDBOX_BYTES = 1_000_000
SANDBOX_PIXELS = 4_000_000
SANDBOX_SCANS = 64  # a progressive JPEG decodes the whole picture once per scan

_SCAN_MARKER = b"\xff\xda"


class TooManyRejectsError(RuntimeError):
    """More photos were rejected than MAX_REJECT_FRACTION allows, or all of them."""


@dataclass(frozen=True)
class Preprocessed(StageResult):
    """What 02 finished.

    Attributes
    ----------
    catalog
        The photos that 01 took.
    photos
        What became of each photo: see :func:`helpers.run.plan.match_photos`.
    pixels, rejects
        The tables that hold the photos.
    """

    catalog: Catalog
    photos: pa.Table
    pixels: Parts
    rejects: Parts


@dataclass(frozen=True)
class _Unit:
    """Photos of one part."""

    name: str
    attempt: int
    photos: list[Photo]


@dataclass(frozen=True)
class _Work:
    """What every task needs."""

    source: Source
    pixels: Parts
    rejects: Parts
    size: int
    max_bytes: int
    limits: Limits


def preprocess(spark: SparkSession, parameters: Parameters) -> Preprocessed:
    """Decode the photos of the catalog that were not yet decoded under these parameters.

    Raises
    ------
    StaleError
        If 01 has not finished in RUN_URI, or if the archive that it listed was replaced.
    AccountingError
        If a photo is neither in ``pixels`` nor in ``rejects`` at the end.
    TooManyRejectsError
        If more than MAX_REJECT_FRACTION of the photos, or all of them, are rejected.
    """
    with run_stage(parameters.RUN_URI, PREPROCESS, spark) as stage:
        catalog = results.read_catalog(stage.run, stage.run.require(INGEST))
        name = fingerprint_pixels(parameters)
        pixels, rejects = results.open_pixels(stage.run, name)
        photos = plan.match_photos(catalog.images, pixels, rejects)
        todo = plan.select_undecoded(photos, parameters.RETRY_REJECTS)
        work = _Work(
            source=catalog.source,
            pixels=pixels,
            rejects=rejects,
            size=parameters.IMAGE_SIZE,
            max_bytes=parameters.MAX_BYTES,
            limits=Limits(parameters.MAX_PIXELS, parameters.MAX_ASPECT),
        )
        if len(todo):
            catalog.require_unchanged()
        units = _plan_units(catalog, todo, parameters.IMAGE_SIZE)
        stage.run_tasks(
            lambda given: _decode_units(given, work), units, f"decode {len(todo):,} photos"
        )
        photos = plan.match_photos(catalog.images, pixels, rejects)
        counts = _count(photos)
        blocked = _explain_rejects(counts, parameters.MAX_REJECT_FRACTION)
        record = stage.finish(
            {
                "images": catalog.fingerprint,
                "pixels": name,
                "decoded": _fingerprint_decoded(photos),
            },
            len(todo),
            parameters=parameters.fingerprint_inputs("pixels"),
            counts=counts,
            blocked_because=blocked,
        )
        if blocked:
            raise TooManyRejectsError(blocked)
        return Preprocessed(record, len(todo), catalog, photos, pixels, rejects)


def fingerprint_pixels(parameters: Parameters) -> str:
    """Compute the fingerprint of ``pixels`` and ``rejects``: of the rules, not of the photos."""
    rules = {
        "version": decode.PIXELS_VERSION,
        "filter": decode.FILTER.name,
        "draft_factor": decode.DRAFT_FACTOR,
        "formats": list(decode.FORMATS),
    }
    return fingerprint({**parameters.fingerprint_inputs("pixels"), **rules})


def _fingerprint_decoded(photos: pa.Table) -> str:
    """Compute the fingerprint of the decoded photos: a reject that passes later changes it."""
    decoded = plan.select_decoded(photos)
    rows = zip(decoded["path"].to_pylist(), decoded["image_id"].to_pylist(), strict=True)
    return fingerprint(dict(rows))


def _plan_units(catalog: Catalog, todo: pa.Table, size: int) -> list[_Unit]:
    """Group the photos to decode into parts; photos of one attempt together."""
    rows = choose_part_rows(len(todo), row_bytes=3 * size * size)
    todo = todo.sort_by([("attempt", "ascending"), ("path", "ascending")])
    attempts = ((attempt or 0) + 1 for attempt in todo["attempt"].to_pylist())
    units = []
    paired = zip(attempts, catalog.to_photos(todo), strict=True)
    for attempt, together in groupby(paired, key=lambda pair: pair[0]):
        photos = [photo for _, photo in together]
        for start in range(0, len(photos), rows):
            part = photos[start : start + rows]
            units.append(_Unit(name_part(map(_identify, part), attempt), attempt, part))
    return units


def _decode_units(units: Sequence[_Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: read and decode the photos of each unit; write its parts."""
    retried = is_retried()
    with Sandbox() as sandbox:
        for unit in units:
            if not (retried and work.pixels.has(unit.name)):
                _decode_unit(unit, work, sandbox, retried)
            yield len(unit.photos)


def _decode_unit(unit: _Unit, work: _Work, sandbox: Sandbox, retried: bool) -> None:
    decoded: list[dict[str, Any]] = []
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    rejects = _RejectWriter(unit, work.rejects)
    readable = [photo for photo in unit.photos if not _reject_unread(photo, work, rejects)]
    for photo, content in work.source.read_all(readable):
        if isinstance(content, OSError):
            is_packed = isinstance(content, UnsupportedPackingError)
            reason = "unsupported" if is_packed else "unreadable"
            rejects.add(photo, reason, " ".join(str(content).split()))
            continue
        image_id = hashlib.sha256(content).hexdigest()
        try:
            kind, rgb = _decode(content, work, sandbox, retried)
        except RejectedError as error:
            rejects.add(photo, error.reason, error.detail, image_id, content)
            continue
        kinds[kind].append(photo.path)
        decoded.append(
            {
                **_key(photo),
                "image_id": image_id,
                "height": rgb.shape[0],
                "width": rgb.shape[1],
                "pixels": rgb.tobytes(),
            }
        )
    rejects.write()
    if decoded:
        rows = pa.Table.from_pylist(decoded, schema=schemas.PIXELS.schema)
        metadata = {results.KINDS: json.dumps(kinds).encode()}
        work.pixels.write(unit.name, rows.replace_schema_metadata(metadata))


def _reject_unread(photo: Photo, work: _Work, rejects: "_RejectWriter") -> bool:
    """Reject a photo whose length alone says that it is not to be read."""
    if photo.length == 0:
        rejects.add(photo, "empty", "0 bytes")
    elif photo.length > work.max_bytes:
        detail = f"{photo.length:,} bytes are above {work.max_bytes:,}"
        rejects.add(photo, "too_large_file", detail)
    else:
        return False
    return True


class _RejectWriter:
    """Collects rows of ``rejects`` and writes them in parts bounded in bytes."""

    def __init__(self, unit: _Unit, table: Parts) -> None:
        self._unit = unit
        self._table = table
        self._photos: list[Photo] = []
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
        """Add a row; write a part if it is full."""
        self._photos.append(photo)
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
        if self._bytes > MAX_BYTES:
            self.write()

    def write(self) -> None:
        """Write the rows collected so far."""
        if self._rows:
            rows = pa.Table.from_pylist(self._rows, schema=schemas.REJECTS.schema)
            name = name_part(map(_identify, self._photos), self._unit.attempt)
            self._table.write(name, rows)
            self._photos, self._rows, self._bytes = [], [], 0


def _decode(
    content: bytes, work: _Work, sandbox: Sandbox, retried: bool
) -> tuple[str, NDArray[np.uint8]]:
    """Decode a photo; return its kind, as its header says, and its pixels."""
    if retried:  # even a header may have killed the worker: the child opens it first
        rgb = sandbox.decode(content, work.size, work.limits)
        return describe(open_image(content, work.limits)), rgb
    image = open_image(content, work.limits)
    kind = describe(image)  # before decoding, which may scale the picture
    if _is_risky(image, content):
        return kind, sandbox.decode(content, work.size, work.limits)
    return kind, decode_rgb(image, work.size)


def _is_risky(image: Image.Image, content: bytes) -> bool:
    """Tell whether a photo could stall or exhaust a worker that decodes it itself."""
    return (
        len(content) > SANDBOX_BYTES
        or image.width * image.height > SANDBOX_PIXELS
        or content.count(_SCAN_MARKER) > SANDBOX_SCANS
    )


def _key(photo: Photo) -> dict[str, Any]:
    return {"path": photo.path, "length": photo.length, "modified": photo.modified}


def _identify(photo: Photo) -> str:
    return f"{photo.path}\0{photo.length}\0{photo.modified}"


def _count(photos: pa.Table) -> dict[str, Any]:
    """Count the photos by what became of them.

    Raises
    ------
    AccountingError
        If a photo is neither decoded nor rejected.
    """
    decoded, rejected = plan.select_decoded(photos), plan.select_rejected(photos)
    require_sum("images", len(photos), pixels=len(decoded), rejects=len(rejected))
    reasons = Counter(rejected["reason"].to_pylist())
    return {
        "duplicates": len(decoded) - pc.count_distinct(decoded["image_id"]).as_py(),
        "rejects": dict(sorted(reasons.items())),
        "pixels": len(decoded),
    }


def _explain_rejects(counts: dict[str, Any], most: float) -> str:
    """Explain why the run stops at this many rejects; empty if it does not."""
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
