"""A random forest on scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from helpers.models.files import load_model, save_model
from helpers.storage.location import Location

LEAF = -1  # feature of a leaf


@dataclass(frozen=True)
class RandomForest:
    """A fitted random forest: the nodes of all trees, one tree after the other.

    A row goes left where the value of the node's feature is at most the threshold. Its probability
    of a class is the mean over the trees of the class's share at the leaf.

    Attributes
    ----------
    labels
        The c classes, in the order of ``class_counts``.
    tree
        Number of the tree, shape (nodes,).
    node
        Number within the tree, shape (nodes,); 0 is the root.
    left, right
        Numbers of the children within the tree, shape (nodes,); -1 at a leaf.
    feature
        Score that the node compares, shape (nodes,); -1 at a leaf.
    threshold
        Shape (nodes,); NaN at a leaf.
    class_counts
        Training photos of each class at the node, shape (nodes, c).
    """

    NAME: ClassVar[str] = "random_forest"
    #: they enter the fingerprint of a result
    CONSTANTS: ClassVar[Mapping[str, Any]] = {"trees": 200, "max_depth": 5}

    labels: tuple[str, ...]
    tree: NDArray[np.int64]
    node: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    class_counts: NDArray[np.float64]

    def predict_proba(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Compute the probability of each class for scores of shape (n, k): shape (n, c)."""
        roots = np.flatnonzero(self.node == 0)
        shares = self.class_counts / self.class_counts.sum(axis=1, keepdims=True)
        rows = np.arange(len(scores))
        probability = np.zeros((len(scores), len(self.labels)))
        for root in roots:
            position = np.full(len(scores), root)
            while (inner := self.feature[position] != LEAF).any():
                feature = np.where(inner, self.feature[position], 0)
                goes_left = scores[rows, feature] <= self.threshold[position]
                child = np.where(goes_left, self.left[position], self.right[position])
                position = np.where(inner, root + child, position)
            probability += shares[position]
        return probability / len(roots)

    def predict(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
        """Predict the most probable class of scores of shape (n, k): shape (n,)."""
        names = np.array(self.labels)
        predicted: NDArray[np.str_] = names[self.predict_proba(scores).argmax(axis=1)]
        return predicted

    def save(self, folder: Location) -> None:
        """Write ``model.npz`` and ``model.json``."""
        arrays = {name: value for name, value in vars(self).items() if name != "labels"}
        save_model(folder, arrays, {"classifier": self.NAME, "labels": list(self.labels)})

    @classmethod
    def load(cls, folder: Location) -> Self:
        """Read a classifier that was saved."""
        arrays, description = load_model(folder)
        return cls(tuple(description["labels"]), **arrays)
