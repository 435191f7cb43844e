"""Readers of results: what a notebook or a report looks up in a finished run."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from helpers.parameters import Parameters
from helpers.photos.archive import Packing
from helpers.photos.source import Photo
from helpers.run import results, schemas
from helpers.run.examples import PhotoSummary, summarize_photos
from helpers.run.manifest import PREPROCESS, Record, Run
from helpers.run.snapshots import Snapshot
from helpers.stages.ingest import ingest
from helpers.storage.location import locate
from helpers.storage.parquet import read_parquet, write_parquet

FolderOf = Callable[..., Path]


@pytest.fixture
def pca(tmp_path: Path) -> Snapshot:
    """A snapshot with the scores of six photos in three files."""
    folder = locate(str(tmp_path / "0123456789abcdef-run"))
    for number, paths in enumerate(("db", "a", "cef")):
        rows = {
            "image_id": [f"id of {path}" for path in paths],
            "path": list(paths),
            "label": ["apple"] * len(paths),
            "side": ["train"] * len(paths),
            "scores": [[float(ord(path)), number] for path in paths],
        }
        write_parquet(
            folder / results.SCORES / f"part-{number:05d}.parquet",
            pa.table(rows, schema=schemas.SCORES.schema),
        )
    return Snapshot(folder)


# Tables in numbered pieces


def test_pieces_are_read_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    folder = locate(str(tmp_path / "table"))
    batches = [pa.record_batch({"number": [n]}) for n in range(12)]
    results.write_pieces(folder, batches)
    (folder / "_debris.parquet").write(b"")
    files = results.list_parts(folder)
    assert [file.name for file in files] == [f"part-{n:05d}.parquet" for n in range(12)]
    pieces = [read_parquet(file)["number"].to_pylist() for file in files]
    assert pieces == [[n] for n in range(12)]


def test_a_table_that_was_never_written_has_no_pieces(tmp_path: Path) -> None:
    assert results.list_parts(locate(str(tmp_path / "none"))) == []


# Photos


def test_rows_become_photos_with_the_place_in_their_archive() -> None:
    rows = pa.table(
        {
            "path": ["a.zip!/1.jpg", "a.zip!/2.jpg"],
            "length": [10, 20],
            "modified": [1, 2],
            "start": [0, 64],
            "stored": [9, 20],
            "method": [8, 0],
            "crc": [2**32 - 1, 5],
        }
    )
    assert results.to_photos(rows) == [
        Photo("a.zip!/1.jpg", 10, 1, Packing(start=0, stored=9, method=8, crc=2**32 - 1)),
        Photo("a.zip!/2.jpg", 20, 2, Packing(start=64, stored=20, method=0, crc=5)),
    ]


def test_rows_outside_an_archive_become_photos_without_a_place() -> None:
    rows = pa.table({"path": ["1.jpg"], "length": [10], "modified": [1]})
    for name in Packing._fields:
        rows = rows.append_column(name, pa.nulls(1, pa.int64()))
    assert results.to_photos(rows) == [Photo("1.jpg", 10, 1)]


# Scores


def test_scores_of_all_files_are_read_in_order(pca: Snapshot) -> None:
    scores = results.read_scores(pca)
    assert scores["path"].to_pylist() == list("dbacef")
    assert results.to_matrix(scores["scores"]).tolist() == [
        [float(ord(path)), number]
        for path, number in zip("dbacef", [0, 0, 1, 2, 2, 2], strict=True)
    ]


@pytest.mark.parametrize("number", [6, 7, 1000])
def test_a_sample_as_large_as_the_table_is_the_table(number: int, pca: Snapshot) -> None:
    assert results.sample_scores(pca, number, 0).equals(results.read_scores(pca))


def test_a_sample_has_distinct_rows_of_the_table_in_its_order(pca: Snapshot) -> None:
    whole = results.read_scores(pca).to_pylist()
    for seed in range(20):
        rows = results.sample_scores(pca, 3, seed).to_pylist()
        places = [whole.index(row) for row in rows]
        assert len(places) == 3
        assert places == sorted(set(places))


def test_the_seed_alone_decides_what_is_drawn(pca: Snapshot) -> None:
    drawn = {
        seed: tuple(results.sample_scores(pca, 2, seed)["path"].to_pylist()) for seed in range(50)
    }
    again = results.sample_scores(pca, 2, 7)["path"].to_pylist()
    assert tuple(again) == drawn[7]
    assert {path for paths in drawn.values() for path in paths} == set("abcdef")
    assert len(set(drawn.values())) == 15  # all pairs


# What the photos look like


@pytest.fixture
def summarize(tmp_path: Path, folder_of: FolderOf) -> Callable[..., PhotoSummary]:
    """Summarize photos that 02 has finished.

    ``summarize({path: content}, removed=(path,), examples=8)``: a content is the number of a
    picture, or None for a photo that was rejected.
    """

    def draw(number: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (4, 2 + number), (number, 0, 0)).save(file, "PNG")
        return file.getvalue()

    def build(
        contents: dict[str, int | None], removed: tuple[str, ...] = (), examples: int = 8
    ) -> PhotoSummary:
        source = folder_of(
            {path: b"" if number is None else draw(number) for path, number in contents.items()}
        )
        run = Run(locate(str(tmp_path / "run")))
        parameters = Parameters(SOURCE_URI=str(source), RUN_URI=run.location.uri)
        pixels, rejects = results.open_pixels(run, "fp")
        rows = {row["path"]: row for row in ingest(parameters).catalog.read_images().to_pylist()}
        for path, number in contents.items():
            row = {key: rows[path][key] for key in schemas.KEY}
            if number is None:
                row |= {"reason": "empty", "detail": "0 bytes", "attempt": 1}
                table, stored = rejects, pa.Table.from_pylist([row], schema=schemas.REJECTS.schema)
            else:
                height = 2 + number
                kind = f"PNG RGB 4 x {height}"
                row |= {"image_id": f"{number:064x}", "kind": kind, "height": height, "width": 4}
                row |= {"pixels": np.full((height, 4, 3), (number, 0, 0), np.uint8).tobytes()}
                table, stored = pixels, pa.Table.from_pylist([row], schema=schemas.PIXELS.schema)
            table.write(f"part-{path.replace('/', '-')}.parquet", stored)
        for path in removed:
            (source / path).unlink()
        catalog = ingest(parameters).catalog
        lineage = {"images": catalog.snapshot.fingerprint, "pixels": "fp"}
        record = Record(PREPROCESS, "r", lineage, {})
        return summarize_photos(run, record, examples=examples, rejects=2)

    return build


Summarize = Callable[..., PhotoSummary]


def test_duplicates_are_all_paths_of_equal_bytes(summarize: Summarize) -> None:
    found = summarize({"x/c.png": 2, "x/a.png": 2, "x/b.png": 1, "x/e.png": 0, "x/d.png": 1})
    assert found.duplicates["path"].tolist() == ["x/b.png", "x/d.png", "x/a.png", "x/c.png"]
    assert found.duplicates["image_id"].tolist() == [f"{n:064x}" for n in (1, 1, 2, 2)]
    assert found.conflicts == 0


def test_a_rejected_or_removed_photo_is_no_duplicate(summarize: Summarize) -> None:
    found = summarize(
        {"x/a.png": 1, "x/b.png": None, "x/c.png": None, "x/d.png": 1}, removed=("x/d.png",)
    )
    assert len(found.duplicates) == 0


def test_equal_bytes_under_two_labels_are_a_conflict(summarize: Summarize) -> None:
    found = summarize(
        {"x/a.png": 1, "y/a.png": 1, "x/b.png": 2, "x/c.png": 2, "y/d.png": 3, "z/d.png": 3}
    )
    assert found.conflicts == 2
    assert set(found.duplicates["label"]) == {"x", "y", "z"}


def test_kinds_and_sizes_are_counted_the_most_frequent_first(summarize: Summarize) -> None:
    """A removed photo does not count, though its row is still in the table."""
    found = summarize(
        {"x/a.png": 1, "x/b.png": 2, "x/c.png": 2, "x/d.png": None, "x/e.png": 1, "x/f.png": 1},
        removed=("x/e.png", "x/f.png"),
    )
    assert found.kinds.to_dict("records") == [
        {"kind": "PNG RGB 4 x 4", "photos": 2},
        {"kind": "PNG RGB 4 x 3", "photos": 1},
    ]
    assert found.sizes.to_dict("records") == [
        {"height": 4, "width": 4, "photos": 2},
        {"height": 3, "width": 4, "photos": 1},
    ]


def test_examples_show_each_rare_kind_and_some_of_the_others(summarize: Summarize) -> None:
    common = {f"x/{number:02d}.png": 0 for number in range(20)}
    found = summarize({**common, "x/rare.png": 1, "y/rarer.png": 2}, examples=6)
    paths = [example.path for example in found.examples]
    assert len(paths) == len(set(paths)) == 6
    assert {"x/rare.png", "y/rarer.png"} <= set(paths)
    for example in found.examples:
        number = {"x/rare.png": 1, "y/rarer.png": 2}.get(example.path, 0)
        assert example.file_size == example.stored.size == (4, 2 + number)
        assert example.stored.getpixel((0, 0)) == example.file.getpixel((0, 0)) == (number, 0, 0)


def test_fewer_photos_than_examples_are_all_shown(summarize: Summarize) -> None:
    found = summarize({"x/a.png": 1, "x/b.png": 2})
    assert [example.path for example in found.examples] == ["x/a.png", "x/b.png"]


def test_the_first_rejects_by_path_are_shown(summarize: Summarize) -> None:
    found = summarize({"x/d.png": None, "x/c.png": None, "x/b.png": None, "x/a.png": 1})
    assert [(reject.path, reject.reason, reject.detail) for reject in found.rejects] == [
        ("x/b.png", "empty", "0 bytes"),
        ("x/c.png", "empty", "0 bytes"),
    ]


def test_a_run_without_decoded_photos_has_an_empty_summary(summarize: Summarize) -> None:
    found = summarize({"x/a.png": None})
    assert (len(found.kinds), len(found.sizes), len(found.duplicates)) == (0, 0, 0)
    assert (found.conflicts, found.examples, len(found.rejects)) == (0, [], 1)
