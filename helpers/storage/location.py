"""Places that hold files: a folder or an S3 prefix, by the same calls.

Every read and write of the project goes through a :class:`Location`. What goes wrong comes out
as an ``OSError`` of the standard library (``FileNotFoundError``, ``PermissionError``, ...) with
one clear line, wherever the file lies.
"""

import contextlib
import fcntl
import io
import os
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import helpers

MICROSECOND = 1_000  # nanoseconds
TEMPORARY = "_tmp-"
RANGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A file found: its path below the listed location, length in bytes, µs since 1970 (UTC)."""

    path: str
    length: int
    modified: int


class Location(ABC):
    """A file or a folder, local or on S3; cheap to make, and safe to send to a Spark task."""

    #: reads that are worth having under way at once
    concurrency: int

    @property
    @abstractmethod
    def uri(self) -> str:
        """URI or absolute path, as a person writes it."""

    @property
    @abstractmethod
    def spark_uri(self) -> str:
        """The same place as Spark's readers name it."""

    @property
    def name(self) -> str:
        return self.uri.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def __truediv__(self, path: str) -> "Location":
        """The location ``path`` below this one."""

    @property
    @abstractmethod
    def parent(self) -> "Location":
        """The location above this one."""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file below this location, at any depth, in no order; none if it is not there."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the folders directly below, sorted; none if it is not there."""

    @abstractmethod
    def is_file(self) -> bool:
        """Whether a file lies just here."""

    @abstractmethod
    def length(self) -> int:
        """Bytes of the file."""

    @abstractmethod
    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """The file's bytes, or ``length`` of them from ``offset``; fewer where the file ends."""

    def open(self) -> io.BufferedReader:
        """The file as a seekable one, for readers that need only some of its ranges."""
        return io.BufferedReader(_RangeFile(self), RANGE_BYTES)

    @abstractmethod
    def write(self, content: bytes | memoryview) -> None:
        """Write the file whole or not at all, replacing what was there."""

    @abstractmethod
    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the file by ``change(its bytes)`` with no other writer in between.

        ``change`` gets None where there is no file, may be called several times, and leaves all
        as it is by returning None or by raising.
        """

    @abstractmethod
    def delete(self) -> None:
        """Delete the file, if it is there."""

    @abstractmethod
    def delete_all(self) -> None:
        """Delete every file below this location, if there are any."""

    @abstractmethod
    def write_stream(self, chunks: Iterator[bytes]) -> None:
        """Write a file piece by piece; it appears whole or not at all."""


@dataclass(frozen=True)
class Folder(Location):
    """A place in the machine's file system."""

    path: str
    concurrency = 4

    @property
    def uri(self) -> str:
        return self.path

    @property
    def spark_uri(self) -> str:
        return f"file://{self.path}"  # Hadoop's Path quotes by itself: no %20 for a space

    def __truediv__(self, path: str) -> "Folder":
        return Folder(os.path.join(self.path, path))  # noqa: PTH118 - Path folds "a//b" and "./"

    @property
    def parent(self) -> "Folder":
        return Folder(str(Path(self.path).parent))

    def entries(self) -> Iterator[Entry]:
        pending = [""]
        while pending:
            below = pending.pop()
            try:
                scan = os.scandir(os.path.join(self.path, below))  # noqa: PTH118 - speed
            except FileNotFoundError:
                continue
            with scan:
                for item in scan:
                    path = below + item.name
                    if item.is_dir(follow_symlinks=False):
                        pending.append(path + "/")
                    elif item.is_symlink():
                        yield _linked(item, path)
                    elif item.is_file():
                        try:
                            status = item.stat()
                        except FileNotFoundError:  # deleted or renamed since it was listed
                            continue
                        yield Entry(path, status.st_size, status.st_mtime_ns // MICROSECOND)

    def folders(self) -> list[str]:
        try:
            with os.scandir(self.path) as scan:
                return sorted(item.name for item in scan if item.is_dir())
        except FileNotFoundError:
            return []

    def is_file(self) -> bool:
        return Path(self.path).is_file()

    def open(self) -> io.BufferedReader:
        return open(self.path, "rb")  # noqa: PTH123 - the caller closes it

    def length(self) -> int:
        return Path(self.path).stat().st_size

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        with open(self.path, "rb") as file:  # noqa: PTH123 - speed: thousands of small files
            if offset:
                file.seek(offset)
            return file.read() if length is None else file.read(length)

    def write(self, content: bytes | memoryview) -> None:
        with self._replacement() as file:
            file.write(content)

    def write_stream(self, chunks: Iterator[bytes]) -> None:
        with self._replacement() as file:
            for chunk in chunks:
                file.write(chunk)

    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f"_{target.name}.lock")
        with open(lock, "wb") as file:  # noqa: PTH123 - flock wants a descriptor
            fcntl.flock(file, fcntl.LOCK_EX)
            content = change(target.read_bytes() if target.exists() else None)
            if content is not None:
                self.write(content)

    def delete(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    def delete_all(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    @contextlib.contextmanager
    def _replacement(self) -> Iterator[IO[bytes]]:
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 - mkstemp's 0600 is too strict
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108
            raise


class _RangeFile(io.RawIOBase):
    """A location as a seekable file of range reads."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._length = location.length()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._length - self._position)
        if wanted <= 0:
            return 0
        content = self._location.read(self._position, wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def _linked(link: os.DirEntry[str], path: str) -> Entry:
    """A link to a file as that file; one to nothing as itself; one to a folder ends with /.

    Folders behind links are not entered, so that a loop of links ends.
    """
    try:
        status = link.stat()
    except OSError:
        status = link.stat(follow_symlinks=False)
    path += "/" if stat.S_ISDIR(status.st_mode) else ""
    return Entry(path, status.st_size, status.st_mtime_ns // MICROSECOND)


@lru_cache(maxsize=1)
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def root() -> Path | None:
    """The project's folder, where relative paths start; None where ``helpers`` is a wheel."""
    folder = Path(helpers.__file__).parents[1]
    return folder if (folder / "notebooks").is_dir() else None


def locate(uri: str) -> Location:
    """The location of a URI or path.

    ``s3://`` and ``s3a://`` name the same place. A relative path starts at the project's root.

    Raises
    ------
    ValueError
        If the scheme is unknown, or the path is relative where the project's folder is not on
        this machine (on a cluster ``helpers`` is an installed wheel).
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        path = Path(uri).expanduser()
        if path.is_absolute():
            return Folder(os.path.normpath(path))
        start = root()
        if start is None:
            raise ValueError(
                f"a relative path starts at the project's root, which is not on the driver: "
                f"name an absolute path or an s3:// URI, got {uri!r}"
            )
        return Folder(os.path.normpath(start / path))
    if scheme == "file":
        return Folder(os.path.normpath("/" + rest.lstrip("/")))
    if scheme in ("s3", "s3a"):
        from helpers.storage.s3 import Bucket  # boto3 takes 0.3 s to import

        bucket, _, key = rest.partition("/")
        if not bucket:
            raise ValueError(f"an S3 URI names a bucket, got {uri!r}")
        return Bucket(bucket, key.strip("/"))
    raise ValueError(f"a URI must be a path, s3:// or s3a://, got {uri!r}")


def contains(outer: Location, inner: Location) -> bool:
    """Whether ``inner`` lies at or below ``outer``."""
    return (inner.uri.rstrip("/") + "/").startswith(outer.uri.rstrip("/") + "/")


def real(location: Location) -> Location:
    """The location with symbolic links resolved."""
    return Folder(os.path.realpath(location.path)) if isinstance(location, Folder) else location
