"""02: read each photo once, hash it, decode it; it ends in ``pixels`` or in ``rejects``."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
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
from helpers.run.index import merge_segments, write_segment
from helpers.run.manifest import INGEST, PREPROCESS, Run, require_sum
from helpers.run.parts import MAX_BYTES, Parts, choose_part_rows, name_part
from helpers.run.planner import Planner
from helpers.run.results import to_photos
from helpers.run.units import Unit
from helpers.spark.tasks import is_retried
from helpers.stages.stage import StageResult, run_stage

# Photos beyond these could stall or exhaust a worker: they are decoded in the sandbox.
SANDBOX_BYTES = 1_000_000
SANDBOX_PIXELS = 4_000_000
SANDBOX_SCANS = 64  # a progressive JPEG decodes the whole picture once per scan

_SCAN_MARKER = b"\xff\xda"
_DECODED_PHOTOS = """
SELECT i.path, d.image_id FROM decoded AS d JOIN images AS i ON i.photo = d.photo ORDER BY d.photo
"""


class TooManyRejectsError(RuntimeError):
    """More photos were rejected than MAX_REJECT_FRACTION allows, or all of them."""


@dataclass(frozen=True)
class Preprocessed(StageResult):
    """What 02 finished.

    Attributes
    ----------
    run
        The run that holds the tables.
    """

    run: Run


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
    with run_stage(parameters.RUN_URI, PREPROCESS, spark) as stage, Planner() as planner:
        catalog = results.read_catalog(stage.run, stage.run.require(INGEST))
        name = fingerprint_pixels(parameters)
        pixels, rejects = results.open_pixels(stage.run, name)
        plan.load_catalog(planner, catalog.iterate_images(), catalog.iterate_members())
        plan.match_photos(planner, pixels, rejects)
        new = plan.find_undecoded(planner, parameters.RETRY_REJECTS)
        if new:
            catalog.require_unchanged()
            work = _Work(
                source=catalog.source,
                pixels=pixels,
                rejects=rejects,
                size=parameters.IMAGE_SIZE,
                max_bytes=parameters.MAX_BYTES,
                limits=Limits(parameters.MAX_PIXELS, parameters.MAX_ASPECT),
            )
            rows = choose_part_rows(new, row_bytes=3 * parameters.IMAGE_SIZE**2)
            stage.run_units(
                lambda given: _decode_units(given, work),
                planner.iterate(plan.DECODING_UNITS.format(rows=rows)),
                f"decode {new:,} photos",
            )
            merge_segments(pixels)
            merge_segments(rejects)
            plan.match_photos(planner, pixels, rejects)
        counts = _count(planner)
        blocked = _explain_rejects(counts, parameters.MAX_REJECT_FRACTION)
        record = stage.finish(
            {
                "images": catalog.snapshot.fingerprint,
                "pixels": name,
                # A reject that passes later changes this.
                "decoded": planner.digest(_DECODED_PHOTOS)[:16],
            },
            new,
            parameters=parameters.fingerprint_inputs("pixels"),
            counts=counts,
            blocked_because=blocked,
        )
        if blocked:
            raise TooManyRejectsError(blocked)
        return Preprocessed(record, new, stage.run)


def fingerprint_pixels(parameters: Parameters) -> str:
    """Compute the fingerprint of ``pixels`` and ``rejects``: of the rules, not of the photos."""
    rules = {
        "version": decode.PIXELS_VERSION,
        "filter": decode.FILTER.name,
        "draft_factor": decode.DRAFT_FACTOR,
        "formats": list(decode.FORMATS),
    }
    return fingerprint({**parameters.fingerprint_inputs("pixels"), **rules})


def _decode_units(units: Sequence[Unit], work: _Work) -> Iterator[int]:
    """In a Spark task: read and decode the photos of each unit; write its parts."""
    retried = is_retried()
    decoded: dict[str, pa.Table] = {}
    rejected: dict[str, pa.Table] = {}
    with Sandbox() as sandbox:
        for unit in units:
            rows = unit.read()
            photos = to_photos(rows)
            attempt = rows["attempt"][0].as_py()
            name = name_part(map(_identify, photos), attempt)
            if not (retried and work.pixels.has(name)):
                rejects = _RejectWriter(attempt, work.rejects)
                part = _decode_photos(photos, work, sandbox, retried, rejects)
                if len(part):
                    work.pixels.write(name, part)
                    decoded[name] = part
                rejected |= rejects.written
            yield len(photos)
    for table, written in ((work.pixels, decoded), (work.rejects, rejected)):
        if written:
            write_segment(table, written)


def _decode_photos(
    photos: list[Photo], work: _Work, sandbox: Sandbox, retried: bool, rejects: "_RejectWriter"
) -> pa.Table:
    """Read and decode photos: return rows of ``pixels``, and write those of ``rejects``."""
    decoded: list[dict[str, Any]] = []
    readable = [photo for photo in photos if not _reject_unread(photo, work, rejects)]
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
        decoded.append(
            {
                **_key(photo),
                "image_id": image_id,
                "kind": kind,
                "height": rgb.shape[0],
                "width": rgb.shape[1],
                "pixels": rgb.tobytes(),
            }
        )
    rejects.write()
    return pa.Table.from_pylist(decoded, schema=schemas.PIXELS.schema)


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
    """Collects rows of ``rejects`` and writes them in parts bounded in bytes.

    Attributes
    ----------
    written
        Key columns of the parts written, by name.
    """

    def __init__(self, attempt: int, table: Parts) -> None:
        self.written: dict[str, pa.Table] = {}
        self._attempt = attempt
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
                "attempt": self._attempt,
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
            name = name_part(map(_identify, self._photos), self._attempt)
            self._table.write(name, rows)
            self.written[name] = rows.drop_columns(["detail", "content"])
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


def _count(planner: Planner) -> dict[str, Any]:
    """Count the photos by what became of them.

    Raises
    ------
    AccountingError
        If a photo is neither decoded nor rejected.
    """
    decoded, rejected = planner.count("decoded"), planner.count("rejected")
    require_sum("images", planner.count("images"), pixels=decoded, rejects=rejected)
    reasons = planner.read(
        "SELECT reason, count(*) AS photos FROM rejected GROUP BY reason ORDER BY reason"
    )
    distinct = planner.read_value("SELECT count(DISTINCT image_id) FROM decoded")
    return {
        "duplicates": decoded - distinct,
        "rejects": dict(zip(*(column.to_pylist() for column in reasons.columns), strict=True)),
        "pixels": decoded,
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
