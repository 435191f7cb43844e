"""Multinomial logistic regression on scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from helpers.models.files import load_model, save_model
from helpers.storage.location import Location


@dataclass(frozen=True)
class LogisticRegression:
    """A fitted multinomial logistic regression.

    Attributes
    ----------
    labels
        The c classes, in the order of the arrays.
    coefficients
        Shape (c, k), float64, for scores as they are.
    intercepts
        Shape (c,), float64.
    """

    NAME: ClassVar[str] = "logistic_regression"
    #: they enter the fingerprint of a result
    CONSTANTS: ClassVar[Mapping[str, Any]] = {
        "max_iterations": 100,
        "regularization": 1e-3,
        "tolerance": 1e-3,
    }

    labels: tuple[str, ...]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def predict_proba(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Compute the probability of each class for scores of shape (n, k): shape (n, c)."""
        probability: NDArray[np.float64] = softmax(
            scores.astype(np.float64) @ self.coefficients.T + self.intercepts, axis=1
        )
        return probability

    def predict(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
        """Predict the most probable class of scores of shape (n, k): shape (n,)."""
        names = np.array(self.labels)
        predicted: NDArray[np.str_] = names[self.predict_proba(scores).argmax(axis=1)]
        return predicted

    def save(self, folder: Location) -> None:
        """Write ``model.npz`` and ``model.json``."""
        arrays = {"coefficients": self.coefficients, "intercepts": self.intercepts}
        save_model(folder, arrays, {"classifier": self.NAME, "labels": list(self.labels)})

    @classmethod
    def load(cls, folder: Location) -> Self:
        """Read a classifier that was saved."""
        arrays, description = load_model(folder)
        return cls(tuple(description["labels"]), arrays["coefficients"], arrays["intercepts"])
