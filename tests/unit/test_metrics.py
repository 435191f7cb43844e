"""Figures of merit from counts: they are those that scikit-learn finds from the labels."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from helpers.models.metrics import (
    Confusions,
    Metrics,
    count_confusions,
    list_confusions,
    tabulate_classes,
)

LABELS = ["Apple Red 1", "Limón", "a", "b", "é", "never true", "never predicted", "neither"]

Pairs = tuple[NDArray[np.str_], NDArray[np.str_]]


@pytest.fixture(params=range(8))
def pairs(request: pytest.FixtureRequest) -> Pairs:
    """True and predicted labels; some labels occur on one side alone, and one on none."""
    random = np.random.default_rng(request.param)
    number = int(random.integers(1, 400))
    true = random.choice([*LABELS[:5], "never predicted"], number)
    predicted = random.choice([*LABELS[:5], "never true"], number)
    right = random.random(number) < request.param / 10
    return true, np.where(right & (true != "never predicted"), true, predicted)


def count(pairs: Pairs) -> Confusions:
    return Counter(zip(*(labels.tolist() for labels in pairs), strict=True))


def test_accuracy_and_macro_f1_equal_those_of_scikit_learn(pairs: Pairs) -> None:
    measured = Metrics.measure(count(pairs))
    assert measured.accuracy == pytest.approx(metrics.accuracy_score(*pairs), abs=1e-12)
    macro_f1 = metrics.f1_score(
        *pairs, labels=np.unique(pairs[0]), average="macro", zero_division=0
    )
    assert measured.macro_f1 == pytest.approx(macro_f1, abs=1e-12)


def test_the_table_of_classes_equals_that_of_scikit_learn(pairs: Pairs) -> None:
    columns = metrics.precision_recall_fscore_support(*pairs, labels=LABELS, zero_division=0)
    names = ("precision", "recall", "f1", "photos")
    expected = pd.DataFrame(dict(zip(names, columns, strict=True)), index=LABELS)
    pd.testing.assert_frame_equal(tabulate_classes(count(pairs), LABELS), expected)


def test_the_confusion_matrix_equals_that_of_scikit_learn(pairs: Pairs) -> None:
    counted = count_confusions(count(pairs), LABELS)
    assert list(counted.index) == list(counted.columns) == LABELS
    expected = metrics.confusion_matrix(*pairs, labels=LABELS)
    np.testing.assert_array_equal(counted.to_numpy(), expected)


def test_confusions_are_listed_the_most_frequent_first(pairs: Pairs) -> None:
    found = list_confusions(count_confusions(count(pairs), LABELS))
    wrong = {pair: photos for pair, photos in count(pairs).items() if pair[0] != pair[1]}
    assert {(true, predicted): photos for true, predicted, photos in found} == wrong
    assert [photos for *_, photos in found] == sorted(wrong.values(), reverse=True)


def test_perfect_and_wholly_wrong_predictions_are_one_and_zero() -> None:
    assert Metrics.measure({("a", "a"): 3, ("b", "b"): 10**12}) == Metrics(1.0, 1.0)
    assert Metrics.measure({("a", "b"): 3, ("b", "a"): 1}) == Metrics(0.0, 0.0)


def test_a_label_outside_the_table_is_an_error() -> None:
    for tabulate in (tabulate_classes, count_confusions):
        with pytest.raises(KeyError, match="pear"):
            tabulate({("pear", "a"): 1}, ["a"])
