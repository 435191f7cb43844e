"""Tables, leases, photos and archives in a bucket; a mock of S3 in this process answers."""

import io
import json
import os
import zipfile
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
import pytest

from helpers.parameters import Parameters
from helpers.photos.source import open_source
from helpers.run import index, plan, results, schemas, snapshots
from helpers.run.lease import LeaseHeldError, hold_lease
from helpers.run.manifest import Record, Run
from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.stages.ingest import ingest
from helpers.storage import s3
from helpers.storage.location import Location, locate

PHOTOS = {"Training/Apple/0 é%.jpg": b"apple", "Test/Lime/1.jpg": b"lime", "x/.hidden.jpg": b""}

_PHOTOS = """
SELECT i.*, m.* EXCLUDE (path) FROM images AS i LEFT JOIN members AS m ON m.path = i.path
ORDER BY i.photo
"""


@pytest.fixture
def prefix(bucket: Location) -> Location:
    return bucket / "a folder/é"


def test_parts_snapshots_and_manifests_are_kept_in_a_bucket(prefix: Location) -> None:
    table = Parts(prefix / "features" / "fp", schemas.FEATURES)
    part = pa.table({"image_id": ["a", "b"], "features": [[1.0], [2.0]]})
    table.write("part-1.parquet", part)
    assert table.list_names() == ["part-1.parquet"]
    assert table.has("part-1.parquet")
    index.write_segment(table, {"part-1.parquet": part})
    names, segments = index.list_parts(table)
    assert names == table.list_names()
    assert [list(segment.names) for segment in segments] == [names]
    for used in ([], segments):  # from the part, and from the index
        [keys] = index.read_keys(table, {"part-1.parquet": 3}, used)
        assert keys.to_pydict() == {"image_id": ["a", "b"], "position": [3 << 16, (3 << 16) + 1]}

    written = snapshots.draft_snapshot(prefix / "pca", "f" * 16, "run")
    assert snapshots.find_snapshot(prefix / "pca", "f" * 16) is None
    written.finish({"a": 1})
    found = snapshots.require_snapshot(prefix / "pca", "f" * 16)
    assert found.manifest == {"a": 1, snapshots.FILES: []}

    run = Run(prefix)
    for number in range(3):
        run.append(Record("01_ingest", f"run{number}", {"images": str(number)}, {}))
    assert [record.run for record in run.read_history()] == ["run0", "run1", "run2"]


def test_a_lease_is_held_in_a_bucket(prefix: Location) -> None:
    def hold(run: str) -> AbstractContextManager[None]:
        return hold_lease(prefix, run, lambda: None, heartbeat_seconds=0.02, watch_seconds=1.0)

    with hold("first"):
        with pytest.raises(LeaseHeldError, match="run first"), hold("second"):
            pytest.fail("two hold one lease")
        assert json.loads(prefix.read())["run"] == "first"
    assert not prefix.is_file()


def list_photos(uri: str) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    """Path, label, side and content of each photo that 01 takes, and the files skipped by rule."""
    catalog = ingest(Parameters(SOURCE_URI=uri, RUN_URI="s3://bucket/run")).catalog
    with Planner() as planner:
        plan.load_catalog(planner, catalog.iterate_images(), catalog.iterate_members())
        rows = planner.read(_PHOTOS)
    contents = catalog.source.read_all(results.to_photos(rows))
    found = [
        (row["path"].rpartition("!/")[2], row["label"], row["folder_side"], content)
        for row, (_, content) in zip(rows.to_pylist(), contents, strict=True)
    ]
    return found, dict(catalog.counts["skipped"])


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_photos_in_a_bucket_are_taken_and_folder_markers_counted(scheme: str) -> None:
    for key, content in {**PHOTOS, "": b"", "Training/": b""}.items():
        (locate("s3://bucket") / f"photos/{key}").write(content)
    found, skipped = list_photos(f"{scheme}://bucket/photos/")
    assert found == [
        ("Test/Lime/1.jpg", "Lime", "test", b"lime"),
        ("Training/Apple/0 é%.jpg", "Apple", "train", b"apple"),
    ]
    assert skipped == {"folder_marker": 2, "hidden": 1}
    assert list_photos("s3://bucket/photos/*/L*/*")[0] == found[:1]


def test_an_archive_in_a_bucket_is_listed_and_read_by_ranges(bucket: Location) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**PHOTOS, "a/large.jpg": os.urandom(3_000_000)}.items():
            archive.writestr(name, content)
    (bucket / "in/photos.zip").write(file.getvalue())
    received: list[int] = []
    events = s3.client().meta.events
    events.register(
        "after-call.s3.GetObject",
        lambda parsed, **_: received.append(parsed["ContentLength"]),
        unique_id="count",
    )
    source = open_source("s3://bucket/in/photos.zip")
    assert len(list(source.list_files())) == 4
    assert 0 < sum(received) < 1_000_000
    events.unregister("after-call.s3.GetObject", unique_id="count")
    photos, _ = list_photos("s3://bucket/in/photos.zip")
    assert photos[0] == ("Test/Lime/1.jpg", "Lime", "test", b"lime")


@pytest.mark.usefixtures("bucket")
def test_a_run_and_its_source_inside_each_other_are_refused() -> None:
    for source, run in (("s3://bucket", "s3a://bucket/run"), ("s3a://bucket/a/b", "s3://bucket/a")):
        with pytest.raises(ValueError, match="must not lie inside each other"):
            ingest(Parameters(SOURCE_URI=source, RUN_URI=run))


@pytest.mark.usefixtures("bucket")
def test_a_prefix_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold photos, got 's3://bucket/none': no file"):
        ingest(Parameters(SOURCE_URI="s3://bucket/none", RUN_URI="s3://bucket/run"))
