"""What every place that holds files can do."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

RANGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was listed.

    Attributes
    ----------
    path
        Path below the listed location, with ``/`` between folders.
    length
        Bytes.
    modified
        Time of the last change, in µs since 1970 (UTC).
    """

    path: str
    length: int
    modified: int


class Location(ABC):
    """A file or a folder, local or on S3.

    A location is cheap to make and safe to send to a Spark task. Whatever goes wrong is raised
    as an ``OSError`` of the standard library (``FileNotFoundError``, ``PermissionError``, ...)
    with one clear line.
    """

    #: reads that are worth having under way at once
    concurrency: int

    @property
    @abstractmethod
    def uri(self) -> str:
        """URI or absolute path, as a person writes it."""

    @property
    @abstractmethod
    def spark_uri(self) -> str:
        """The same place, as Spark's readers name it."""

    @property
    def name(self) -> str:
        """The last name of the URI."""
        return self.uri.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def __truediv__(self, path: str) -> "Location":
        """Return the location ``path`` below this one."""

    @property
    @abstractmethod
    def parent(self) -> "Location":
        """The location above this one."""

    @abstractmethod
    def list_files(self) -> Iterator[Entry]:
        """List every file below this location, at any depth, in no order.

        A location that does not exist holds none.
        """

    @abstractmethod
    def list_folders(self) -> list[str]:
        """List the names of the folders directly below, sorted."""

    @abstractmethod
    def is_file(self) -> bool:
        """Tell whether this location is a file."""

    @abstractmethod
    def length(self) -> int:
        """Return the file's length in bytes."""

    @abstractmethod
    def version_tag(self) -> str:
        """Return a text that changes when the file is replaced."""

    @abstractmethod
    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Read the file, or ``length`` bytes from ``offset``; fewer where the file ends."""

    def open(self) -> io.BufferedReader:
        """Open the file as a seekable one, for readers that need only some of its ranges."""
        return io.BufferedReader(_RangeFile(self), RANGE_BYTES)

    @abstractmethod
    def write(self, content: bytes | memoryview) -> None:
        """Write the file whole or not at all; replace what was there."""

    @abstractmethod
    def write_stream(self, chunks: Iterator[bytes]) -> None:
        """Write a file piece by piece; it appears whole or not at all."""

    @abstractmethod
    def compare_and_swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the file by ``change(its bytes)`` with no other writer in between.

        ``change`` receives None where there is no file, and may be called several times. The file
        stays as it is where ``change`` returns None or raises.
        """

    @abstractmethod
    def delete(self) -> None:
        """Delete the file if it exists."""

    @abstractmethod
    def delete_tree(self) -> None:
        """Delete every file below this location."""


class _RangeFile(io.RawIOBase):
    """A location as a seekable file; each read is a range read."""

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
