"""How well predicted labels match the true ones."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics


@dataclass(frozen=True)
class Metrics:
    """Figures of merit, as shares from 0 to 1.

    Attributes
    ----------
    accuracy
        Share of the photos whose predicted label is the true one.
    macro_f1
        Mean of the F1 score over the labels that occur.
    """

    accuracy: float
    macro_f1: float

    @classmethod
    def measure(cls, true: NDArray[Any], predicted: NDArray[Any]) -> Self:
        """Measure predicted labels of shape (n,) against the true ones.

        >>> Metrics.measure(np.array(["a", "a", "b"]), np.array(["a", "b", "b"])).to_json()
        {'accuracy': 0.666667, 'macro_f1': 0.666667}
        """
        occurring = np.unique(true)
        f1 = metrics.f1_score(true, predicted, labels=occurring, average="macro", zero_division=0)
        return cls(float(metrics.accuracy_score(true, predicted)), float(f1))

    def to_json(self) -> dict[str, float]:
        """Return the figures rounded to six digits."""
        return {"accuracy": round(self.accuracy, 6), "macro_f1": round(self.macro_f1, 6)}


def tabulate_classes(
    true: NDArray[Any], predicted: NDArray[Any], labels: list[str]
) -> pd.DataFrame:
    """Tabulate ``precision``, ``recall``, ``f1`` (0 to 1) and ``photos`` of each label."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, predicted, labels=labels, zero_division=0
    )
    return pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "photos": support}, index=labels
    )


def count_confusions(
    true: NDArray[Any], predicted: NDArray[Any], labels: list[str]
) -> pd.DataFrame:
    """Count the photos of each true label (rows) by predicted label (columns)."""
    matrix = metrics.confusion_matrix(true, predicted, labels=labels)
    return pd.DataFrame(matrix, index=labels, columns=labels)


def list_confusions(confusion: pd.DataFrame) -> list[tuple[str, str, int]]:
    """List the pairs of labels that were confused: true, predicted, photos; most photos first."""
    counts = confusion.to_numpy().copy()
    np.fill_diagonal(counts, 0)
    true, predicted = np.nonzero(counts)
    order = np.argsort(-counts[true, predicted], kind="stable")
    names = confusion.index.to_numpy()
    return [
        (str(names[t]), str(names[p]), int(counts[t, p]))
        for t, p in zip(true[order], predicted[order], strict=True)
    ]
