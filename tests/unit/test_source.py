"""Sources of photos: what a URI opens, what a glob matches, how photos are read."""

import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from helpers.photos.source import Photo, Source, open_source
from helpers.storage.local import LocalLocation
from helpers.storage.prefetch import MAX_BYTES, prefetch

FolderOf = Callable[..., Path]


def list_photos(source: Source) -> list[Photo]:
    return [
        Photo(entry.path, entry.length, entry.modified, packing)
        for entry, packing in source.list_files()
    ]


def matches(source: Source, path: str) -> bool:
    """Match as 01 does, in SQL."""
    select = "SELECT regexp_full_match($path, $pattern, 's')"
    row = duckdb.execute(select, {"path": path, "pattern": source.regex}).fetchone()
    assert row is not None
    return bool(row[0])


def list_matching(uri: str) -> list[str]:
    source = open_source(uri)
    return sorted(photo.path for photo in list_photos(source) if matches(source, photo.path))


def test_a_folder_is_listed(folder_of: FolderOf) -> None:
    assert list_matching(str(folder_of({"a/1.jpg": b"", "b/c/2.jpg": b""}))) == [
        "a/1.jpg",
        "b/c/2.jpg",
    ]


def test_a_folder_whose_name_looks_like_a_glob_or_an_archive_is_a_folder(
    folder_of: FolderOf,
) -> None:
    for name in ("photos[1]", "what?", "all.zip", "all.tar"):
        folder = folder_of({"a.jpg": b""}, name)
        assert open_source(str(folder)) == Source(LocalLocation(str(folder)))


def test_an_archive_is_read_from_the_folder_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "all photos!.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/1.jpg", b"one")
    source = open_source(str(path))
    (photo,) = list_photos(source)
    assert photo.path == "all photos!.zip!/a/1.jpg"
    assert source.read(photo) == b"one"


@pytest.mark.parametrize("name", ["photos", "photos.zip", "photos/deeper", "photos.tar"])
def test_a_missing_source_is_named(name: str, tmp_path: Path) -> None:
    uri = str(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=f"SOURCE_URI must exist, got {uri!r}"):
        open_source(uri)


def test_a_single_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    with pytest.raises(NotADirectoryError, match=r"got the file .*1\.jpg"):
        open_source(str(tmp_path / "1.jpg"))


def test_a_folder_that_may_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder, "closed")
        closed.mkdir(mode=0o000)
        Path(folder).chmod(0o755)
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may read everything: ask as nobody
            try:
                open_source(str(closed))
            except PermissionError as error:
                os._exit(0 if str(closed) in str(error) else 2)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


# Globs

TREE = ["a/1.jpg", "a/2.png", "a/b/3.jpg", "ab/4.jpg", "c/[x]/5.jpg", "c/é ü/6.jpg", "top.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["top.jpg"]),
        ("*/*.jpg", ["a/1.jpg", "ab/4.jpg"]),
        ("**/*.jpg", [path for path in TREE if path.endswith(".jpg")]),
        ("**", TREE),
        ("a/**", ["1.jpg", "2.png", "b/3.jpg"]),
        ("a*/*", ["a/1.jpg", "a/2.png", "ab/4.jpg"]),
        ("a?/*", ["ab/4.jpg"]),
        ("a/[12].*", ["1.jpg", "2.png"]),
        ("a/[!1].*", ["2.png"]),
        ("a[!b]*.jpg", []),  # a set never matches /
        ("?/[[]x]/*", ["c/[x]/5.jpg"]),
        ("c/?\u0020?/*", ["é ü/6.jpg"]),
        ("*/[0-9].jpg", ["a/1.jpg", "ab/4.jpg"]),
        ("a/1[.]jpg", ["1.jpg"]),
        ("a+/*", []),
        ("none/*", []),
    ],
)
def test_a_glob_matches_what_a_shell_would_match(
    pattern: str, expected: list[str], folder_of: FolderOf
) -> None:
    folder = folder_of(dict.fromkeys(TREE, b""))
    assert list_matching(f"{folder}/{pattern}") == expected


def test_a_listing_includes_files_that_the_glob_does_not_match(folder_of: FolderOf) -> None:
    source = open_source(f"{folder_of(dict.fromkeys(TREE, b''))}/*/*.png")
    assert len(list(source.list_files())) == len(TREE)


def test_an_invalid_glob_is_refused(tmp_path: Path) -> None:
    source = open_source(f"{tmp_path}/[z-a].jpg")
    with pytest.raises(ValueError, match=r"SOURCE_URI must be a valid glob, got '\[z-a\]\.jpg'"):
        _ = source.regex


# Reading


@pytest.fixture
def source(folder_of: FolderOf) -> Source:
    files = {f"{number}.jpg": str(number).encode() * 10 for number in range(40)}
    return Source(LocalLocation(str(folder_of(files))))


def test_photos_are_read_in_order(source: Source) -> None:
    listed = sorted(list_photos(source), key=lambda photo: photo.path)
    read = list(source.read_all(listed))
    assert [photo for photo, _ in read] == listed
    assert [content for _, content in read] == [source.read(photo) for photo in listed]


@pytest.mark.parametrize(("length", "words"), [(9, "more bytes"), (11, "10 bytes"), (0, "more")])
def test_a_photo_of_another_length_than_listed_is_an_error(
    length: int, words: str, source: Source
) -> None:
    photo = Photo("1.jpg", length, 0)
    with pytest.raises(OSError, match=f"{words}.* where the listing said {length}"):
        source.read(photo)


def test_a_photo_that_vanished_is_an_error_in_its_place(source: Source) -> None:
    listed = [photo for photo in list_photos(source) if photo.path in {"1.jpg", "2.jpg", "3.jpg"}]
    Path(source.base.uri, "2.jpg").unlink()
    read = {photo.path: content for photo, content in source.read_all(listed)}
    assert isinstance(read.pop("2.jpg"), FileNotFoundError)
    assert read == {"1.jpg": b"1" * 10, "3.jpg": b"3" * 10}


def test_a_member_of_another_length_than_listed_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.jpg", bytes(1_000_000))
    source = open_source(str(tmp_path / "all.zip"))
    (photo,) = list_photos(source)
    assert source.read(photo) == bytes(1_000_000)
    with pytest.raises(OSError, match="more bytes where the listing said 5,000"):
        source.read(replace(photo, length=5_000))
    with pytest.raises(OSError, match="1,000,000 bytes where the listing said 1,000,001"):
        source.read(replace(photo, length=1_000_001))


# Prefetching


def test_prefetching_keeps_the_order_when_an_item_takes_longer() -> None:
    last_begun = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert last_begun.wait(10)
        if item == 3:
            last_begun.set()
        return item * item

    assert list(prefetch(work, range(9), 4, lambda _: 1)) == [item * item for item in range(9)]


@pytest.mark.parametrize(
    ("size", "begun"),
    [(1, 2 * 3 + 1), (MAX_BYTES // 2 + 1, 3)],  # two such items are more bytes than allowed
)
def test_prefetching_begins_few_items_and_holds_no_more_bytes_than_allowed(
    size: int, begun: int
) -> None:
    started: list[int] = []

    def begin_items() -> Iterator[int]:
        for item in range(50):
            started.append(item)
            yield item

    results = prefetch(lambda item: item, begin_items(), 3, lambda _: size)
    assert next(results) == 0
    assert len(started) == begun
    assert list(results) == list(range(1, 50))


def test_an_error_while_prefetching_is_raised_in_its_place() -> None:
    def work(item: int) -> int:
        return 1 // (item - 2)

    results = prefetch(work, range(5), 2, lambda _: 1)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
