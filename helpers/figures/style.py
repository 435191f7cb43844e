"""Colors, markers and sizes of all figures.

The colors are Okabe and Ito's, which stay distinct under the common kinds of color blindness.
"""

import io
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from helpers.storage.location import Location

Floats = NDArray[np.floating[Any]]

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK, GRAY = "#56B4E9", "#E69F00", "#000000", "#999999"
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, BLACK, GRAY)
MARKERS = "os^Dv"
DPI = 110


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of a size in inches with one pair of plain axes."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: Figure, location: Location) -> None:
    """Write a figure as PNG, and close it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    location.write(content.getvalue())


def hide_axes(axes: Axes) -> None:
    """Hide ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def shorten_path(path: str) -> str:
    """Return the last two names of a path, on two lines."""
    return escape("\n".join(path.split("/")[-2:]))


def escape(name: str) -> str:
    """Escape a name for matplotlib, which reads mathematics between two dollar signs."""
    return str(name).replace("$", r"\$")
