"""From a URI or a path to a location, and which location lies in which."""

from pathlib import Path

import pytest

from helpers.storage import location
from helpers.storage.local import LocalLocation
from helpers.storage.location import contains, locate, resolve


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a//b/./c/../d/", "/a/b/d"),
        ("file:///a/b c%20d", "/a/b c%20d"),
        ("/a/ é\n'", "/a/ é\n'"),
    ],
)
def test_absolute_paths_are_local(uri: str, path: str) -> None:
    assert locate(uri) == LocalLocation(path)


@pytest.mark.parametrize("path", ["runs/x", "file:/a"])
def test_a_relative_path_starts_at_the_root_of_the_project(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    root = location.project_root()
    assert root is not None
    assert (root / "notebooks").is_dir()
    assert locate(path) == LocalLocation(f"{root}/{path}")
    assert locate(".") == LocalLocation(str(root))


def test_a_relative_path_is_refused_where_the_project_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(location, "project_root", lambda: None)
    with pytest.raises(ValueError, match=r"project's root.*got 'runs/x'"):
        locate("runs/x")
    assert locate("/runs/x") == LocalLocation("/runs/x")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert locate("~/photos") == LocalLocation("/home/someone/photos")


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_both_schemes_of_s3_are_one_location(scheme: str) -> None:
    found = locate(f"{scheme}://bucket/a b/c%20é/")
    assert found.uri == "s3://bucket/a b/c%20é"
    assert found.spark_uri == "s3a://bucket/a b/c%20é"
    assert (found.name, found.parent.uri) == ("c%20é", "s3://bucket/a b")
    assert (found / "d").uri == "s3://bucket/a b/c%20é/d"


def test_a_bucket_alone_is_a_location() -> None:
    bucket = locate("s3://bucket")
    assert (bucket.uri, bucket.name) == ("s3://bucket", "bucket")
    assert (bucket / "key").uri == "s3://bucket/key"
    assert locate("s3://bucket/key").parent == bucket


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "hdfs://host/a", "http://host", "S3://b/k"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=f"got {uri!r}"):
        locate(uri)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/ab", False),
        ("/a/b", "/a", False),
        ("/", "/a", True),
        ("s3://b", "s3://b/a", True),
        ("s3://b/a", "s3a://b/a/c", True),
        ("s3://b/a", "s3://b/ab", False),
        ("s3://b", "s3://bc", False),
    ],
)
def test_a_location_contains_itself_and_what_is_below(
    outer: str, inner: str, expected: bool
) -> None:
    assert contains(locate(outer), locate(inner)) is expected


def test_links_are_resolved_even_above_a_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    resolved = resolve(LocalLocation(str(tmp_path / "link" / "run" / "1")))
    assert resolved == LocalLocation(str(tmp_path.resolve() / "photos" / "run" / "1"))
    assert contains(LocalLocation(str(tmp_path.resolve() / "photos")), resolved)


def test_a_location_on_s3_is_resolved_to_itself() -> None:
    found = locate("s3://bucket/a")
    assert resolve(found) is found
