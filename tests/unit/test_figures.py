"""What the figures show, and that any name can stand in them."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from helpers import figures
from helpers.storage.location import LocalLocation

NAMES = ["$apples$", "a$_$", "$\\frac{1$", "_hidden", "é 🍎", "label", "a\nb"]
PICTURE = Image.new("RGB", (20, 10), "red")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def confusion_of(labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.eye(len(labels), dtype=int) * 3, index=labels, columns=labels)


def per_class_of(labels: list[str]) -> pd.DataFrame:
    columns = ["precision", "recall", "f1"]
    return pd.DataFrame(np.full((len(labels), 3), 0.5), index=labels, columns=columns)


def points_of(labels: list[str]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(labels), 2))


DRAWN: dict[str, Callable[[list[str]], Figure]] = {
    "class_counts": lambda names: figures.class_counts(names, ["train", None] * (len(names) // 2)),
    "gallery": lambda names: figures.gallery(
        [(f"a/{name}", PICTURE, (4000, 3000), PICTURE) for name in names]
    ),
    "rejects": lambda names: figures.rejects([(f"a/{name}", "empty", None) for name in names]),
    "classes": lambda names: figures.classes(points_of(names), names),
    "components": lambda names: figures.components(points_of(names), names, np.array([0.5, 0.2])),
    "per_class": lambda names: figures.per_class(per_class_of(names)),
    "confusion": lambda names: figures.confusion(confusion_of(names)),
}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("figure", DRAWN)
def test_any_name_can_stand_in_a_figure(figure: str, tmp_path: Path) -> None:
    names = NAMES[:6]
    place = LocalLocation(str(tmp_path / "figure.png"))
    figures.save(DRAWN[figure](names), place)
    with Image.open(io.BytesIO(place.read())) as picture:
        assert picture.width > 100
    assert plt.get_fignums() == []


def test_forty_classes_have_forty_pairs_of_colour_and_marker() -> None:
    labels = [f"class {number:02d}" for number in range(40)]
    axes = figures.classes(points_of(labels), labels).axes[0]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 40
    assert len(axes.get_legend().get_texts()) == 40


def test_more_classes_than_pairs_are_named_in_the_plot() -> None:
    labels = [f"class {number:02d}" for number in range(41)]
    axes = figures.classes(points_of(labels), labels).axes[0]
    assert axes.get_legend() is None
    assert {text.get_text() for text in axes.texts} == set(labels)


def test_the_chosen_number_of_components_is_marked() -> None:
    spectrum = np.full(100, 0.01)
    scree, cumulative = figures.explained_variance(spectrum, 30).axes
    assert scree.get_title() == "Scree plot, first 60 of 100"
    assert [text.get_text() for text in cumulative.texts] == ["30 components: 30.0%"]
    assert len(scree.lines[0].get_xdata()) == 60


@pytest.mark.parametrize(("standardized", "circles"), [(True, 1), (False, 0)])
def test_only_correlations_lie_in_a_circle(standardized: bool, circles: int) -> None:
    values = np.array([[5.0, -4.0], [1.0, 2.0]])
    axes = figures.loadings(values, np.array([0.5, 0.2]), standardized).axes[0]
    assert len(axes.patches) == circles
    assert (axes.get_xlim()[1] > 5) != standardized


def test_one_component_lies_on_a_line() -> None:
    figures.loadings(np.array([[0.5, -0.4]]), np.array([0.5]), True)
    figure = figures.components(np.array([[1.0], [2.0]]), ["a", "b"], np.array([0.5]))
    assert figure.axes[0].get_ylabel() == ""


@pytest.mark.parametrize(("classes", "written"), [(30, 30), (31, 0)])
def test_a_small_confusion_matrix_has_its_counts(classes: int, written: int) -> None:
    axes = figures.confusion(confusion_of([f"{number:02d}" for number in range(classes)])).axes[0]
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["3"] * written


def test_no_rejects_are_said_to_be_none() -> None:
    assert figures.rejects([]).axes[0].texts[0].get_text() == "no photo was rejected"


def test_the_classifier_stands_first_among_its_baselines() -> None:
    axes = figures.merits({"logistic regression": 0.9, "always the commonest class": 0.1}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["90.0%", "10.0%"]
