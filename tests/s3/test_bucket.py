"""A bucket as a place that holds files, by a mock of S3 in this process."""

import io
import json
import os
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from helpers.parameters import Parameters
from helpers.photos.source import open_source
from helpers.run import schemas, snapshots
from helpers.run.lease import LeaseHeldError, lease
from helpers.run.manifest import Record, Run
from helpers.run.parts import Parts
from helpers.stages.ingest import ingest
from helpers.storage import s3
from helpers.storage.location import Location, locate

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

ODD_KEYS = [
    "with space.jpg",
    "accent é.jpg",
    "e\u0301 decomposed.jpg",
    "100%41+plus.jpg",
    "quote'\"`.jpg",
    "new\nline.jpg",
    "emoji 🍎.jpg",
    "#hash?query&amp;<xml>.jpg",
    "back\\slash.jpg",
    "double//slash.jpg",
    "x" * 1000,
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[None]:
    """No settings of the machine's own, and a new client."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")
    s3._client.cache_clear()
    yield
    s3._client.cache_clear()


@pytest.fixture
def bucket() -> Iterator[Location]:
    with mock_aws():
        s3.client().create_bucket(Bucket="bucket")
        yield locate("s3://bucket")


@pytest.fixture
def place(bucket: Location) -> Location:
    return bucket / "a folder/é"


@pytest.fixture
def stubbed(bucket: Location) -> Iterator[Stubber]:  # noqa: ARG001 - the mock lasts as long
    """The client with answers of the test's own."""
    with Stubber(s3.client()) as stub:
        yield stub


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def listed(place: Location) -> list[str]:
    return sorted(entry.path for entry in place.list_files())


# Listing


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_written_listed_read_and_deleted(key: str, place: Location) -> None:
    (place / key).write(b"content")
    assert listed(place) == [key]
    assert (place / listed(place)[0]).read() == b"content"
    assert ((place / key).is_file(), (place / key).length()) == (True, 7)
    (place / key).delete()
    assert listed(place) == []
    assert not (place / key).is_file()


def test_listing_tells_length_and_modified(place: Location) -> None:
    before = time.time()
    (place / "a.jpg").write(b"123")
    (entry,) = place.list_files()
    assert (entry.path, entry.length) == ("a.jpg", 3)
    assert before - 2 < entry.modified / 1_000_000 < time.time() + 2


def test_more_than_a_page_is_listed_and_deleted(place: Location) -> None:
    keys = [f"{number:04d}" for number in range(1_100)]
    (place.parent / "beside").write(b"")
    for key in keys:
        (place / key).write(b"")
    assert listed(place) == keys
    place.delete_tree()
    assert listed(place) == []
    assert listed(place.parent) == ["beside"]


@pytest.mark.parametrize("classes", [3, 40])
def test_folders_are_listed_each_file_once(classes: int, place: Location) -> None:
    """More folders than are listed side by side, and fewer."""
    keys = [f"{side}/{label}/{n}" for side in "ab" for label in range(classes) for n in range(2)]
    keys += ["beside", "a/beside", "a/0/deep/er", "/", "a//b"]
    for key in keys:
        (place / key).write(b"")
    assert listed(place) == sorted(keys)


def test_a_prefix_ends_at_a_slash(bucket: Location) -> None:
    for key in ("photos/1.jpg", "photos2/2.jpg", "photos"):
        (bucket / key).write(b"")
    assert listed(bucket / "photos") == ["1.jpg"]


def test_folders_are_those_directly_below(place: Location) -> None:
    for key in ("b/x", "a/x/y", "file"):
        (place / key).write(b"")
    assert place.list_folders() == ["a", "b"]
    assert (place / "none").list_folders() == []


def test_a_whole_bucket_is_listed_and_deleted(bucket: Location) -> None:
    for key in ("a/b", "c"):
        (bucket / key).write(b"")
    assert listed(bucket) == ["a/b", "c"]
    assert bucket.list_folders() == ["a"]
    bucket.delete_tree()
    assert listed(bucket) == []


def test_a_key_that_may_not_be_deleted_is_named(place: Location, stubbed: Stubber) -> None:
    now = datetime.now(UTC)
    contents = [{"Key": f"a folder/é/{key}", "Size": 0, "LastModified": now} for key in "xy"]
    stubbed.add_response("list_objects_v2", {"Contents": contents})
    refused = {"Key": "a folder/é/y", "Code": "AccessDenied"}
    stubbed.add_response("delete_objects", {"Errors": [refused]})
    with pytest.raises(OSError, match="S3 answers AccessDenied for s3://bucket/a folder/é/y"):
        place.delete_tree()


# Reading and writing


def test_ranges_are_read(place: Location) -> None:
    place.write(memoryview(b"0123456789"))
    assert place.read() == b"0123456789"
    assert place.read(offset=3) == b"3456789"
    assert place.read(offset=3, length=2) == b"34"
    assert place.read(length=4) == b"0123"
    assert place.read(length=0) == b""


def test_reading_beyond_the_end_gives_what_there_is(place: Location) -> None:
    place.write(b"0123456789")
    assert place.read(offset=8, length=9) == b"89"
    assert place.read(offset=10, length=1) == b""
    place.write(b"")
    assert place.read() == b""
    assert place.read(length=1) == b""


def test_an_object_is_opened_as_a_file_of_ranges(place: Location) -> None:
    content = os.urandom(600_000)
    place.write(content)
    with place.open() as file:
        file.seek(-10, io.SEEK_END)
        assert file.read() == content[-10:]
        file.seek(100)
        assert file.read(400_000) == content[100:400_100]


@pytest.mark.parametrize("sizes", [[], [0], [10, 0, 20], [1_000_000] * 20, [20_000_000]])
def test_a_stream_becomes_an_object(sizes: list[int], place: Location) -> None:
    chunks = [os.urandom(size) for size in sizes]
    place.write_stream(iter(chunks))
    assert place.read() == b"".join(chunks)


@pytest.mark.parametrize("chunks", [0, 1, 20])
def test_a_stream_that_breaks_off_leaves_the_old_object_and_no_debris(
    chunks: int, place: Location
) -> None:
    def failing() -> Iterator[bytes]:
        for _ in range(chunks):
            yield bytes(1_000_000)
        raise EOFError("the source broke off")

    place.write(b"old")
    with pytest.raises(EOFError):
        place.write_stream(failing())
    assert place.read() == b"old"
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket="bucket")


