"""What the figures show, and that they can show any name."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from helpers.figures.evaluation import draw_accuracies, draw_confusion, draw_per_class
from helpers.figures.photos import draw_class_counts, draw_gallery, draw_rejects
from helpers.figures.scatter import draw_classes, draw_components
from helpers.figures.style import save_figure
from helpers.figures.variance import (
    draw_explained_variance,
    draw_feature_values,
    draw_loadings,
)
from helpers.run.examples import Example, RejectExample
from helpers.storage.local import LocalLocation

NAMES = ["$apples$", "a$_$", "$\\frac{1$", "_hidden", "é 🍎", "label", "a\nb"]
PICTURE = Image.new("RGB", (20, 10), "red")
RATIOS = np.array([0.5, 0.2])


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def make_confusion(labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.eye(len(labels), dtype=int) * 3, index=labels, columns=labels)


def make_per_class(labels: list[str]) -> pd.DataFrame:
    columns = ["precision", "recall", "f1"]
    return pd.DataFrame(np.full((len(labels), 3), 0.5), index=labels, columns=columns)


def make_points(labels: list[str]) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(len(labels), 2))


def list_bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def draw_counts_of(names: list[str]) -> Figure:
    sides = [None if number % 2 else "train" for number in range(len(names))]
    rows = pd.DataFrame({"label": names, "folder_side": sides})
    counted = rows.groupby(["label", "folder_side"], dropna=False).size()
    return draw_class_counts(counted.rename("photos").reset_index())


def draw_gallery_of(names: list[str]) -> Figure:
    return draw_gallery([Example(f"a/{name}", PICTURE, (4000, 3000), PICTURE) for name in names])


def draw_rejects_of(names: list[str]) -> Figure:
    return draw_rejects([RejectExample(f"a/{name}", "empty", "0 bytes", None) for name in names])


DRAWN: dict[str, Callable[[list[str]], Figure]] = {
    "class counts": draw_counts_of,
    "gallery": draw_gallery_of,
    "rejects": draw_rejects_of,
    "classes": lambda names: draw_classes(make_points(names), names),
    "components": lambda names: draw_components(make_points(names), names, RATIOS),
    "per class": lambda names: draw_per_class(make_per_class(names)),
    "confusion": lambda names: draw_confusion(make_confusion(names)),
}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("figure", DRAWN)
def test_a_figure_can_show_any_name(figure: str, tmp_path: Path) -> None:
    location = LocalLocation(str(tmp_path / "figure.png"))
    before = plt.get_fignums()
    save_figure(DRAWN[figure](NAMES), location)
    with Image.open(io.BytesIO(location.read())) as picture:
        assert picture.width > 100
    assert plt.get_fignums() == before


def test_forty_classes_have_forty_pairs_of_color_and_marker() -> None:
    labels = [f"class {number:02d}" for number in range(40)]
    axes = draw_classes(make_points(labels), labels).axes[0]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 40
    legend = axes.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 40


def test_more_classes_than_pairs_are_named_in_the_plot() -> None:
    labels = [f"class {number:02d}" for number in range(41)]
    axes = draw_classes(make_points(labels), labels).axes[0]
    assert axes.get_legend() is None
    assert {text.get_text() for text in axes.texts} == set(labels)


def test_the_chosen_number_of_components_is_marked() -> None:
    scree, cumulative = draw_explained_variance(np.full(100, 0.01), 30).axes
    assert scree.get_title() == "Scree plot, first 60 of 100"
    assert [text.get_text() for text in cumulative.texts] == ["30 components: 30.0%"]
    assert len(np.asarray(scree.lines[0].get_xdata())) == 60


def test_every_feature_is_in_both_histograms() -> None:
    features = np.random.default_rng(0).normal(size=(5, 70))
    for axes in draw_feature_values(features).axes:
        assert sum(bar.get_height() for bar in list_bars(axes)) == 70


@pytest.mark.parametrize(("standardized", "circles"), [(True, 1), (False, 0)])
def test_a_circle_is_drawn_for_correlations_alone(standardized: bool, circles: int) -> None:
    values = np.array([[5.0, -4.0], [1.0, 2.0]])
    axes = draw_loadings(values, RATIOS, standardized).axes[0]
    assert len(axes.patches) == circles
    assert (axes.get_xlim()[1] > 5) != standardized


def test_one_component_lies_on_a_line() -> None:
    loadings = draw_loadings(np.array([[0.5, -0.4]]), np.array([0.5]), standardized=True)
    assert loadings.axes[0].get_ylabel() == ""
    components = draw_components(np.array([[1.0], [2.0]]), ["a", "b"], np.array([0.5]))
    assert components.axes[0].get_ylabel() == ""


@pytest.mark.parametrize(("classes", "written"), [(30, 30), (31, 0)])
def test_a_small_confusion_matrix_has_its_counts(classes: int, written: int) -> None:
    axes = draw_confusion(make_confusion([f"{number:02d}" for number in range(classes)])).axes[0]
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["3"] * written


def test_the_figure_of_no_rejects_says_so() -> None:
    assert draw_rejects([]).axes[0].texts[0].get_text() == "no photo was rejected"


def test_the_classifier_stands_above_its_baselines() -> None:
    axes = draw_accuracies({"logistic regression": 0.9, "always the commonest class": 0.1}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["90.0%", "10.0%"]
    top, baseline = (axes.transData.transform((0, bar.get_y()))[1] for bar in list_bars(axes))
    assert top > baseline
