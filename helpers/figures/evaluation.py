"""Figures of how well a classifier does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from helpers.figures.style import BLUE, GRAY, VERMILLION, escape, new_figure

_MAX_NAMED = 30  # classes with counts in the confusion matrix


def draw_accuracies(accuracies: Mapping[str, float]) -> Figure:
    """Draw the accuracy of the classifier beside its baselines."""
    figure, axes = new_figure(7, 0.6 + 0.45 * len(accuracies))
    bars = axes.barh(list(accuracies), list(accuracies.values()), color=[BLUE, GRAY, GRAY])
    axes.bar_label(bars, [f"{value:.1%}" for value in accuracies.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("accuracy on the test side")
    return figure


def draw_per_class(table: pd.DataFrame) -> Figure:
    """Draw precision and recall of each class, the hardest class first."""
    ordered = table.rename(index=escape).sort_values("f1", kind="stable")
    figure, axes = new_figure(8, 0.9 + 0.22 * len(ordered))
    axes.hlines(ordered.index, ordered["precision"], ordered["recall"], color=GRAY, linewidth=1)
    axes.plot(ordered["precision"], ordered.index, "o", color=BLUE, label="precision")
    axes.plot(
        ordered["recall"],
        ordered.index,
        "s",
        color=VERMILLION,
        label="recall",
        markersize=9,
        fillstyle="none",
    )
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("precision, recall")
    axes.legend(loc="lower left")
    return figure


def draw_confusion(matrix: pd.DataFrame) -> Figure:
    """Draw the confusion matrix, each row as shares of the true class."""
    counts = matrix.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(14.0, 3.0 + 0.24 * len(matrix))
    figure, axes = new_figure(size + 1, size)
    sns.heatmap(
        pd.DataFrame(shares, index=matrix.index.map(escape), columns=matrix.columns.map(escape)),
        ax=axes,
        cmap="cividis",
        vmin=0,
        vmax=1,
        square=True,
        annot=_format_counts(counts),
        fmt="",
        annot_kws={"fontsize": 7},
        xticklabels=True,
        yticklabels=True,
        cbar_kws={"label": "share of the true class", "shrink": 0.7},
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(labelsize=8 if len(matrix) <= _MAX_NAMED else 6)
    return figure


def _format_counts(counts: NDArray[np.integer[Any]]) -> NDArray[np.str_] | None:
    """Format the counts for the cells of a confusion matrix; None where there is no room."""
    if len(counts) > _MAX_NAMED:
        return None
    return np.where(counts > 0, counts.astype(str), "")
