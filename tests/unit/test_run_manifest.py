"""The manifest of a run: what each stage finished last, from what, and what is stale."""

import json
import multiprocessing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import (
    FORMAT,
    RESULT_TABLES,
    AccountingError,
    Record,
    Run,
    StaleError,
    installed_versions,
    require_sum,
)
from helpers.run.snapshots import new_run
from helpers.storage.local import LocalLocation

INGEST, PREPROCESS, FEATURIZE, PCA, CLASSIFY = NOTEBOOKS


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(LocalLocation(str(tmp_path / "run")))


def finish(
    run: Run, stage: str, lineage: str, seconds: float | None = 1.0, **more: Any
) -> dict[str, Any]:
    """Finish a stage; ``"a1 p1"`` stands for the first images and the first pixels."""
    tables = dict(zip("apfcy", RESULT_TABLES.values(), strict=True))
    fingerprints = {tables[short[0]]: short for short in lineage.split()}
    run.append(Record(stage, new_run(), fingerprints, {}, seconds=seconds, **more))
    return run.read_manifest()


def finish_all(run: Run) -> None:
    for stage, lineage in zip(
        NOTEBOOKS, ("a1", "a1 p1", "a1 p1 f1", "a1 p1 f1 c1", "a1 p1 f1 c1 y1"), strict=True
    ):
        finish(run, stage, lineage)


# What the manifest says


def test_a_run_that_has_not_begun_has_an_empty_manifest(run: Run) -> None:
    assert run.read_manifest() == {"format": FORMAT, "history": []}
    assert run.read_history() == []
    assert not Path(run.location.uri).exists()


def test_the_manifest_has_the_lineage_counts_and_speed_of_a_finished_stage(run: Run) -> None:
    record = Record(
        PREPROCESS,
        "run1",
        {"images": "a1", "pixels": "p1"},
        {"IMAGE_SIZE": 64},
        counts={"pixels": 3, "rejects": {"empty": 1}},
        seconds=0.5,
        photos=4,
    )
    run.append(record)
    manifest = run.read_manifest()
    assert manifest["parameters"] == {"IMAGE_SIZE": 64}
    assert manifest["fingerprints"] == {"images": "a1", "pixels": "p1"}
    assert manifest["counts"] == {"pixels": 3, "rejects": {"empty": 1}}
    assert manifest["stages"] == {
        PREPROCESS: {"seconds": 0.5, "images": 4, "images_per_second": 8.0}
    }
    assert manifest["versions"] == installed_versions()
    (kept,) = run.read_history()
    assert kept.finished == manifest["finished"]
    assert (kept.stage, kept.run, kept.lineage) == (PREPROCESS, "run1", record.lineage)


def test_metrics_stand_under_the_name_of_the_result(run: Run) -> None:
    finish(run, PCA, "a1 p1 f1 c1", metrics={"components": 4})
    manifest = finish(run, CLASSIFY, "a1 p1 f1 c1 y1", metrics={"accuracy": 0.9})
    assert (manifest["pca"], manifest["classify"]) == ({"components": 4}, {"accuracy": 0.9})


def test_the_manifest_has_all_stages_of_one_lineage(run: Run) -> None:
    finish_all(run)
    manifest = run.read_manifest()
    assert list(manifest["stages"]) == list(NOTEBOOKS)
    assert manifest["fingerprints"] == dict(
        zip(RESULT_TABLES.values(), ("a1", "p1", "f1", "c1", "y1"), strict=True)
    )
    assert len(manifest["history"]) == 5


def test_results_of_an_earlier_catalog_are_history(run: Run) -> None:
    finish_all(run)
    manifest = finish(run, INGEST, "a2", counts={"images": 7})
    assert manifest["fingerprints"] == {"images": "a2"}
    assert manifest["counts"] == {"images": 7}
    assert list(manifest["stages"]) == [INGEST]
    assert len(manifest["history"]) == 6


def test_a_stage_that_had_nothing_to_do_keeps_its_speed_and_the_later_results(run: Run) -> None:
    finish_all(run)
    before = run.read_manifest()
    after = finish(run, PREPROCESS, "a1 p1", seconds=None)
    assert after["stages"] == before["stages"]
    assert after["fingerprints"] == before["fingerprints"]


