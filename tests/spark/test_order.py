"""The same bits, whatever the order, the parts, the tasks or the number of steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
from harness.pipeline import Pipeline

from helpers.run import parts, results
from helpers.spark import tasks
from helpers.stages import pca


@pytest.fixture
def photos(pipeline: Pipeline) -> Pipeline:
    """Photos of several sizes, so that parts hold different mixtures of them."""
    for fruit in ("Limes", "Kiwi", "Apple Red"):
        pipeline.add_photos(fruit, 6)
    for number, (height, width) in enumerate([(40, 60), (60, 40), (224, 224), (100, 100)]):
        pipeline.draw_photo(f"Training/Drawn/{number}.png", height, width, seed=number)
    return pipeline


def read_tables(pipeline: Pipeline) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read pixels by path and features by image_id, as they lie in the tables."""
    pixels, features = (
        pyarrow.dataset.dataset(pipeline.find_table(name)).to_table().to_pylist()
        for name in ("pixels", "features")
    )
    return (
        {row["path"]: (row["image_id"], row["height"], row["pixels"]) for row in pixels},
        {row["image_id"]: row["features"] for row in features},
    )


def test_pixels_features_and_pca_do_not_depend_on_parts_and_tasks(
    photos: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.run_to_features()
    model = photos.fit_pca(COMPONENTS=3).model
    pixels, features = read_tables(photos)
    assert len(photos.list_parts("pixels")) == 1

    for name in ("pixels", "features", "pca", "manifest.json"):
        (photos.run / name).rename(photos.run.parent / name)
    monkeypatch.setattr(parts, "MIN_ROWS", 5)
    monkeypatch.setattr(tasks, "batch_units", lambda units, _: [units[2:], units[:2]])
    photos.run_to_features()
    other = photos.fit_pca(COMPONENTS=3).model
    assert len(photos.list_parts("pixels")) == 5
    assert read_tables(photos) == (pixels, features)
    np.testing.assert_allclose(
        other.all_variance_ratios, model.all_variance_ratios, rtol=1e-9, atol=1e-18
    )
    np.testing.assert_allclose(other.components, model.components, rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.mean, model.mean, rtol=1e-12, atol=1e-15)


def test_pixels_and_features_do_not_depend_on_the_steps(photos: Pipeline, tmp_path: Path) -> None:
    photos.run_to_features()
    at_once = read_tables(photos)

    for name in ("pixels", "features", "manifest.json"):
        (photos.run / name).rename(tmp_path / name)
    (photos.source / "Training" / "Kiwi").rename(tmp_path / "Kiwi")
    (photos.source / "Training" / "Drawn").rename(tmp_path / "Drawn")
    photos.run_to_features()
    for name in ("Drawn", "Kiwi"):
        (tmp_path / name).rename(photos.source / "Training" / name)
    photos.ingest()
    assert photos.preprocess().new == 10
    assert photos.featurize().new == 10
    assert read_tables(photos) == at_once


def test_every_unit_is_in_one_task_and_in_order() -> None:
    for count in (1, 2, 7, 100, 1000):
        for cores in (1, 2, 3, 64):
            batches = tasks.batch_units(range(count), cores)
            assert [unit for batch in batches for unit in batch] == list(range(count))
            assert all(len(batch) > 0 for batch in batches)


def test_the_pca_does_not_depend_on_how_its_moments_are_merged(
    photos: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.ingest()
    monkeypatch.setattr(parts, "MIN_ROWS", 2)
    photos.preprocess()
    photos.featurize()
    assert len(photos.list_parts("features")) > 8  # three levels of merging
    whole = photos.fit_pca(COMPONENTS=2).model
    (photos.run / "pca").rename(photos.run.parent / "pca")
    monkeypatch.setattr(pca, "_MAX_PARTS", 1)
    monkeypatch.setattr(pca, "_MERGED_AT_ONCE", 2)
    merged = photos.fit_pca(COMPONENTS=2).model
    np.testing.assert_allclose(merged.explained_variance, whole.explained_variance, rtol=1e-9)
    assert not list(photos.run.glob("_moments*"))


def test_scores_do_not_depend_on_the_files_they_are_written_to(
    photos: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MIN_ROWS", 4)  # a file of scores has whole parts
    photos.run_to_features()
    whole = results.read_scores(photos.fit_pca(COMPONENTS=2).snapshot)
    (photos.run / "pca").rename(photos.run.parent / "pca")
    monkeypatch.setattr(pca, "_MAX_ROWS_PER_FILE", 1)
    pieces = results.read_scores(photos.fit_pca(COMPONENTS=2).snapshot)
    assert len(list(photos.find_rows("pca").iterdir())) == 6
    assert pieces.sort_by("image_id").equals(whole.sort_by("image_id"))