class BrokenBody:
    """A body that breaks off."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self) -> bytes:
        raise self._error


BREAKS = [
    ReadTimeoutError(endpoint_url="http://x"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
]


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("error", BREAKS)
def test_a_body_that_breaks_off_is_read_again(
    error: Exception, place: Location, stubbed: Stubber
) -> None:
    for _ in range(s3.ATTEMPTS - 1):
        stubbed.add_response("get_object", {"Body": BrokenBody(error), "ETag": "1"})
    stubbed.add_response("get_object", {"Body": io.BytesIO(b"whole"), "ETag": "1"})
    assert place.read() == b"whole"


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("error", BREAKS)
def test_a_body_that_always_breaks_off_is_an_error_that_names_it(
    error: Exception, place: Location, stubbed: Stubber
) -> None:
    for _ in range(s3.ATTEMPTS):
        stubbed.add_response("get_object", {"Body": BrokenBody(error), "ETag": "1"})
    with pytest.raises(OSError, match="S3 fails for s3://bucket/a folder/é"):
        place.read()
    stubbed.assert_no_pending_responses()


# Updating


def increment(content: bytes | None) -> bytes:
    return json.dumps(json.loads(content or b"0") + 1).encode()


def test_update_creates_then_changes(place: Location) -> None:
    for _ in range(3):
        place.update(increment)
    assert place.read() == b"3"


def test_update_by_none_or_by_an_error_changes_nothing(place: Location) -> None:
    place.update(lambda _: None)
    assert not place.is_file()
    place.write(b"old")
    with pytest.raises(ZeroDivisionError):
        place.update(lambda _: bytes(1 // 0))
    assert place.read() == b"old"


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("before", [None, b"5"])
def test_an_update_that_another_one_overtook_begins_again(
    before: bytes | None, place: Location
) -> None:
    if before is not None:
        place.write(before)
    overtaken = []

    def change(content: bytes | None) -> bytes:
        if len(overtaken) < 2:
            overtaken.append(content)
            place.write(str(10 + len(overtaken)).encode())
        return increment(content)

    place.update(change)
    assert overtaken == [before, b"11"]
    assert place.read() == b"13"


@pytest.mark.usefixtures("no_sleep")
def test_an_update_of_what_was_deleted_meanwhile_begins_again(place: Location) -> None:
    place.write(b"5")
    seen = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) == 1:
            place.delete()
        return increment(content)

    place.update(change)
    assert seen == [b"5", None]
    assert place.read() == b"1"


@pytest.mark.usefixtures("no_sleep")
def test_an_update_that_is_always_overtaken_gives_up(place: Location) -> None:
    def change(content: bytes | None) -> bytes:
        place.write(increment(content))
        return b"mine"

    with pytest.raises(FileExistsError, match="changed by another writer: s3://bucket/"):
        place.update(change)
    assert place.read() != b"mine"


# Errors


@pytest.mark.parametrize(
    "operation",
    [
        lambda place: place.read(),
        lambda place: place.read(length=5),
        lambda place: place.write(b""),
        lambda place: place.write_stream(iter([b""])),
        lambda place: place.update(lambda _: b""),
        lambda place: list(place.list_files()),
        lambda place: place.list_folders(),
        lambda place: place.delete_tree(),
    ],
)
@pytest.mark.usefixtures("bucket", "no_sleep")
def test_a_bucket_that_is_not_there_is_named(operation: Callable[[Location], object]) -> None:
    with pytest.raises(FileNotFoundError, match="there is no bucket 'nowhere'"):
        operation(locate("s3://nowhere/a"))


def test_an_object_that_is_not_there_is_named(place: Location) -> None:
    for operation in (place.read, place.length, place.open):
        with pytest.raises(FileNotFoundError, match="no such object: s3://bucket/a folder/é"):
            operation()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", PermissionError),
        ("InvalidAccessKeyId", PermissionError),
        ("SignatureDoesNotMatch", PermissionError),
        ("403", PermissionError),
        ("ExpiredToken", OSError),
        ("SlowDown", OSError),
        ("InternalError", OSError),
    ],
)
def test_what_s3_refuses_is_one_line_with_the_place_and_its_code(
    code: str, kind: type[OSError], place: Location, stubbed: Stubber
) -> None:
    for operation in ("get_object", "list_objects_v2", "put_object"):
        stubbed.add_client_error(operation, code, "a long story", http_status_code=400)
    for fails in (place.read, lambda: list(place.list_files()), lambda: place.write(b"")):
        with pytest.raises(kind, match=f"{code}.*a folder/é|a folder/é.*{code}") as raised:
            fails()
        assert "\n" not in str(raised.value)
        assert SECRET not in str(raised.value)


def test_no_credentials_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(PermissionError, match="no AWS credentials found for s3://bucket/a"):
        locate("s3://bucket/a").read()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "localhost:9000", "AWS_ENDPOINT_URL must be like http://host:port"),
        ("AWS_PROFILE", "nobody", "nobody"),
    ],
)
def test_wrong_settings_are_one_clear_line(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    place = locate("s3://bucket/a")
    for fails in (place.read, place.folders, lambda: list(place.list_files())):
        with pytest.raises(OSError, match=words):
            fails()


def test_a_server_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(s3, "ATTEMPTS", 1)
        with pytest.raises(
            ConnectionError, match="no S3 server answers for s3://bucket/a"
        ) as raised:
            locate("s3://bucket/a").read()
    assert SECRET not in str(raised.value)


def test_sixteen_threads_share_one_client() -> None:
    together = threading.Barrier(16)

    def ask(_: int) -> int:
        together.wait()
        return id(s3.client())

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1


# What is built upon it


def test_parts_snapshots_and_manifests_are_kept_in_a_bucket(place: Location) -> None:
    store = Parts(place / "features" / "fp", schemas.FEATURES.schema)
    store.write("part-1.parquet", pa.table({"image_id": ["a"], "features": [[1.0]]}))
    assert store.list_names() == ["part-1.parquet"]
    assert store.has("part-1.parquet")
    assert store.read_index(["image_id"]).to_pydict() == {
        "image_id": ["a"],
        "part": ["part-1.parquet"],
        "row": [0],
    }

    written = snapshots.draft_snapshot(place / "pca", "f" * 16, "run")
    assert snapshots.find_snapshot(place / "pca", "f" * 16) is None
    written.finish({"a": 1})
    assert snapshots.require_snapshot(place / "pca", "f" * 16).manifest == {"a": 1, "held": []}

    run = Run(place)
    for number in range(3):
        run.finish(Record("01_ingest", f"run{number}", {"images": str(number)}, {}))
    assert [record.run for record in run.read_history()] == ["run0", "run1", "run2"]


def test_a_lease_is_held_in_a_bucket(place: Location) -> None:
    def hold(run: str) -> Any:
        return lease(place, run, lambda: None, beat_seconds=0.02, watch_seconds=1.0)

    with hold("first"):
        with pytest.raises(LeaseHeldError, match="run first"), hold("second"):
            pytest.fail("two hold one lease")
        assert json.loads(place.read())["run"] == "first"
    assert not place.is_file()


FRUIT = {"Training/Apple/0 é%.jpg": b"apple", "Test/Lime/1.jpg": b"lime", "x/.hidden.jpg": b""}


def rows(uri: str) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    taken = ingest(Parameters(SOURCE_URI=uri, RUN_URI="s3://bucket/run"))
    photos = taken.photos(taken.images)
    found = [
        (row["path"].rpartition("!/")[2], row["label"], row["folder_side"], content)
        for row, (_, content) in zip(
            taken.images.to_pylist(), taken.source.read_all(photos), strict=True
        )
    ]
    return found, taken.skipped


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_photos_in_a_bucket_are_taken_and_markers_counted(scheme: str) -> None:
    for key, content in {**FRUIT, "": b"", "Training/": b""}.items():
        (locate("s3://bucket") / f"photos/{key}").write(content)
    found, skipped = rows(f"{scheme}://bucket/photos/")
    assert found == [
        ("Test/Lime/1.jpg", "Lime", "test", b"lime"),
        ("Training/Apple/0 é%.jpg", "Apple", "train", b"apple"),
    ]
    assert skipped == {"folder_marker": 2, "hidden": 1}
    assert rows("s3://bucket/photos/*/L*/*")[0] == found[:1]


def test_an_archive_in_a_bucket_is_read_in_place_by_ranges(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**FRUIT, "a/large.jpg": os.urandom(3_000_000)}.items():
            archive.writestr(name, content)
    (bucket / "in/photos.zip").write(file.getvalue())
    read: list[int] = []
    whole = s3.Bucket._read

    def counted(*given: Any) -> tuple[bytes, str]:
        content, tag = whole(*given)
        read.append(len(content))
        return content, tag

    monkeypatch.setattr(s3.Bucket, "_read", counted)
    source = open_source("s3://bucket/in/photos.zip")
    assert len(list(source.list_files())) == 4
    assert sum(read) < 1_000_000
    monkeypatch.undo()
    assert rows("s3://bucket/in/photos.zip")[0][0] == ("Test/Lime/1.jpg", "Lime", "test", b"lime")


@pytest.mark.usefixtures("bucket")
def test_a_run_and_its_source_inside_each_other_are_refused() -> None:
    for source, run in (("s3://bucket", "s3a://bucket/run"), ("s3a://bucket/a/b", "s3://bucket/a")):
        with pytest.raises(ValueError, match="must not lie inside each other"):
            ingest(Parameters(SOURCE_URI=source, RUN_URI=run))


@pytest.mark.usefixtures("bucket")
def test_a_prefix_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold photos, got 's3://bucket/none': no file"):
        ingest(Parameters(SOURCE_URI="s3://bucket/none", RUN_URI="s3://bucket/run"))
