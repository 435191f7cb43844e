"""Tables written whole: a folder counts from the moment its manifest is there."""

from pathlib import Path

import pytest

from helpers.run.snapshots import draft_snapshot, find_snapshot, new_run, require_snapshot
from helpers.storage.local import LocalLocation

FINGERPRINT = "0123456789abcdef"


@pytest.fixture
def table(tmp_path: Path) -> LocalLocation:
    return LocalLocation(str(tmp_path / "pca"))


def test_a_snapshot_counts_once_it_is_finished(table: LocalLocation) -> None:
    draft = draft_snapshot(table, FINGERPRINT, "run1")
    assert draft.is_new
    (draft.location / "scores" / "a.parquet").write(b"")
    assert find_snapshot(table, FINGERPRINT) is None
    assert not draft.is_whole
    draft.finish({"lineage": {"é": 1}})
    found = find_snapshot(table, FINGERPRINT)
    assert found is not None
    assert found.location == draft.location
    assert found.is_whole
    assert not found.is_new
    assert found.manifest == {"lineage": {"é": 1}, "held": ["scores/a.parquet"]}
    assert found.location.name == f"{FINGERPRINT}-run1"
    assert found.fingerprint == FINGERPRINT


def test_debris_is_never_read(table: LocalLocation) -> None:
    draft = draft_snapshot(table, FINGERPRINT, "run1")
    (draft.location / "_tmp-manifest.json").write(b"{}")
    (table / f"{FINGERPRINT}-run2").write(b"a file")
    (table / f"{FINGERPRINT}-run3" / "_manifest.json" / "x").write(b"")
    assert find_snapshot(table, FINGERPRINT) is None
    draft_snapshot(table, FINGERPRINT, "run4").finish({"run": 4})
    assert require_snapshot(table, FINGERPRINT).manifest["run"] == 4


def test_a_manifest_that_lists_no_files_is_no_snapshot(table: LocalLocation) -> None:
    (draft_snapshot(table, FINGERPRINT, "run1").location / "_manifest.json").write(b"{}")
    assert find_snapshot(table, FINGERPRINT) is None


def test_a_snapshot_that_lost_a_file_no_longer_counts(table: LocalLocation) -> None:
    draft = draft_snapshot(table, FINGERPRINT, "run1")
    for name in ("scores/a.parquet", "model.json"):
        (draft.location / name).write(b"")
    draft.finish({})
    assert find_snapshot(table, FINGERPRINT) is not None
    (draft.location / "scores" / "a.parquet").delete()
    assert find_snapshot(table, FINGERPRINT) is None


def test_what_a_killed_task_left_is_no_file_of_a_snapshot(table: LocalLocation) -> None:
    draft = draft_snapshot(table, FINGERPRINT, "run1")
    (draft.location / "scores" / "_tmp-1").write(b"")
    draft.finish({})
    (draft.location / "scores" / "_tmp-1").delete()
    assert find_snapshot(table, FINGERPRINT) is not None


def test_the_first_of_several_snapshots_by_name_counts(table: LocalLocation) -> None:
    for run in ("20200101T000002-b", "20200101T000001-c", "20200101T000002-a"):
        draft_snapshot(table, FINGERPRINT, run).finish({"run": run})
    assert require_snapshot(table, FINGERPRINT).manifest["run"] == "20200101T000001-c"


def test_another_fingerprint_is_another_snapshot(table: LocalLocation) -> None:
    draft_snapshot(table, FINGERPRINT, "run").finish({})
    assert find_snapshot(table, FINGERPRINT[:15]) is None
    assert find_snapshot(table, "f" * 16) is None


def test_a_snapshot_that_is_needed_and_gone_is_named(table: LocalLocation) -> None:
    draft_snapshot(table, FINGERPRINT, "run")
    with pytest.raises(FileNotFoundError, match=f"no whole snapshot {FINGERPRINT} in {table.uri}"):
        require_snapshot(table, FINGERPRINT)


def test_names_of_runs_sort_by_time_and_never_repeat() -> None:
    names = [new_run() for _ in range(1000)]
    assert len(set(names)) == 1000
    times = [name.partition("-")[0] for name in names]
    assert times == sorted(times)
    assert not set("/ :%") & set("".join(names))


def test_a_damaged_manifest_is_named(table: LocalLocation) -> None:
    draft = draft_snapshot(table, FINGERPRINT, "run")
    (draft.location / "_manifest.json").write(b'{"lineage"')
    with pytest.raises(OSError, match=r"damaged: .*_manifest\.json is no JSON"):
        require_snapshot(table, FINGERPRINT)
