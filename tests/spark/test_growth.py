"""A stage does what is upstream and not yet downstream: a rerun nothing, growth the new alone."""

import shutil

import pandas as pd
import pytest

from helpers.run.manifest import StaleError
from helpers.stages import classify


def listed(analysis):
    """Rows of the CSV of an analysis, by path."""
    return pd.read_csv(f"{analysis.snapshot.uri}/pca_features.csv", index_col="path")


def test_a_rerun_computes_nothing(sample):
    before = sample.files()
    stages = sample.manifest()["stages"]
    results = [sample.preprocess(), sample.featurize(), sample.analyse(), sample.classify()]
    assert [int(result.new) for result in results] == [0, 0, 0, 0]
    assert [result.record.seconds for result in results] == [None] * 4
    assert sample.files() == before
    assert sample.manifest()["stages"] == stages


def test_a_rerun_gives_the_same_results(sample):
    first, second = sample.classify(), sample.classify()
    assert first.merit == second.merit
    assert first.predictions == second.predictions
    pd.testing.assert_frame_equal(first.confusion, second.confusion)


def test_new_photos_alone_are_done(pipeline):
    pipeline.add("Limes", 5)
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (5, 5)
    before = pipeline.files()
    pipeline.add("Kiwi", 3)
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (3, 3)
    after = pipeline.files()
    assert {name: after[name] for name in before} == before
    assert pipeline.manifest()["counts"] == {
        "found": 8, "skipped": {}, "images": 8, "duplicates": 0, "rejects": {}, "pixels": 8,
        "features": 8,
    }  # fmt: skip
    assert pipeline.manifest()["stages"]["03_featurize"]["images"] == 3


def test_a_removed_photo_is_in_no_count_fit_or_file(pipeline):
    gone, *_ = pipeline.add("Kiwi", 5)
    pipeline.add("Limes", 5)
    pipeline.ingest()
    removed = pipeline.preprocess().photos.to_pylist()[0]
    assert removed["path"] == gone
    pipeline.featurize()
    both = pipeline.analyse(COMPONENTS=2)
    (pipeline.source / gone).unlink()
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (0, 0)
    left = pipeline.analyse(COMPONENTS=2)
    assert left.new
    assert gone in listed(both).index
    assert gone not in listed(left).index
    scores = pd.read_parquet(f"{left.snapshot.uri}/scores")
    assert removed["image_id"] not in set(scores["image_id"])
    assert len(scores) == 9
    assert left.model.rows == (listed(left)["side"] == "train").sum()
    assert {pipeline.manifest()["counts"][name] for name in ("images", "pixels", "features")} == {9}


def test_a_changed_photo_is_decoded_anew_and_its_old_features_are_not_used(pipeline):
    changed, *_ = pipeline.add("Kiwi", 5)
    pipeline.add("Limes", 5)
    pipeline.ingest()
    old = pipeline.preprocess().photos.to_pylist()[0]
    pipeline.featurize()
    pipeline.draw(changed, 80, 80)
    pipeline.ingest()
    decoded = pipeline.preprocess()
    new = decoded.photos.to_pylist()[0]
    assert decoded.new == 1
    assert new["path"] == old["path"] == changed
    assert new["image_id"] != old["image_id"]
    assert pipeline.featurize().new == 1
    scores = pd.read_parquet(f"{pipeline.analyse(COMPONENTS=2).snapshot.uri}/scores")
    assert new["image_id"] in set(scores["image_id"])
    assert old["image_id"] not in set(scores["image_id"])


def test_a_moved_label_is_decoded_again_and_not_featurized(pipeline):
    pipeline.add("Limes", 4)
    pipeline.add("Kiwi", 4)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    shutil.move(pipeline.source / "Training" / "Kiwi", pipeline.source / "Training" / "Kiwifruit")
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (4, 0)
    labels = listed(pipeline.analyse(COMPONENTS=2))["label"]
    assert set(labels) == {"Limes", "Kiwifruit"}


