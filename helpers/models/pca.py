"""Principal component analysis from moments.

The moments of parts of the rows are merged pairwise (Chan, Golub and LeVeque 1979, "Updating
formulae and a pairwise algorithm for computing sample variances"). The components are the
eigenvectors of the covariance.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from helpers.models.files import load_model, save_model
from helpers.parameters import CURRENT
from helpers.run import manifest, results
from helpers.storage.location import Location, locate
from helpers.storage.npz import read_arrays, write_arrays

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of some rows.

    Attributes
    ----------
    count
        Number of rows.
    mean
        Mean row, shape (d,), float64.
    products
        Sum of the outer products of the rows about their mean, shape (d, d), float64.
    """

    count: int
    mean: Vector
    products: Matrix

    @classmethod
    def from_rows(cls, rows: NDArray[np.floating[Any]]) -> Self:
        """Compute the moments of rows of shape (n, d), n at least 1, in float64."""
        centered = rows.astype(np.float64)
        mean = centered.mean(axis=0)
        centered -= mean
        return cls(len(centered), mean, centered.T @ centered)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of the rows of both."""
        count = self.count + other.count
        difference = other.mean - self.mean
        share = other.count / count
        products = np.outer(difference, difference * (self.count * share))
        products += self.products  # in place: they are large
        products += other.products
        return Moments(count, self.mean + difference * share, products)

    def save(self, location: Location) -> None:
        """Write the moments as one file."""
        count = np.array(self.count)
        write_arrays(location, {"count": count, "mean": self.mean, "products": self.products})

    @classmethod
    def load(cls, location: Location) -> Self:
        """Read moments that were saved."""
        arrays = read_arrays(location)
        return cls(int(arrays["count"]), arrays["mean"], arrays["products"])


def merge_moments(moments: Iterable[Moments]) -> Moments:
    """Merge moments one after the other; there must be one at least."""
    return functools.reduce(Moments.merge, moments)


@dataclass(frozen=True)
class PCA:
    """A fitted principal component analysis; names are scikit-learn's where it has them.

    Attributes
    ----------
    mean, scale
        Of each feature, shape (d,). A row is centered by ``mean`` and divided by ``scale``.
    components
        Orthonormal rows, shape (k, d), by falling variance. The entry of largest magnitude in each
        row is positive.
    explained_variance
        Variance of each component's scores, shape (k,), with n - 1 in the denominator.
    explained_variance_ratio
        The same as a share of the total variance, shape (k,).
    all_variance_ratios
        The ratios of all components that the data has, kept or not, shape (rank,).
    n_samples
        Rows that it was fitted on.
    """

    mean: Vector
    scale: Vector
    components: Matrix
    explained_variance: Vector
    explained_variance_ratio: Vector
    all_variance_ratios: Vector
    n_samples: int

    def transform(self, rows: NDArray[np.floating[Any]]) -> Matrix:
        """Compute the scores of rows of shape (n, d): shape (n, k).

        Examples
        --------
        >>> rows = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.5]])
        >>> pca = fit_pca(Moments.from_rows(rows), components=1, standardize=False)
        >>> pca.transform(rows).round(2).ravel().tolist()
        [-2.95, -0.12, 3.07]
        """
        scores: Matrix = ((rows - self.mean) / self.scale) @ self.components.T
        return scores

    def compute_loadings(self) -> Matrix:
        """Compute the covariance of each scaled feature with unit scores, shape (k, d).

        For standardized features it is their correlation (Jolliffe 2002, "Principal Component
        Analysis").
        """
        loadings: Matrix = self.components * np.sqrt(self.explained_variance)[:, np.newaxis]
        return loadings

    def save(self, folder: Location, parameters: Mapping[str, Any]) -> None:
        """Write ``model.npz`` and ``model.json``, which names the parameters of the fit."""
        arrays = {name: value for name, value in vars(self).items() if name != "n_samples"}
        description = {
            "parameters": dict(parameters),
            "n_samples": self.n_samples,
            "components": len(self.components),
            "explained_variance": float(self.explained_variance_ratio.sum()),
        }
        save_model(folder, arrays, description)

    @classmethod
    def load(cls, folder: Location) -> Self:
        """Read a model that was saved.

        Raises
        ------
        OSError
            If a file cannot be read or is damaged; the message names it.
        """
        arrays, description = load_model(folder)
        return cls(**arrays, n_samples=description["n_samples"])


def load_pca(run_uri: str, fingerprint: str = CURRENT) -> PCA:
    """Load the PCA of a run.

    Parameters
    ----------
    run_uri
        ``RUN_URI`` of the run: a folder or an ``s3://`` prefix.
    fingerprint
        Of a result of 04, or ``"current"``.

    Raises
    ------
    StaleError
        If 04 has not finished, or not on what the stages before it finished last.
    FileNotFoundError
        If files of the result were deleted.
    OSError
        If a file is damaged.
    ValueError
        If the run has no such result.
    """
    run = manifest.Run(locate(run_uri))
    return PCA.load(results.require_pca(run, run.require(manifest.PCA, fingerprint)).location)


def fit_pca(moments: Moments, components: int | float, standardize: bool) -> PCA:
    """Fit the principal components of the rows behind ``moments``.

    Parameters
    ----------
    components
        An int is their number. A float below 1 takes the fewest that explain this share of the
        variance, as scikit-learn's ``n_components`` does.
    standardize
        Divide each feature by its standard deviation (by 1 where that is zero).

    Raises
    ------
    ValueError
        If there are fewer than two rows, no variance, or fewer components than asked for.
    """
    if moments.count < 2:
        raise ValueError(f"PCA needs at least two photos to fit on, got {moments.count}")
    covariance = moments.products / (moments.count - 1)
    variances = covariance.diagonal()
    scale = np.ones_like(moments.mean)
    if standardize:
        varies = variances > _bound_rounding(moments, variances)
        scale[varies] = np.sqrt(variances[varies])
        covariance /= np.outer(scale, scale)
    total = float(np.trace(covariance))
    values, vectors = linalg.eigh(covariance, driver="evd", overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = _count_rank(values, moments.count)
    if rank == 0:
        raise ValueError(f"PCA needs photos that differ, got {moments.count:,} equal ones")
    values = values[:rank]
    ratios = values / total
    number = _choose_number(components, ratios)
    kept = vectors[:, :number].T
    strongest = np.abs(kept).argmax(axis=1)
    signs = np.sign(kept[np.arange(number), strongest])
    return PCA(
        mean=moments.mean,
        scale=scale,
        components=np.ascontiguousarray(kept * signs[:, np.newaxis]),
        explained_variance=values[:number],
        explained_variance_ratio=ratios[:number],
        all_variance_ratios=ratios,
        n_samples=moments.count,
    )


def _bound_rounding(moments: Moments, variances: Vector) -> Vector:
    """Bound the variance that rounding can give a constant feature (Youngs and Cramer 1971)."""
    epsilon = np.finfo(np.float64).eps
    count = moments.count
    bound: Vector = count * epsilon * variances + (count * moments.mean * epsilon) ** 2
    return bound


def _count_rank(values: Vector, count: int) -> int:
    """Count the falling eigenvalues that exceed rounding."""
    floor = values[0] * len(values) * np.finfo(np.float64).eps
    return min(count - 1, int(np.count_nonzero(values > max(floor, 0.0))))


def _choose_number(components: int | float, ratios: Vector) -> int:
    if isinstance(components, float):
        explained = np.cumsum(ratios)
        return min(len(ratios), int(np.searchsorted(explained, components, side="right")) + 1)
    if components > len(ratios):
        raise ValueError(
            f"COMPONENTS must be at most the rank of the features, {len(ratios):,}, "
            f"got {components:,}"
        )
    return components
