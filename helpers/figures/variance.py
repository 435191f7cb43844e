"""Figures of features and of the variance that components explain."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import PercentFormatter

from helpers.figures.style import BLUE, GRAY, VERMILLION, Floats, new_figure


def draw_feature_values(features: Floats) -> Figure:
    """Draw the distributions of the features' means and standard deviations over photos."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    left.hist(features.mean(axis=0), bins=50, color=BLUE)
    left.set_xlabel("mean of a feature over the photos")
    right.hist(features.std(axis=0), bins=50, color=BLUE)
    right.set_xlabel("standard deviation of a feature")
    for axes in (left, right):
        axes.set_ylabel("number of features")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_explained_variance(ratios: Floats, chosen: int) -> Figure:
    """Draw the scree plot and the cumulative plot; mark the chosen number of components.

    Parameters
    ----------
    ratios
        Explained variance ratio of every component, falling.
    chosen
        Number of components kept.
    """
    figure, (scree, cumulative) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    numbers = np.arange(1, len(ratios) + 1)
    total = np.cumsum(ratios)
    shown = min(len(ratios), max(20, 2 * chosen))
    scree.plot(numbers[:shown], ratios[:shown], color=BLUE, marker=".", markersize=4)
    scree.set_yscale("log")
    scree.set_title(
        "Scree plot" if shown == len(ratios) else f"Scree plot, first {shown:,} of {numbers[-1]:,}"
    )
    scree.set_ylabel("explained variance ratio (log scale)")
    cumulative.plot(numbers, total, color=BLUE)
    cumulative.set_ylim(0, 1.02)
    cumulative.set_title("Cumulative explained variance")
    cumulative.yaxis.set_major_formatter(PercentFormatter(1.0))
    cumulative.plot(chosen, total[chosen - 1], "o", color=VERMILLION)
    cumulative.annotate(
        f"{chosen:,} components: {total[chosen - 1]:.1%}",
        (chosen, total[chosen - 1]),
        xytext=(12, -18),
        textcoords="offset points",
        color=VERMILLION,
    )
    for axes in (scree, cumulative):
        axes.axvline(chosen, color=VERMILLION, linestyle="--", linewidth=1)
        axes.set_xlabel("component")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_loadings(values: Floats, ratios: Floats, standardized: bool) -> Figure:
    """Draw each feature's loadings on the first two components.

    Parameters
    ----------
    values
        Shape (2, features): covariance of each feature with the component's unit scores. Of one
        component alone, shape (1, features): the features lie on a line.
    standardized
        Whether the features have unit variance, so that the loadings are correlations, and all
        features lie inside a circle of radius 1.
    """
    figure, axes = new_figure(5.5, 5)
    second = values[1] if len(values) > 1 else np.zeros_like(values[0])
    axes.scatter(values[0], second, s=8, alpha=0.5, color=BLUE, linewidths=0)
    axes.axhline(0, color=GRAY, linewidth=0.8)
    axes.axvline(0, color=GRAY, linewidth=0.8)
    if standardized:
        axes.add_patch(Circle((0, 0), 1, fill=False, color=GRAY))
        axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.set_xlabel(f"loading on component 1 ({ratios[0]:.1%} of the variance)")
    if len(ratios) > 1:
        axes.set_ylabel(f"loading on component 2 ({ratios[1]:.1%} of the variance)")
    return figure
