"""The PCA is scikit-learn's full SVD in float64, however the rows are dealt."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from helpers.parameters import Parameters
from helpers.run.manifest import Run
from helpers.stages import pca
from helpers.stages.pca import Moments, fit
from helpers.stages.split import split
from helpers.storage.location import LocalLocation

# Where eigenvalues are tiny or lie together, rounding decides: those are not compared.
SMALLEST = 1e-10
NEAREST = 1e-6


def generated(rows, columns, seed=0):
    """Rows with a falling spectrum about a distant mean; shape (rows, columns)."""
    random = np.random.default_rng(seed)
    turned = np.linalg.qr(random.normal(size=(columns, columns)))[0]
    spread = np.geomspace(1, 1e-4, columns)
    return (random.normal(size=(rows, columns)) * spread) @ turned + random.uniform(-5, 5, columns)


def comparable(values):
    """The components that have an eigenvalue of some size and apart from its neighbours'."""
    gaps = np.abs(np.diff(values, prepend=np.inf, append=0.0))
    apart = np.minimum(gaps[:-1], gaps[1:]) > NEAREST * values[0]
    return apart & (values > SMALLEST * values[0])


def scaled(rows, standardize):
    """Rows divided by their standard deviation, as the oracle is given them."""
    if not standardize:
        return rows
    spread = rows.std(axis=0, ddof=1)
    constant = np.ptp(rows, axis=0) == 0
    return rows / np.where(constant, 1.0, spread)


def assert_equals_oracle(model, rows, standardize):
    wide = scaled(rows.astype(np.float64), standardize)
    oracle = PCA(svd_solver="full").fit(wide)
    kept = len(model.components)
    ratios = oracle.explained_variance_ratio_[:kept]
    compared = comparable(oracle.explained_variance_)[:kept]
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
def test_equals_scikit_learn(rows, columns, standardize):
    data = generated(rows, columns)
    components = min(rows - 1, columns)
    model = fit(Moments.of(data), components, standardize)
    assert model.rows == rows
    assert_equals_oracle(model, data, standardize)


@pytest.mark.parametrize("standardize", [True, False])
def test_equals_scikit_learn_on_constant_columns(standardize):
    data = generated(50, 12).astype(np.float32)
    data[:, [2, 7]] = 0.1, 0.0
    model = fit(Moments.of(data), 10, standardize)
    assert_equals_oracle(model, data, standardize)
    np.testing.assert_array_equal(model.scale[[2, 7]], 1.0)
    np.testing.assert_allclose(model.components[:, [2, 7]], 0.0, atol=1e-8)
    assert len(model.spectrum) == 10


def test_four_points_have_a_known_answer():
    points = np.array([[12.0, 20.0], [8.0, 20.0], [10.0, 21.0], [10.0, 19.0]])
    model = fit(Moments.of(points), 2, standardize=False)
    np.testing.assert_allclose(model.mean, [10, 20])
    np.testing.assert_allclose(model.components, np.eye(2), atol=1e-15)
    np.testing.assert_allclose(model.explained_variance, [8 / 3, 2 / 3])
    np.testing.assert_allclose(model.explained_variance_ratio, [0.8, 0.2])
    np.testing.assert_allclose(model.transform(points)[:, 0], [2, -2, 0, 0], atol=1e-15)


def test_four_points_standardized_have_no_direction_of_greater_variance():
    points = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    model = fit(Moments.of(points), 2, standardize=True)
    np.testing.assert_allclose(model.explained_variance_ratio, [0.5, 0.5])
    np.testing.assert_allclose(model.scale, np.sqrt([8 / 3, 2 / 3]))


@given(
    cuts=st.lists(st.integers(1, 39), max_size=12, unique=True),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_moments_do_not_depend_on_the_partitioning(cuts, order, seed):
    data = generated(40, 6, seed)
    data[:, 3] = np.float32(0.1)
    whole = Moments.of(data)
    pieces = [Moments.of(piece) for piece in np.split(data, sorted(cuts))]
    while len(pieces) > 1:  # a tree of any shape
        first, second = (pieces.pop(order.randrange(len(pieces))) for _ in range(2))
        pieces.append(first.merged(second))
    [merged] = pieces
    assert merged.count == 40
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    size = np.sqrt(np.outer(whole.products.diagonal(), whole.products.diagonal()))
    assert np.all(np.abs(merged.products - whole.products) <= 1e-9 * size)
    np.testing.assert_array_equal(merged.products[3], 0.0)


def test_moments_are_not_changed_by_merging():
    first, second = Moments.of(generated(5, 3, 0)), Moments.of(generated(5, 3, 1))
    before = first.mean.copy(), first.products.copy()
    first.merged(second)
    np.testing.assert_array_equal(first.mean, before[0])
    np.testing.assert_array_equal(first.products, before[1])


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9, 0.99, 0.9999999])
@pytest.mark.parametrize(("rows", "columns"), [(200, 30), (12, 40)])
def test_a_variance_target_takes_as_many_components_as_scikit_learn(rows, columns, target):
    data = generated(rows, columns)
    expected = PCA(n_components=target, svd_solver="full").fit(data).n_components_
    assert len(fit(Moments.of(data), target, standardize=False).components) == expected


def test_the_strongest_entry_of_each_component_is_positive():
    data = generated(60, 20)
    model = fit(Moments.of(data), 20, standardize=True)
    strongest = np.abs(model.components).argmax(axis=1)
    assert np.all(model.components[np.arange(20), strongest] > 0)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(20), atol=1e-12)


def test_signs_do_not_depend_on_the_order_of_the_rows():
    data = generated(60, 8)
    model, turned = (fit(Moments.of(rows), 8, standardize=True) for rows in (data, data[::-1]))
    np.testing.assert_allclose(model.components, turned.components, atol=1e-9)


