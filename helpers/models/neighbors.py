"""Nearest neighbors of vectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbors of each of n vectors among the others.

    Attributes
    ----------
    indices
        Shape (n, k), the nearest first.
    distances
        Euclidean, shape (n, k).
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]

    @staticmethod
    def among(vectors: NDArray[np.floating[Any]], k: int) -> "Neighbors":
        """Find the k nearest others of each of the vectors, of shape (n, d)."""
        found = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors()
        return Neighbors(indices=found[1], distances=found[0])

    def share_label(self, labels: NDArray[Any]) -> float:
        """Measure the share of all neighbors that have the vector's own label, 0 to 1."""
        return float((labels[self.indices] == labels[:, np.newaxis]).mean())
