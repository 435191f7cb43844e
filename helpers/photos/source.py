"""Where the photos are: a folder, a glob, an S3 prefix, or an archive that is read in place."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from helpers.photos import archive
from helpers.photos.archive import Packing
from helpers.storage.base import Entry
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location, locate
from helpers.storage.prefetch import prefetch

_GLOB = re.compile(r"[*?\[]")
_BATCH_PHOTOS = 8
_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of the catalog, as a task needs it.

    Attributes
    ----------
    path, length, modified
        As in the table ``images``; ``modified`` in µs since 1970 (UTC).
    packing
        How it lies inside an archive; None where the source is no archive.
    """

    path: str
    length: int
    modified: int
    packing: Packing | None = None


@dataclass(frozen=True)
class Source:
    """Photos below a location.

    Attributes
    ----------
    base
        The folder or prefix; paths of photos start there.
    archive
        Name of the file in ``base`` that holds the photos; None where they are files.
    pattern
        Glob that their paths must match; None where all do.
    """

    base: Location
    archive: str | None = None
    pattern: str | None = None

    def list_files(self) -> Iterator[tuple[Entry, Packing | None]]:
        """List every file, and how it lies inside the archive if there is one."""
        if self.archive is None:
            for entry in self.base.list_files():
                yield entry, None
        else:
            for member in archive.list_members(self.base / self.archive):
                yield archive.name_entry(member, self.archive), member.packing

    @property
    def regex(self) -> str:
        """A regular expression that the whole path must match, ``.`` matching all."""
        return ".*" if self.pattern is None else translate_glob(self.pattern)

    def read(self, photo: Photo) -> bytes:
        """Read a photo's bytes.

        Raises
        ------
        OSError
            If they cannot be read, or are not as many as the catalog says.
        """
        if photo.packing is None:
            # One byte more than expected shows that the file has grown.
            content = (self.base / photo.path).read(length=photo.length + 1)
        else:
            file = self.base / photo.path.partition(archive.SEPARATOR)[0]
            content = archive.read_member(file, photo.packing, photo.length)
        if len(content) != photo.length:
            more = "more" if len(content) > photo.length else f"{len(content):,}"
            raise OSError(f"{more} bytes where the listing said {photo.length:,}")
        return content

    def read_all(self, photos: Iterable[Photo]) -> Iterator[tuple[Photo, bytes | OSError]]:
        """Yield each photo with its bytes or the error, in order; threads read the next photos."""

        def try_read(photo: Photo) -> tuple[Photo, bytes | OSError]:
            try:
                return photo, self.read(photo)
            except OSError as error:
                return photo, error

        def read_batch(photos: list[Photo]) -> list[tuple[Photo, bytes | OSError]]:
            return list(map(try_read, photos))

        batches = prefetch(read_batch, _batch_small(photos), self.base.concurrency, _count_bytes)
        return chain.from_iterable(batches)


def open_source(uri: str) -> Source:
    """Open a source that can be listed in place: a folder, a glob, an S3 prefix or an archive.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If nothing has that name, or if it is a file that is not an archive.
    PermissionError
        If it may not be read.
    """
    location = locate(uri)
    if archive.is_archive(uri) and location.is_file():
        return Source(location.parent, archive=location.name)
    if isinstance(location, LocalLocation):
        return _open_local(uri, location)
    if _GLOB.search(uri):
        return _open_glob(uri)
    return Source(location)


def _open_local(uri: str, folder: LocalLocation) -> Source:
    path = Path(folder.path)
    if path.is_dir():
        next(path.iterdir(), None)  # raises where it may not be read
        return Source(folder)
    if _GLOB.search(uri):
        return _open_glob(uri)
    if path.exists():
        raise NotADirectoryError(
            f"SOURCE_URI must be a folder, a glob or an archive, got the file {uri!r}"
        )
    raise FileNotFoundError(f"SOURCE_URI must exist, got {uri!r}: no such folder or archive")


def _batch_small(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """Batch small photos: handing one photo to a thread takes longer than reading it."""
    batch: list[Photo] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == _BATCH_PHOTOS or _count_bytes(batch) > _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _count_bytes(photos: list[Photo]) -> int:
    return sum(photo.length for photo in photos)


def _open_glob(uri: str) -> Source:
    segments = uri.split("/")
    first = next(i for i, segment in enumerate(segments) if _GLOB.search(segment))
    base = "/".join(segments[:first]) or ("/" if uri.startswith("/") else ".")
    return Source(locate(base), pattern="/".join(segments[first:]))


def translate_glob(pattern: str) -> str:
    """Translate a glob to a regular expression that matches a whole path.

    ``*`` and ``?`` match within a name, ``[...]`` is a set, ``**`` matches any folders.

    Raises
    ------
    ValueError
        If the glob is not valid.
    """
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
        re.compile(translated)
    except re.error as error:
        raise ValueError(f"SOURCE_URI must be a valid glob, got {pattern!r}: {error}") from error
    return translated
