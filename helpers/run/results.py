"""Every reader of a result: catalog, pixels, features, sides, scores, predictions.

A stage reads what an earlier one wrote by these functions, and so do reports and notebooks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from helpers.parameters import CURRENT
from helpers.photos.archive import Packing
from helpers.photos.source import Photo, Source
from helpers.run import plan, schemas
from helpers.run.manifest import (
    CLASSIFY,
    FEATURIZE,
    INGEST,
    PREPROCESS,
    Record,
    Run,
    StaleError,
)
from helpers.run.parts import Parts
from helpers.run.snapshots import Snapshot, require_snapshot
from helpers.storage.location import Location, locate
from helpers.storage.parquet import read_parquet

# Files inside snapshots.
CATALOG = "images.parquet"
MEMBERS = "_members.parquet"
SPLIT = "split.parquet"
SCORES = "scores"
PREDICTIONS = "predictions"

#: key of a part's schema metadata: kinds of photos, each with the paths of its photos
KINDS = b"kinds"


@dataclass(frozen=True)
class Catalog:
    """The photos that 01 took.

    Attributes
    ----------
    images
        The table ``images``, sorted by path.
    source
        Where the photos lie.
    fingerprint
        Of the snapshot.
    skipped
        Files that were not taken, by rule.
    packing
        Where each photo lies inside an archive, by path; empty where the source is no archive.
    version_tag
        Of the archive, or None.
    """

    images: pa.Table
    source: Source
    fingerprint: str
    skipped: Mapping[str, int]
    packing: Mapping[str, Packing]
    version_tag: str | None

    @property
    def found(self) -> int:
        """Files found: those taken and those skipped."""
        return len(self.images) + sum(self.skipped.values())

    def require_unchanged(self) -> None:
        """Raise if the photos lie in an archive that was replaced: they are read by offset.

        Raises
        ------
        StaleError
            If it was.
        """
        if self.source.archive is not None:
            archive = self.source.base / self.source.archive
            if archive.version_tag() != self.version_tag:
                raise StaleError(
                    f"{archive.uri} was replaced since {INGEST} listed it: rerun {INGEST}"
                )

    def to_photos(self, rows: pa.Table) -> list[Photo]:
        """Turn rows of the catalog into the references that tasks read."""
        paths, lengths = rows["path"].to_pylist(), rows["length"].to_pylist()
        modified = rows["modified"].cast(pa.int64()).to_pylist()
        return [
            Photo(*key, self.packing.get(key[0]))
            for key in zip(paths, lengths, modified, strict=True)
        ]


class FeatureSet(NamedTuple):
    """Features of distinct photos, sorted by path.

    Attributes
    ----------
    features
        float32, shape (photos, width).
    labels
        Class of each photo, shape (photos,).
    paths
        First path of each photo, shape (photos,).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.str_]
    paths: NDArray[np.str_]


def read_catalog(run: Run, record: Record) -> Catalog:
    """Read the catalog in the lineage of a record.

    Raises
    ------
    FileNotFoundError
        If its snapshot is gone.
    """
    name = record.lineage["images"]
    snapshot = require_snapshot(run.table("images"), name)
    manifest = snapshot.manifest
    images = read_parquet(snapshot.location / CATALOG)
    packing = {}
    if manifest["archive"] is not None:
        rows = read_parquet(snapshot.location / MEMBERS).to_pylist()
        packing = {row.pop("path"): Packing(**row) for row in rows}
    source = Source(locate(manifest["source"]), manifest["archive"])
    tag = manifest["version_tag"]
    return Catalog(images, source, name, manifest["skipped"], packing, tag)


def open_pixels(run: Run, fingerprint: str) -> tuple[Parts, Parts]:
    """Return the tables ``pixels`` and ``rejects`` of a fingerprint."""
    return (
        Parts(run.table("pixels") / fingerprint, schemas.PIXELS.schema),
        Parts(run.table("rejects") / fingerprint, schemas.REJECTS.schema),
    )


def open_features(run: Run, fingerprint: str) -> Parts:
    """Return the table ``features`` of a fingerprint."""
    return Parts(run.table("features") / fingerprint, schemas.FEATURES.schema)


def read_decoded(run: Run, record: Record) -> tuple[Parts, pa.Table]:
    """Read the decoded photos in the lineage of a record.

    Returns
    -------
    pixels, photos
        The table ``pixels``; and the rows of :func:`helpers.run.plan.match_photos` that are in it.

    Raises
    ------
    StaleError
        If a photo is in no table any more.
    """
    catalog = read_catalog(run, record)
    pixels, rejects = open_pixels(run, record.lineage["pixels"])
    photos = plan.match_photos(catalog.images, pixels, rejects)
    if missing := photos["table"].null_count:
        raise StaleError(
            f"{missing:,} of {len(photos):,} photos are neither in {pixels.location.uri} nor among "
            f"its rejects: rerun {PREPROCESS}"
        )
    return pixels, plan.select_decoded(photos)


