"""Photos in a .zip or .tar are read in place; compressed tars are unpacked."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.photos import archive
from helpers.photos.archive import (
    NOT_A_FILE,
    Member,
    Packing,
    UnsupportedPackingError,
    list_members,
    name_entry,
    read_member,
    unpack,
)
from helpers.storage.base import Entry
from helpers.storage.local import LocalLocation

MICRO = 1_000_000
NOON = (2020, 5, 17, 12, 0, 0)
NOON_SECONDS = 1_589_716_800


def write_zip(
    path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, extra: bytes = b""
) -> LocalLocation:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            item = zipfile.ZipInfo(name, NOON)
            item.compress_type = method
            item.extra = extra
            file.writestr(item, content)
    return LocalLocation(str(path))


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w", form: int = 2) -> LocalLocation:
    with tarfile.open(path, mode, format=form) as file:  # type: ignore[call-overload]
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size, item.mtime = len(content), NOON_SECONDS
            file.addfile(item, io.BytesIO(content))
    return LocalLocation(str(path))


def read(place: LocalLocation, member: Member) -> bytes:
    return read_member(place, member.packing, member.entry.length)


def read_all(place: LocalLocation) -> dict[str, bytes]:
    return {member.entry.path: read(place, member) for member in list_members(place)}


FILES = {
    "a/1.jpg": b"one" * 1000,
    "a/empty.jpg": b"",
    "b c/é 🍎.jpg": os.urandom(5000),
    "top.jpg": b"x",
}


# Zip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(method: int, tmp_path: Path) -> None:
    assert read_all(write_zip(tmp_path / "photos.zip", FILES, method)) == FILES


def test_a_member_has_its_length_and_time(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"123"})
    (member,) = list_members(place)
    assert name_entry(member, "photos.zip") == Entry("photos.zip!/a/1.jpg", 3, NOON_SECONDS * MICRO)


def test_folders_are_not_members(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/": b"", "a/1.jpg": b"1"})
    assert list(read_all(place)) == ["a/1.jpg"]


def test_a_zip_with_lengths_after_the_data_is_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in FILES.items():
            file.writestr(name, content)
    assert pipe.getvalue()[6] & 8  # a data descriptor follows
    (tmp_path / "photos.zip").write_bytes(pipe.getvalue())
    assert read_all(LocalLocation(str(tmp_path / "photos.zip"))) == FILES


def test_a_zip64_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file, file.open("a/1.jpg", "w", force_zip64=True) as item:
        item.write(b"one")
    assert read_all(LocalLocation(str(path))) == {"a/1.jpg": b"one"}


def test_a_local_header_longer_than_the_first_read_is_read(tmp_path: Path) -> None:
    extra = struct.pack("<HH", 0x9999, 3000) + bytes(3000)
    files = {"a/" + "long" * 50 + ".jpg": os.urandom(100), "b.jpg": os.urandom(100)}
    assert read_all(write_zip(tmp_path / "photos.zip", files, extra=extra)) == files


def test_a_zip_behind_other_bytes_is_read(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", FILES)
    place.write(b"#!/bin/sh self-extracting\n" + place.read())
    assert read_all(place) == FILES


def test_a_zip_name_that_is_not_utf8_is_read_as_code_page_437(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/??.jpg": b"1"})
    place.write(place.read().replace(b"??", b"\x82\x8a"))  # é and è in code page 437
    assert list(read_all(place)) == ["a/éè.jpg"]


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [(0, 315_532_800), (0xFFFF, 4_354_732_800), ((40 << 9) | (5 << 5) | 17, 1_589_673_600)],
)
def test_an_impossible_date_does_not_lose_the_archive(
    stamp: int, seconds: int, tmp_path: Path
) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(place.read())
    for signature, offset in ((b"PK\3\4", 10), (b"PK\1\2", 12)):
        start = content.index(signature) + offset
        content[start : start + 4] = struct.pack("<HH", 0, stamp)
    place.write(bytes(content))
    (member,) = list_members(place)
    assert member.entry.modified == seconds * MICRO
    assert read(place, member) == b"1"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_by_another_method_is_refused_when_it_is_read(
    method: int, tmp_path: Path
) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"1" * 100}, method)
    (member,) = list_members(place)
    assert member.entry.length == 100
    with pytest.raises(UnsupportedPackingError, match="neither stored nor deflated"):
        read(place, member)


def test_an_encrypted_member_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"1", "b/2.jpg": b"2"})
    content = bytearray(place.read())
    content[content.index(b"PK\1\2") + 8] |= 1
    place.write(bytes(content))
    first, second = list_members(place)
    with pytest.raises(UnsupportedPackingError, match="encrypted"):
        read(place, first)
    assert read(place, second) == b"2"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_an_error(method: int, tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": os.urandom(1000)}, method)
    (member,) = list_members(place)
    content = bytearray(place.read())
    content[500] ^= 1
    place.write(bytes(content))
    with pytest.raises(OSError, match="damaged inside the archive"):
        read(place, member)


def test_a_member_that_cannot_be_inflated_is_an_error(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"one" * 1000})
    (member,) = list_members(place)
    content = bytearray(place.read())
    content[37:57] = b"\xff" * 20
    place.write(bytes(content))
    with pytest.raises(OSError, match=r"damaged inside the archive \(Error -3"):
        read(place, member)


def test_a_wrong_checksum_is_an_error(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    content = place.read()
    checksum = struct.pack("<I", zlib.crc32(b"one"))
    assert content.count(checksum) == 2
    place.write(content.replace(checksum, b"\0\0\0\0"))
    (member,) = list_members(place)
    with pytest.raises(OSError, match=r"damaged inside the archive \(checksum\)"):
        read(place, member)


def test_a_bomb_is_unpacked_no_further_than_its_stated_length(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": bytes(10_000_000)})
    (member,) = list_members(place)
    assert len(read_member(place, member.packing, 20_000)) == 20_001


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_false_packed_length_is_refused(method: int, tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    (member,) = list_members(place)
    with pytest.raises(OSError, match="packed bytes where the listing said 3"):
        read_member(place, member.packing._replace(stored=2**62, method=method), 3)


def test_incompressible_bytes_may_be_longer_packed_than_unpacked(tmp_path: Path) -> None:
    packed = zlib.compressobj(0, zlib.DEFLATED, -15)
    content = os.urandom(200_000)
    stored = packed.compress(content) + packed.flush()
    assert len(stored) > len(content)
    header = b"PK\3\4".ljust(30, b"\0")
    (tmp_path / "x").write_bytes(header + stored)
    place = LocalLocation(str(tmp_path / "x"))
    packing = Packing(0, len(stored), zipfile.ZIP_DEFLATED, zlib.crc32(content))
    assert read_member(place, packing, len(content)) == content


@pytest.mark.parametrize("tenth", range(10))
def test_a_zip_that_breaks_off_is_refused_by_name(tenth: int, tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", FILES)
    content = place.read()
    place.write(content[: len(content) * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(list_members(place))


def test_a_member_that_vanished_after_the_listing_is_an_error(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    (member,) = list_members(place)
    place.write(b"PK")
    with pytest.raises(OSError, match="damaged inside the archive"):
        read(place, member)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (6, b"\xff\0"),
        (8, b"\0\x08"),
    ],  # an unknown version; a UTF-8 flag on a name that is not UTF-8
)
def test_a_zip_directory_that_cannot_be_read_is_refused_by_name(
    offset: int, value: bytes, tmp_path: Path
) -> None:
    place = write_zip(tmp_path / "photos.zip", {"a/??.jpg": b"one"})
    content = bytearray(place.read().replace(b"??", b"\xff\xfe"))
    start = content.index(b"PK\1\2") + offset
    content[start : start + 2] = value
    place.write(bytes(content))
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(list_members(place))


# Tar


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_read_in_place(form: int, tmp_path: Path) -> None:
    assert read_all(write_tar(tmp_path / "photos.tar", FILES, form=form)) == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(form: int, tmp_path: Path) -> None:
    files = {"/".join(["é" * 60] * 5) + ".jpg": b"one", "next.jpg": b"two"}
    assert read_all(write_tar(tmp_path / "photos.tar", files, form=form)) == files


def test_a_leading_dot_is_no_part_of_a_path(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "photos.tar", {"./a/1.jpg": b"one"})
    (member,) = list_members(place)
    assert (member.entry.path, member.entry.modified) == ("a/1.jpg", NOON_SECONDS * MICRO)


def test_a_tar_name_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    name = b"a/\xff.jpg".decode("utf-8", "surrogateescape")
    assert read_all(write_tar(tmp_path / "photos.tar", {name: b"1"}, form=1)) == {name: b"1"}


def make_link(kind: bytes, name: str, to: str) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.type, item.linkname = kind, to
    return item


def write_links(path: Path, mode: str = "w") -> LocalLocation:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        item = tarfile.TarInfo("a/1.jpg")
        item.size = 3
        file.addfile(item, io.BytesIO(b"one"))
        file.addfile(make_link(tarfile.LNKTYPE, "b/1.jpg", "a/1.jpg"))
        file.addfile(make_link(tarfile.SYMTYPE, "c/1.jpg", "/etc/passwd"))
        file.addfile(make_link(tarfile.DIRTYPE, "d", ""))
        file.addfile(make_link(tarfile.FIFOTYPE, "e", ""))
        file.addfile(make_link(tarfile.CHRTYPE, "f", ""))
    return LocalLocation(str(path))


def test_a_hard_link_in_a_tar_is_a_file_and_other_links_are_not(tmp_path: Path) -> None:
    place = write_links(tmp_path / "photos.tar")
    methods = {member.entry.path: member.packing.method for member in list_members(place)}
    assert [path for path, method in methods.items() if method == NOT_A_FILE] == [
        "c/1.jpg",
        "e",
        "f",
    ]
    assert read_all(place).items() >= {"a/1.jpg": b"one", "b/1.jpg": b"one"}.items()


def test_a_hard_link_to_nothing_is_refused(tmp_path: Path) -> None:
    for mode, name in (("w", "photos.tar"), ("w:gz", "photos.tar.gz")):
        with tarfile.open(tmp_path / name, mode) as file:  # type: ignore[call-overload]
            file.addfile(make_link(tarfile.LNKTYPE, "b/1.jpg", "a/1.jpg"))
    with pytest.raises(ValueError, match="link to nothing"):
        list(list_members(LocalLocation(str(tmp_path / "photos.tar"))))
    with pytest.raises(ValueError, match="not a readable archive"):
        unpack(LocalLocation(str(tmp_path / "photos.tar.gz")), LocalLocation(str(tmp_path / "to")))


@pytest.mark.parametrize("tenth", range(10))
def test_a_tar_that_breaks_off_is_refused_by_name(tenth: int, tmp_path: Path) -> None:
    files = {f"{number}.jpg": os.urandom(700) for number in range(10)}
    place = write_tar(tmp_path / "photos.tar", files)
    whole = 10 * (512 + 1024)
    place.write(place.read()[: whole * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(list_members(place))


@pytest.mark.parametrize("rest", [b"", b"\0", b"garbage" * 100])
def test_a_tar_without_its_end_is_refused(rest: bytes, tmp_path: Path) -> None:
    """Python's own reader takes such a file for whole and does not mention the lost files."""
    place = write_tar(tmp_path / "photos.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    place.write(place.read()[:1024] + rest)
    with pytest.raises(ValueError, match="breaks off"):
        list(list_members(place))


# Both


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10_000])
def test_other_bytes_are_no_archive(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    place = LocalLocation(str(tmp_path / name))
    if name.endswith(".tar") and content.startswith(b"\0"):
        assert list(list_members(place)) == []  # blocks of zeros are a tar of nothing
    else:
        with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
            list(list_members(place))


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"photos\.zip"):
        list(list_members(LocalLocation(str(tmp_path / "photos.zip"))))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_gives_members_or_an_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    files = {"a/1.jpg": b"one" * 10, "b/é.jpg": b""}
    if data.draw(st.booleans()):
        place = write_zip(folder / "photos.zip", files)
    else:
        place = write_tar(folder / "photos.tar", files)
    content = bytearray(place.read())
    places = st.integers(0, len(content) - 1)
    for index, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[index] = value
    place.write(bytes(content))
    try:
        found = list(list_members(place))
    except (OSError, ValueError) as error:
        assert place.uri in str(error)  # noqa: PT017 - reading it without an error is right too
        return
    for member in found:
        try:
            read(place, member)
        except OSError:
            continue


