"""The classifier's metrics follow from its predictions, and the saved one gives the same ones."""

import shutil
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from harness.pipeline import Pipeline
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from sklearn import metrics

from helpers import load_classifier
from helpers.models import tsne
from helpers.models.classifier import Classifier
from helpers.models.logistic_regression import LogisticRegression
from helpers.models.random_forest import RandomForest
from helpers.run import results
from helpers.spark import classifiers
from helpers.stages import classify
from helpers.stages.classify import Classified
from helpers.storage.json_object import read_json
from helpers.storage.location import Location


@pytest.fixture(scope="module")
def forest(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy of the sample's run, classified with a random forest."""
    run = shutil.copytree(sample.run, tmp_path_factory.mktemp("forest") / "run")
    pipeline = replace(sample, run=run)
    pipeline.classify(CLASSIFIER="random_forest")
    return pipeline


@pytest.fixture(params=["logistic_regression", "random_forest"])
def classified(request: pytest.FixtureRequest, sample: Pipeline) -> Classified:
    """The sample, classified with either classifier."""
    if request.param == "logistic_regression":
        return sample.classify()
    forest: Pipeline = request.getfixturevalue("forest")
    return forest.classify(CLASSIFIER="random_forest")


@pytest.fixture
def fruits(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Two classes, taken through 03; a few iterations tell them apart."""
    few = {**LogisticRegression.CONSTANTS, "max_iterations": 5}
    monkeypatch.setattr(LogisticRegression, "CONSTANTS", few)
    pipeline.add_photos("Limes", 10)
    pipeline.add_photos("Kiwi", 10)
    pipeline.run_to_features()
    return pipeline


def read_predictions(result: Classified) -> pd.DataFrame:
    """Read the prediction of each path."""
    rows: pd.DataFrame = results.read_predictions(result.snapshot).to_pandas()
    return rows


def read_scores(result: Classified) -> pd.DataFrame:
    """Read the scores, label and side of each distinct photo."""
    rows: pd.DataFrame = results.read_scores(result.pca).to_pandas()
    return rows


def match_scores(result: Classified) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Match the predictions with the scores that they were made from, one row per path."""
    photos = pd.read_parquet(f"{result.pca.location.uri}/photos")[["path", "image_id"]]
    rows = read_predictions(result).merge(photos).merge(read_scores(result)[["image_id", "scores"]])
    return rows, np.stack(rows["scores"].tolist())


def select_measured(result: Classified) -> pd.DataFrame:
    """Select the predictions that are measured: test photos, each once, by its first path."""
    first = read_scores(result)[["path"]]
    return first.merge(read_predictions(result)).query("side == 'test'")


def test_the_sample_is_recognized_far_above_chance(classified: Classified) -> None:
    chance = max(baseline.accuracy for baseline in classified.baselines.values())
    assert classified.metrics.accuracy > 0.85
    assert classified.metrics.macro_f1 > 0.85
    assert chance < 0.3


def test_every_decoded_path_has_a_prediction(sample: Pipeline, classified: Classified) -> None:
    predictions = read_predictions(classified)
    pixels = pd.read_parquet(sample.find_table("pixels"), columns=["path"])
    assert sorted(predictions["path"]) == sorted(pixels["path"])
    assert predictions["probability"].between(1 / 16, 1).all()
    assert set(predictions["side"]) == {"train", "test", "gap"}


def test_the_metrics_follow_from_the_predictions(classified: Classified) -> None:
    stated = read_json(classified.snapshot.location / "metrics.json")
    rows = select_measured(classified)
    assert stated["tested_photos"] == len(rows)
    accuracy = (rows["label"] == rows["predicted"]).mean()
    assert stated["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    f1 = metrics.f1_score(rows["label"], rows["predicted"], average="macro")
    assert stated["macro_f1"] == pytest.approx(f1, abs=1e-6)
    train = read_scores(classified).query("side == 'train'")
    assert stated["fitted_photos"] == len(train)
    commonest = (rows["label"] == train["label"].value_counts().sort_index().idxmax()).mean()
    assert stated["baselines"]["majority_class"]["accuracy"] == pytest.approx(commonest, abs=1e-6)
    crossed = pd.crosstab(rows["label"], rows["predicted"])
    confusion = classified.confusion
    np.testing.assert_array_equal(confusion.loc[crossed.index, crossed.columns], crossed)
    assert confusion.to_numpy().sum() == len(rows)
    np.testing.assert_array_equal(classified.per_class["photos"], confusion.sum(axis=1))


def test_photos_of_the_gap_have_predictions_and_count_in_no_metric(sample: Pipeline) -> None:
    result = sample.classify()
    sides = read_predictions(result)["side"].value_counts()
    assert sides["gap"] > 0
    distinct = read_scores(result)["side"].value_counts()
    assert result.record.metrics["tested_photos"] == distinct["test"]
    assert result.record.metrics["fitted_photos"] == distinct["train"]
    assert result.confusion.to_numpy().sum() == distinct["test"]


@pytest.mark.parametrize(
    ("fixture", "kind"), [("sample", LogisticRegression), ("forest", RandomForest)]
)
def test_the_saved_classifier_gives_the_predictions_that_spark_made(
    fixture: str, kind: type[Classifier], request: pytest.FixtureRequest
) -> None:
    pipeline: Pipeline = request.getfixturevalue(fixture)
    result = pipeline.classify(CLASSIFIER=kind.NAME)
    rows, scores = match_scores(result)
    classifier = load_classifier(str(pipeline.run))
    assert type(classifier) is kind
    probability = classifier.predict_proba(scores)
    assert probability.shape == (len(rows), len(classifier.labels))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(probability.max(axis=1), rows["probability"], rtol=1e-9)
    np.testing.assert_array_equal(classifier.predict(scores), rows["predicted"])


def test_the_random_forest_has_the_trees_and_the_depth_that_it_states(forest: Pipeline) -> None:
    saved = load_classifier(str(forest.run))
    assert isinstance(saved, RandomForest)
    trees, sizes = np.unique(saved.tree, return_counts=True)
    assert len(trees) == RandomForest.CONSTANTS["trees"] == 200
    assert sizes.max() < 2 ** (RandomForest.CONSTANTS["max_depth"] + 1)
    np.testing.assert_array_equal(saved.node, np.concatenate([np.arange(size) for size in sizes]))


def test_the_snapshot_holds_what_is_documented_and_nothing_else(classified: Classified) -> None:
    files = classified.snapshot.location.list_files()
    assert {entry.path.split("/")[0] for entry in files} == {
        "_manifest.json", "confusion_matrix.csv", "figures", "metrics.json", "model.json",
        "model.npz", "per_class.csv", "predictions",
    }  # fmt: skip


def test_a_label_that_no_training_photo_has_is_tested_and_never_predicted(
    fruits: Pipeline,
) -> None:
    for frame in range(2):
        fruits.draw_photo(f"Test/Plum/{frame}.png", 60, 60, seed=frame)
    for fruit in ("Limes", "Kiwi"):
        folder = fruits.source / "Training" / fruit
        (fruits.source / "Test" / fruit).mkdir(parents=True)
        photo = min(folder.iterdir())
        photo.rename(fruits.source / "Test" / fruit / photo.name)
    fruits.run_to_features()
    fruits.fit_pca(COMPONENTS=2, SPLIT="folder")
    result = fruits.classify()
    assert load_classifier(str(fruits.run)).labels == ("Kiwi", "Limes")
    assert result.confusion.index.tolist() == ["Kiwi", "Limes", "Plum"]
    assert result.confusion["Plum"].sum() == 0
    plum = result.per_class.loc["Plum"]
    assert (plum["recall"], plum["f1"], plum["photos"]) == (0, 0, 2)
    assert result.metrics.accuracy <= 0.5
    assert len(read_predictions(result)) == 22


@pytest.mark.parametrize("names", [("007", "NA"), ("index", "label"), ("a\rb", 'c"d,e')])
def test_labels_stay_the_text_they_are(names: tuple[str, str], fruits: Pipeline) -> None:
    training = fruits.source / "Training"
    for fruit, name in zip(("Limes", "Kiwi"), names, strict=True):
        (training / fruit).rename(training / name)
    fruits.run_to_features()
    fruits.fit_pca(COMPONENTS=2)
    result = fruits.classify()
    for table in (result.per_class, result.confusion, result.confusion.T):
        assert table.index.tolist() == list(names)
        assert table.columns.tolist() in (list(names), ["precision", "recall", "f1", "photos"])
    assert set(read_predictions(result)["label"]) == set(names)


def test_one_component_is_enough(fruits: Pipeline) -> None:
    fitted = fruits.fit_pca(COMPONENTS=1)
    assert (fitted.snapshot.location / "figures" / "loadings.png").is_file()
    result = fruits.classify()
    assert len(read_predictions(result)) == 20
    assert classify.embed_sample(result, seed=0).points.shape == (20, 2)


def test_a_single_class_is_refused(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 40)
    pipeline.run_to_features()
    pipeline.fit_pca(COMPONENTS=2)
    with pytest.raises(ValueError, match="needs at least two labels to learn, got 'Limes' alone"):
        pipeline.classify()
    assert not (pipeline.run / "classify").exists()


def test_an_empty_side_is_refused(fruits: Pipeline) -> None:
    fruits.fit_pca(COMPONENTS=2, SPLIT="folder")
    with pytest.raises(ValueError, match="the split must leave photos on both sides"):
        fruits.classify()


def test_the_embedding_finds_neighbors_of_one_label(
    sample: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsne, "PHOTOS", 200)
    embedding = classify.embed_sample(sample.classify(), seed=0)
    assert embedding.points.shape == (200, 2)
    assert len(embedding.labels) == 200
    assert embedding.agreement > 0.6 > 0.2 > embedding.chance_agreement


@pytest.mark.parametrize("fails", [False, True])
def test_the_session_plans_afterwards_as_it_did(
    fails: bool, fruits: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptive = "spark.sql.adaptive.enabled"
    seen = []
    fit = classifiers.fit

    def fit_and_note(
        name: str,
        frame: DataFrame,
        target: str,
        labels: Sequence[str],
        seed: int,
        scratch: Location,
    ) -> Classifier:
        seen.append(fruits.spark.conf.get(adaptive))
        if fails:
            raise ValueError("no fit")
        return fit(name, frame, target, labels, seed, scratch)

    fruits.fit_pca(COMPONENTS=2)
    monkeypatch.setattr(classifiers, "fit", fit_and_note)
    before = fruits.spark.conf.get(adaptive)
    if fails:
        with pytest.raises(ValueError, match="no fit"):
            fruits.classify()
    else:
        fruits.classify()
    assert seen == ["false", "false"]
    assert fruits.spark.conf.get(adaptive) == before == "true"
