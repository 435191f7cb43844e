"""A prefix on S3 as a location: the contract, keys, errors, broken bodies, conditional writes.

A mock in this process answers; :mod:`test_s3_server` has the same contract by a real server.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError
from botocore.stub import Stubber
from contract.storage import LocationContract, increment, list_paths
from typing_extensions import override

from helpers.storage import s3
from helpers.storage.location import Location, locate

pytestmark = pytest.mark.usefixtures("mock_secret")


@pytest.fixture
def prefix(bucket: Location) -> Location:
    return bucket / "a folder/é"


@pytest.fixture
def stub(bucket: Location) -> Iterator[Stubber]:  # noqa: ARG001 - the mock lasts as long
    """The client with answers of the test's own."""
    with Stubber(s3.client()) as stub:
        yield stub


class TestMockedS3(LocationContract):
    """The contract by a mock of S3."""

    @pytest.fixture
    @override
    def location(self, prefix: Location) -> Location:
        return prefix


# Keys


@pytest.mark.parametrize("key", ["double//slash.jpg", "/", "a/", "x" * 1000])
def test_a_key_that_is_no_path_is_written_listed_read_and_deleted(
    key: str, prefix: Location
) -> None:
    (prefix / key).write(b"content")
    assert list_paths(prefix) == [key]
    assert (prefix / list_paths(prefix)[0]).read() == b"content"
    assert ((prefix / key).is_file(), (prefix / key).length()) == (True, 7)
    (prefix / key).delete()
    assert list_paths(prefix) == []
    assert not (prefix / key).is_file()


def test_keys_that_are_no_paths_are_listed_among_folders(prefix: Location) -> None:
    keys = ["a/0/1", "a/beside", "beside", "/", "a//b", "a/"]
    for key in keys:
        (prefix / key).write(b"")
    assert list_paths(prefix) == sorted(keys)


def test_a_prefix_may_be_an_object_too(bucket: Location) -> None:
    for key in ("photos/1.jpg", "photos2/2.jpg", "photos"):
        (bucket / key).write(b"")
    assert list_paths(bucket / "photos") == ["1.jpg"]
    assert (bucket / "photos").is_file()


def test_a_whole_bucket_is_listed_and_deleted(bucket: Location) -> None:
    for key in ("a/b", "c"):
        (bucket / key).write(b"")
    assert list_paths(bucket) == ["a/b", "c"]
    assert bucket.list_folders() == ["a"]
    bucket.delete_tree()
    assert list_paths(bucket) == []


def test_a_key_that_cannot_be_deleted_is_named(prefix: Location, stub: Stubber) -> None:
    now = datetime.now(UTC)
    contents = [{"Key": f"a folder/é/{key}", "Size": 0, "LastModified": now} for key in "xy"]
    stub.add_response("list_objects_v2", {"Contents": contents})
    refused = {"Key": "a folder/é/y", "Code": "AccessDenied"}
    stub.add_response("delete_objects", {"Errors": [refused]})
    with pytest.raises(OSError, match="S3 answers AccessDenied for s3://bucket/a folder/é/y"):
        prefix.delete_tree()


# Bodies


@pytest.mark.parametrize("number", [0, 1, 20])
def test_a_stream_that_breaks_off_leaves_no_unfinished_upload(
    number: int, prefix: Location
) -> None:
    def break_off() -> Iterator[bytes]:
        for _ in range(number):
            yield bytes(1_000_000)
        raise EOFError("the source broke off")

    with pytest.raises(EOFError):
        prefix.write_stream(break_off())
    assert not prefix.is_file()
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
    error: Exception, prefix: Location, stub: Stubber
) -> None:
    for _ in range(s3.ATTEMPTS - 1):
        stub.add_response("get_object", {"Body": BrokenBody(error), "ETag": "1"})
    stub.add_response("get_object", {"Body": io.BytesIO(b"whole"), "ETag": "1"})
    assert prefix.read() == b"whole"


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("error", BREAKS)
def test_a_body_that_always_breaks_off_is_an_error_that_names_it(
    error: Exception, prefix: Location, stub: Stubber
) -> None:
    for _ in range(s3.ATTEMPTS):
        stub.add_response("get_object", {"Body": BrokenBody(error), "ETag": "1"})
    with pytest.raises(OSError, match="S3 fails for s3://bucket/a folder/é"):
        prefix.read()
    stub.assert_no_pending_responses()


