"""The contract of a storage back end: what every :class:`helpers.storage.base.Location` does.

What is particular to a back end (links, ranges, conditional writes) is in the tests of that one.
"""

import io
import json
import os
import pickle
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from helpers.storage.location import Location, contains, locate

ODD_NAMES = [
    "with space.jpg",
    "accent é.jpg",
    "e\u0301 decomposed.jpg",
    "100%41+plus.jpg",
    "quote'\"`.jpg",
    "new\nline.jpg",
    "tab\tand\\backslash.jpg",
    "emoji 🍎.jpg",
    "#hash?query&amp;<xml>.jpg",
    "[1]{2}*.jpg",
    "-rf",
    " leading and trailing ",
    "x" * 251 + ".jpg",
    "é" * 127,
]


def list_paths(location: Location) -> list[str]:
    """List the paths of all files below a location, sorted."""
    return sorted(entry.path for entry in location.list_files())


def increment(content: bytes | None) -> bytes:
    """Count up the number that a file holds."""
    return json.dumps(json.loads(content or b"0") + 1).encode()


class LocationContract:
    """What every location does.

    The tests of a back end subclass it under a name that begins with ``Test``, and override the
    fixture ``location``. Where the back end itself is at test, and no mock of it, they subclass
    :class:`SharedLocationContract`.
    """

    @pytest.fixture
    def location(self) -> Location:
        """A location that does not exist yet, below a folder that is empty or does not exist."""
        raise NotImplementedError("a subclass gives the location")

    # Names

    def test_a_location_is_found_again_by_its_uri(self, location: Location) -> None:
        assert locate(location.uri) == location
        assert locate((location / "a b/é%20.jpg").uri) == location / "a b/é%20.jpg"

    def test_a_path_below_has_a_name_and_a_parent(self, location: Location) -> None:
        below = location / "a/b.jpg"
        assert below.uri == f"{location.uri}/a/b.jpg"
        assert below.name == "b.jpg"
        assert below.parent == location / "a"
        assert below.parent.parent == location
        assert contains(location, below)
        assert not contains(below, location)

    def test_a_location_can_be_sent_to_another_process(self, location: Location) -> None:
        location.write(b"content")
        received = pickle.loads(pickle.dumps(location))
        assert received == location
        assert received.read() == b"content"

    # Listing and deleting

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_is_written_listed_read_and_deleted(
        self, name: str, location: Location
    ) -> None:
        file = location / "a b" / name
        file.write(b"content")
        assert list_paths(location) == [f"a b/{name}"]
        assert (location / list_paths(location)[0]).read() == b"content"
        assert (file.is_file(), file.length(), file.name) == (True, 7, name)
        file.delete()
        assert list_paths(location) == []
        assert not file.is_file()

    def test_a_listing_has_length_and_time_of_each_file(self, location: Location) -> None:
        before = time.time()
        (location / "a/b/c.jpg").write(b"123")
        (location / "empty").write(b"")
        found = {entry.path: entry for entry in location.list_files()}
        assert {path: entry.length for path, entry in found.items()} == {"a/b/c.jpg": 3, "empty": 0}
        for entry in found.values():
            assert before - 2 < entry.modified / 1_000_000 < time.time() + 2

    def test_hidden_and_deep_files_are_listed(self, location: Location) -> None:
        paths = [".hidden", "_under/_score", "a/b/c/d/e/f"]
        for path in paths:
            (location / path).write(b"")
        assert list_paths(location) == paths

    def test_a_location_that_does_not_exist_is_empty(self, location: Location) -> None:
        assert list_paths(location) == []
        assert location.list_folders() == []
        assert not location.is_file()
        location.delete()
        location.delete_tree()

    def test_folders_directly_below_are_listed_by_name(self, location: Location) -> None:
        for path in ("b/x", "a/x/y", "file"):
            (location / path).write(b"")
        assert location.list_folders() == ["a", "b"]
        assert (location / "none").list_folders() == []

    def test_a_folder_is_no_file(self, location: Location) -> None:
        (location / "a/b").write(b"")
        assert not (location / "a").is_file()
        with pytest.raises(OSError, match=re.escape(location.uri)):
            (location / "a").read()

    @pytest.mark.parametrize("labels", [3, 40])
    def test_a_tree_of_folders_lists_each_file_once(self, labels: int, location: Location) -> None:
        """A back end may list folders in parallel: here are fewer and more than it has threads."""
        paths = [
            f"{side}/{label}/{n}" for side in "ab" for label in range(labels) for n in range(2)
        ]
        paths += ["beside", "a/beside", "a/0/deep/er"]
        for path in paths:
            (location / path).write(b"")
        assert list_paths(location) == sorted(paths)

    def test_a_folder_whose_name_begins_alike_is_not_listed(self, location: Location) -> None:
        for path in ("photos/1.jpg", "photos2/2.jpg"):
            (location / path).write(b"")
        assert list_paths(location / "photos") == ["1.jpg"]
        (location / "photos").delete_tree()
        assert list_paths(location) == ["photos2/2.jpg"]

    def test_more_files_than_a_server_lists_at_once_are_listed_and_deleted(
        self, location: Location
    ) -> None:
        paths = [f"{number:04d}" for number in range(1_100)]
        (location.parent / "beside").write(b"")
        for path in paths:
            (location / path).write(b"")
        assert list_paths(location) == paths
        location.delete_tree()
        assert list_paths(location) == []
        assert list_paths(location.parent) == ["beside"]

    def test_delete_tree_leaves_no_file(self, location: Location) -> None:
        for path in ("a", "b/c", "b/.d"):
            (location / path).write(b"")
        location.delete_tree()
        assert list_paths(location) == []
        assert location.list_folders() == []

    # Reading

    def test_ranges_are_read(self, location: Location) -> None:
        location.write(b"0123456789")
        assert location.read() == b"0123456789"
        assert location.read(offset=3) == b"3456789"
        assert location.read(offset=3, length=2) == b"34"
        assert location.read(length=4) == b"0123"
        assert location.read(length=0) == b""

    def test_reading_past_the_end_gives_what_there_is(self, location: Location) -> None:
        location.write(b"0123456789")
        assert location.read(offset=8, length=9) == b"89"
        assert location.read(offset=10, length=1) == b""
        assert location.read(offset=20, length=9) == b""
        location.write(b"")
        assert location.read() == b""
        assert location.read(length=1) == b""

    def test_a_file_that_does_not_exist_is_named(self, location: Location) -> None:
        for read in (location.read, location.length, location.version_tag, location.open):
            with pytest.raises(FileNotFoundError, match=re.escape(location.uri)):
                read()

    def test_an_opened_file_can_be_read_from_any_position(self, location: Location) -> None:
        content = os.urandom(1_000_000)
        location.write(content)
        with location.open() as file:
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

    def test_a_write_replaces_the_file(self, location: Location) -> None:
        file = location / "a/file"
        file.write(b"old")
        file.write(memoryview(b"new"))
        assert file.read() == b"new"
        assert list_paths(location) == ["a/file"]

    def test_a_replaced_file_has_another_version_tag(self, location: Location) -> None:
        location.write(b"old")
        old = location.version_tag()
        assert location.version_tag() == old
        location.write(b"newer")
        assert location.version_tag() != old

    @pytest.mark.parametrize("sizes", [[], [0], [10, 0, 20], [1_000_000] * 20, [20_000_000]])
    def test_a_stream_becomes_a_file(self, sizes: list[int], location: Location) -> None:
        chunks = [os.urandom(size) for size in sizes]
        location.write_stream(iter(chunks))
        assert location.read() == b"".join(chunks)

    @pytest.mark.parametrize("number", [0, 1, 20])
    def test_a_stream_that_breaks_off_leaves_the_old_file_and_no_debris(
        self, number: int, location: Location
    ) -> None:
        def break_off() -> Iterator[bytes]:
            for _ in range(number):
                yield bytes(1_000_000)
            raise ConnectionResetError("the source broke off")

        file = location / "file"
        file.write(b"old")
        with pytest.raises(ConnectionResetError, match="the source broke off"):
            file.write_stream(break_off())
        assert file.read() == b"old"
        assert list_paths(location) == ["file"]

    # Comparing and swapping

    def test_a_swap_receives_none_then_what_was_written(self, location: Location) -> None:
        seen = []

        def extend(content: bytes | None) -> bytes:
            seen.append(content)
            return (content or b"") + b"x"

        for _ in range(3):
            location.compare_and_swap(extend)
        assert seen == [None, b"x", b"xx"]
        assert location.read() == b"xxx"

    def test_a_swap_that_returns_none_or_raises_changes_nothing(self, location: Location) -> None:
        def fail(_content: bytes | None) -> bytes:
            raise ZeroDivisionError

        location.compare_and_swap(lambda _: None)
        assert not location.is_file()
        location.write(b"old")
        location.compare_and_swap(lambda _: None)
        with pytest.raises(ZeroDivisionError):
            location.compare_and_swap(fail)
        assert location.read() == b"old"


class SharedLocationContract(LocationContract):
    """What every location does, also while several readers and writers work on it."""

    def test_a_reader_sees_the_old_or_the_new_file_and_nothing_between(
        self, location: Location
    ) -> None:
        old, new = b"o" * 1_000_000, b"n" * 2_000_000
        location.write(old)

        def replace_often() -> None:
            for content in [new, old] * 5:
                location.write(content)

        seen: set[bytes] = set()
        with ThreadPoolExecutor(1) as pool:
            replacing = pool.submit(replace_often)
            while not (seen and replacing.done()):
                seen.add(location.read())
        replacing.result()
        assert seen <= {old, new}

    def test_no_swap_of_concurrent_writers_is_lost(self, location: Location) -> None:
        """A swap that others overtake too often raises; all others count."""

        def count(_: int) -> int:
            made = 0
            for _ in range(20):
                with suppress(FileExistsError):
                    location.compare_and_swap(increment)
                    made += 1
            return made

        with ThreadPoolExecutor(3) as pool:
            made = sum(pool.map(count, range(3)))
        assert made >= 20
        assert json.loads(location.read()) == made
