"""The classifier's figures follow from its predictions, and its arrays give the same ones."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from helpers.stages import classify


@pytest.fixture(scope="module")
def forest(sample, tmp_path_factory):
    """A copy of the sample's run, classified by a random forest."""
    run = shutil.copytree(sample.run, tmp_path_factory.mktemp("forest") / "run")
    return replace(sample, run=run).classify(CLASSIFIER="random_forest")


@pytest.fixture(params=["logistic_regression", "random_forest"])
def classified(request, sample):
    """The sample, by either classifier."""
    forest = request.param == "random_forest"
    return request.getfixturevalue("forest") if forest else sample.classify()


@pytest.fixture
def fruits(pipeline, monkeypatch):
    """Two classes, taken through 03; a few iterations tell them apart."""
    monkeypatch.setattr(classify, "ITERATIONS", 5)
    pipeline.add("Limes", 10)
    pipeline.add("Kiwi", 10)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    return pipeline


def arrays(result):
    with np.load(io.BytesIO((result.snapshot / "model.npz").read())) as loaded:
        return dict(loaded)


def labels_of(result):
    return np.array(json.loads((result.snapshot / "model.json").read())["labels"])


def scored(result):
    """Predictions beside the scores they were made from, one row a path."""
    rows = result.predictions.to_pandas().merge(result.photos.to_pandas()[["path", "image_id"]])
    scores = results.read_scores(result.analysed).to_pandas().set_index("image_id")["scores"]
    return rows, np.stack(scores[rows["image_id"]].to_numpy()).astype(np.float64)


def counted(result):
    """Predictions that count: of the test side, a distinct photo once, by its first path."""
    rows = result.photos.select(["path"]).to_pandas().merge(result.predictions.to_pandas())
    return rows[rows["side"] == "test"]


def test_the_sample_is_recognised_far_above_chance(classified):
    chance = max(merit.accuracy for merit in classified.baselines.values())
    assert classified.merit.accuracy > 0.85
    assert classified.merit.macro_f1 > 0.85
    assert chance < 0.3


def test_every_decoded_path_has_a_prediction(sample, classified):
    predictions = classified.predictions.to_pandas()
    pixels = pd.read_parquet(sample.table("pixels"), columns=["path"])
    assert sorted(predictions["path"]) == sorted(pixels["path"])
    assert predictions["probability"].between(1 / 16, 1).all()
    assert set(predictions["side"]) == {"train", "test", "gap"}


def test_the_figures_follow_from_the_predictions(classified):
    stated = json.loads((classified.snapshot / "metrics.json").read())
    rows = counted(classified)
    assert stated["tested_photos"] == len(rows)
    assert stated["accuracy"] == pytest.approx(
        (rows["label"] == rows["predicted"]).mean(), abs=1e-6
    )
    f1 = metrics.f1_score(rows["label"], rows["predicted"], average="macro")
    assert stated["macro_f1"] == pytest.approx(f1, abs=1e-6)
    train = classified.photos.to_pandas().query("side == 'train'")
    assert stated["fitted_photos"] == len(train)
    commonest = (rows["label"] == train["label"].value_counts().sort_index().idxmax()).mean()
    assert stated["baselines"]["majority_class"]["accuracy"] == pytest.approx(commonest, abs=1e-6)
    crossed = pd.crosstab(rows["label"], rows["predicted"])
    confusion = classified.confusion
    np.testing.assert_array_equal(confusion.loc[crossed.index, crossed.columns], crossed)
    assert confusion.to_numpy().sum() == len(rows)
    np.testing.assert_array_equal(classified.per_class["photos"], confusion.sum(axis=1))


def test_photos_of_the_gap_have_predictions_and_count_in_no_figure(sample):
    result = sample.classify()
    sides = result.predictions.to_pandas()["side"].value_counts()
    assert sides["gap"] > 0
    distinct = result.photos.to_pandas()["side"].value_counts()
    assert result.record.figures["tested_photos"] == distinct["test"]
    assert result.record.figures["fitted_photos"] == distinct["train"]
    assert result.confusion.to_numpy().sum() == distinct["test"]


