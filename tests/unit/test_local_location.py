"""A folder as a location: the contract, links, odd names, atomic writes, a full disk."""

import errno
import io
import json
import multiprocessing
import os
from pathlib import Path
from typing import IO, Any

import pytest
from contract.storage import SharedLocationContract, increment, list_paths
from typing_extensions import override

from helpers.storage.base import Entry
from helpers.storage.local import LocalLocation


@pytest.fixture
def folder(tmp_path: Path) -> LocalLocation:
    return LocalLocation(str(tmp_path / "folder"))


class TestLocalLocation(SharedLocationContract):
    """The contract in the machine's file system."""

    @pytest.fixture
    @override
    def location(self, folder: LocalLocation) -> LocalLocation:
        return folder


# Names


def test_paths_have_names_and_parents() -> None:
    assert (LocalLocation("/a/b").name, LocalLocation("/a/b").parent) == ("b", LocalLocation("/a"))
    assert LocalLocation("/a") / "b/c" == LocalLocation("/a/b/c")


@pytest.mark.parametrize("name", ["plain", "a b", "é", "100%41", "#", "?"])
def test_spark_receives_the_path_as_it_is(name: str) -> None:
    """Hadoop's Path quotes by itself: a quoted one would be quoted twice, and not be found."""
    assert LocalLocation(f"/a/{name}").spark_uri == f"file:///a/{name}"


def test_a_name_that_is_not_utf8_is_written_listed_read_and_deleted(folder: LocalLocation) -> None:
    name = b"not \xff utf-8.jpg".decode("utf-8", "surrogateescape")
    (folder / "a b" / name).write(b"content")
    assert list_paths(folder) == [f"a b/{name}"]
    assert (folder / list_paths(folder)[0]).read() == b"content"
    (folder / "a b" / name).delete()
    assert list_paths(folder) == []


# Listing


def test_a_listing_has_the_modified_time_in_microseconds(folder: LocalLocation) -> None:
    (folder / "a/b/c.jpg").write(b"123")
    os.utime(folder.path + "/a/b/c.jpg", ns=(0, 1_234_567_890_123_456_789))
    assert list(folder.list_files()) == [Entry("a/b/c.jpg", 3, 1_234_567_890_123_456)]


def test_times_before_1970_are_rounded_down(folder: LocalLocation) -> None:
    (folder / "old").write(b"")
    os.utime(folder.path + "/old", ns=(0, -1))
    assert next(folder.list_files()).modified == -1


def test_links_to_files_are_followed(folder: LocalLocation) -> None:
    (folder / "photo.jpg").write(b"123")
    Path(folder.path, "link.jpg").symlink_to("photo.jpg")
    assert {entry.path: entry.length for entry in folder.list_files()} == {
        "link.jpg": 3,
        "photo.jpg": 3,
    }


def test_links_to_folders_are_listed_but_not_entered(folder: LocalLocation) -> None:
    (folder / "a/photo.jpg").write(b"123")
    Path(folder.path, "a", "loop").symlink_to("..")
    assert list_paths(folder) == ["a/loop/", "a/photo.jpg"]


@pytest.mark.parametrize("target", ["nowhere", "self"])
def test_broken_links_are_listed(target: str, folder: LocalLocation) -> None:
    (folder / "photo.jpg").write(b"123")
    Path(folder.path, "self").symlink_to(target)
    assert list_paths(folder) == ["photo.jpg", "self"]


def test_a_file_that_vanishes_during_a_listing_is_left_out(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (folder / name).write(b"")
    scan = os.scandir

    class Listing(list[os.DirEntry[str]]):
        """What ``os.scandir`` found, all of it read before one file vanishes."""

        def __enter__(self) -> "Listing":
            Path(folder.path, "a").unlink()
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def scan_whole(path: str) -> Listing:
        with scan(path) as items:
            return Listing(items)

    monkeypatch.setattr(os, "scandir", scan_whole)
    assert list_paths(folder) == ["b"]


def test_a_folder_without_permission_is_an_error(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match=folder.path):
        list_paths(folder)


# Writing


def test_a_written_file_has_the_permissions_of_any_other(folder: LocalLocation) -> None:
    (folder / "written").write(b"")
    Path(folder.path, "plain").touch()
    modes = {Path(folder.path, name).stat().st_mode for name in ("written", "plain")}
    assert len(modes) == 1


def test_a_full_disk_leaves_the_old_file_and_no_debris(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "file"
    file.write(b"old")

    class FullDisk(io.FileIO):
        @override
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_full(handle: int, _mode: str) -> FullDisk:
        os.close(handle)
        return FullDisk(os.devnull, "w")

    monkeypatch.setattr(os, "fdopen", open_full)
    with pytest.raises(OSError, match="No space left on device"):
        file.write(b"new")
    assert file.read() == b"old"
    assert list_paths(folder) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_at_the_last_flush_leaves_the_old_file_and_no_debris(
    folder: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "file"
    file.write(b"old")
    open_handle = os.fdopen

    def open_full(handle: int, mode: str) -> IO[Any]:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, handle)
        os.close(full)
        return open_handle(handle, mode)

    monkeypatch.setattr(os, "fdopen", open_full)
    with pytest.raises(OSError, match="No space left on device"):
        file.write(b"new")
    assert file.read() == b"old"
    assert list_paths(folder) == ["file"]


def test_a_folder_that_cannot_be_made_is_named(folder: LocalLocation) -> None:
    folder.write(b"a file where a folder is wanted")
    with pytest.raises(OSError, match=folder.path):
        (folder / "below").write(b"")


def test_an_open_reader_keeps_the_old_file(folder: LocalLocation) -> None:
    old, new = b"o" * 1_000_000, b"n" * 2_000_000
    file = folder / "file"
    file.write(old)
    with file.open() as reader:
        assert reader.read(10) == old[:10]
        file.write(new)
        assert reader.read() == old[10:]
    assert file.read() == new


# Comparing and swapping


def _count(path: str, times: int) -> None:
    for _ in range(times):
        LocalLocation(path).compare_and_swap(increment)


def test_no_swap_of_several_processes_is_lost_or_refused(folder: LocalLocation) -> None:
    fork = multiprocessing.get_context("fork")
    file = folder / "count.json"
    writers = [fork.Process(target=_count, args=(file.path, 100)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert json.loads(file.read()) == 400
