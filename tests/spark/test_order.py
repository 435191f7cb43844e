"""The same bits, whatever the order, the parts, the tasks or the number of steps."""

import numpy as np
import pyarrow.dataset
import pytest

from helpers.run import parts
from helpers.stages import pca, stage


@pytest.fixture
def photos(pipeline):
    """Photos of several sizes, so that parts hold different mixtures of them."""
    for fruit in ("Limes", "Kiwi", "Apple Red"):
        pipeline.add(fruit, 6)
    for number, (height, width) in enumerate([(40, 60), (60, 40), (224, 224), (100, 100)]):
        pipeline.draw(f"Training/Drawn/{number}.png", height, width, seed=number)
    return pipeline


def stored(pipeline):
    """Pixels by path and features by image_id, as they lie in the tables."""
    pixels, features = (
        pyarrow.dataset.dataset(pipeline.table(name)).to_table().to_pylist()
        for name in ("pixels", "features")
    )
    return (
        {row["path"]: (row["image_id"], row["height"], row["pixels"]) for row in pixels},
        {row["image_id"]: row["features"] for row in features},
    )


def test_pixels_features_and_pca_do_not_depend_on_parts_and_tasks(photos, monkeypatch):
    photos.ingest()
    photos.preprocess()
    photos.featurize()
    model = photos.analyse(COMPONENTS=3).model
    pixels, features = stored(photos)
    assert len(list(photos.table("pixels").iterdir())) == 1

    for name in ("pixels", "features", "pca", "manifest.json"):
        (photos.run / name).rename(photos.run.parent / name)
    monkeypatch.setattr(parts, "MIN_ROWS", 5)
    monkeypatch.setattr(stage, "deal", lambda units, _: [units[2:], units[:2]])
    photos.ingest()
    photos.preprocess()
    photos.featurize()
    other = photos.analyse(COMPONENTS=3).model
    assert len(list(photos.table("pixels").iterdir())) == 5
    assert stored(photos) == (pixels, features)
    np.testing.assert_allclose(other.spectrum, model.spectrum, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(other.components, model.components, rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.mean, model.mean, rtol=1e-12, atol=1e-15)


def test_pixels_and_features_do_not_depend_on_the_steps(photos, tmp_path):
    photos.ingest()
    photos.preprocess()
    photos.featurize()
    at_once = stored(photos)

    for name in ("pixels", "features", "manifest.json"):
        (photos.run / name).rename(tmp_path / name)
    (photos.source / "Training" / "Kiwi").rename(tmp_path / "Kiwi")
    (photos.source / "Training" / "Drawn").rename(tmp_path / "Drawn")
    photos.ingest()
    photos.preprocess()
    photos.featurize()
    for name in ("Drawn", "Kiwi"):
        (tmp_path / name).rename(photos.source / "Training" / name)
    photos.ingest()
    assert photos.preprocess().new == 10
    assert photos.featurize().new == 10
    assert stored(photos) == at_once


def test_every_unit_is_dealt_once_and_in_order():
    for count in (1, 2, 7, 100, 1000):
        for cores in (1, 2, 3, 64):
            dealt = stage.batch_units(range(count), cores)
            assert [unit for task in dealt for unit in task] == list(range(count))
            assert all(len(task) > 0 for task in dealt)


def test_the_pca_does_not_depend_on_how_its_moments_are_merged(photos, monkeypatch):
    photos.ingest()
    monkeypatch.setattr(parts, "MIN_ROWS", 2)
    photos.preprocess()
    photos.featurize()
    assert len(list(photos.table("features").iterdir())) > 8  # three levels of merging
    whole = photos.analyse(COMPONENTS=2).model
    (photos.run / "pca").rename(photos.run.parent / "pca")
    monkeypatch.setattr(pca, "_MOST_PARTS", 1)
    monkeypatch.setattr(pca, "_MERGED_AT_ONCE", 2)
    merged = photos.analyse(COMPONENTS=2).model
    np.testing.assert_allclose(merged.explained_variance, whole.explained_variance, rtol=1e-9)
    assert not list(photos.run.glob("_moments*"))


def test_scores_do_not_depend_on_the_files_they_are_written_to(photos, monkeypatch):
    photos.ingest()
    photos.preprocess()
    photos.featurize()
    whole = results.read_scores(photos.analyse(COMPONENTS=2).snapshot)
    (photos.run / "pca").rename(photos.run.parent / "pca")
    monkeypatch.setattr(pca, "_MAX_ROWS_A_FILE", 4)
    pieces = results.read_scores(photos.analyse(COMPONENTS=2).snapshot)
    assert len(list((photos.table("pca") / "scores").iterdir())) == 6
    assert pieces.sort_by("image_id").equals(whole.sort_by("image_id"))
