"""Places that hold files: a folder or an S3 prefix, by the same calls.

Every read and write of the project goes through a :class:`Location`. What goes wrong comes out
as an ``OSError`` of the standard library (``FileNotFoundError``, ``PermissionError``, ...) with
one clear line, wherever the file lies.
"""

import os
from pathlib import Path

import helpers
from helpers.storage.base import Entry, Location
from helpers.storage.folder import Folder

__all__ = ["Entry", "Folder", "Location", "contains", "locate", "real", "root"]


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
