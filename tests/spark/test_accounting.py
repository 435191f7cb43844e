"""Every photo of ``data_sample`` is accounted for, in tables that any reader opens."""

import hashlib
import json
import os
from types import ModuleType

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest
from harness.pipeline import Pipeline
from harness.reference import SAMPLE

from helpers.run import planner
from helpers.run.manifest import AccountingError

REASONS = {
    "Training/Banana/118_100.jpg": "truncated",
    "Test/Kiwi/131_100.jpg": "empty",
    "Training/Pear/r_109_100.jpg": "not_an_image",
    "Training/Watermelon/249_100.png": "too_many_pixels",
}
COLUMNS = {
    "images": "path label folder_side length modified",
    "pixels": "path length modified image_id kind height width pixels",
    "rejects": "path length modified image_id reason detail attempt content",
    "features": "image_id features",
    "splits": "path image_id group side",
    "pca": "image_id path label side scores",
    "photos": "path label side image_id",
    "classify": "path label side predicted probability",
}
STRING, INTEGER, BYTES = pa.string(), pa.int32(), pa.binary()
TYPES = {
    "path": STRING, "label": STRING, "folder_side": STRING, "image_id": STRING, "reason": STRING,
    "detail": STRING, "group": STRING, "side": STRING, "predicted": STRING,
    "kind": STRING,
    "length": pa.int64(), "modified": pa.timestamp("us", tz="UTC"),
    "height": INTEGER, "width": INTEGER, "attempt": INTEGER, "pixels": BYTES, "content": BYTES,
    "features": pa.list_(pa.float32()), "scores": pa.list_(pa.float32()),
    "probability": pa.float64(),
}  # fmt: skip
ROWS = {
    "images": 594, "pixels": 590, "rejects": 4, "features": 588, "splits": 590, "pca": 588,
    "photos": 590, "classify": 590,
}  # fmt: skip


def test_files_found_are_images_and_skipped(sample: Pipeline) -> None:
    found = sum(len(files) for _, _, files in os.walk(SAMPLE))
    counts = sample.read_manifest()["counts"]
    assert counts["found"] == found
    assert counts["images"] + sum(counts["skipped"].values()) == found


def test_images_are_pixels_and_rejects(sample: Pipeline) -> None:
    counts = sample.read_manifest()["counts"]
    assert counts["pixels"] + sum(counts["rejects"].values()) == counts["images"]
    images, pixels, rejects = (
        pd.read_parquet(sample.find_rows(name), columns=["path"])["path"]
        for name in ("images", "pixels", "rejects")
    )
    assert sorted([*pixels, *rejects]) == sorted(images)


def test_distinct_photos_are_features(sample: Pipeline) -> None:
    counts = sample.read_manifest()["counts"]
    assert counts["features"] == counts["pixels"] - counts["duplicates"]
    pixels, features = (
        pd.read_parquet(sample.find_rows(name), columns=["image_id"])["image_id"]
        for name in ("pixels", "features")
    )
    assert sorted(set(pixels)) == sorted(features)


def test_odd_files_end_where_they_should(sample: Pipeline, drawing: ModuleType) -> None:
    rejects = pd.read_parquet(sample.find_table("rejects"))
    assert dict(zip(rejects["path"], rejects["reason"], strict=True)) == REASONS
    decoded = set(pd.read_parquet(sample.find_table("pixels"), columns=["path"])["path"])
    assert set(drawing.ODD_FILES) - set(REASONS) <= decoded


def test_rejects_keep_their_bytes(sample: Pipeline) -> None:
    rejects = pd.read_parquet(sample.find_table("rejects")).set_index("path")
    for path, content in rejects["content"].items():
        original = (SAMPLE / str(path)).read_bytes()
        assert content == (original or None)


def test_a_duplicate_is_two_pixels_rows_one_feature_row_and_one_fitted_row(
    sample: Pipeline, drawing: ModuleType
) -> None:
    pixels = pd.read_parquet(sample.find_table("pixels"), columns=["path", "image_id"])
    id_of = pixels.set_index("path")["image_id"]
    features = pd.read_parquet(sample.find_table("features"), columns=["image_id"])["image_id"]
    sides = pd.read_parquet(sample.find_rows("splits"))
    for copy, original in drawing.DUPLICATES.items():
        assert id_of[copy] == id_of[original]
        assert (features == id_of[copy]).sum() == 1
    fitted = sides[sides["side"] == "train"]["image_id"].nunique()
    assert sample.read_manifest()["pca"]["fitted_rows"] == fitted
    assert sample.read_manifest()["counts"]["duplicates"] == len(drawing.DUPLICATES)