# Conditional writes


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("before", [None, b"5"])
def test_a_swap_that_another_writer_overtakes_begins_again(
    before: bytes | None, prefix: Location
) -> None:
    if before is not None:
        prefix.write(before)
    overtaken: list[bytes | None] = []

    def change(content: bytes | None) -> bytes:
        if len(overtaken) < 2:
            overtaken.append(content)
            prefix.write(str(10 + len(overtaken)).encode())
        return increment(content)

    prefix.compare_and_swap(change)
    assert overtaken == [before, b"11"]
    assert prefix.read() == b"13"


@pytest.mark.usefixtures("no_sleep")
def test_a_swap_of_an_object_deleted_meanwhile_begins_again(prefix: Location) -> None:
    prefix.write(b"5")
    seen = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) == 1:
            prefix.delete()
        return increment(content)

    prefix.compare_and_swap(change)
    assert seen == [b"5", None]
    assert prefix.read() == b"1"


@pytest.mark.usefixtures("no_sleep")
def test_a_swap_that_is_always_overtaken_gives_up(prefix: Location) -> None:
    def change(content: bytes | None) -> bytes:
        prefix.write(increment(content))
        return b"mine"

    with pytest.raises(FileExistsError, match="changed by another writer: s3://bucket/"):
        prefix.compare_and_swap(change)
    assert prefix.read() != b"mine"


# Errors


@pytest.mark.parametrize(
    "operation",
    [
        lambda location: location.read(),
        lambda location: location.read(length=5),
        lambda location: location.write(b""),
        lambda location: location.write_stream(iter([b""])),
        lambda location: location.compare_and_swap(lambda _: b""),
        lambda location: list(location.list_files()),
        lambda location: location.list_folders(),
        lambda location: location.delete_tree(),
    ],
)
@pytest.mark.usefixtures("bucket", "no_sleep")
def test_a_bucket_that_does_not_exist_is_named(operation: Callable[[Location], object]) -> None:
    with pytest.raises(FileNotFoundError, match="there is no bucket 'nowhere'"):
        operation(locate("s3://nowhere/a"))


def test_an_object_that_does_not_exist_is_named(prefix: Location) -> None:
    for operation in (prefix.read, prefix.length, prefix.open):
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
def test_a_refusal_is_one_line_with_the_location_and_the_code(
    code: str, kind: type[OSError], prefix: Location, stub: Stubber, mock_secret: str
) -> None:
    for operation in ("get_object", "list_objects_v2", "put_object"):
        stub.add_client_error(operation, code, "a long story", http_status_code=400)
    operations: list[Callable[[], object]] = [
        prefix.read,
        lambda: list(prefix.list_files()),
        lambda: prefix.write(b""),
    ]
    for call in operations:
        with pytest.raises(kind, match=f"{code}.*a folder/é|a folder/é.*{code}") as raised:
            call()
        assert "\n" not in str(raised.value)
        assert mock_secret not in str(raised.value)


def test_missing_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_wrong_settings_are_one_line(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    location = locate("s3://bucket/a")
    operations: list[Callable[[], object]] = [
        location.read,
        location.list_folders,
        lambda: list(location.list_files()),
    ]
    for call in operations:
        with pytest.raises(OSError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_server_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, mock_secret: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(s3, "ATTEMPTS", 1)
        with pytest.raises(
            ConnectionError, match="no S3 server answers for s3://bucket/a"
        ) as raised:
            locate("s3://bucket/a").read()
    assert "\n" not in str(raised.value)
    assert mock_secret not in str(raised.value)


def test_sixteen_threads_share_one_client() -> None:
    together = threading.Barrier(16)

    def ask(_: int) -> int:
        together.wait()
        return id(s3.client())

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
