"""The PCA equals scikit-learn's full SVD in float64, however the rows are divided."""

import random

import numpy as np
import pytest
from harness.pca_oracle import assert_equals_scikit_learn, draw_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition

from helpers.models.pca import Moments, fit_pca


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