def test_duplicates_lie_on_one_side_and_both_in_the_csv(
    sample: Pipeline, drawing: ModuleType
) -> None:
    listed = pd.read_csv(sample.find_table("pca") / "pca_features.csv").set_index("path")
    sides = pd.read_parquet(sample.find_rows("splits")).set_index("path")["side"]
    for copy, original in drawing.DUPLICATES.items():
        assert sides[copy] == sides[original] == listed["side"][copy] == listed["side"][original]
        numbers = listed.filter(like="pc_")
        np.testing.assert_array_equal(numbers.loc[copy], numbers.loc[original])
    assert list(listed["label"][list(drawing.DUPLICATES)]) == ["Orange", "Clementine"]


@pytest.mark.parametrize("name", COLUMNS)
def test_pyarrow_reads_a_table_directly(sample: Pipeline, name: str) -> None:
    table = pyarrow.dataset.dataset(sample.find_rows(name)).to_table()
    assert table.column_names == COLUMNS[name].split()
    assert table.num_rows == ROWS[name]
    for column in table.schema:
        assert column.type == TYPES[column.name], column.name


@pytest.mark.parametrize("name", COLUMNS)
def test_pandas_reads_a_table_directly(sample: Pipeline, name: str) -> None:
    frame = pd.read_parquet(sample.find_rows(name))
    assert list(frame) == COLUMNS[name].split()
    assert len(frame) == ROWS[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_spark_reads_a_table_directly(sample: Pipeline, name: str) -> None:
    frame = sample.spark.read.parquet(str(sample.find_rows(name)))
    assert frame.columns == COLUMNS[name].split()
    assert frame.count() == ROWS[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_duckdb_reads_a_table_directly(sample: Pipeline, name: str) -> None:
    [[rows]] = duckdb.sql(f"select count(*) from '{sample.find_rows(name)}/*.parquet'").fetchall()
    assert rows == ROWS[name]


def test_pixels_are_row_major_rgb_of_the_height_and_width_beside_them(sample: Pipeline) -> None:
    rows = pyarrow.dataset.dataset(sample.find_rows("pixels")).to_table()
    lengths = pc.binary_length(rows["pixels"])
    expected = pc.multiply(3, pc.multiply(rows["height"], rows["width"]))
    assert pc.all(pc.equal(lengths, expected)).as_py()
    assert pc.max(rows["height"]).as_py() <= 224


def test_image_id_is_the_sha256_of_the_file(sample: Pipeline) -> None:
    row = pd.read_parquet(sample.find_table("pixels")).iloc[0]
    assert row["image_id"] == hashlib.sha256((SAMPLE / row["path"]).read_bytes()).hexdigest()


def test_manifest_has_the_documented_keys(sample: Pipeline) -> None:
    manifest = sample.read_manifest()
    assert set(manifest["counts"]) == {
        "found", "skipped", "images", "duplicates", "rejects", "pixels", "features",
    }  # fmt: skip
    stages = {"01_ingest", "02_preprocess", "03_featurize", "04_pca", "05_classify"}
    assert set(manifest["stages"]) == stages
    for speed in manifest["stages"].values():
        assert set(speed) == {"seconds", "images", "images_per_second"}
    assert set(manifest["pca"]) == {"components", "explained_variance", "fitted_rows"}
    assert set(manifest["classify"]) >= {
        "split", "classifier", "accuracy", "macro_f1", "baselines",
    }  # fmt: skip
    assert set(manifest["classify"]["baselines"]) == {"majority_class", "shuffled_labels"}
    assert manifest["parameters"]["SPLIT"] == "blocked"
    assert manifest["versions"]["pyspark"].startswith("3.5.")


def test_manifest_names_the_tables_by_their_fingerprints(sample: Pipeline) -> None:
    fingerprints = sample.read_manifest()["fingerprints"]
    del fingerprints["decoded"]  # of the rows, not of a table
    assert set(fingerprints) == {*COLUMNS, "networks"} - {"rejects", "photos"}
    for name, fingerprint in fingerprints.items():
        assert sample.find_table(name).name.partition("-")[0] == fingerprint


def test_snapshots_say_what_they_were_made_from(sample: Pipeline) -> None:
    fingerprints = sample.read_manifest()["fingerprints"]
    snapshot = sample.find_table("classify")
    made_from = json.loads((snapshot / "_manifest.json").read_text())["lineage"]
    assert made_from == {name: fingerprints[name] for name in made_from}
    assert set(made_from) == set(fingerprints) - {"classify"}


def test_a_photo_that_no_task_wrote_is_missed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.add_photos("Banana", 3)
    pipeline.ingest()
    monkeypatch.setattr(planner, "list_parts", lambda _: ([], []))  # they are there, and not seen
    with pytest.raises(AccountingError, match=r"images: 3 is not 0 pixels \+ 0 rejects = 0"):
        pipeline.preprocess()
    assert "pixels" not in pipeline.read_manifest()["counts"]
