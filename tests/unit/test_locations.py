"""A folder as a place that holds files: names, atomic writes, updates, errors."""

import errno
import io
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.storage import location
from helpers.storage.location import Entry, LocalLocation, contains, locate, real

ODD_NAMES = [
    "with space.jpg",
    "accent é.jpg",
    "e\u0301 decomposed.jpg",
    "100%41.jpg",
    "quote'\"`.jpg",
    "new\nline.jpg",
    "tab\tand\\backslash.jpg",
    "emoji 🍎.jpg",
    "#hash?query&amp;.jpg",
    "[1]{2}*.jpg",
    "-rf",
    " leading and trailing ",
    "x" * 251 + ".jpg",
    "é" * 127,
    b"not \xff utf-8.jpg".decode("utf-8", "surrogateescape"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return LocalLocation(str(tmp_path / "place"))


def listed(place: LocalLocation) -> list[str]:
    return sorted(entry.path for entry in place.list_files())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_written_listed_read_and_deleted(name: str, folder: LocalLocation) -> None:
    file = folder / "a b" / name
    file.write(b"content")
    assert listed(folder) == [f"a b/{name}"]
    assert (folder / listed(folder)[0]).read() == b"content"
    assert (file.is_file(), file.length(), file.name) == (True, 7, name)
    file.delete()
    assert listed(folder) == []
    assert not file.is_file()


def test_listing_tells_path_length_and_modified(folder: LocalLocation) -> None:
    (folder / "a/b/c.jpg").write(b"123")
    os.utime(folder.path + "/a/b/c.jpg", ns=(0, 1_234_567_890_123_456_789))
    assert list(folder.list_files()) == [Entry("a/b/c.jpg", 3, 1_234_567_890_123_456)]


def test_times_before_1970_are_rounded_down(folder: LocalLocation) -> None:
    (folder / "old").write(b"")
    os.utime(folder.path + "/old", ns=(0, -1))
    assert next(folder.list_files()).modified == -1


def test_hidden_and_deep_files_are_listed(folder: LocalLocation) -> None:
    paths = [".hidden", "_under/_score", "a/b/c/d/e/f"]
    for path in paths:
        (folder / path).write(b"")
    assert listed(folder) == paths


def test_nothing_is_listed_where_nothing_is(folder: LocalLocation) -> None:
    assert listed(folder) == []
    assert folder.list_folders() == []
    assert not folder.is_file()
    folder.delete()
    folder.delete_tree()


def test_folders_are_those_directly_below_by_name(folder: LocalLocation) -> None:
    for path in ("b/x", "a/x/y", "file"):
        (folder / path).write(b"")
    assert folder.list_folders() == ["a", "b"]


def test_links_to_files_are_followed(folder: LocalLocation) -> None:
    (folder / "photo.jpg").write(b"123")
    Path(folder.path, "link.jpg").symlink_to("photo.jpg")
    assert {entry.path: entry.length for entry in folder.list_files()} == {
        "link.jpg": 3,
        "photo.jpg": 3,
    }


def test_links_to_folders_are_told_but_not_entered(folder: LocalLocation) -> None:
    (folder / "a/photo.jpg").write(b"123")
    Path(folder.path, "a", "loop").symlink_to("..")
    assert listed(folder) == ["a/loop/", "a/photo.jpg"]


@pytest.mark.parametrize("target", ["nowhere", "self"])
def test_links_to_nothing_are_told(target: str, folder: LocalLocation) -> None:
    (folder / "photo.jpg").write(b"123")
    Path(folder.path, "self").symlink_to(target)
    assert listed(folder) == ["photo.jpg", "self"]


def test_a_file_that_vanishes_while_listed_is_left_out(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (folder / name).write(b"")
    scan = os.scandir

    class Listing(list[os.DirEntry[str]]):
        """What ``os.scandir`` gives, all of it read before one file goes."""

        def __enter__(self) -> None:
            Path(folder.path, "a").unlink()

        def __exit__(self, *_: object) -> None:
            pass

    def vanishing(path: str) -> Listing:
        with scan(path) as items:
            return Listing(items)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert listed(folder) == ["b"]


def test_a_folder_that_may_not_be_read_is_an_error(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match=folder.path):
        listed(folder)


def test_delete_all_leaves_no_file(folder: LocalLocation) -> None:
    for path in ("a", "b/c", "b/.d"):
        (folder / path).write(b"")
    folder.delete_tree()
    assert listed(folder) == []


# Reading


def test_ranges_are_read(folder: LocalLocation) -> None:
    file = folder / "file"
    file.write(b"0123456789")
    assert file.read() == b"0123456789"
    assert file.read(offset=3) == b"3456789"
    assert file.read(offset=3, length=2) == b"34"
    assert file.read(length=4) == b"0123"
    assert file.read(length=0) == b""


def test_reading_beyond_the_end_gives_what_there_is(folder: LocalLocation) -> None:
    file = folder / "file"
    file.write(b"0123456789")
    assert file.read(offset=8, length=9) == b"89"
    assert file.read(offset=20, length=9) == b""
    (folder / "empty").write(b"")
    assert (folder / "empty").read(length=1) == b""


def test_a_file_that_is_not_there_is_named(folder: LocalLocation) -> None:
    for fails in (folder.read, folder.length, folder.open):
        with pytest.raises(FileNotFoundError, match=folder.path):
            fails()


def test_an_opened_file_is_seekable(folder: LocalLocation) -> None:
    (folder / "file").write(b"0123456789")
    with (folder / "file").open() as file:
        file.seek(-3, io.SEEK_END)
        assert file.read(2) == b"78"


class _Elsewhere(LocalLocation):
    """A location without files of the operating system: opened by ranges, as on S3."""

    open = location.Location.open


def test_a_location_is_opened_as_a_file_of_ranges(folder: LocalLocation) -> None:
    content = os.urandom(1_000_000)
    (folder / "file").write(content)
    place = _Elsewhere(folder.path + "/file")
    with place.open() as file:
        assert file.seekable()
        assert file.read(10) == content[:10]
        assert file.seek(-10, io.SEEK_END) == 999_990
        assert file.read() == content[-10:]
        assert file.read() == b""
        assert file.seek(500_000) == 500_000
        assert file.seek(5, io.SEEK_CUR) == 500_005
        assert file.read(300_000) == content[500_005:800_005]
        assert file.seek(2_000_000) == 2_000_000
        assert file.read(1) == b""


# Writing


def test_a_write_replaces_what_was_there(folder: LocalLocation) -> None:
    file = folder / "a/file"
    file.write(b"old")
    file.write(memoryview(b"new"))
    assert file.read() == b"new"
    assert listed(folder) == ["a/file"]


def test_written_files_have_the_users_own_rights(folder: LocalLocation) -> None:
    (folder / "written").write(b"")
    Path(folder.path, "plain").touch()
    modes = {Path(folder.path, name).stat().st_mode for name in ("written", "plain")}
    assert len(modes) == 1


def failing(chunks: int) -> Iterator[bytes]:
    for _ in range(chunks):
        yield b"new" * 100_000
    raise ConnectionResetError("the source broke off")


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_stream_that_breaks_off_leaves_the_old_file_and_no_debris(
    chunks: int, folder: Folder
) -> None:
    file = folder / "file"
    file.write(b"old")
    with pytest.raises(ConnectionResetError):
        file.write_stream(failing(chunks))
    assert file.read() == b"old"
    assert listed(folder) == ["file"]


def test_a_stream_becomes_a_file(folder: LocalLocation) -> None:
    (folder / "file").write_stream(iter([b"a", b"", b"bc"]))
    (folder / "empty").write_stream(iter([]))
    assert ((folder / "file").read(), (folder / "empty").read()) == (b"abc", b"")


def test_a_full_disk_leaves_the_old_file_and_no_debris(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "file"
    file.write(b"old")
    opened = os.fdopen

    class Full(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fdopen(handle: int, mode: str) -> io.IOBase:
        open_image(handle, mode).close()
        return Full(os.devnull, "w")

    monkeypatch.setattr(os, "fdopen", fdopen)
    with pytest.raises(OSError, match="No space left on device"):
        file.write(b"new")
    assert file.read() == b"old"
    assert listed(folder) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_at_the_last_flush_is_an_error(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "file"
    file.write(b"old")
    opened = os.fdopen

    def fdopen(handle: int, mode: str) -> io.IOBase:
        os.dup2(os.open("/dev/full", os.O_WRONLY), handle)
        return open_image(handle, mode)

    monkeypatch.setattr(os, "fdopen", fdopen)
    with pytest.raises(OSError, match="No space left on device"):
        file.write(b"new")
    assert file.read() == b"old"
    assert listed(folder) == ["file"]


def test_a_place_that_cannot_be_made_is_named(folder: LocalLocation) -> None:
    folder.write(b"a file where a folder is wanted")
    with pytest.raises(OSError, match=folder.path):
        (folder / "below").write(b"")


def test_a_reader_sees_the_old_or_the_new_file_and_nothing_between(folder: LocalLocation) -> None:
    old, new = b"o" * 1_000_000, b"n" * 2_000_000
    file = folder / "file"
    file.write(old)
    with file.open() as reader:
        assert reader.read(10) == old[:10]
        file.write(new)
        assert reader.read() == old[10:]
    assert file.read() == new


# Updating


def test_update_gets_none_then_what_was_written(folder: LocalLocation) -> None:
    seen = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        return (content or b"") + b"x"

    for _ in range(3):
        (folder / "file").update(change)
    assert seen == [None, b"x", b"xx"]


def test_update_by_none_or_by_an_error_changes_nothing(folder: LocalLocation) -> None:
    def fail(_: bytes | None) -> bytes:
        raise ZeroDivisionError

    file = folder / "file"
    file.update(lambda _: None)
    assert not file.is_file()
    file.write(b"old")
    file.update(lambda _: None)
    with pytest.raises(ZeroDivisionError):
        file.update(fail)
    assert file.read() == b"old"


def _count(path: str, times: int) -> None:
    for _ in range(times):
        LocalLocation(path).update(
            lambda content: json.dumps(json.loads(content or b"0") + 1).encode()
        )


def test_no_update_of_several_processes_is_lost(folder: LocalLocation) -> None:
    spawn = multiprocessing.get_context("fork")
    file = folder / "count.json"
    writers = [spawn.Process(target=_count, args=(file.path, 100)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert file.read() == b"400"


# Locating


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a//b/./c/../d/", "/a/b/d"),
        ("file:///a/b c%20d", "/a/b c%20d"),
        ("file:/a", "file:/a"),
        ("/a/ é\n'", "/a/ é\n'"),
    ],
)
def test_paths_are_folders(uri: str, path: str) -> None:
    root = location.project_root()
    assert root is not None
    expected = path if path.startswith("/") else f"{root}/{path}"
    assert locate(uri) == LocalLocation(expected)


def test_a_relative_path_starts_at_the_projects_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    root = location.project_root()
    assert root is not None
    assert (root / "notebooks").is_dir()
    assert locate("runs/x") == LocalLocation(f"{root}/runs/x")
    assert locate(".") == LocalLocation(str(root))


def test_a_relative_path_is_refused_where_the_project_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(location, "root", lambda: None)
    with pytest.raises(ValueError, match=r"project's root.*got 'runs/x'"):
        locate("runs/x")
    assert locate("/runs/x") == LocalLocation("/runs/x")


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert locate("~/photos") == LocalLocation("/home/someone/photos")


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_both_names_of_s3_are_one_place(scheme: str) -> None:
    place = locate(f"{scheme}://bucket/a b/c%20é/")
    assert place.uri == "s3://bucket/a b/c%20é"
    assert place.spark_uri == "s3a://bucket/a b/c%20é"
    assert (place.name, place.parent.uri) == ("c%20é", "s3://bucket/a b")
    assert (place / "d").uri == "s3://bucket/a b/c%20é/d"


def test_a_bucket_alone_is_a_place() -> None:
    place = locate("s3://bucket")
    assert (place.uri, place.name) == ("s3://bucket", "bucket")
    assert (place / "key").uri == "s3://bucket/key"
    assert locate("s3://bucket/key").parent == place


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "hdfs://host/a", "http://host", "S3://b/k"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=f"got {uri!r}"):
        locate(uri)


def test_names_and_parents_of_folders() -> None:
    assert (LocalLocation("/a/b").name, LocalLocation("/a/b").parent) == ("b", LocalLocation("/a"))
    assert LocalLocation("/a") / "b/c" == LocalLocation("/a/b/c")


@pytest.mark.parametrize("name", ["plain", "a b", "é", "100%41", "#", "?"])
def test_spark_is_given_the_path_as_it_is(name: str) -> None:
    """Hadoop's Path quotes by itself: a quoted one would be quoted twice, and not be found."""
    assert LocalLocation(f"/a/{name}").spark_uri == f"file:///a/{name}"


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
def test_what_contains_what(outer: str, inner: str, expected: bool) -> None:
    assert contains(locate(outer), locate(inner)) is expected


def test_links_are_resolved_also_above_what_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    resolved = real(LocalLocation(str(tmp_path / "link" / "run" / "1")))
    assert resolved == LocalLocation(str(tmp_path.resolve() / "photos" / "run" / "1"))
    assert contains(LocalLocation(str(tmp_path.resolve() / "photos")), resolved)


def test_a_place_on_s3_is_real_as_it_is() -> None:
    place = locate("s3://bucket/a")
    assert real(place) is place
