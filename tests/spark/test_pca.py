"""04 fits the PCA of the training side, and scores every photo with it."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from harness.pca_oracle import assert_equals_scikit_learn
from harness.pipeline import Pipeline
from numpy.typing import NDArray

from helpers import load_pca
from helpers.models.pca import PCA
from helpers.parameters import Parameters
from helpers.run import manifest, plan, results
from helpers.run.planner import Planner
from helpers.run.schemas import IMAGES
from helpers.stages.split import split_photos
from helpers.stages.stage import run_stage


@pytest.fixture(scope="module")
def fitted(sample: Pipeline) -> tuple[PCA, pd.DataFrame, NDArray[np.float32]]:
    """The sample's model, and its features with sides, one row per image_id."""
    features = pyarrow.dataset.dataset(sample.find_table("features")).to_table().to_pandas()
    sides = pd.read_parquet(sample.find_rows("splits")).drop_duplicates("image_id")
    rows = features.merge(sides, on="image_id")
    matrix = np.stack(rows["features"].tolist())
    return load_pca(str(sample.run)), rows, matrix


def test_the_stage_fits_the_training_side_alone(
    fitted: tuple[PCA, pd.DataFrame, NDArray[np.float32]],
) -> None:
    model, rows, matrix = fitted
    train = matrix[(rows["side"] == "train").to_numpy()]
    assert set(rows["side"]) == {"train", "test", "gap"}
    assert model.n_samples == len(train)
    np.testing.assert_allclose(model.mean, train.mean(axis=0, dtype=np.float64), atol=1e-9)
    assert_equals_scikit_learn(model, train, standardize=True)


def test_the_stage_scores_every_photo_with_that_model(
    sample: Pipeline, fitted: tuple[PCA, pd.DataFrame, NDArray[np.float32]]
) -> None:
    model, rows, matrix = fitted
    scores = results.read_scores(sample.fit_pca().snapshot)
    assert len(set(scores["image_id"].to_pylist())) == len(scores)
    by_id = scores.to_pandas().set_index("image_id")["scores"]
    found = np.stack(by_id[rows["image_id"]].tolist())
    expected = model.transform(matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_the_model_is_read_back_as_it_was_fitted(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 6)
    pipeline.add_photos("Kiwi", 6)
    pipeline.run_to_features()
    fitted = pipeline.fit_pca(COMPONENTS=2, STANDARDIZE=False).model
    loaded = load_pca(str(pipeline.run))
    for field in fields(PCA):
        found, expected = getattr(loaded, field.name), getattr(fitted, field.name)
        np.testing.assert_array_equal(found, expected, err_msg=field.name)
    described = json.loads((pipeline.find_table("pca") / "model.json").read_text())
    assert described["components"] == 2
    assert described["arrays"]["components"] == [2, 1280]
    assert {path.name for path in pipeline.find_table("pca").iterdir()} == {
        "_manifest.json", "figures", "model.json", "model.npz", "pca_features.csv", "photos",
        "scores",
    }  # fmt: skip


def test_the_csv_has_one_row_per_path_and_the_scores(sample: Pipeline) -> None:
    listed = pd.read_csv(sample.find_table("pca") / "pca_features.csv")
    components = sample.read_manifest()["pca"]["components"]
    assert list(listed) == ["path", "label", "side", *(f"pc_{i + 1}" for i in range(components))]
    pixels = pd.read_parquet(sample.find_table("pixels"), columns=["path", "image_id"])
    assert sorted(listed["path"]) == sorted(pixels["path"])
    scores = pd.read_parquet(sample.find_table("pca") / "scores").set_index("image_id")["scores"]
    ids = pixels.set_index("path")["image_id"][listed["path"]]
    found = listed.filter(like="pc_").to_numpy(np.float32)
    np.testing.assert_array_equal(found, np.stack(scores[ids].tolist()))
    labels = [path.split("/")[-2] for path in listed["path"]]
    assert list(listed["label"]) == labels


def test_more_components_than_rank_stop_the_stage_and_leave_nothing(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 6)
    pipeline.run_to_features()
    with pytest.raises(ValueError, match="COMPONENTS must be at most the rank of the features"):
        pipeline.fit_pca(COMPONENTS=7, SPLIT="random")
    assert not (pipeline.run / "pca").exists()
    assert "pca" not in pipeline.read_manifest()


def test_a_split_by_folder_needs_a_folder_that_names_a_side(pipeline: Pipeline) -> None:
    pipeline.draw_photo("Plum/1.png", 50, 50, 1)
    pipeline.draw_photo("Plum/2.png", 50, 50, 2)
    pipeline.run_to_features()
    with pytest.raises(ValueError, match="SPLIT='folder' needs a Training or Test folder"):
        pipeline.fit_pca(SPLIT="folder")


def test_other_labels_draw_the_split_anew(tmp_path: Path) -> None:
    frames = [f"Plum/{color}/{i}_100.png" for color in ("Blue", "Red") for i in range(30)]
    groups = []
    for level in (2, 3):  # the color's folder, then the fruit's, as LABEL_LEVEL says
        labels = [path.split("/")[-level] for path in frames]
        images = pa.Table.from_pylist(
            [{"path": path, "label": label} for path, label in zip(frames, labels, strict=True)],
            schema=IMAGES.schema,
        )
        with run_stage(str(tmp_path), manifest.PCA) as stage, Planner() as planner:
            plan.load_catalog(planner, [images])
            planner.define("decoded", "SELECT *, photo AS position, sha256(path) AS id FROM images")
            planner.define("decoded", "SELECT *, unhex(id) AS image_id FROM decoded")
            plan.find_distinct(planner)
            split_photos(stage, planner, Parameters())
            sides = planner.read("SELECT * FROM split")
        groups.append({group.split("/")[0] for group in sides["group"].to_pylist()})
    assert groups == [{"Blue", "Red"}, {"Plum"}]