def test_the_arrays_of_the_logistic_regression_give_its_predictions(sample):
    result = sample.classify()
    model = arrays(result)
    rows, scores = scored(result)
    logits = scores @ model["coefficients"].T + model["intercepts"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(labels_of(result)[shares.argmax(axis=1)], rows["predicted"])
    np.testing.assert_allclose(shares.max(axis=1), rows["probability"], rtol=1e-9)


def test_the_arrays_of_the_random_forest_give_its_predictions(forest):
    """Each tree votes with the shares of the classes at the leaf that a photo falls into."""
    model = arrays(forest)
    rows, scores = scored(forest)
    votes = np.zeros((len(scores), len(labels_of(forest))))
    trees = np.unique(model["tree"])
    assert len(trees) == classify.TREES
    for tree in trees:
        nodes = {name: values[model["tree"] == tree] for name, values in model.items()}
        np.testing.assert_array_equal(nodes["node"], np.arange(len(nodes["node"])))
        at = np.zeros(len(scores), int)
        while (inner := nodes["feature"][at] >= 0).any():
            here = at[inner]
            below = scores[inner, nodes["feature"][here]] <= nodes["threshold"][here]
            at[inner] = np.where(below, nodes["left"][here], nodes["right"][here])
        counts = nodes["class_counts"][at]
        votes += counts / counts.sum(axis=1, keepdims=True)
    shares = votes / len(trees)
    np.testing.assert_array_equal(labels_of(forest)[shares.argmax(axis=1)], rows["predicted"])
    np.testing.assert_allclose(shares.max(axis=1), rows["probability"], rtol=1e-9)


def test_the_snapshot_holds_what_is_documented_and_nothing_else(classified):
    names = {entry.path.split("/")[0] for entry in classified.snapshot.list_files()}
    assert names == {
        "_manifest.json", "confusion_matrix.csv", "figures", "metrics.json", "model.json",
        "model.npz", "per_class.csv", "predictions",
    }  # fmt: skip


def test_a_label_that_no_training_photo_has_is_tested_and_never_predicted(fruits):
    for frame in range(2):
        fruits.draw(f"Test/Plum/{frame}.png", 60, 60, seed=frame)
    for fruit in ("Limes", "Kiwi"):
        folder = fruits.source / "Training" / fruit
        (fruits.source / "Test" / fruit).mkdir(parents=True)
        photo = min(folder.iterdir())
        photo.rename(fruits.source / "Test" / fruit / photo.name)
    fruits.ingest()
    fruits.preprocess()
    fruits.featurize()
    fruits.analyse(COMPONENTS=2, SPLIT="folder")
    result = fruits.classify()
    assert labels_of(result).tolist() == ["Kiwi", "Limes"]
    assert result.confusion.index.tolist() == ["Kiwi", "Limes", "Plum"]
    assert result.confusion["Plum"].sum() == 0
    assert result.per_class.loc["Plum", ["recall", "f1", "photos"]].tolist() == [0, 0, 2]
    assert result.merit.accuracy <= 0.5
    assert len(result.predictions) == 22


@pytest.mark.parametrize("names", [("007", "NA"), ("index", "label")])
def test_labels_stay_the_text_they_are(names, fruits):
    training = fruits.source / "Training"
    for fruit, name in zip(("Limes", "Kiwi"), names, strict=True):
        (training / fruit).rename(training / name)
    fruits.ingest()
    fruits.preprocess()
    fruits.featurize()
    fruits.analyse(COMPONENTS=2)
    result = fruits.classify()
    for table in (result.per_class, result.confusion, result.confusion.T):
        assert table.index.tolist() == list(names)
        assert table.columns.tolist() in (list(names), ["precision", "recall", "f1", "photos"])
    assert set(result.predictions["label"].to_pylist()) == set(names)


def test_one_component_is_enough(fruits):
    analysis = fruits.analyse(COMPONENTS=1)
    assert (analysis.snapshot / "figures" / "loadings.png").is_file()
    result = fruits.classify()
    assert len(result.predictions) == 20
    assert classify.embed(result, seed=0).points.shape == (20, 2)


def test_a_single_class_is_refused(pipeline):
    pipeline.add("Limes", 40)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    pipeline.analyse(COMPONENTS=2)
    with pytest.raises(ValueError, match="needs at least two labels to learn, got 'Limes' alone"):
        pipeline.classify()
    assert not (pipeline.run / "classify").exists()


def test_an_empty_side_is_refused(fruits):
    fruits.analyse(COMPONENTS=2, SPLIT="folder")
    with pytest.raises(ValueError, match="the split must leave photos on both sides"):
        fruits.classify()


def test_the_embedding_finds_neighbours_of_one_label(sample, monkeypatch):
    monkeypatch.setattr(classify, "EMBEDDED_PHOTOS", 200)
    embedding = classify.embed(sample.classify(), seed=0)
    assert embedding.points.shape == (200, 2)
    assert len(embedding.labels) == 200
    assert embedding.agreement > 0.6 > 0.2 > embedding.by_chance


@pytest.mark.parametrize("fails", [False, True])
def test_the_session_plans_afterwards_as_it_did(fails, fruits, monkeypatch):
    adaptive = "spark.sql.adaptive.enabled"
    seen = []
    fitted = classify._fitted

    def noted(*given):
        seen.append(fruits.spark.conf.get(adaptive))
        if fails:
            raise ValueError("no fit")
        return fitted(*given)

    fruits.analyse(COMPONENTS=2)
    monkeypatch.setattr(classify, "_fitted", noted)
    before = fruits.spark.conf.get(adaptive)
    if fails:
        with pytest.raises(ValueError, match="no fit"):
            fruits.classify()
    else:
        fruits.classify()
    assert seen == ["false", "false"]
    assert fruits.spark.conf.get(adaptive) == before == "true"
