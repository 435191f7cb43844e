"""Photos inside a .zip or .tar, read in place, and compressed tars, unpacked."""

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
from helpers.photos.archive import NOT_A_FILE, Member, as_entry, members, unpack
from helpers.storage.location import Entry, Folder

MICRO = 1_000_000
NOON = (2020, 5, 17, 12, 0, 0)
NOON_SECONDS = 1_589_716_800


def zipped(
    path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, extra: bytes = b""
) -> Folder:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            item = zipfile.ZipInfo(name, NOON)
            item.compress_type = method
            item.extra = extra
            file.writestr(item, content)
    return LocalLocation(str(path))


def tarred(path: Path, files: dict[str, bytes], mode: str = "w", form: int = 2) -> Folder:
    with tarfile.open(path, mode, format=form) as file:  # type: ignore[call-overload]
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size, item.mtime = len(content), NOON_SECONDS
            file.addfile(item, io.BytesIO(content))
    return LocalLocation(str(path))


def read(place: LocalLocation, member: Member) -> bytes:
    return archive.read(
        place, member.offset, member.stored, member.method, member.crc, most=member.length
    )


def contents(place: LocalLocation) -> dict[str, bytes]:
    return {member.path: read(place, member) for member in members(place)}


FILES = {
    "a/1.jpg": b"one" * 1000,
    "a/empty.jpg": b"",
    "b c/é 🍎.jpg": os.urandom(5000),
    "top.jpg": b"x",
}


# Zip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(method: int, tmp_path: Path) -> None:
    assert contents(zipped(tmp_path / "photos.zip", FILES, method)) == FILES


def test_members_tell_length_and_time(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"123"})
    (member,) = members(place)
    assert as_entry(member, "photos.zip") == Entry("photos.zip!/a/1.jpg", 3, NOON_SECONDS * MICRO)


def test_folders_are_no_members(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/": b"", "a/1.jpg": b"1"})
    assert list(contents(place)) == ["a/1.jpg"]


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
    assert contents(LocalLocation(str(tmp_path / "photos.zip"))) == FILES


def test_a_zip64_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file, file.open("a/1.jpg", "w", force_zip64=True) as item:
        item.write(b"one")
    assert contents(LocalLocation(str(path))) == {"a/1.jpg": b"one"}


def test_a_local_header_longer_than_the_room_for_it_is_read(tmp_path: Path) -> None:
    extra = struct.pack("<HH", 0x9999, 3000) + bytes(3000)
    files = {"a/" + "long" * 50 + ".jpg": os.urandom(100), "b.jpg": os.urandom(100)}
    assert contents(zipped(tmp_path / "photos.zip", files, extra=extra)) == files


def test_a_zip_behind_other_bytes_is_read(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", FILES)
    place.write(b"#!/bin/sh self-extracting\n" + place.read())
    assert contents(place) == FILES


def test_names_that_are_not_utf8_are_told_as_the_zip_has_them(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/??.jpg": b"1"})
    place.write(place.read().replace(b"??", b"\x82\x8a"))  # é and è in code page 437
    assert list(contents(place)) == ["a/éè.jpg"]


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [(0, 315_532_800), (0xFFFF, 4_354_732_800), ((40 << 9) | (5 << 5) | 17, 1_589_673_600)],
)
def test_a_date_that_is_none_does_not_lose_the_archive(
    stamp: int, seconds: int, tmp_path: Path
) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(place.read())
    for signature, offset in ((b"PK\3\4", 10), (b"PK\1\2", 12)):
        start = content.index(signature) + offset
        content[start : start + 4] = struct.pack("<HH", 0, stamp)
    place.write(content)
    (member,) = members(place)
    assert member.modified == seconds * MICRO
    assert read(place, member) == b"1"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_in_another_way_is_an_error_of_its_own(method: int, tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"1" * 100}, method)
    (member,) = members(place)
    assert member.length == 100
    with pytest.raises(OSError, match="neither stored nor deflated"):
        read(place, member)


def test_an_encrypted_member_is_an_error_of_its_own(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"1", "b/2.jpg": b"2"})
    content = bytearray(place.read())
    content[content.index(b"PK\1\2") + 8] |= 1
    place.write(content)
    first, second = members(place)
    with pytest.raises(OSError, match="encrypted"):
        read(place, first)
    assert read(place, second) == b"2"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_an_error_of_its_own(method: int, tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": os.urandom(1000)}, method)
    (member,) = members(place)
    content = bytearray(place.read())
    content[500] ^= 1
    place.write(content)
    with pytest.raises(OSError, match="damaged inside the archive"):
        read(place, member)


def test_a_member_that_cannot_be_inflated_is_an_error_of_its_own(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"one" * 1000})
    (member,) = members(place)
    content = bytearray(place.read())
    content[37:57] = b"\xff" * 20
    place.write(content)
    with pytest.raises(OSError, match=r"damaged inside the archive \(Error -3"):
        read(place, member)