def test_loadings_are_correlations_where_standardized():
    data = generated(80, 5)
    model = fit(Moments.of(data), 5, standardize=True)
    scores = model.transform(data)
    correlations = np.corrcoef(data.T, scores.T)[:5, 5:].T
    np.testing.assert_allclose(model.loadings(), correlations, atol=1e-9)


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="PCA needs at least two photos to fit on, got 1"):
        fit(Moments.of(generated(1, 4)), 1, standardize=True)


@pytest.mark.parametrize("standardize", [True, False])
def test_equal_rows_are_refused(standardize):
    equal = np.repeat(generated(1, 4).astype(np.float32), 7, axis=0)
    with pytest.raises(ValueError, match="PCA needs photos that differ, got 7 equal ones"):
        fit(Moments.of(equal), 1, standardize)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(5, 9, 4), (20, 9, 9)])
def test_more_components_than_rank_are_refused(rows, columns, rank):
    moments = Moments.of(generated(rows, columns))
    assert len(fit(moments, rank, standardize=True).components) == rank
    message = f"COMPONENTS must be at most the rank of the features, {rank}, got {rank + 1}"
    with pytest.raises(ValueError, match=message):
        fit(moments, rank + 1, standardize=True)


def test_copied_columns_add_no_rank():
    data = generated(50, 4)
    moments = Moments.of(np.concatenate([data, data], axis=1))
    assert len(fit(moments, 0.9999999, standardize=True).spectrum) == 4


# -------------------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def fitted(sample):
    """The sample's model, and its features with sides, one row an image_id."""
    features = pyarrow.dataset.dataset(sample.table("features")).to_table().to_pandas()
    sides = pd.read_parquet(sample.table("splits")).drop_duplicates("image_id")
    rows = features.merge(sides, on="image_id")
    matrix = np.stack(rows["features"].to_numpy())
    return pca.read_model(sample.analyse().snapshot), rows, matrix


def test_the_stage_fits_the_training_side_alone(fitted):
    model, rows, matrix = fitted
    train = matrix[(rows["side"] == "train").to_numpy()]
    assert set(rows["side"]) == {"train", "test", "gap"}
    assert model.rows == len(train)
    np.testing.assert_allclose(model.mean, train.mean(axis=0, dtype=np.float64), atol=1e-9)
    assert_equals_oracle(model, train, standardize=True)


def test_the_stage_scores_every_photo_with_that_model(sample, fitted):
    model, rows, matrix = fitted
    scores = (
        results.read_scores(sample.analyse().snapshot).to_pandas().set_index("image_id")["scores"]
    )
    assert scores.index.is_unique
    found = np.stack(scores[rows["image_id"]].to_numpy())
    expected = model.transform(matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_the_model_is_read_back_as_it_was_fitted(pipeline):
    pipeline.add("Limes", 6)
    pipeline.add("Kiwi", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    analysis = pipeline.analyse(COMPONENTS=2, STANDARDIZE=False)
    read = pca.read_model(analysis.snapshot)
    for name, value in vars(analysis.model).items():
        np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)
    described = json.loads((pipeline.table("pca") / "model.json").read_text())
    assert described["components"] == 2
    assert described["arrays"]["components"] == [2, 1280]
    assert {path.name for path in pipeline.table("pca").iterdir()} == {
        "_manifest.json", "figures", "model.json", "model.npz", "pca_features.csv", "scores",
    }  # fmt: skip


def test_the_csv_has_one_row_a_path_and_the_scores(sample):
    listed = pd.read_csv(sample.table("pca") / "pca_features.csv")
    components = sample.manifest()["pca"]["components"]
    assert list(listed) == ["path", "label", "side", *(f"pc_{i + 1}" for i in range(components))]
    pixels = pd.read_parquet(sample.table("pixels"), columns=["path", "image_id"])
    assert sorted(listed["path"]) == sorted(pixels["path"])
    scores = pd.read_parquet(sample.table("pca") / "scores").set_index("image_id")["scores"]
    ids = pixels.set_index("path")["image_id"][listed["path"]]
    found = listed.filter(like="pc_").to_numpy(np.float32)
    np.testing.assert_array_equal(found, np.stack(scores[ids].to_numpy()))
    labels = [path.split("/")[-2] for path in listed["path"]]
    assert list(listed["label"]) == labels


def test_more_components_than_rank_stop_the_stage_and_leave_nothing(pipeline):
    pipeline.add("Limes", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    with pytest.raises(ValueError, match="COMPONENTS must be at most the rank of the features"):
        pipeline.analyse(COMPONENTS=7, SPLIT="random")
    assert not (pipeline.run / "pca").exists()
    assert "pca" not in pipeline.manifest()


def test_a_split_by_folder_needs_a_folder_that_names_a_side(pipeline):
    pipeline.draw("Plum/1.png", 50, 50, 1)
    pipeline.draw("Plum/2.png", 50, 50, 2)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    with pytest.raises(ValueError, match="SPLIT='folder' needs a Training or Test folder"):
        pipeline.analyse(SPLIT="folder")


def test_other_labels_draw_the_split_anew(tmp_path):
    frames = [f"Plum/{colour}/{i}_100.png" for colour in ("Blue", "Red") for i in range(30)]
    groups = []
    for level in (2, 3):  # the colour's folder, then the fruit's, as LABEL_LEVEL says
        photos = pa.table(
            {
                "path": frames,
                "label": [path.split("/")[-level] for path in frames],
                "image_id": frames,
            }
        )
        _, sides = split(photos, Parameters(), Run(LocalLocation(str(tmp_path))), f"run{level}")
        groups.append({group.split("/")[0] for group in sides["group"].to_pylist()})
    assert groups == [{"Blue", "Red"}, {"Plum"}]
