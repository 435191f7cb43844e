"""A stage does what is left to do: nothing when it runs again, and only what is new."""

import shutil

import pandas as pd
import pytest
from harness.pipeline import Pipeline

from helpers import load_features
from helpers.models.logistic_regression import LogisticRegression
from helpers.run import results
from helpers.run.manifest import StaleError
from helpers.stages.pca import PcaResult
from helpers.stages.stage import StageError


def read_csv(fitted: PcaResult) -> pd.DataFrame:
    """Read the CSV that 04 wrote, by path."""
    return pd.read_csv(f"{fitted.snapshot.location.uri}/pca_features.csv", index_col="path")


def test_a_rerun_computes_nothing(sample: Pipeline) -> None:
    before = sample.stat_files()
    stages = sample.read_manifest()["stages"]
    rerun = [
        sample.ingest(), sample.preprocess(), sample.featurize(), sample.fit_pca(),
        sample.classify(),
    ]  # fmt: skip
    assert [result.new for result in rerun] == [0] * 5
    assert [result.record.seconds for result in rerun] == [None] * 5
    assert sample.stat_files() == before
    assert sample.read_manifest()["stages"] == stages


def test_a_rerun_gives_the_same_results(sample: Pipeline) -> None:
    first, second = sample.classify(), sample.classify()
    assert first.metrics == second.metrics
    assert results.read_predictions(first.snapshot) == results.read_predictions(second.snapshot)
    pd.testing.assert_frame_equal(first.confusion, second.confusion)


def test_only_new_photos_are_worked_on(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 5)
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (5, 5)
    before = pipeline.stat_files()
    pipeline.add_photos("Kiwi", 3)
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (3, 3)
    after = pipeline.stat_files()
    assert {name: after[name] for name in before} == before
    assert pipeline.read_manifest()["counts"] == {
        "found": 8, "skipped": {}, "images": 8, "duplicates": 0, "rejects": {}, "pixels": 8,
        "features": 8,
    }  # fmt: skip
    assert pipeline.read_manifest()["stages"]["03_featurize"]["images"] == 3


def test_a_removed_photo_is_in_no_count_fit_or_file(pipeline: Pipeline) -> None:
    gone, *_ = pipeline.add_photos("Kiwi", 5)
    pipeline.add_photos("Limes", 5)
    pipeline.ingest()
    removed = pipeline.read_photos(pipeline.preprocess())[0]
    assert removed["path"] == gone
    pipeline.featurize()
    both = pipeline.fit_pca(COMPONENTS=2)
    (pipeline.source / gone).unlink()
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (0, 0)
    left = pipeline.fit_pca(COMPONENTS=2)
    assert left.new
    assert gone in read_csv(both).index
    assert gone not in read_csv(left).index
    scores = pd.read_parquet(f"{left.snapshot.location.uri}/scores")
    assert removed["image_id"] not in set(scores["image_id"])
    assert len(scores) == 9
    assert left.model.n_samples == (read_csv(left)["side"] == "train").sum()
    assert {
        pipeline.read_manifest()["counts"][name] for name in ("images", "pixels", "features")
    } == {9}


def test_a_changed_photo_is_decoded_anew_and_its_old_features_are_not_used(
    pipeline: Pipeline,
) -> None:
    changed, *_ = pipeline.add_photos("Kiwi", 5)
    pipeline.add_photos("Limes", 5)
    pipeline.ingest()
    old = pipeline.read_photos(pipeline.preprocess())[0]
    pipeline.featurize()
    pipeline.draw_photo(changed, 80, 80)
    pipeline.ingest()
    decoded = pipeline.preprocess()
    new = pipeline.read_photos(decoded)[0]
    assert decoded.new == 1
    assert new["path"] == old["path"] == changed
    assert new["image_id"] != old["image_id"]
    assert pipeline.featurize().new == 1
    scores = pd.read_parquet(f"{pipeline.fit_pca(COMPONENTS=2).snapshot.location.uri}/scores")
    assert new["image_id"] in set(scores["image_id"])
    assert old["image_id"] not in set(scores["image_id"])


def test_photos_whose_folder_is_renamed_are_decoded_again_and_not_featurized(
    pipeline: Pipeline,
) -> None:
    pipeline.add_photos("Limes", 4)
    pipeline.add_photos("Kiwi", 4)
    pipeline.run_to_features()
    shutil.move(pipeline.source / "Training" / "Kiwi", pipeline.source / "Training" / "Kiwifruit")
    pipeline.ingest()
    assert (pipeline.preprocess().new, pipeline.featurize().new) == (4, 0)
    labels = read_csv(pipeline.fit_pca(COMPONENTS=2))["label"]
    assert set(labels) == {"Limes", "Kiwifruit"}


def test_a_stage_whose_input_is_stale_names_the_notebook_to_rerun(pipeline: Pipeline) -> None:
    with pytest.raises(StaleError, match=r"01_ingest has not finished in .*: run it first"):
        pipeline.preprocess()
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess()
    pipeline.add_photos("Kiwi", 2)
    pipeline.ingest()
    stale = r"02_preprocess was last run before 01_ingest finished something new in .*: rerun 02"
    with pytest.raises(StaleError, match=stale):
        pipeline.featurize()
    with pytest.raises(StaleError, match=stale):
        pipeline.fit_pca()


