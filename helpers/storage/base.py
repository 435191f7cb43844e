"""What a place that holds files can do, wherever it lies."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
    def stamp(self) -> str:
        """A text that is another one when the file was replaced."""

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
