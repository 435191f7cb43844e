"""The PCA equals scikit-learn's full SVD in float64, however the rows are divided."""

import json
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from harness.pipeline import Pipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import decomposition

from helpers import load_pca
from helpers.models.pca import PCA, Moments, fit_pca
from helpers.parameters import Parameters
from helpers.run import manifest, results
from helpers.stages.split import split_photos
from helpers.stages.stage import run_stage

Matrix = NDArray[np.float64]

# Where eigenvalues are tiny or nearly equal, rounding decides: those are not compared.
MIN_RATIO = 1e-10
MIN_GAP = 1e-6


def draw_rows(rows: int, columns: int, seed: int = 0) -> Matrix:
    """Draw rows with a falling spectrum about a distant mean; shape (rows, columns)."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    spread = np.geomspace(1, 1e-4, columns)
    drawn: Matrix = (rng.normal(size=(rows, columns)) * spread) @ rotation
    return drawn + rng.uniform(-5, 5, columns)


def find_comparable(values: Matrix) -> NDArray[np.bool_]:
    """Find the eigenvalues that are large enough, and far enough from their neighbors."""
    gaps = np.abs(np.diff(values, prepend=np.inf, append=0.0))
    is_apart = np.minimum(gaps[:-1], gaps[1:]) > MIN_GAP * values[0]
    is_large = values > MIN_RATIO * values[0]
    comparable: NDArray[np.bool_] = is_apart & is_large
    return comparable


def scale_rows(rows: Matrix, standardize: bool) -> Matrix:
    """Divide each column by its standard deviation, where that is asked for."""
    if not standardize:
        return rows
    spread = rows.std(axis=0, ddof=1)
    constant = np.ptp(rows, axis=0) == 0
    scaled: Matrix = rows / np.where(constant, 1.0, spread)
    return scaled


def assert_equals_scikit_learn(
    model: PCA, rows: NDArray[np.floating[Any]], standardize: bool
) -> None:
    wide = scale_rows(rows.astype(np.float64), standardize)
    oracle = decomposition.PCA(svd_solver="full").fit(wide)
    kept = len(model.components)
    ratios = oracle.explained_variance_ratio_[:kept]
    compared = find_comparable(oracle.explained_variance_)[:kept]
    assert compared.sum() >= min(kept, 3)
    np.testing.assert_allclose(
        model.explained_variance_ratio[compared], ratios[compared], rtol=1e-6, atol=0
    )
    expected = oracle.transform(wide)[:, :kept][:, compared]
    found = model.transform(rows)[:, compared]
    signs = np.sign((expected * found).sum(axis=0))
    spread = expected.std(axis=0)
    assert np.abs(found * signs - expected).max(initial=0, where=spread > 0) <= 1e-5 * spread.max()
    np.testing.assert_allclose(found * signs / spread, expected / spread, rtol=0, atol=1e-5)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(200, 30), (30, 30), (12, 40), (2, 5)])
def test_equals_scikit_learn(rows: int, columns: int, standardize: bool) -> None:
    data = draw_rows(rows, columns)
    components = min(rows - 1, columns)
    model = fit_pca(Moments.from_rows(data), components, standardize)
    assert model.n_samples == rows
    assert_equals_scikit_learn(model, data, standardize)


@pytest.mark.parametrize("standardize", [True, False])
def test_equals_scikit_learn_on_constant_columns(standardize: bool) -> None:
    data = draw_rows(50, 12).astype(np.float32)
    data[:, [2, 7]] = 0.1, 0.0
    model = fit_pca(Moments.from_rows(data), 10, standardize)
    assert_equals_scikit_learn(model, data, standardize)
    np.testing.assert_array_equal(model.scale[[2, 7]], 1.0)
    np.testing.assert_allclose(model.components[:, [2, 7]], 0.0, atol=1e-8)
    assert len(model.all_variance_ratios) == 10


def test_four_points_have_a_known_answer() -> None:
    points = np.array([[12.0, 20.0], [8.0, 20.0], [10.0, 21.0], [10.0, 19.0]])
    model = fit_pca(Moments.from_rows(points), 2, standardize=False)
    np.testing.assert_allclose(model.mean, [10, 20])
    np.testing.assert_allclose(model.components, np.eye(2), atol=1e-15)
    np.testing.assert_allclose(model.explained_variance, [8 / 3, 2 / 3])
    np.testing.assert_allclose(model.explained_variance_ratio, [0.8, 0.2])
    np.testing.assert_allclose(model.transform(points)[:, 0], [2, -2, 0, 0], atol=1e-15)


def test_four_points_standardized_have_no_direction_of_greater_variance() -> None:
    points = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    model = fit_pca(Moments.from_rows(points), 2, standardize=True)
    np.testing.assert_allclose(model.explained_variance_ratio, [0.5, 0.5])
    np.testing.assert_allclose(model.scale, np.sqrt([8 / 3, 2 / 3]))


@given(
    cuts=st.lists(st.integers(1, 39), max_size=12, unique=True),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_moments_do_not_depend_on_the_partitioning(
    cuts: list[int], order: random.Random, seed: int
) -> None:
    data = draw_rows(40, 6, seed)
    data[:, 3] = np.float32(0.1)
    whole = Moments.from_rows(data)
    pieces = [Moments.from_rows(piece) for piece in np.split(data, sorted(cuts))]
    while len(pieces) > 1:  # a tree of any shape
        first, second = (pieces.pop(order.randrange(len(pieces))) for _ in range(2))
        pieces.append(first.merge(second))
    [merged] = pieces
    assert merged.count == 40
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    size = np.sqrt(np.outer(whole.products.diagonal(), whole.products.diagonal()))
    assert np.all(np.abs(merged.products - whole.products) <= 1e-9 * size)
    np.testing.assert_array_equal(merged.products[3], 0.0)


def test_moments_are_not_changed_by_merging() -> None:
    first, second = Moments.from_rows(draw_rows(5, 3, 0)), Moments.from_rows(draw_rows(5, 3, 1))
    before = first.mean.copy(), first.products.copy()
    first.merge(second)
    np.testing.assert_array_equal(first.mean, before[0])
    np.testing.assert_array_equal(first.products, before[1])


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9, 0.99, 0.9999999])
@pytest.mark.parametrize(("rows", "columns"), [(200, 30), (12, 40)])
def test_a_variance_target_takes_as_many_components_as_scikit_learn(
    rows: int, columns: int, target: float
) -> None:
    data = draw_rows(rows, columns)
    oracle = decomposition.PCA(n_components=target, svd_solver="full").fit(data)
    model = fit_pca(Moments.from_rows(data), target, standardize=False)
    assert len(model.components) == oracle.n_components_


def test_the_strongest_entry_of_each_component_is_positive() -> None:
    data = draw_rows(60, 20)
    model = fit_pca(Moments.from_rows(data), 20, standardize=True)
    strongest = np.abs(model.components).argmax(axis=1)
    assert np.all(model.components[np.arange(20), strongest] > 0)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(20), atol=1e-12)


def test_signs_do_not_depend_on_the_order_of_the_rows() -> None:
    data = draw_rows(60, 8)
    model, reversed_model = (
        fit_pca(Moments.from_rows(rows), 8, standardize=True) for rows in (data, data[::-1])
    )
    np.testing.assert_allclose(model.components, reversed_model.components, atol=1e-9)


def test_loadings_are_correlations_where_standardized() -> None:
    data = draw_rows(80, 5)
    model = fit_pca(Moments.from_rows(data), 5, standardize=True)
    scores = model.transform(data)
    correlations = np.corrcoef(data.T, scores.T)[:5, 5:].T
    np.testing.assert_allclose(model.compute_loadings(), correlations, atol=1e-9)


def test_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="PCA needs at least two photos to fit on, got 1"):
        fit_pca(Moments.from_rows(draw_rows(1, 4)), 1, standardize=True)


@pytest.mark.parametrize("standardize", [True, False])
def test_equal_rows_are_refused(standardize: bool) -> None:
    equal = np.repeat(draw_rows(1, 4).astype(np.float32), 7, axis=0)
    with pytest.raises(ValueError, match="PCA needs photos that differ, got 7 equal ones"):
        fit_pca(Moments.from_rows(equal), 1, standardize)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(5, 9, 4), (20, 9, 9)])
def test_more_components_than_rank_are_refused(rows: int, columns: int, rank: int) -> None:
    moments = Moments.from_rows(draw_rows(rows, columns))
    assert len(fit_pca(moments, rank, standardize=True).components) == rank
    message = f"COMPONENTS must be at most the rank of the features, {rank}, got {rank + 1}"
    with pytest.raises(ValueError, match=message):
        fit_pca(moments, rank + 1, standardize=True)


def test_copied_columns_add_no_rank() -> None:
    data = draw_rows(50, 4)
    moments = Moments.from_rows(np.concatenate([data, data], axis=1))
    assert len(fit_pca(moments, 0.9999999, standardize=True).all_variance_ratios) == 4


# -------------------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def fitted(sample: Pipeline) -> tuple[PCA, pd.DataFrame, NDArray[np.float32]]:
    """The sample's model, and its features with sides, one row per image_id."""
    features = pyarrow.dataset.dataset(sample.find_table("features")).to_table().to_pandas()
    sides = pd.read_parquet(sample.find_table("splits")).drop_duplicates("image_id")
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
    found = results.match_scores(sample.fit_pca().snapshot, rows["image_id"].tolist())
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
        "_manifest.json", "figures", "model.json", "model.npz", "pca_features.csv", "scores",
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
        photos = pa.table({"path": frames, "label": labels, "image_id": frames})
        with run_stage(str(tmp_path), manifest.PCA) as stage:
            _, sides = split_photos(stage, photos, Parameters())
        groups.append({group.split("/")[0] for group in sides["group"].to_pylist()})
    assert groups == [{"Blue", "Red"}, {"Plum"}]
