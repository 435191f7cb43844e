"""Every reader of a result: catalog, pixels, features, sides, scores, predictions.

A stage reads what an earlier one wrote by these functions, and so do reports and notebooks.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
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
from helpers.run.planner import Planner
from helpers.run.snapshots import Snapshot, require_snapshot
from helpers.storage.location import Location, locate
from helpers.storage.parquet import count_rows, read_parquet, write_parquet

# Folders inside snapshots, each with numbered Parquet files.
IMAGES = "images"
MEMBERS = "_members"
SIDES = "sides"
SCORES = "scores"
PHOTOS = "photos"
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Catalog:
    """The photos that 01 took.

    Attributes
    ----------
    snapshot
        Holds the table ``images``, sorted by path.
    source
        Where the photos lie.
    """

    snapshot: Snapshot
    source: Source

    @property
    def counts(self) -> Mapping[str, Any]:
        """``found``, ``images`` (photos taken) and ``skipped`` (by rule)."""
        counts: Mapping[str, Any] = self.snapshot.manifest["counts"]
        return counts

    def iterate_images(self) -> Iterator[pa.Table]:
        """Read the table ``images`` in pieces, sorted by path."""
        yield from map(read_parquet, list_parts(self.snapshot.location / IMAGES))

    def read_images(self) -> pa.Table:
        """Read the table ``images``, sorted by path."""
        return pa.concat_tables(self.iterate_images())

    def iterate_members(self) -> Iterator[pa.Table]:
        """Read where the photos lie inside an archive, in pieces; none without an archive."""
        yield from map(read_parquet, list_parts(self.snapshot.location / MEMBERS))

    def require_unchanged(self) -> None:
        """Raise if the photos lie in an archive that was replaced: they are read by offset.

        Raises
        ------
        StaleError
            If it was.
        """
        if self.source.archive is not None:
            archive = self.source.base / self.source.archive
            if archive.version_tag() != self.snapshot.manifest["version_tag"]:
                raise StaleError(
                    f"{archive.uri} was replaced since {INGEST} listed it: rerun {INGEST}"
                )


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
    """Find the catalog in the lineage of a record.

    Raises
    ------
    FileNotFoundError
        If its snapshot is gone.
    """
    snapshot = require_snapshot(run.table("images"), record.lineage["images"])
    manifest = snapshot.manifest
    return Catalog(snapshot, Source(locate(manifest["source"]), manifest["archive"]))


def open_pixels(run: Run, fingerprint: str) -> tuple[Parts, Parts]:
    """Return the tables ``pixels`` and ``rejects`` of a fingerprint."""
    return (
        Parts(run.table("pixels") / fingerprint, schemas.PIXELS),
        Parts(run.table("rejects") / fingerprint, schemas.REJECTS),
    )


def open_features(run: Run, fingerprint: str) -> Parts:
    """Return the table ``features`` of a fingerprint."""
    return Parts(run.table("features") / fingerprint, schemas.FEATURES)


@contextmanager
def plan_decoded(run: Run, record: Record) -> Iterator[Planner]:
    """Plan over the decoded photos in the lineage of a record.

    The planner has the tables ``images``, ``decoded`` and ``distinct_photos``: see
    :mod:`helpers.run.plan`.

    Raises
    ------
    StaleError
        If a photo is in no table any more.
    """
    catalog = read_catalog(run, record)
    pixels, rejects = open_pixels(run, record.lineage["pixels"])
    with Planner() as planner:
        plan.load_catalog(planner, catalog.iterate_images())
        plan.match_photos(planner, pixels, rejects)
        if missing := plan.count_untried(planner):
            raise StaleError(
                f"{missing:,} of {planner.count('images'):,} photos are neither in "
                f"{pixels.location.uri} nor among its rejects: rerun {PREPROCESS}"
            )
        plan.find_distinct(planner)
        yield planner


def list_parts(folder: Location) -> list[Location]:
    """List the Parquet files of a table that was written in numbered pieces, in order."""
    names = sorted(file.path for file in folder.list_files() if file.path.startswith("part-"))
    return [folder / name for name in names]


def write_pieces(folder: Location, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a table as numbered Parquet files, one per batch."""
    for number, batch in enumerate(batches):
        write_parquet(folder / f"part-{number:05d}.parquet", pa.Table.from_batches([batch]))


def to_photos(rows: pa.Table) -> list[Photo]:
    """Turn rows with ``path``, ``length``, ``modified`` and packing into references to photos."""
    packed = zip(*(rows[name].to_pylist() for name in Packing._fields), strict=True)
    packing = [None if place[0] is None else Packing(*place) for place in packed]
    columns = [rows[name].to_pylist() for name in ("path", "length", "modified")]
    return [Photo(*row) for row in zip(*columns, packing, strict=True)]


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
    return list_parts(pca.location / SCORES)


def read_scores(pca: Snapshot) -> pa.Table:
    """Read the table ``scores``: every distinct photo."""
    return pa.concat_tables(map(read_parquet, list_score_files(pca)))


def sample_scores(pca: Snapshot, number: int, seed: int) -> pa.Table:
    """Draw at most ``number`` rows of the table ``scores``, in its order."""
    files = list_score_files(pca)
    ends = np.cumsum([count_rows(file) for file in files])
    total = int(ends[-1])
    drawn = np.random.default_rng(seed).choice(total, min(number, total), replace=False)
    drawn.sort()
    of_file = np.searchsorted(ends, drawn, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return pa.concat_tables(
        read_parquet(files[i]).take(drawn[of_file == i] - starts[i]) for i in np.unique(of_file)
    )


def read_predictions(classify: Snapshot) -> pa.Table:
    """Read ``path``, ``label``, ``side``, ``predicted`` and ``probability`` of every photo."""
    files = list_parts(classify.location / PREDICTIONS)
    return pa.concat_tables(map(read_parquet, files)).sort_by("path")


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
    table = open_features(run, record.lineage["features"])
    with plan_decoded(run, record) as planner:
        plan.match_features(planner, table)
        distinct = planner.count("distinct_photos")
        if missing := distinct - planner.count("featurized"):
            raise StaleError(
                f"{missing:,} of {distinct:,} distinct photos have no features in "
                f"{table.location.uri}: rerun {FEATURIZE}"
            )
        rows = planner.read(
            "SELECT i.path, i.label, f.position FROM featurized AS f "
            "JOIN images AS i ON i.photo = f.photo ORDER BY f.position"
        )
        pieces = []
        for part, group in planner.group_by_part("features", rows["position"]):
            pieces.append(to_matrix(table.read(part, ["features"])["features"].take(group)))
    order = np.argsort(rows["path"].to_numpy(), kind="stable")
    return FeatureSet(
        features=np.concatenate(pieces)[order],
        labels=rows["label"].to_numpy()[order].astype(np.str_),
        paths=rows["path"].to_numpy()[order].astype(np.str_),
    )


def load_predictions(run_uri: str, fingerprint: str = CURRENT) -> pa.Table:
    """Load the predictions of a run: one row per decoded photo, sorted by path.

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
    FileNotFoundError
        If files of the result were deleted.
    OSError
        If a file is damaged.
    ValueError
        If the run has no such result.
    """
    run = Run(locate(run_uri))
    record = run.require(CLASSIFY, fingerprint)
    return read_predictions(require_snapshot(run.table("classify"), record.lineage["classify"]))