def test_a_stage_that_never_worked_has_no_speed(run: Run) -> None:
    assert finish(run, INGEST, "a1", seconds=None)["stages"] == {}


def test_the_speed_is_that_of_the_result_in_the_manifest(run: Run) -> None:
    finish(run, FEATURIZE, "a1 p1 f1", seconds=1.0)
    finish(run, FEATURIZE, "a1 p1 f2", seconds=2.0)
    manifest = finish(run, FEATURIZE, "a1 p1 f1", seconds=None)
    assert manifest["stages"][FEATURIZE]["seconds"] == 1.0


def test_later_results_of_another_lineage_are_not_in_the_manifest(run: Run) -> None:
    """A PCA of earlier features has no place beside the features that replaced them."""
    finish_all(run)
    finish(run, FEATURIZE, "a1 p1 f2", counts={"features": 2})
    manifest = finish(run, PREPROCESS, "a1 p1", seconds=None)
    assert manifest["fingerprints"] == {"images": "a1", "pixels": "p1", "features": "f2"}
    assert manifest["counts"] == {"features": 2}
    assert list(manifest["stages"]) == [INGEST, PREPROCESS, FEATURIZE]


def test_an_earlier_catalog_that_comes_back_brings_its_results_back(run: Run) -> None:
    finish_all(run)
    finish(run, INGEST, "a2")
    manifest = finish(run, INGEST, "a1", seconds=None)
    assert manifest["fingerprints"]["classify"] == "y1"


def test_the_versions_of_the_libraries_that_make_the_numbers_are_known() -> None:
    assert {"numpy", "pillow", "pyarrow", "pyspark"} <= installed_versions().keys()
    assert all(installed_versions().values())


def test_a_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.run.manifest.LIBRARIES", ("numpy", "no-such-library"))
    assert list(installed_versions()) == ["numpy"]


def _finish_many(path: str, times: int) -> None:
    for _ in range(times):
        Run(LocalLocation(path)).append(Record(INGEST, new_run(), {"images": "a"}, {}))


def test_no_record_of_runs_at_the_same_time_is_lost(run: Run) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_finish_many, args=(run.location.uri, 10)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(run.read_history()) == 30


def test_a_record_that_is_sent_twice_is_kept_once(run: Run) -> None:
    """The answer to a write may be lost, and the write repeated."""
    record = Record(INGEST, "run1", {"images": "a1"}, {})
    run.append(record)
    before = run.read_manifest()
    run.append(record)
    assert run.read_manifest() == before


# What is stale

CURRENT_LINEAGES = ("a1", "a1 p1", "a1 p1 f1", "a1 p1 f1 c1", "a1 p1 f1 c1 y1")


def test_current_is_what_the_stage_finished_last(run: Run) -> None:
    finish_all(run)
    for stage, lineage in zip(NOTEBOOKS, CURRENT_LINEAGES, strict=True):
        assert list(run.require(stage).lineage.values()) == lineage.split()


@pytest.mark.parametrize("finished", range(5))
def test_a_stage_that_has_not_finished_is_named(finished: int, run: Run) -> None:
    for stage, lineage in list(zip(NOTEBOOKS, CURRENT_LINEAGES, strict=True))[:finished]:
        finish(run, stage, lineage)
    missing = NOTEBOOKS[finished]
    for asked in NOTEBOOKS[finished:]:
        with pytest.raises(StaleError, match=f"^{missing} has not finished in .*: run it first"):
            run.require(asked)


@pytest.mark.parametrize(("again", "stale"), list(pairwise(NOTEBOOKS)))
def test_after_a_new_result_the_next_notebook_is_the_one_to_rerun(
    again: str, stale: str, run: Run
) -> None:
    finish_all(run)
    new = CURRENT_LINEAGES[NOTEBOOKS.index(again)][:-1] + "2"
    finish(run, again, new)
    assert list(run.require(again).lineage.values()) == new.split()
    for asked in NOTEBOOKS[NOTEBOOKS.index(stale) :]:
        with pytest.raises(
            StaleError, match=f"^{stale} was last run before {again} .*: rerun {stale}"
        ):
            run.require(asked)