def test_an_input_named_by_its_fingerprint_is_read_in_its_own_lineage(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_iterations = {**LogisticRegression.CONSTANTS, "max_iterations": 5}
    monkeypatch.setattr(LogisticRegression, "CONSTANTS", few_iterations)
    pipeline.add_photos("Limes", 6)
    pipeline.add_photos("Kiwi", 6)
    pipeline.run_to_features()
    few = pipeline.fit_pca(COMPONENTS=2, SPLIT="random").record.lineage
    pipeline.add_photos("Plum", 6)
    pipeline.run_to_features()
    many = pipeline.fit_pca(COMPONENTS=2, SPLIT="random").record.lineage
    assert many["pca"] != few["pca"]
    named = pipeline.classify(PCA=few["pca"])
    assert named.record.lineage == few | {"classify": named.record.lineage["classify"]}
    predictions = results.read_predictions(named.snapshot)
    assert set(predictions["label"].to_pylist()) == {"Limes", "Kiwi"}
    assert pipeline.read_manifest()["fingerprints"]["pca"] == few["pca"]
    assert pipeline.read_manifest()["counts"]["images"] == 12


def test_pixels_named_by_their_fingerprint_are_featurized(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.draw_photo("Training/Limes/large.png", 300, 300)
    pipeline.ingest()
    small = pipeline.preprocess(IMAGE_SIZE=96).record.lineage["pixels"]
    large = pipeline.preprocess(IMAGE_SIZE=256).record.lineage["pixels"]
    assert small != large
    assert pipeline.featurize(PIXELS=small).record.lineage["pixels"] == small
    assert pipeline.read_manifest()["parameters"]["IMAGE_SIZE"] == 96
    assert pipeline.featurize().record.lineage["pixels"] == large


def test_a_fingerprint_that_was_never_finished_is_refused(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess()
    with pytest.raises(ValueError, match=r"PIXELS must be a result finished in .*, got '0{16}'"):
        pipeline.featurize(PIXELS="0" * 16)


def test_a_deleted_part_is_made_again(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 3)
    pipeline.run_to_features()
    for table in ("pixels", "features"):
        [part] = pipeline.list_parts(table)
        before = pd.read_parquet(part)
        part.unlink()
        if table == "pixels":
            with pytest.raises(StaleError, match=r"3 of 3 photos are neither .*: rerun 02_prep"):
                pipeline.featurize()
        assert (pipeline.preprocess() if table == "pixels" else pipeline.featurize()).new == 3
        pd.testing.assert_frame_equal(pd.read_parquet(part), before)


def test_a_snapshot_that_lost_a_file_is_made_again(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 6)
    pipeline.run_to_features()
    assert pipeline.fit_pca(COMPONENTS=2).new
    for table, name in (("images", "images/part-00000.parquet"), ("pca", "model.npz")):
        (pipeline.find_table(table) / name).unlink()
    with pytest.raises(FileNotFoundError, match="no whole snapshot"):
        pipeline.preprocess()
    assert pipeline.ingest().counts["images"] == 6
    assert pipeline.preprocess().new == 0
    assert pipeline.fit_pca(COMPONENTS=2).new


def test_a_file_that_a_killed_task_left_among_the_scores_is_not_read(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 6)
    pipeline.run_to_features()
    snapshot = pipeline.fit_pca(COMPONENTS=2).snapshot
    (snapshot.location / "scores" / "_tmp-x").write(b"half a file")
    assert len(results.read_scores(snapshot)) == 6


def test_a_damaged_part_is_named(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 3)
    pipeline.ingest()
    pipeline.preprocess()
    [part] = pipeline.list_parts("pixels")
    part.write_bytes(part.read_bytes()[:-4] + b"lost")  # of the same length: the index covers it
    words = rf"damaged: .*{part.name} is no whole Parquet file"
    assert pipeline.preprocess().new == 0  # its keys are in the index
    with pytest.raises(StageError, match=words):
        pipeline.featurize()
    shutil.rmtree(part.parent / "_index")
    with pytest.raises(OSError, match=words):
        pipeline.preprocess()


def test_a_deleted_index_changes_nothing(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 5)
    (pipeline.source / "Training" / "Limes" / "text.jpg").write_text("no photo")
    pipeline.run_to_features()
    before = pipeline.stat_files()
    for table in ("pixels", "rejects", "features"):
        shutil.rmtree(pipeline.find_table(table) / "_index")
    assert [pipeline.preprocess().new, pipeline.featurize().new] == [0, 0]
    after = pipeline.stat_files()
    assert after == {name: stat for name, stat in before.items() if "_index" not in name}
    pipeline.add_photos("Kiwi", 5)
    pipeline.ingest()
    assert [pipeline.preprocess().new, pipeline.featurize().new] == [5, 5]
    assert load_features(str(pipeline.run)).labels.tolist() == ["Kiwi"] * 5 + ["Limes"] * 5


def test_a_damaged_index_is_named(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 3)
    pipeline.ingest()
    pipeline.preprocess()
    [segment] = (pipeline.find_table("pixels") / "_index").iterdir()
    segment.write_bytes(segment.read_bytes()[:-100])
    with pytest.raises(OSError, match=rf"damaged: .*_index/{segment.name} is no whole Parquet"):
        pipeline.preprocess()
