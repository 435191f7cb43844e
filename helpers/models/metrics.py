"""How well predicted labels match the true ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: photos by true and predicted label
Confusions = Mapping[tuple[str, str], int]


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
    def measure(cls, confusions: Confusions) -> Self:
        """Measure from the photos by true and predicted label.

        >>> Metrics.measure({("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1}).to_json()
        {'accuracy': 0.666667, 'macro_f1': 0.666667}
        """
        labels = sorted({label for pair in confusions for label in pair})
        per_class = tabulate_classes(confusions, labels)
        right = sum(count for (true, predicted), count in confusions.items() if true == predicted)
        occurring = per_class[per_class["photos"] > 0]
        return cls(right / sum(confusions.values()), float(occurring["f1"].mean()))

    def to_json(self) -> dict[str, float]:
        """Return the figures rounded to six digits."""
        return {"accuracy": round(self.accuracy, 6), "macro_f1": round(self.macro_f1, 6)}


def tabulate_classes(confusions: Confusions, labels: list[str]) -> pd.DataFrame:
    """Tabulate ``precision``, ``recall``, ``f1`` (0 to 1; 0 for none) and ``photos`` per label."""
    number = {label: i for i, label in enumerate(labels)}
    right, true, predicted = np.zeros((3, len(labels)))
    for (of, guess), count in confusions.items():
        true[number[of]] += count
        predicted[number[guess]] += count
        right[number[of]] += count * (of == guess)
    precision, recall = _divide(right, predicted), _divide(right, true)
    f1 = _divide(2 * right, true + predicted)
    return pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "photos": true.astype(np.int64)},
        index=labels,
    )


def count_confusions(confusions: Confusions, labels: list[str]) -> pd.DataFrame:
    """Return the photos of each true label (rows) by predicted label (columns)."""
    number = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    for (true, predicted), count in confusions.items():
        matrix[number[true], number[predicted]] += count
    return pd.DataFrame(matrix, index=labels, columns=labels)


def _divide(share: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)


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
