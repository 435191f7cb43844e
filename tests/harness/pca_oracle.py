"""What a PCA is compared with: scikit-learn's full SVD in float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import decomposition

from helpers.models.pca import PCA

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
