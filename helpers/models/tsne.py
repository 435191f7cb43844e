"""A picture of many scores in the plane.

van der Maaten and Hinton 2008, "Visualizing Data using t-SNE".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from helpers.models.neighbors import Neighbors

PHOTOS = 1000
NEIGHBORS = 10


@dataclass(frozen=True)
class Embedding:
    """A t-SNE of a sample of photos.

    Attributes
    ----------
    points
        Shape (photos, 2). Only who is near whom has a meaning.
    labels
        Class of each photo, shape (photos,).
    agreement
        Share of the ten nearest neighbors in the plane that have a photo's own label, 0 to 1.
    chance_agreement
        The same with the labels shuffled.
    """

    points: NDArray[np.floating[Any]]
    labels: NDArray[np.str_]
    agreement: float
    chance_agreement: float


def embed(scores: NDArray[np.floating[Any]], labels: NDArray[np.str_], seed: int) -> Embedding:
    """Embed scores of shape (photos, k) in the plane."""
    count = len(scores)
    init = "pca" if scores.shape[1] > 1 else "random"  # one component spans no plane
    points = TSNE(
        init=init, perplexity=min(30.0, (count - 1) / 3), random_state=seed
    ).fit_transform(scores)
    neighbors = Neighbors.among(points, min(NEIGHBORS, count - 1))
    shuffled = np.random.default_rng(seed).permutation(labels)
    return Embedding(
        points=points,
        labels=labels,
        agreement=neighbors.share_label(labels),
        chance_agreement=neighbors.share_label(shuffled),
    )