def to_rgb(rows: pa.Table) -> list[NDArray[np.uint8]]:
    """Turn rows of ``pixels`` into RGB arrays of shape (height, width, 3)."""
    columns = (rows[name].to_pylist() for name in ("height", "width", "pixels"))
    return [
        np.frombuffer(content, np.uint8).reshape(height, width, 3)
        for height, width, content in zip(*columns, strict=True)
    ]


def to_matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    """Turn a column of lists of one length into an array of shape (rows, length)."""
    flat = lists.combine_chunks().flatten()
    matrix: NDArray[np.float32] = flat.to_numpy().reshape(len(lists), -1)
    return matrix


def read_sides(run: Run, record: Record) -> pa.Table:
    """Read ``path``, ``label``, ``image_id`` and ``side`` of every decoded photo, by path."""
    images = read_catalog(run, record).images
    snapshot = require_snapshot(run.table("splits"), record.lineage["splits"])
    return add_labels(read_parquet(snapshot.location / SPLIT), images)


def add_labels(sides: pa.Table, photos: pa.Table) -> pa.Table:
    """Join sides with labels: ``path``, ``label``, ``image_id`` and ``side``, sorted by path."""
    labels = photos.select(["path", "label"])
    return sides.join(labels, "path").select(["path", "label", "image_id", "side"]).sort_by("path")


def require_pca(run: Run, record: Record) -> Snapshot:
    """Find the snapshot of ``pca`` in the lineage of a record.

    Raises
    ------
    FileNotFoundError
        If it is gone.
    """
    return require_snapshot(run.table("pca"), record.lineage["pca"])


def list_score_files(pca: Snapshot) -> list[Location]:
    """List the Parquet files that hold the scores of a snapshot of ``pca``, in order."""
    folder = pca.location / SCORES
    names = sorted(file.path for file in folder.list_files() if file.path.startswith("part-"))
    return [folder / name for name in names]


def read_scores(pca: Snapshot) -> pa.Table:
    """Read ``image_id`` and ``scores`` of every distinct photo."""
    return pa.concat_tables(map(read_parquet, list_score_files(pca)))


def match_scores(pca: Snapshot, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """Read the scores of some photos, in their order: shape (photos, components).

    Raises
    ------
    ValueError
        If a photo has no scores in the snapshot.
    """
    stored = read_scores(pca)
    rows = pc.index_in(pa.array(image_ids, pa.string()), stored["image_id"].combine_chunks())
    if rows.null_count:
        missing = image_ids[rows.is_null().index(True).as_py()]
        raise ValueError(f"image_id must have scores in {pca.location.uri}, got {missing!r}")
    return to_matrix(stored["scores"].take(rows))


def read_predictions(classify: Snapshot) -> pa.Table:
    """Read ``path``, ``label``, ``side``, ``predicted`` and ``probability`` of every photo."""
    return read_parquet(classify.location / PREDICTIONS / "part-00000.parquet")


def load_features(run_uri: str, fingerprint: str = CURRENT) -> FeatureSet:
    """Load the features of a run as arrays.

    Parameters
    ----------
    run_uri
        ``RUN_URI`` of the run: a folder or an ``s3://`` prefix.
    fingerprint
        Of a result of 03, or ``"current"``.

    Raises
    ------
    StaleError
        If 03 has not finished, or not on what the stages before it finished last, or if its
        files were deleted.
    ValueError
        If the run has no such result.
    """
    run = Run(locate(run_uri))
    record = run.require(FEATURIZE, fingerprint)
    _, photos = read_decoded(run, record)
    table = open_features(run, record.lineage["features"])
    positions = plan.match_features(photos, table)
    first = plan.select_distinct(photos).select(["image_id", "path", "label"])
    if missing := len(first) - len(positions):
        raise StaleError(
            f"{missing:,} of {len(first):,} distinct photos have no features in "
            f"{table.location.uri}: rerun {FEATURIZE}"
        )
    placed = first.join(positions, "image_id").sort_by(
        [("part", "ascending"), ("row", "ascending")]
    )
    pieces = [
        to_matrix(table.read(part, ["features"])["features"].take(rows))
        for part, rows in plan.group_rows_by_part(placed).items()
    ]
    order = np.argsort(np.array(placed["path"].to_pylist()), kind="stable")
    return FeatureSet(
        np.concatenate(pieces)[order],
        np.array(placed["label"].to_pylist())[order],
        np.array(placed["path"].to_pylist())[order],
    )


def load_predictions(run_uri: str, fingerprint: str = CURRENT) -> pa.Table:
    """Load the predictions of a run: one row per photo, sorted by path.

    Columns: ``path``, ``label``, ``side``, ``predicted``, ``probability`` (0 to 1).

    Parameters
    ----------
    run_uri
        ``RUN_URI`` of the run: a folder or an ``s3://`` prefix.
    fingerprint
        Of a result of 05, or ``"current"``.

    Raises
    ------
    StaleError
        If 05 has not finished, or not on what the stages before it finished last.
    ValueError
        If the run has no such result.
    """
    run = Run(locate(run_uri))
    record = run.require(CLASSIFY, fingerprint)
    return read_predictions(require_snapshot(run.table("classify"), record.lineage["classify"]))
