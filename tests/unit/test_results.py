"""Readers of results: what a notebook or a report looks up in a finished run."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from helpers.run import plan, results, schemas
from helpers.run.snapshots import Snapshot
from helpers.storage.location import locate
from helpers.storage.parquet import write_parquet


@pytest.fixture
def pca(tmp_path: Path) -> Snapshot:
    """A snapshot with the scores of four photos in two files."""
    folder = locate(str(tmp_path / "0123456789abcdef-run"))
    for number, ids in enumerate((["d", "b"], ["a", "c"])):
        rows = {"image_id": ids, "scores": [[float(ord(image_id)), number] for image_id in ids]}
        write_parquet(
            folder / results.SCORES / f"part-{number:05d}.parquet",
            pa.table(rows, schema=schemas.SCORES.schema),
        )
    return Snapshot(folder)


def test_scores_come_in_the_order_of_the_photos(pca: Snapshot) -> None:
    scores = results.match_scores(pca, ["a", "b", "d"])
    assert scores.dtype == np.float32
    assert scores.tolist() == [[97.0, 1.0], [98.0, 0.0], [100.0, 0.0]]


def test_a_photo_named_twice_has_its_scores_twice(pca: Snapshot) -> None:
    assert results.match_scores(pca, ["c", "c"]).tolist() == [[99.0, 1.0]] * 2


def test_a_photo_without_scores_is_named(pca: Snapshot) -> None:
    with pytest.raises(ValueError, match=r"image_id must have scores in .*, got 'x'$"):
        results.match_scores(pca, ["a", "x", "y"])


def match(**tables: tuple[str, str | None]) -> pa.Table:
    """What became of photos, by path: the table that each is in, and its image_id."""
    return pa.table(
        {
            "path": list(tables),
            "table": [table for table, _ in tables.values()],
            "image_id": [image_id for _, image_id in tables.values()],
        }
    )


def test_duplicates_are_all_paths_of_equal_bytes() -> None:
    photos = match(
        c=(plan.PIXELS, "2"), a=(plan.PIXELS, "2"), b=(plan.PIXELS, "1"), e=(plan.PIXELS, "0"),
        d=(plan.PIXELS, "1"),
    )  # fmt: skip
    assert plan.select_duplicates(photos)["path"].to_pylist() == ["b", "d", "a", "c"]


def test_a_rejected_photo_is_no_duplicate() -> None:
    photos = match(a=(plan.PIXELS, "1"), b=(plan.REJECTS, "1"), c=(plan.REJECTS, None))
    assert len(plan.select_duplicates(photos)) == 0
