"""From a URI or a path to a :class:`Location`."""

import os
from pathlib import Path

from helpers.storage.base import Location
from helpers.storage.local import LocalLocation

__all__ = ["Location", "contains", "locate", "project_root", "resolve"]


def project_root() -> Path | None:
    """Return the project's folder, or None where ``helpers`` is an installed wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "notebooks").is_dir() else None


def locate(uri: str) -> Location:
    """Return the location of a URI or path.

    ``s3://`` and ``s3a://`` name the same place. A relative path starts at the project's root.

    Raises
    ------
    ValueError
        If the scheme is unknown, or if the path is relative and the project's folder is not on
        this machine (on a cluster ``helpers`` is an installed wheel).
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        path = Path(uri).expanduser()
        if path.is_absolute():
            return LocalLocation(os.path.normpath(path))
        root = project_root()
        if root is None:
            raise ValueError(
                "a relative path starts at the project's root, which is not on this machine: "
                f"give an absolute path or an s3:// URI, got {uri!r}"
            )
        return LocalLocation(os.path.normpath(root / path))
    if scheme == "file":
        return LocalLocation(os.path.normpath("/" + rest.lstrip("/")))
    if scheme in ("s3", "s3a"):
        from helpers.storage.s3 import S3Location  # boto3 takes 0.3 s to import

        bucket, _, key = rest.partition("/")
        if not bucket:
            raise ValueError(f"an S3 URI must name a bucket, got {uri!r}")
        return S3Location(bucket, key.strip("/"))
    raise ValueError(f"a URI must be a path, s3:// or s3a://, got {uri!r}")


def contains(outer: Location, inner: Location) -> bool:
    """Tell whether ``inner`` is ``outer`` or lies below it."""
    return (inner.uri.rstrip("/") + "/").startswith(outer.uri.rstrip("/") + "/")


def resolve(location: Location) -> Location:
    """Return the location with symbolic links resolved."""
    if isinstance(location, LocalLocation):
        return LocalLocation(os.path.realpath(location.path))
    return location