@pytest.mark.parametrize(
    ("uri", "is_archive", "is_compressed"),
    [
        ("a.zip", True, False),
        ("A.ZIP", True, False),
        ("a.tar", True, False),
        ("a.tar.gz", True, True),
        ("a.tgz", True, True),
        ("a.tar.bz2", True, True),
        ("a.tar.xz", True, True),
        ("a.gz", False, False),
        ("zip", False, False),
    ],
)
def test_archives_are_known_by_their_ending(
    uri: str, is_archive: bool, is_compressed: bool
) -> None:
    assert archive.is_archive(uri) is is_archive
    assert archive.is_compressed(uri) is is_compressed


# Unpacking


def unpack_all(place: LocalLocation, to: Path) -> dict[str, bytes]:
    unpack(place, LocalLocation(str(to)))
    return {
        entry.path: (LocalLocation(str(to)) / entry.path).read()
        for entry in LocalLocation(str(to)).list_files()
    }


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_unpacked(kind: str, tmp_path: Path) -> None:
    place = write_tar(tmp_path / f"photos.tar.{kind}", FILES, f"w:{kind}")
    assert unpack_all(place, tmp_path / "to") == FILES


def test_names_that_lead_outside_are_left_out(tmp_path: Path) -> None:
    absolute = f"{tmp_path}/absolute.jpg"
    names = ["../up.jpg", "a/../../up.jpg", "./../up.jpg", "a/..", "..", absolute, f"./{absolute}"]
    files = dict.fromkeys([*names, "a/..b.jpg", "./in.jpg"], b"1")
    place = write_tar(tmp_path / "photos.tar.gz", files, "w:gz")
    assert set(unpack_all(place, tmp_path / "x" / "to")) == {"a/..b.jpg", "in.jpg"}
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["to"]
    assert not Path(absolute).exists()


