"""Figures of photos: how many there are, what they look like, what was rejected."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.figures.style import COLORS, VERMILLION, escape, hide_axes, new_figure, shorten_path
from helpers.run.examples import Example, RejectExample

_SIDES = ("train", "test", "no side named")


def draw_class_counts(classes: pd.DataFrame) -> Figure:
    """Draw the photos of each class, stacked by the side that their folder names.

    Parameters
    ----------
    classes
        ``label``, ``folder_side`` (or null) and ``photos``.
    """
    named = classes.assign(
        label=classes["label"].map(escape), side=classes["folder_side"].fillna(_SIDES[-1])
    )
    counts = named.pivot_table("photos", "label", "side", aggfunc="sum", fill_value=0)
    order = [side for side in _SIDES if side in counts]
    figure, axes = new_figure(9, 0.6 + 0.22 * len(counts))
    left = np.zeros(len(counts))
    for color, side in zip(COLORS, order, strict=False):
        axes.barh(counts.index, counts[side], left=left, color=color, label=side)
        left += counts[side].to_numpy()
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("photos")
    axes.legend(title="folder", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def draw_gallery(examples: Sequence[Example]) -> Figure:
    """Draw photos before and after preprocessing, one above the other."""
    figure, grid = plt.subplots(
        2, len(examples), figsize=(1.5 * len(examples), 3.8), squeeze=False, layout="constrained"
    )
    for column, example in zip(grid.T, examples, strict=True):
        shown = ((example.file, example.file_size), (example.stored, example.stored.size))
        for axes, (picture, (width, height)) in zip(column, shown, strict=True):
            axes.imshow(picture)
            axes.set_xlabel(f"{width} x {height}", fontsize=8)
            hide_axes(axes)
        column[0].set_title(shorten_path(example.path), fontsize=7)
    grid[0, 0].set_ylabel("file")
    grid[1, 0].set_ylabel("pixels")
    return figure


def draw_rejects(rejects: Sequence[RejectExample]) -> Figure:
    """Draw rejected photos: path, reason, and as much of the picture as can be shown."""
    if not rejects:
        figure, axes = new_figure(4, 1)
        axes.text(0.5, 0.5, "no photo was rejected", ha="center", va="center")
        axes.axis("off")
        return figure
    columns = min(8, len(rejects))
    height = -(-len(rejects) // columns)
    figure, grid = plt.subplots(
        height, columns, figsize=(1.7 * columns, 2.1 * height), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, reject in zip(grid.flat, rejects, strict=False):
        axes.axis("on")
        axes.set_title(shorten_path(reject.path), fontsize=7)
        axes.set_xlabel(reject.reason, fontsize=8, color=VERMILLION)
        axes.set_xticks([])
        axes.set_yticks([])
        if reject.picture is None:
            axes.text(0.5, 0.5, "no picture", ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(reject.picture)
    return figure
