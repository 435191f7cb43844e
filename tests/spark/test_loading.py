"""A saved run loads as arrays, in processes that have neither PySpark nor Java."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from harness.pipeline import Pipeline
from harness.reference import ROOT

from helpers import load_classifier, load_features, load_pca, load_predictions
from helpers.run import results
from helpers.run.manifest import CLASSIFY, FEATURIZE, PCA, RESULT_TABLES, Run, StaleError
from helpers.storage.location import locate

Load = Callable[..., Any]

# PySpark cannot be imported here, and no Java is on the path.
WITHOUT_SPARK = """
import json, sys
sys.modules["pyspark"] = sys.modules["py4j"] = None
run = sys.argv[1]

from helpers import load_classifier, load_features, load_pca
features, labels, paths = load_features(run)
scores = load_pca(run).transform(features)
predicted = load_classifier(run).predict(scores)

import pyarrow as pa, pyarrow.compute as pc
from helpers.run import results
from helpers.run.manifest import CLASSIFY, Run
from helpers.storage.location import locate
from helpers.storage.parquet import read_parquet
pca = results.require_pca(Run(locate(run)), Run(locate(run)).require(CLASSIFY))
files = results.list_parts(pca.location / results.PHOTOS)
photos = pa.concat_tables(map(read_parquet, files)).sort_by("path")
scored = results.read_scores(pca)
row = pc.index_in(photos["image_id"], scored["image_id"].combine_chunks())
saved = results.to_matrix(scored["scores"].take(row))
classifier = load_classifier(run)

def describe(paths, scores, **columns):
    columns["probability"] = classifier.predict_proba(scores).max(axis=1)
    return {"path": list(paths)} | {name: list(values) for name, values in columns.items()}

print(json.dumps({
    "computed": describe(paths, scores, label=labels, predicted=predicted),
    "saved": describe(photos["path"].to_pylist(), saved, predicted=classifier.predict(saved)),
}))
"""


@pytest.fixture(scope="module")
def predictions(sample: Pipeline) -> pd.DataFrame:
    """What Spark predicted in the sample's run, by path."""
    rows: pd.DataFrame = results.read_predictions(sample.classify().snapshot).to_pandas()
    return rows.set_index("path")


@pytest.fixture(scope="module")
def loaded(sample: Pipeline) -> dict[str, pd.DataFrame]:
    """What a process without Spark loads and computes, by path."""
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SPARK, str(sample.run)],
        env={**environment, "PATH": "/nowhere", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout.splitlines()[-1])
    return {name: pd.DataFrame(table).set_index("path") for name, table in tables.items()}


def test_three_lines_without_spark_give_the_labels_that_spark_predicted(
    loaded: dict[str, pd.DataFrame], predictions: pd.DataFrame
) -> None:
    computed = loaded["computed"]
    expected = predictions.loc[computed.index]
    assert computed["label"].tolist() == expected["label"].tolist()
    assert computed["predicted"].tolist() == expected["predicted"].tolist()
    # A run keeps scores as float32; these are not rounded.
    np.testing.assert_allclose(computed["probability"], expected["probability"], rtol=1e-6)


def test_the_saved_scores_give_the_probabilities_of_spark_without_spark(
    loaded: dict[str, pd.DataFrame], predictions: pd.DataFrame
) -> None:
    saved = loaded["saved"]
    assert saved.index.tolist() == sorted(predictions.index)
    expected = predictions.loc[saved.index]
    assert saved["predicted"].tolist() == expected["predicted"].tolist()
    np.testing.assert_allclose(saved["probability"], expected["probability"], rtol=1e-9)


def test_features_are_those_of_distinct_photos_sorted_by_path(
    sample: Pipeline, predictions: pd.DataFrame
) -> None:
    features, labels, paths = load_features(str(sample.run))
    assert features.dtype == np.float32
    assert paths.tolist() == sorted(set(paths))
    assert labels.tolist() == predictions.loc[paths, "label"].tolist()
    pixels = pd.read_parquet(sample.find_table("pixels"), columns=["path", "image_id"])
    first = pixels.sort_values("path").drop_duplicates("image_id")
    assert paths.tolist() == first["path"].tolist()
    stored = pq.read_table(sample.find_table("features")).to_pandas().set_index("image_id")
    expected = np.stack(stored.loc[first["image_id"], "features"].tolist())
    np.testing.assert_array_equal(features, expected)


def test_predictions_are_one_row_for_each_photo_sorted_by_path(
    sample: Pipeline, predictions: pd.DataFrame
) -> None:
    table = load_predictions(str(sample.run))
    assert table.column_names == ["path", "label", "side", "predicted", "probability"]
    assert table["path"].to_pylist() == sorted(predictions.index)
    pd.testing.assert_frame_equal(
        table.to_pandas().set_index("path"), predictions.sort_index(), check_exact=True
    )


@pytest.mark.parametrize(
    ("load", "stage"),
    [
        (load_features, FEATURIZE),
        (load_pca, PCA),
        (load_classifier, CLASSIFY),
        (load_predictions, CLASSIFY),
    ],
)
def test_a_result_is_loaded_by_its_fingerprint(load: Load, stage: str, sample: Pipeline) -> None:
    record = Run(locate(str(sample.run))).require(stage)
    table = RESULT_TABLES[stage]
    assert load(str(sample.run), record.lineage[table]) is not None
    with pytest.raises(ValueError, match=f"{table.upper()} must be a result .*, got '0123abcd'"):
        load(str(sample.run), "0123abcd")


@pytest.mark.parametrize("load", [load_features, load_pca, load_classifier, load_predictions])
def test_a_result_that_is_not_finished_is_stale(load: Load, tmp_path: Path) -> None:
    with pytest.raises(StaleError, match=f"01_ingest has not finished in {tmp_path}: run it first"):
        load(str(tmp_path))
    with pytest.raises(ValueError, match="must be a result finished in"):
        load(str(tmp_path), "0123abcd")


def test_features_with_a_lost_part_are_refused(sample: Pipeline, tmp_path: Path) -> None:
    run = Path(shutil.copytree(sample.run, tmp_path / "run"))
    [table] = (run / "features").iterdir()
    parts = sorted(table.glob("part-*.parquet"))
    lost = pq.read_metadata(parts[0]).num_rows
    parts[0].unlink()
    words = f"^{lost} of [0-9]+ distinct photos have no features in {table}: rerun {FEATURIZE}$"
    with pytest.raises(StaleError, match=words):
        load_features(str(run))