def test_hard_links_are_unpacked_and_other_links_are_left_out(tmp_path: Path) -> None:
    place = write_links(tmp_path / "photos.tar.gz", "w:gz")
    assert unpack_all(place, tmp_path / "to") == {"a/1.jpg": b"one", "b/1.jpg": b"one"}
    assert unpack(place, LocalLocation(str(tmp_path / "again"))) == {"not_a_file": 3}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as file:
        file.addfile(make_link(tarfile.SYMTYPE, "a", str(tmp_path / "outside")))
        file.addfile(tarfile.TarInfo("a/1.jpg"), io.BytesIO())
    unpack_all(LocalLocation(str(tmp_path / "photos.tar.gz")), tmp_path / "to")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("kind", ["gz", "xz"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_compressed_tar_that_breaks_off_is_refused_by_name(
    tenth: int, kind: str, tmp_path: Path
) -> None:
    place = write_tar(tmp_path / "photos", {"1.jpg": os.urandom(9000)}, f"w:{kind}")
    content = place.read()
    place.write(content[: len(content) * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        unpack(place, LocalLocation(str(tmp_path / "to")))


def test_a_compressed_tar_without_its_end_is_refused(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "photos.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    packed = zlib.compressobj(wbits=31)
    place.write(packed.compress(place.read()[:1024]) + packed.flush())
    with pytest.raises(ValueError, match="breaks off"):
        unpack(place, LocalLocation(str(tmp_path / "to")))


def test_an_error_of_the_disk_is_raised_while_unpacking(
    tmp_path: Path, folder_of: Callable[..., Path]
) -> None:
    place = write_tar(tmp_path / "photos.tar.gz", {"a/1.jpg": b"one"}, "w:gz")
    to = folder_of({"a": b"a file where a folder is wanted"}, "to")
    with pytest.raises(OSError, match=str(to)):
        unpack(place, LocalLocation(str(to)))
