"""Where the photos lie: a folder, a glob, an S3 prefix, or an archive read in place."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from helpers.storage import archive
from helpers.storage.ahead import ahead
from helpers.storage.location import Entry, Folder, Location, locate

_GLOB = re.compile(r"[*?\[]")
_HANDFUL = 8  # photos
_HANDFUL_BYTES = 256 * 1024


class Member(NamedTuple):
    """Where a photo's bytes lie inside an archive."""

    offset: int
    stored: int
    method: int
    crc: int


@dataclass(frozen=True, slots=True)
class Photo:
    """A row of the catalogue as a task needs it; ``modified`` in µs since 1970 (UTC).

    ``member`` is there only for photos in an archive.
    """

    path: str
    length: int
    modified: int
    member: Member | None = None


@dataclass(frozen=True)
class Source:
    """Photos below ``base``; ``archive`` names the file there that holds them, if one does."""

    base: Location
    archive: str | None = None
    pattern: str | None = None

    def entries(self) -> Iterator[tuple[Entry, Member | None]]:
        """Every file found, with its place inside the archive."""
        if self.archive is None:
            for entry in self.base.entries():
                yield entry, None
        else:
            for item in archive.members(self.base / self.archive):
                place = Member(item.offset, item.stored, item.method, item.crc)
                yield archive.as_entry(item, self.archive), place

    def matches(self, path: str) -> bool:
        """Whether the glob, if there is one, takes this path."""
        return self.pattern is None or _glob_regex(self.pattern).fullmatch(path) is not None

    def read(self, photo: Photo) -> bytes:
        """A photo's bytes.

        Raises
        ------
        OSError
            If they cannot be read, or are not as many as the catalogue says.
        """
        if photo.member is None:
            # One byte more than expected shows that the file has grown.
            content = (self.base / photo.path).read(length=photo.length + 1)
        else:
            file = self.base / photo.path.partition(archive.SEPARATOR)[0]
            content = archive.read(file, *photo.member, most=photo.length)
        if len(content) != photo.length:
            more = "more" if len(content) > photo.length else f"{len(content):,}"
            raise OSError(f"{more} bytes where the listing said {photo.length:,}")
        return content

    def read_all(self, photos: Iterable[Photo]) -> Iterator[tuple[Photo, bytes | OSError]]:
        """Each photo with its bytes or the error, in order, the next ones being read meanwhile."""

        def attempt(photo: Photo) -> tuple[Photo, bytes | OSError]:
            try:
                return photo, self.read(photo)
            except OSError as error:
                return photo, error

        def read_handful(photos: list[Photo]) -> list[tuple[Photo, bytes | OSError]]:
            return list(map(attempt, photos))

        read = ahead(read_handful, _handfuls(photos), self.base.concurrency, _bytes)
        return chain.from_iterable(read)


def open_source(uri: str) -> Source:
    """The source of a URI that can be listed in place.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is nothing of that name, or a single file that is no archive.
    PermissionError
        If it may not be read.
    """
    location = locate(uri)
    if archive.is_archive(uri) and location.is_file():
        return Source(location.parent, archive=location.name)
    if isinstance(location, Folder):
        return _local(uri, location)
    if _GLOB.search(uri):
        return _globbed(uri)
    return Source(location)


def _local(uri: str, folder: Folder) -> Source:
    path = Path(folder.path)
    if path.is_dir():
        next(path.iterdir(), None)  # raises where it may not be read
        return Source(folder)
    if _GLOB.search(uri):
        return _globbed(uri)
    if path.exists():
        raise NotADirectoryError(
            f"SOURCE_URI must be a folder, a glob or an archive, got the file {uri!r}"
        )
    raise FileNotFoundError(f"SOURCE_URI must be there, got {uri!r}: no such folder or archive")


def _handfuls(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """Small photos several together: handing one to a thread takes longer than reading it."""
    handful: list[Photo] = []
    for photo in photos:
        handful.append(photo)
        if len(handful) == _HANDFUL or _bytes(handful) > _HANDFUL_BYTES:
            yield handful
            handful = []
    if handful:
        yield handful


def _bytes(photos: list[Photo]) -> int:
    return sum(photo.length for photo in photos)


def _globbed(uri: str) -> Source:
    segments = uri.split("/")
    first = next(i for i, segment in enumerate(segments) if _GLOB.search(segment))
    base = "/".join(segments[:first]) or ("/" if uri.startswith("/") else ".")
    return Source(locate(base), pattern="/".join(segments[first:]))


@lru_cache(maxsize=8)
def _glob_regex(pattern: str) -> re.Pattern[str]:
    """``*`` and ``?`` within a name, ``[...]`` a set, ``**`` any folders."""
    translated = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern, re.DOTALL):
        match token:
            case "**/":
                translated += "(?:.*/)?"
            case "**":
                translated += ".*"
            case "*":
                translated += "[^/]*"
            case "?":
                translated += "[^/]"
            case _ if len(token) > 1:
                inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
                negated = inside.startswith("!")
                translated += f"[^/{inside[1:]}]" if negated else f"[{inside}]"
            case _:
                translated += re.escape(token)
    try:
        return re.compile(translated, re.DOTALL)
    except re.error as error:
        raise ValueError(f"SOURCE_URI must be a proper glob, got {pattern!r}: {error}") from error