def test_a_stage_whose_input_is_stale_names_the_notebook_to_rerun(pipeline):
    with pytest.raises(StaleError, match=r"01_ingest has not finished in .*: run it first"):
        pipeline.preprocess()
    pipeline.add("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.add("Kiwi", 2)
    pipeline.ingest()
    stale = r"02_preprocess was last run before 01_ingest finished something new in .*: rerun 02"
    with pytest.raises(StaleError, match=stale):
        pipeline.featurize()
    with pytest.raises(StaleError, match=stale):
        pipeline.analyse()


def test_an_input_named_by_its_fingerprint_is_read_in_its_own_lineage(pipeline, monkeypatch):
    monkeypatch.setattr(classify, "ITERATIONS", 5)
    pipeline.add("Limes", 6)
    pipeline.add("Kiwi", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    few = pipeline.analyse(COMPONENTS=2, SPLIT="random").record.lineage
    pipeline.add("Plum", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    many = pipeline.analyse(COMPONENTS=2, SPLIT="random").record.lineage
    assert many["pca"] != few["pca"]
    named = pipeline.classify(PCA=few["pca"])
    assert named.record.lineage == few | {"classify": named.record.lineage["classify"]}
    assert set(named.predictions["label"].to_pylist()) == {"Limes", "Kiwi"}
    assert pipeline.manifest()["fingerprints"]["pca"] == few["pca"]
    assert pipeline.manifest()["counts"]["images"] == 12


def test_pixels_named_by_their_fingerprint_are_featurized(pipeline):
    pipeline.add("Limes", 2)
    pipeline.draw("Training/Limes/large.png", 300, 300)
    pipeline.ingest()
    small = pipeline.preprocess(IMAGE_SIZE=96).record.lineage["pixels"]
    large = pipeline.preprocess(IMAGE_SIZE=256).record.lineage["pixels"]
    assert small != large
    assert pipeline.featurize(PIXELS=small).record.lineage["pixels"] == small
    assert pipeline.manifest()["parameters"]["IMAGE_SIZE"] == 96
    assert pipeline.featurize().record.lineage["pixels"] == large


def test_a_fingerprint_that_was_never_finished_is_refused(pipeline):
    pipeline.add("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess()
    with pytest.raises(ValueError, match=r"PIXELS must name a result finished in .*, got '0{16}'"):
        pipeline.featurize(PIXELS="0" * 16)


def test_a_deleted_part_is_made_again(pipeline):
    pipeline.add("Limes", 3)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    for table in ("pixels", "features"):
        [part] = pipeline.table(table).iterdir()
        before = pd.read_parquet(part)
        part.unlink()
        if table == "pixels":
            with pytest.raises(StaleError, match=r"3 of 3 photos are neither .*: rerun 02_prep"):
                pipeline.featurize()
        assert (pipeline.preprocess() if table == "pixels" else pipeline.featurize()).new == 3
        pd.testing.assert_frame_equal(pd.read_parquet(part), before)


def test_a_snapshot_that_lost_a_file_is_made_again(pipeline):
    pipeline.add("Limes", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    assert pipeline.analyse(COMPONENTS=2).new
    for table, name in (("images", "images.parquet"), ("pca", "model.npz")):
        (pipeline.table(table) / name).unlink()
    with pytest.raises(FileNotFoundError, match="no whole snapshot"):
        pipeline.preprocess()
    assert len(pipeline.ingest().images) == 6
    assert pipeline.preprocess().new == 0
    assert pipeline.analyse(COMPONENTS=2).new


def test_the_debris_of_a_killed_task_among_the_scores_is_passed_over(pipeline):
    pipeline.add("Limes", 6)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.featurize()
    snapshot = pipeline.analyse(COMPONENTS=2).snapshot
    (snapshot / "scores" / "_tmp-x").write(b"half a file")
    assert len(results.read_scores(snapshot)) == 6


def test_a_damaged_part_is_named(pipeline):
    pipeline.add("Limes", 3)
    pipeline.ingest()
    pipeline.preprocess()
    [part] = pipeline.table("pixels").iterdir()
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(OSError, match=rf"damaged: .*{part.name} is no whole Parquet file"):
        pipeline.preprocess()
