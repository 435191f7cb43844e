"""Tables written whole: a folder counts from the moment its manifest is there."""

import os
from pathlib import Path

import pytest

from helpers.run.snapshots import draft, find, new_run, read_json, require, write_json
from helpers.storage.location import LocalLocation

FINGERPRINT = "0123456789abcdef"


@pytest.fixture
def table(tmp_path: Path) -> Folder:
    return LocalLocation(str(tmp_path / "pca"))


def test_a_snapshot_counts_once_it_is_finished(table: LocalLocation) -> None:
    written = draft(table, FINGERPRINT, "run1")
    (written.location / "scores" / "a.parquet").write(b"")
    assert find(table, FINGERPRINT) is None
    written.finish({"lineage": {"é": 1}})
    found = find(table, FINGERPRINT)
    assert found == written
    assert found.manifest == {"lineage": {"é": 1}, "held": ["scores/a.parquet"]}
    assert found.location.name == f"{FINGERPRINT}-run1"


def test_debris_is_never_read(table: LocalLocation) -> None:
    (draft(table, FINGERPRINT, "run1").location / "_tmp-manifest.json").write(b"{}")
    (table / f"{FINGERPRINT}-run2").write(b"a file")
    (table / f"{FINGERPRINT}-run3" / "_manifest.json" / "x").write(b"")
    assert find(table, FINGERPRINT) is None
    draft(table, FINGERPRINT, "run4").finish({"run": 4})
    assert require(table, FINGERPRINT).manifest["run"] == 4


def test_a_snapshot_that_lost_a_file_counts_no_more(table: LocalLocation) -> None:
    written = draft(table, FINGERPRINT, "run1")
    for name in ("scores/a.parquet", "model.json"):
        (written.location / name).write(b"")
    written.finish({})
    assert find(table, FINGERPRINT) == written
    (written.location / "scores" / "a.parquet").delete()
    assert find(table, FINGERPRINT) is None


def test_of_two_the_first_by_name_counts(table: LocalLocation) -> None:
    for run in ("20200101T000002-b", "20200101T000001-c", "20200101T000002-a"):
        draft(table, FINGERPRINT, run).finish({"run": run})
    assert require(table, FINGERPRINT).manifest["run"] == "20200101T000001-c"


def test_other_fingerprints_are_other_snapshots(table: LocalLocation) -> None:
    draft(table, FINGERPRINT, "run").finish({})
    assert find(table, FINGERPRINT[:15]) is None
    assert find(table, "f" * 16) is None


def test_a_snapshot_that_is_needed_and_gone_is_named(table: LocalLocation) -> None:
    draft(table, FINGERPRINT, "run")
    with pytest.raises(FileNotFoundError, match=f"no whole snapshot {FINGERPRINT} in {table.uri}"):
        require(table, FINGERPRINT)


def test_names_of_runs_sort_by_time_and_are_never_the_same() -> None:
    names = [new_run() for _ in range(1000)]
    assert len(set(names)) == 1000
    stamps = [name.partition("-")[0] for name in names]
    assert stamps == sorted(stamps)
    assert not set("/ :%") & set("".join(names))


def test_json_is_read_as_it_was_written(table: LocalLocation) -> None:
    content = {"a": [1, 2.5, None, True], "é": {"\n": "🍎"}}
    write_json(table / "x.json", content)
    assert read_json(table / "x.json") == content


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1', b"[1]", b"null", b"7", b'"text"', b"\xff\xfe", os.urandom(64)],
)
def test_damaged_json_is_named(content: bytes, table: LocalLocation) -> None:
    place = table / "_manifest.json"
    place.write(content)
    with pytest.raises(OSError, match=f"damaged: {place.uri} is no JSON"):
        read_json(place)


def test_a_damaged_manifest_is_named(table: LocalLocation) -> None:
    written = draft(table, FINGERPRINT, "run")
    (written.location / "_manifest.json").write(b'{"lineage"')
    with pytest.raises(OSError, match=r"damaged: .*_manifest\.json is no JSON"):
        _ = require(table, FINGERPRINT).manifest