def test_rerunning_notebook_by_notebook_brings_all_up_to_date(run: Run) -> None:
    finish_all(run)
    renewed = [lineage.replace("a1", "a2") for lineage in CURRENT_LINEAGES]
    finish(run, INGEST, renewed[0])
    for stage, lineage in list(zip(NOTEBOOKS, renewed, strict=True))[1:]:
        with pytest.raises(StaleError, match=f"rerun {stage}$"):
            run.require(CLASSIFY)
        finish(run, stage, lineage)
    assert run.require(CLASSIFY).lineage["images"] == "a2"


def test_a_new_result_that_equals_the_old_one_makes_nothing_stale(run: Run) -> None:
    finish_all(run)
    finish(run, INGEST, "a1", seconds=None)
    assert run.require(CLASSIFY).lineage["classify"] == "y1"


def test_a_result_named_by_its_fingerprint_is_taken_however_old(run: Run) -> None:
    finish_all(run)
    finish(run, INGEST, "a2")
    finish(run, FEATURIZE, "a2 p1 f2")
    assert run.require(FEATURIZE, "f1").lineage == {
        "images": "a1",
        "pixels": "p1",
        "features": "f1",
    }


def test_the_last_record_of_a_named_result_counts(run: Run) -> None:
    finish(run, PREPROCESS, "a1 p1")
    finish(run, PREPROCESS, "a2 p1")
    assert run.require(PREPROCESS, "p1").lineage["images"] == "a2"


def test_an_unknown_fingerprint_is_refused(run: Run) -> None:
    finish_all(run)
    with pytest.raises(ValueError, match=r"FEATURES must be a result finished in .*, got 'f9'"):
        run.require(FEATURIZE, "f9")


def test_a_blocked_result_is_taken_only_to_look_into_it(run: Run) -> None:
    finish_all(run)
    finish(run, PREPROCESS, "a1 p2", blocked_because="most photos are rejected")
    for asked in (PREPROCESS, FEATURIZE):
        with pytest.raises(StaleError, match=f"^{PREPROCESS} stopped in .*: most photos"):
            run.require(asked)
    with pytest.raises(ValueError, match="PIXELS must be a result finished"):
        run.require(PREPROCESS, "p2")
    assert run.require(PREPROCESS, even_blocked=True).lineage["pixels"] == "p2"
    assert run.require(PREPROCESS, "p2", even_blocked=True).lineage["pixels"] == "p2"


# A manifest that cannot be read


@pytest.mark.parametrize("number", [FORMAT - 1, 99])
def test_another_format_is_refused_and_left_alone(number: int, run: Run) -> None:
    content = json.dumps({"format": number, "history": []}).encode()
    (run.location / "manifest.json").write(content)
    for read in (run.read_manifest, run.read_history, lambda: finish(run, INGEST, "a1")):
        with pytest.raises(
            ValueError, match=rf"manifest\.json has format {number}, .*reads format {FORMAT}"
        ):
            read()
    assert (run.location / "manifest.json").read() == content


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"format": 2}', b'{"format": 2, "history": 3}'],
)
def test_a_damaged_manifest_is_named_and_left_alone(content: bytes, run: Run) -> None:
    location = run.location / "manifest.json"
    location.write(content)
    for read in (run.read_manifest, run.read_history, lambda: finish(run, INGEST, "a1")):
        with pytest.raises(OSError, match=f"damaged: {location.uri}"):
            read()
    assert location.read() == content


def test_the_manifest_is_plain_json_of_any_text(run: Run) -> None:
    run.append(Record(INGEST, "run", {"images": "a"}, {"SOURCE_URI": "/é 🍎"}))
    text = (run.location / "manifest.json").read().decode()
    assert "é 🍎" in text
    assert json.loads(text)["parameters"] == {"SOURCE_URI": "/é 🍎"}


# Sums


def test_a_sum_that_holds_passes() -> None:
    require_sum("images", 5, pixels=3, rejects=2)
    require_sum("images", 0)


def test_a_sum_that_does_not_hold_is_told_with_both_numbers() -> None:
    words = "images: 12,000 is not 11,000 pixels \\+ 999 rejects = 11,999"
    with pytest.raises(AccountingError, match=words):
        require_sum("images", 12_000, pixels=11_000, rejects=999)
