"""Photos inside a .zip or .tar, read in place: an index once, then one range a photo."""

import gzip
import io
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from calendar import timegm
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from helpers.storage.location import Entry, Location

ZIPPED, TARRED, COMPRESSED = (".zip",), (".tar",), (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SEPARATOR = "!/"
DEFLATED = zipfile.ZIP_DEFLATED
STORED = zipfile.ZIP_STORED
NOT_A_FILE = -2
NO_CRC = -1
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)

_CHUNK = 1024 * 1024  # bytes
_BLOCK = tarfile.BLOCKSIZE
_HEADER = 30  # bytes of a zip member's local header before its name
_HEADER_ROOM = 1024  # bytes read beyond it for name and extra field: nearly always enough


class UnsupportedPackingError(OSError):
    """A member that is encrypted, or compressed by a method that is not read here."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive: where its bytes begin, how many, and how they are packed.

    A link or a device has the method ``NOT_A_FILE``, and no bytes.
    """

    path: str
    length: int
    modified: int
    offset: int
    stored: int
    method: int
    crc: int


def is_archive(uri: str) -> bool:
    return uri.lower().endswith((*ZIPPED, *TARRED, *COMPRESSED))


def is_compressed(uri: str) -> bool:
    """Whether the archive cannot be read in place and must be unpacked first."""
    return uri.lower().endswith(COMPRESSED)


def members(archive: Location) -> Iterator[Member]:
    """The files in a .zip or .tar, in its own order.

    Raises
    ------
    ValueError
        If the file is no such archive.
    OSError
        If it cannot be read.
    """
    listed = _zipped if archive.name.lower().endswith(ZIPPED) else _tarred
    try:
        with archive.open() as file:
            yield from listed(file)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, tarfile.TarError) as error:
        raise ValueError(f"not a readable archive: {archive.uri} ({error})") from error


def _zipped(file: io.BufferedReader) -> Iterator[Member]:
    for item in zipfile.ZipFile(file).infolist():
        if not item.filename.endswith("/"):
            yield Member(
                path=item.filename.removeprefix("./"),
                length=item.file_size,
                modified=_zip_seconds(item.date_time) * 1_000_000,
                offset=item.header_offset,
                stored=item.compress_size,
                # A method that is not read here makes its photo a reject, not the run a failure.
                method=-1 if item.flag_bits & 1 else item.compress_type,
                crc=item.CRC,
            )


def _zip_seconds(date_time: tuple[int, int, int, int, int, int]) -> int:
    """Seconds since 1970; a date left at zero, as some writers do, is their epoch's first day."""
    year, month, day, *clock = date_time
    return timegm((year, min(max(month, 1), 12), max(day, 1), *clock))


def _tarred(file: io.BufferedReader) -> Iterator[Member]:
    files: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for item in tar:
            # A hard link is a file like any other, whose bytes were packed under another name.
            place = files.get(item.linkname) if item.islnk() else item
            if place is None:
                raise tarfile.ReadError(f"{item.name} is a link to nothing: {item.linkname}")
            files[item.name] = place
            if not place.isdir():
                is_file = place.isreg()
                yield Member(
                    path=item.name.removeprefix("./"),
                    length=place.size if is_file else 0,
                    modified=int(place.mtime * 1_000_000),
                    offset=place.offset_data,
                    stored=place.size if is_file else 0,
                    method=STORED if is_file else NOT_A_FILE,
                    crc=NO_CRC,
                )
        _require_end(tar)


def _require_end(tar: tarfile.TarFile) -> None:
    """Raise if no block of zeros follows: ``tarfile`` takes a file that breaks off for whole."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it breaks off")


def read(archive: Location, offset: int, stored: int, method: int, crc: int, most: int) -> bytes:
    """One member's bytes, at most ``most`` + 1 of them.

    Raises
    ------
    UnsupportedPackingError
        If it is encrypted, or neither stored nor deflated.
    OSError
        If its bytes cannot be read or do not match their checksum.
    """
    if crc == NO_CRC:
        return archive.read(offset, stored)
    if method not in (STORED, DEFLATED):
        raise UnsupportedPackingError("encrypted, or neither stored nor deflated in the archive")
    if stored > most + most // 100 + _HEADER_ROOM:
        raise OSError(f"{stored:,} packed bytes where the listing said {most:,} unpacked ones")
    packed = archive.read(offset, _HEADER + _HEADER_ROOM + stored)
    start = (
        _HEADER + int.from_bytes(packed[26:28], "little") + int.from_bytes(packed[28:30], "little")
    )
    if start + stored > len(packed):
        packed = archive.read(offset, start + stored)
    packed = packed[start : start + stored]
    if method == DEFLATED:
        try:
            packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most + 1)
        except zlib.error as error:
            raise OSError(f"damaged inside the archive ({error})") from error
    if len(packed) <= most and zlib.crc32(packed) != crc:
        raise OSError("damaged inside the archive (checksum)")
    return packed


def unpack(archive: Location, to: Location) -> dict[str, int]:
    """Unpack a compressed tar below ``to``; links, devices and names that lead outside stay.

    A hard link is no such link but a file, whose bytes were packed under another name.

    Returns
    -------
    dict
        How many were left out, by the rule that skips them.

    Raises
    ------
    ValueError
        If it is no such archive, or breaks off.
    """
    left: Counter[str] = Counter()
    unpacked: set[str] = set()
    try:
        with archive.open() as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            for item in tar:
                content = tar.extractfile(item) if item.isreg() or item.islnk() else None
                name = item.name.removeprefix("./")
                if content and not name.startswith("/") and ".." not in name.split("/"):
                    path = posixpath.normpath(name)
                    (to / path).write_stream(iter(partial(content.read, _CHUNK), b""))
                    left["superseded"] += path in unpacked  # it was written over
                    unpacked.add(path)
                elif not item.isdir():
                    left["not_a_file"] += 1
            _require_end(tar)
    except (*_BROKEN, KeyError) as error:  # KeyError: a link to nothing
        raise ValueError(f"not a readable archive: {archive.uri} ({error})") from error
    return dict(+left)


def as_entry(member: Member, archive: str) -> Entry:
    """The member as a listed file: ``photos.zip!/a/b.jpg``."""
    return Entry(f"{archive}{SEPARATOR}{member.path}", member.length, member.modified)
