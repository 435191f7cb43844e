"""Figures of photos as points in a plane."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from helpers.figures.style import COLORS, MARKERS, Floats, escape, new_figure


def draw_components(scores: Floats, labels: Sequence[str], ratios: Floats) -> Figure:
    """Draw the first two components of each photo, colored by class.

    Parameters
    ----------
    scores
        Shape (photos, components); of one component alone, the photos lie on a line.
    ratios
        Explained variance ratio of the components.
    """
    plane = scores if scores.shape[1] > 1 else np.pad(scores, ((0, 0), (0, 1)))
    figure = draw_classes(plane, labels)
    axes = figure.axes[0]
    axes.xaxis.set_major_locator(AutoLocator())
    axes.yaxis.set_major_locator(AutoLocator())
    axes.set_xlabel(f"component 1 ({ratios[0]:.1%} of the variance)")
    if len(ratios) > 1:
        axes.set_ylabel(f"component 2 ({ratios[1]:.1%} of the variance)")
    return figure


def draw_classes(points: Floats, labels: Sequence[str]) -> Figure:
    """Draw photos as points of shape (photos, 2), each class in a color and a marker.

    Up to 40 classes have a pair of color and marker each, and a legend. More classes are named in
    the plot instead. The axes have no numbers.
    """
    figure, axes = new_figure(9.5, 6)
    named = list(map(escape, labels))
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "label": named})
    for i, (label, group) in enumerate(frame.groupby("label")):
        color = COLORS[i % len(COLORS)]
        marker = MARKERS[i % len(MARKERS)]
        (line,) = axes.plot(group["x"], group["y"], marker, color=color, label=str(label))
        line.set(markersize=5.5, alpha=0.7, markeredgewidth=0)
    centers = frame.groupby("label").median()
    if len(centers) <= len(COLORS) * len(MARKERS):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    else:
        for name, center in centers.iterrows():
            axes.text(center["x"], center["y"], str(name), fontsize=6, ha="center")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
