"""A location in the machine's file system."""

import contextlib
import fcntl
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from typing_extensions import override

from helpers.storage.base import Entry, Location

MICROSECOND = 1_000  # nanoseconds
TEMPORARY = "_tmp-"


@dataclass(frozen=True)
class LocalLocation(Location):
    """A file or a folder in the machine's file system."""

    path: str
    concurrency = 4

    @property
    @override
    def uri(self) -> str:
        return self.path

    @property
    @override
    def spark_uri(self) -> str:
        return f"file://{self.path}"  # Hadoop's Path quotes by itself: no %20 for a space

    def __truediv__(self, path: str) -> "LocalLocation":
        return LocalLocation(os.path.join(self.path, path))  # noqa: PTH118 - Path folds "a//b" and "./"

    @property
    @override
    def parent(self) -> "LocalLocation":
        return LocalLocation(str(Path(self.path).parent))

    @override
    def list_files(self) -> Iterator[Entry]:
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
                        yield _describe_link(item, path)
                    elif item.is_file():
                        try:
                            status = item.stat()
                        except FileNotFoundError:  # deleted or renamed since it was listed
                            continue
                        yield Entry(path, status.st_size, status.st_mtime_ns // MICROSECOND)

    @override
    def list_folders(self) -> list[str]:
        try:
            with os.scandir(self.path) as scan:
                return sorted(item.name for item in scan if item.is_dir())
        except FileNotFoundError:
            return []

    @override
    def is_file(self) -> bool:
        return Path(self.path).is_file()

    @override
    def open(self) -> io.BufferedReader:
        return open(self.path, "rb")  # noqa: PTH123 - the caller closes it

    @override
    def length(self) -> int:
        return Path(self.path).stat().st_size

    @override
    def version_tag(self) -> str:
        status = Path(self.path).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    @override
    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        with open(self.path, "rb") as file:  # noqa: PTH123 - speed: thousands of small files
            if offset:
                file.seek(offset)
            return file.read() if length is None else file.read(length)

    @override
    def write(self, content: bytes | memoryview) -> None:
        with self._replace() as file:
            file.write(content)

    @override
    def write_stream(self, chunks: Iterator[bytes]) -> None:
        with self._replace() as file:
            for chunk in chunks:
                file.write(chunk)

    @override
    def compare_and_swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f"_{target.name}.lock")
        with open(lock, "wb") as file:  # noqa: PTH123 - flock wants a descriptor
            fcntl.flock(file, fcntl.LOCK_EX)
            content = change(target.read_bytes() if target.exists() else None)
            if content is not None:
                self.write(content)

    @override
    def delete(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    @override
    def delete_tree(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    @contextlib.contextmanager
    def _replace(self) -> Iterator[IO[bytes]]:
        """Yield a temporary file that takes the target's place at the end."""
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


def _describe_link(link: os.DirEntry[str], path: str) -> Entry:
    """Describe a symbolic link: by its target if that is a file, by the link if it is broken.

    The path of a link to a folder ends with ``/``. Such folders are not entered, so that a loop of
    links ends.
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
