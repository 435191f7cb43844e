"""Every plot. A function draws on a new figure, which becomes pyplot's current one.

Colours are Okabe and Ito's, which people with any common colour blindness tell apart; where
there are more classes than colours, classes are named in the plot.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import AutoLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from helpers.storage.location import Location

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#999999"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK, GREY)
MARKERS = "os^Dv"
DPI = 110
_MOST_NAMED = 30
_SIDES = ("train", "test", "no side named")

Floats = NDArray[np.floating[Any]]


def save(figure: Figure, location: Location) -> None:
    """Write a figure as PNG, and close it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    location.write(content.getvalue())


def class_counts(labels: Sequence[str], sides: Sequence[str | None]) -> Figure:
    """Photos of each class, stacked by the side that their folder names."""
    named = pd.Series(sides, dtype=object).fillna(_SIDES[-1])
    counts = pd.crosstab(pd.Series(map(_plain, labels)), named)
    order = [side for side in _SIDES if side in counts]
    figure, axes = _new(9, 0.6 + 0.22 * len(counts))
    left = np.zeros(len(counts))
    for colour, side in zip(COLOURS, order, strict=False):
        axes.barh(counts.index, counts[side], left=left, color=colour, label=side)
        left += counts[side].to_numpy()
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("photos")
    axes.legend(title="folder", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def gallery(
    examples: Sequence[tuple[str, Image.Image, tuple[int, int], Image.Image]],
) -> Figure:
    """Photos before and after preprocessing, one above the other.

    Parameters
    ----------
    examples
        Path, picture of the file, the file's width and height, and what is stored of it.
    """
    figure, grid = plt.subplots(
        2, len(examples), figsize=(1.5 * len(examples), 3.8), squeeze=False, layout="constrained"
    )
    for column, (path, before, size, after) in zip(grid.T, examples, strict=True):
        shown = ((before, size), (after, after.size))
        for axes, (picture, (width, height)) in zip(column, shown, strict=True):
            axes.imshow(picture)
            axes.set_xlabel(f"{width} x {height}", fontsize=8)
            _bare(axes)
        column[0].set_title(_ending(path), fontsize=7)
    grid[0, 0].set_ylabel("file")
    grid[1, 0].set_ylabel("pixels")
    return figure


def rejects(rows: Sequence[tuple[str, str, Image.Image | None]]) -> Figure:
    """Rejected photos: path, reason, and as much of the picture as can be seen."""
    if not rows:
        figure, axes = _new(4, 1)
        axes.text(0.5, 0.5, "no photo was rejected", ha="center", va="center")
        axes.axis("off")
        return figure
    columns = min(8, len(rows))
    height = -(-len(rows) // columns)
    figure, grid = plt.subplots(
        height, columns, figsize=(1.7 * columns, 2.1 * height), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, (path, reason, picture) in zip(grid.flat, rows, strict=False):
        axes.axis("on")
        axes.set_title(_ending(path), fontsize=7)
        axes.set_xlabel(reason, fontsize=8, color=ORANGE)
        axes.set_xticks([])
        axes.set_yticks([])
        if picture is None:
            axes.text(0.5, 0.5, "no picture", ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(picture)
    return figure


def feature_values(features: Floats) -> Figure:
    """Distribution of each feature's mean and standard deviation over photos."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    left.hist(features.mean(axis=0), bins=50, color=BLUE)
    left.set_xlabel("mean of a feature over the photos")
    right.hist(features.std(axis=0), bins=50, color=BLUE)
    right.set_xlabel("standard deviation of a feature")
    for axes in (left, right):
        axes.set_ylabel("number of features")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def explained_variance(spectrum: Floats, chosen: int) -> Figure:
    """Scree plot and cumulative plot, with the chosen number of components marked.

    Parameters
    ----------
    spectrum
        Explained variance ratio of every component, falling.
    chosen
        Number of components kept.
    """
    figure, (scree, cumulative) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    numbers = np.arange(1, len(spectrum) + 1)
    total = np.cumsum(spectrum)
    shown = min(len(spectrum), max(20, 2 * chosen))
    scree.plot(numbers[:shown], spectrum[:shown], color=BLUE, marker=".", markersize=4)
    scree.set_yscale("log")
    scree.set_title(
        "Scree plot"
        if shown == len(spectrum)
        else f"Scree plot, first {shown:,} of {numbers[-1]:,}"
    )
    scree.set_ylabel("explained variance ratio (log scale)")
    cumulative.plot(numbers, total, color=BLUE)
    cumulative.set_ylim(0, 1.02)
    cumulative.set_title("Cumulative explained variance")
    cumulative.yaxis.set_major_formatter(PercentFormatter(1.0))
    cumulative.plot(chosen, total[chosen - 1], "o", color=ORANGE)
    cumulative.annotate(
        f"{chosen:,} components: {total[chosen - 1]:.1%}",
        (chosen, total[chosen - 1]),
        xytext=(12, -18),
        textcoords="offset points",
        color=ORANGE,
    )
    for axes in (scree, cumulative):
        axes.axvline(chosen, color=ORANGE, linestyle="--", linewidth=1)
        axes.set_xlabel("component")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def components(scores: Floats, labels: Sequence[str], ratios: Floats) -> Figure:
    """The first two components of each photo, coloured by class.

    Parameters
    ----------
    scores
        Shape (photos, components); of one component alone, the photos lie on a line.
    ratios
        Explained variance ratio of the components.
    """
    plane = scores if scores.shape[1] > 1 else np.pad(scores, ((0, 0), (0, 1)))
    figure = classes(plane, labels)
    axes = figure.axes[0]
    axes.xaxis.set_major_locator(AutoLocator())
    axes.yaxis.set_major_locator(AutoLocator())
    axes.set_xlabel(f"component 1 ({ratios[0]:.1%} of the variance)")
    if len(ratios) > 1:
        axes.set_ylabel(f"component 2 ({ratios[1]:.1%} of the variance)")
    return figure


def classes(points: Floats, labels: Sequence[str]) -> Figure:
    """Photos as points of shape (photos, 2), each class with its own pair of colour and marker.

    Where there are more classes than such pairs, they are named in the plot instead. Neither axis
    has numbers.
    """
    figure, axes = _new(9.5, 6)
    named = list(map(_plain, labels))
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "label": named})
    for i, (label, group) in enumerate(frame.groupby("label")):
        colour = COLOURS[i % len(COLOURS)]
        marker = MARKERS[i % len(MARKERS)]
        (line,) = axes.plot(group["x"], group["y"], marker, color=colour, label=str(label))
        line.set(markersize=5.5, alpha=0.7, markeredgewidth=0)
    centres = frame.groupby("label").median()
    if len(centres) <= len(COLOURS) * len(MARKERS):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    else:
        for name, centre in centres.iterrows():
            axes.text(centre["x"], centre["y"], str(name), fontsize=6, ha="center")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def loadings(values: Floats, ratios: Floats, standardized: bool) -> Figure:
    """Each feature's loadings on the first two components.

    Parameters
    ----------
    values
        Shape (2, features): covariance of each feature with the component's unit scores. Of one
        component alone, shape (1, features): the features lie on a line.
    standardized
        Whether the features have unit variance, so that the loadings are correlations, and all
        features lie inside a circle of radius 1.
    """
    figure, axes = _new(5.5, 5)
    second = values[1] if len(values) > 1 else np.zeros_like(values[0])
    axes.scatter(values[0], second, s=8, alpha=0.5, color=BLUE, linewidths=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    if standardized:
        axes.add_patch(Circle((0, 0), 1, fill=False, color=GREY))
        axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.set_xlabel(f"loading on component 1 ({ratios[0]:.1%} of the variance)")
    if len(ratios) > 1:
        axes.set_ylabel(f"loading on component 2 ({ratios[1]:.1%} of the variance)")
    return figure


def merits(accuracies: Mapping[str, float]) -> Figure:
    """Accuracy of the classifier beside its baselines."""
    figure, axes = _new(7, 0.6 + 0.45 * len(accuracies))
    bars = axes.barh(list(accuracies), list(accuracies.values()), color=[BLUE, GREY, GREY])
    axes.bar_label(bars, [f"{value:.1%}" for value in accuracies.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("accuracy on the test side")
    return figure


def per_class(table: pd.DataFrame) -> Figure:
    """Precision and recall of each class, the hardest class first."""
    ordered = table.rename(index=_plain).sort_values("f1", kind="stable")
    figure, axes = _new(8, 0.9 + 0.22 * len(ordered))
    axes.hlines(ordered.index, ordered["precision"], ordered["recall"], color=GREY, linewidth=1)
    axes.plot(ordered["precision"], ordered.index, "o", color=BLUE, label="precision")
    axes.plot(
        ordered["recall"],
        ordered.index,
        "s",
        color=ORANGE,
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


def confusion(matrix: pd.DataFrame) -> Figure:
    """Confusion matrix, each row as shares of the true class."""
    counts = matrix.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(14.0, 3.0 + 0.24 * len(matrix))
    figure, axes = _new(size + 1, size)
    sns.heatmap(
        pd.DataFrame(shares, index=matrix.index.map(_plain), columns=matrix.columns.map(_plain)),
        ax=axes,
        cmap="cividis",
        vmin=0,
        vmax=1,
        square=True,
        annot=_counts_to_show(counts),
        fmt="",
        annot_kws={"fontsize": 7},
        xticklabels=True,
        yticklabels=True,
        cbar_kws={"label": "share of the true class", "shrink": 0.7},
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(labelsize=8 if len(matrix) <= _MOST_NAMED else 6)
    return figure


def _counts_to_show(counts: NDArray[np.integer[Any]]) -> NDArray[np.str_] | None:
    """What to write into the cells of a confusion matrix: photos, where there are any and room."""
    if len(counts) > _MOST_NAMED:
        return None
    return np.where(counts > 0, counts.astype(str), "")


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of a size in inches, with one plain pair of axes."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _ending(path: str) -> str:
    """The last two names of a path, on two lines."""
    return _plain("\n".join(path.split("/")[-2:]))


def _plain(name: str) -> str:
    """A name as matplotlib is to write it: between two dollar signs it expects mathematics."""
    return str(name).replace("$", r"\$")
