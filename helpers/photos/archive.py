"""Photos inside a .zip or .tar, read in place: first the index, then one range per photo."""

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
from typing import NamedTuple

from helpers.storage.base import Entry
from helpers.storage.location import Location

ZIP_ENDINGS, TAR_ENDINGS = (".zip",), (".tar",)
COMPRESSED_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
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


class Packing(NamedTuple):
    """How a file lies inside an archive.

    Attributes
    ----------
    start
        Byte of the archive at which it begins.
    stored
        Bytes that it takes there.
    method
        Compression method as in ZIP; ``NOT_A_FILE`` for a link or a device.
    crc
        CRC-32 of the unpacked bytes; ``NO_CRC`` in a tar.
    """

    start: int
    stored: int
    method: int
    crc: int


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive; ``entry.path`` is the path in the archive."""

    entry: Entry
    packing: Packing


def is_archive(uri: str) -> bool:
    """Tell by its ending whether a file is an archive that can be read."""
    return uri.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS, *COMPRESSED_ENDINGS))


def is_compressed(uri: str) -> bool:
    """Tell whether an archive must be unpacked first, since it cannot be read in place."""
    return uri.lower().endswith(COMPRESSED_ENDINGS)


def list_members(archive: Location) -> Iterator[Member]:
    """List the files in a .zip or .tar, in the archive's order.

    Raises
    ------
    ValueError
        If the file is no archive of that kind.
    OSError
        If it cannot be read.
    """
    list_in = _list_zip if archive.name.lower().endswith(ZIP_ENDINGS) else _list_tar
    try:
        with archive.open() as file:
            yield from list_in(file)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, tarfile.TarError) as error:
        raise ValueError(f"not a readable archive: {archive.uri} ({error})") from error


def _list_zip(file: io.BufferedReader) -> Iterator[Member]:
    for item in zipfile.ZipFile(file).infolist():
        if not item.filename.endswith("/"):
            modified = _to_seconds(item.date_time) * 1_000_000
            # An unsupported method makes its photo a reject; it does not stop the run.
            method = -1 if item.flag_bits & 1 else item.compress_type
            yield Member(
                Entry(item.filename.removeprefix("./"), item.file_size, modified),
                Packing(item.header_offset, item.compress_size, method, item.CRC),
            )


def _to_seconds(date_time: tuple[int, int, int, int, int, int]) -> int:
    """Convert to seconds since 1970. A month or day of zero, which some writers leave, is 1."""
    year, month, day, *clock = date_time
    return timegm((year, min(max(month, 1), 12), max(day, 1), *clock))


def _list_tar(file: io.BufferedReader) -> Iterator[Member]:
    files: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for item in tar:
            # A hard link is a file whose bytes are packed under another name.
            place = files.get(item.linkname) if item.islnk() else item
            if place is None:
                raise tarfile.ReadError(f"{item.name} is a link to nothing: {item.linkname}")
            files[item.name] = place
            if not place.isdir():
                is_file = place.isreg()
                length = place.size if is_file else 0
                method = STORED if is_file else NOT_A_FILE
                yield Member(
                    Entry(item.name.removeprefix("./"), length, int(place.mtime * 1_000_000)),
                    Packing(place.offset_data, length, method, NO_CRC),
                )
        _require_end(tar)


def _require_end(tar: tarfile.TarFile) -> None:
    """Raise if no block of zeros follows: ``tarfile`` accepts a file that breaks off."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it breaks off")


def read_member(archive: Location, packing: Packing, length: int) -> bytes:
    """Read one member: at most ``length`` + 1 bytes, where ``length`` is what the listing said.

    Raises
    ------
    UnsupportedPackingError
        If the member is encrypted, or neither stored nor deflated.
    OSError
        If its bytes cannot be read or do not match their checksum.
    """
    offset, stored, method, crc = packing
    if crc == NO_CRC:
        return archive.read(offset, stored)
    if method not in (STORED, DEFLATED):
        raise UnsupportedPackingError("encrypted, or neither stored nor deflated in the archive")
    if stored > length + length // 100 + _HEADER_ROOM:
        raise OSError(f"{stored:,} packed bytes where the listing said {length:,} unpacked ones")
    packed = archive.read(offset, _HEADER + _HEADER_ROOM + stored)
    start = (
        _HEADER + int.from_bytes(packed[26:28], "little") + int.from_bytes(packed[28:30], "little")
    )
    if start + stored > len(packed):
        packed = archive.read(offset, start + stored)
    packed = packed[start : start + stored]
    if method == DEFLATED:
        try:
            packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, length + 1)
        except zlib.error as error:
            raise OSError(f"damaged inside the archive ({error})") from error
    if len(packed) <= length and zlib.crc32(packed) != crc:
        raise OSError("damaged inside the archive (checksum)")
    return packed


def unpack(archive: Location, to: Location) -> dict[str, int]:
    """Unpack a compressed tar below ``to``.

    Symbolic links, devices and names that lead outside are left out. A hard link is unpacked as
    the file that it names.

    Returns
    -------
    dict
        Files left out, by the rule that skips them.

    Raises
    ------
    ValueError
        If it is no compressed tar, or breaks off.
    """
    skipped: Counter[str] = Counter()
    unpacked: set[str] = set()
    try:
        with archive.open() as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            for item in tar:
                content = tar.extractfile(item) if item.isreg() or item.islnk() else None
                name = item.name.removeprefix("./")
                if content and not name.startswith("/") and ".." not in name.split("/"):
                    path = posixpath.normpath(name)
                    (to / path).write_stream(iter(partial(content.read, _CHUNK), b""))
                    skipped["superseded"] += path in unpacked  # the later file replaced it
                    unpacked.add(path)
                elif not item.isdir():
                    skipped["not_a_file"] += 1
            _require_end(tar)
    except (*_BROKEN, KeyError) as error:  # KeyError: a link to nothing
        raise ValueError(f"not a readable archive: {archive.uri} ({error})") from error
    return dict(+skipped)


def name_entry(member: Member, archive: str) -> Entry:
    """Name a member as a listed file: ``photos.zip!/a/b.jpg``."""
    entry = member.entry
    return Entry(f"{archive}{SEPARATOR}{entry.path}", entry.length, entry.modified)