def test_a_wrong_checksum_is_an_error(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    content = place.read()
    checksum = struct.pack("<I", zlib.crc32(b"one"))
    assert content.count(checksum) == 2
    place.write(content.replace(checksum, b"\0\0\0\0"))
    (member,) = members(place)
    with pytest.raises(OSError, match=r"damaged inside the archive \(checksum\)"):
        read(place, member)


def test_a_bomb_is_unpacked_no_further_than_its_stated_length(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": bytes(10_000_000)})
    (member,) = members(place)
    crc, most = member.crc, 20_000
    got = archive.read(place, member.offset, member.stored, member.method, crc, most)
    assert len(got) == most + 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_packed_length_that_lies_is_not_read(method: int, tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    (member,) = members(place)
    with pytest.raises(OSError, match="packed bytes where the listing said 3"):
        archive.read(place, member.offset, 2**62, method, member.crc, most=3)


def test_incompressible_bytes_may_take_more_room_packed(tmp_path: Path) -> None:
    packed = zlib.compressobj(0, zlib.DEFLATED, -15)
    content = os.urandom(200_000)
    stored = packed.compress(content) + packed.flush()
    assert len(stored) > len(content)
    header = b"PK\3\4".ljust(30, b"\0")
    (tmp_path / "x").write_bytes(header + stored)
    place = LocalLocation(str(tmp_path / "x"))
    crc = zlib.crc32(content)
    assert archive.read(place, 0, len(stored), 8, crc, most=len(content)) == content


@pytest.mark.parametrize("tenth", range(10))
def test_a_zip_that_breaks_off_is_refused_by_name(tenth: int, tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", FILES)
    content = place.read()
    place.write(content[: len(content) * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(members(place))


def test_a_member_that_is_gone_since_the_listing_is_an_error(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/1.jpg": b"one"})
    (member,) = members(place)
    place.write(b"PK")
    with pytest.raises(OSError, match="damaged inside the archive"):
        read(place, member)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(6, b"\xff\0"), (8, b"\0\x08")],  # a version of the future; UTF-8 said of a name that is not
)
def test_a_directory_that_cannot_be_read_is_refused_by_name(
    offset: int, value: bytes, tmp_path: Path
) -> None:
    place = zipped(tmp_path / "photos.zip", {"a/??.jpg": b"one"})
    content = bytearray(place.read().replace(b"??", b"\xff\xfe"))
    start = content.index(b"PK\1\2") + offset
    content[start : start + 2] = value
    place.write(content)
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(members(place))


# Tar


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_read_in_place(form: int, tmp_path: Path) -> None:
    assert contents(tarred(tmp_path / "photos.tar", FILES, form=form)) == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(form: int, tmp_path: Path) -> None:
    files = {"/".join(["é" * 60] * 5) + ".jpg": b"one", "next.jpg": b"two"}
    assert contents(tarred(tmp_path / "photos.tar", files, form=form)) == files


def test_a_tar_of_the_current_folder_has_the_same_paths(tmp_path: Path) -> None:
    place = tarred(tmp_path / "photos.tar", {"./a/1.jpg": b"one"})
    (member,) = members(place)
    assert (member.path, member.modified) == ("a/1.jpg", NOON_SECONDS * MICRO)


def test_a_name_of_a_tar_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    name = b"a/\xff.jpg".decode("utf-8", "surrogateescape")
    assert contents(tarred(tmp_path / "photos.tar", {name: b"1"}, form=1)) == {name: b"1"}


def link(kind: bytes, name: str, to: str) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.type, item.linkname = kind, to
    return item


def with_links(path: Path, mode: str = "w") -> Folder:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        item = tarfile.TarInfo("a/1.jpg")
        item.size = 3
        file.addfile(item, io.BytesIO(b"one"))
        file.addfile(link(tarfile.LNKTYPE, "b/1.jpg", "a/1.jpg"))
        file.addfile(link(tarfile.SYMTYPE, "c/1.jpg", "/etc/passwd"))
        file.addfile(link(tarfile.DIRTYPE, "d", ""))
        file.addfile(link(tarfile.FIFOTYPE, "e", ""))
        file.addfile(link(tarfile.CHRTYPE, "f", ""))
    return LocalLocation(str(path))


def test_a_hard_link_in_a_tar_is_a_file_and_other_links_are_not(tmp_path: Path) -> None:
    place = with_links(tmp_path / "photos.tar")
    methods = {member.path: member.method for member in members(place)}
    assert [path for path, method in methods.items() if method == NOT_A_FILE] == [
        "c/1.jpg",
        "e",
        "f",
    ]
    assert contents(place).items() >= {"a/1.jpg": b"one", "b/1.jpg": b"one"}.items()


def test_a_hard_link_to_nothing_is_refused(tmp_path: Path) -> None:
    for mode, name in (("w", "photos.tar"), ("w:gz", "photos.tar.gz")):
        with tarfile.open(tmp_path / name, mode) as file:  # type: ignore[call-overload]
            file.addfile(link(tarfile.LNKTYPE, "b/1.jpg", "a/1.jpg"))
    with pytest.raises(ValueError, match="link to nothing"):
        list(members(LocalLocation(str(tmp_path / "photos.tar"))))
    with pytest.raises(ValueError, match="not a readable archive"):
        unpack(LocalLocation(str(tmp_path / "photos.tar.gz")), LocalLocation(str(tmp_path / "to")))


@pytest.mark.parametrize("tenth", range(10))
def test_a_tar_that_breaks_off_is_refused_by_name(tenth: int, tmp_path: Path) -> None:
    files = {f"{number}.jpg": os.urandom(700) for number in range(10)}
    place = tarred(tmp_path / "photos.tar", files)
    whole = 10 * (512 + 1024)
    place.write(place.read()[: whole * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        list(members(place))


@pytest.mark.parametrize("rest", [b"", b"\0", b"garbage" * 100])
def test_a_tar_without_its_end_is_refused(rest: bytes, tmp_path: Path) -> None:
    """Python's own reader takes it for whole, and says nothing of the files that are lost."""
    place = tarred(tmp_path / "photos.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    place.write(place.read()[:1024] + rest)
    with pytest.raises(ValueError, match="breaks off"):
        list(members(place))


# Both


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10_000])
def test_other_bytes_are_no_archive(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    place = LocalLocation(str(tmp_path / name))
    if name.endswith(".tar") and content.startswith(b"\0"):
        assert list(members(place)) == []  # blocks of zeros are a tar of nothing
    else:
        with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
            list(members(place))


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"photos\.zip"):
        list(members(LocalLocation(str(tmp_path / "photos.zip"))))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_ends_in_members_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    build = data.draw(st.sampled_from([zipped, tarred]))
    name = "photos.zip" if build is zipped else "photos.tar"
    place = build(folder / name, {"a/1.jpg": b"one" * 10, "b/é.jpg": b""})
    content = bytearray(place.read())
    places = st.integers(0, len(content) - 1)
    for index, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[index] = value
    place.write(content)
    try:
        found = list(members(place))
    except (OSError, ValueError) as error:
        assert place.uri in str(error)  # noqa: PT017 - any outcome but another error is right
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


def unpacked(place: LocalLocation, to: Path) -> dict[str, bytes]:
    unpack(place, LocalLocation(str(to)))
    return {
        entry.path: (LocalLocation(str(to)) / entry.path).read()
        for entry in LocalLocation(str(to)).list_files()
    }


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_unpacked(kind: str, tmp_path: Path) -> None:
    place = tarred(tmp_path / f"photos.tar.{kind}", FILES, f"w:{kind}")
    assert unpacked(place, tmp_path / "to") == FILES


def test_names_that_lead_outside_are_left_out(tmp_path: Path) -> None:
    absolute = f"{tmp_path}/absolute.jpg"
    names = ["../up.jpg", "a/../../up.jpg", "./../up.jpg", "a/..", "..", absolute, f"./{absolute}"]
    files = dict.fromkeys([*names, "a/..b.jpg", "./in.jpg"], b"1")
    place = tarred(tmp_path / "photos.tar.gz", files, "w:gz")
    assert set(unpacked(place, tmp_path / "x" / "to")) == {"a/..b.jpg", "in.jpg"}
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["to"]
    assert not Path(absolute).exists()


def test_of_links_only_hard_ones_inside_the_archive_are_unpacked(tmp_path: Path) -> None:
    place = with_links(tmp_path / "photos.tar.gz", "w:gz")
    assert unpacked(place, tmp_path / "to") == {"a/1.jpg": b"one", "b/1.jpg": b"one"}
    assert unpack(place, LocalLocation(str(tmp_path / "again"))) == {"not_a_file": 3}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as file:
        file.addfile(link(tarfile.SYMTYPE, "a", str(tmp_path / "outside")))
        file.addfile(tarfile.TarInfo("a/1.jpg"), io.BytesIO())
    unpacked(LocalLocation(str(tmp_path / "photos.tar.gz")), tmp_path / "to")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("kind", ["gz", "xz"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_compressed_tar_that_breaks_off_is_refused_by_name(
    tenth: int, kind: str, tmp_path: Path
) -> None:
    place = tarred(tmp_path / "photos", {"1.jpg": os.urandom(9000)}, f"w:{kind}")
    content = place.read()
    place.write(content[: len(content) * tenth // 10])
    with pytest.raises(ValueError, match=f"not a readable archive: {place.uri}"):
        unpack(place, LocalLocation(str(tmp_path / "to")))


def test_a_compressed_tar_without_its_end_is_refused(tmp_path: Path) -> None:
    place = tarred(tmp_path / "photos.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    packed = zlib.compressobj(wbits=31)
    place.write(packed.compress(place.read()[:1024]) + packed.flush())
    with pytest.raises(ValueError, match="breaks off"):
        unpack(place, LocalLocation(str(tmp_path / "to")))


def test_a_failed_unpacking_does_not_hide_errors_of_the_disk(
    tmp_path: Path, folder_of: Callable[..., Path]
) -> None:
    place = tarred(tmp_path / "photos.tar.gz", {"a/1.jpg": b"one"}, "w:gz")
    to = folder_of({"a": b"a file where a folder is wanted"}, "to")
    with pytest.raises(OSError, match=str(to)):
        unpack(place, LocalLocation(str(to)))
