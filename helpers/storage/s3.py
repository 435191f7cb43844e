"""A location on S3.

boto3 takes credentials from AWS's default chain. Each process has one client.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
)
from typing_extensions import override

from helpers.storage.base import Entry, Location
from helpers.storage.endpoint import read_endpoint

ATTEMPTS = 5
CONNECT_SECONDS = 3
READ_SECONDS = 20
MISSING = {"404", "NoSuchKey", "NotFound"}
BEYOND_END = {"416", "InvalidRange"}
CONFLICT = {"412", "409", "PreconditionFailed", "ConditionalRequestConflict"}
FORBIDDEN = {"403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
UPLOAD_PART_BYTES = 8 * 1024 * 1024
KEYS_PER_DELETION = 1000  # S3's own limit

_CLIENT_LOCK = threading.Lock()


@dataclass(frozen=True)
class S3Location(Location):
    """A prefix or an object in an S3 bucket."""

    bucket: str
    key: str
    concurrency = 16

    @property
    @override
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    @property
    @override
    def spark_uri(self) -> str:
        return f"s3a://{self.bucket}/{self.key}"

    def __truediv__(self, path: str) -> "S3Location":
        return S3Location(self.bucket, f"{self.key}/{path}" if self.key else path)

    @property
    @override
    def parent(self) -> "S3Location":
        return S3Location(self.bucket, self.key.rpartition("/")[0])

    @override
    def list_files(self) -> Iterator[Entry]:
        # S3 gives one page after another, so folders are listed in parallel.
        prefixes = [self._prefix]
        with ThreadPoolExecutor(self.concurrency) as pool:
            while 0 < len(prefixes) < self.concurrency:
                levels = list(pool.map(lambda prefix: self._list(prefix, "/"), prefixes))
                prefixes = [folder for _, folders in levels for folder in folders]
                for entries, _ in levels:
                    yield from entries
            for entries, _ in pool.map(self._list, prefixes):
                yield from entries

    @override
    def list_folders(self) -> list[str]:
        _, prefixes = self._list(self._prefix, "/")
        return sorted(prefix[len(self._prefix) : -1] for prefix in prefixes)

    @override
    def is_file(self) -> bool:
        try:
            self._call("head_object")
        except FileNotFoundError:
            return False
        return True

    @override
    def length(self) -> int:
        return int(self._call("head_object")["ContentLength"])

    @override
    def version_tag(self) -> str:
        return str(self._call("head_object")["ETag"])

    @override
    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        return self._read(offset, length)[0]

    @override
    def write(self, content: bytes | memoryview) -> None:
        self._call("put_object", Body=bytes(content))

    @override
    def write_stream(self, chunks: Iterator[bytes]) -> None:
        settings = TransferConfig(multipart_chunksize=UPLOAD_PART_BYTES, max_concurrency=4)
        with self._translate_errors():
            client().upload_fileobj(_Chunks(chunks), self.bucket, self.key, Config=settings)

    @override
    def compare_and_swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        for attempt in itertools.count():
            try:
                before, tag = self._read(0, None)
                condition = {"IfMatch": tag}
            except FileNotFoundError:
                before, condition = None, {"IfNoneMatch": "*"}
            content = change(before)
            if content is None:
                return
            try:
                self._call("put_object", Body=content, **condition)
            # Another writer was faster, or deleted the file: read again.
            except (FileExistsError, FileNotFoundError) as error:
                no_bucket = isinstance(error, FileNotFoundError) and before is None
                if no_bucket or attempt >= ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return

    @override
    def delete(self) -> None:
        self._call("delete_object")

    @override
    def delete_tree(self) -> None:
        keys = [{"Key": self._prefix + entry.path} for entry in self.list_files()]
        for start in range(0, len(keys), KEYS_PER_DELETION):
            objects = keys[start : start + KEYS_PER_DELETION]
            with self._translate_errors():
                answer = client().delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
            for refused in answer.get("Errors", ()):
                raise OSError(
                    f"S3 answers {refused['Code']} for s3://{self.bucket}/{refused['Key']}"
                )

    def _read(self, offset: int, length: int | None) -> tuple[bytes, str]:
        if length == 0:
            return b"", ""
        span: dict[str, Any] = {}
        if offset or length is not None:
            span["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        for attempt in itertools.count(1):
            try:
                answer = self._call("get_object", **span)
            except _BeyondEndError:
                return b"", ""
            try:
                return answer["Body"].read(), answer["ETag"]
            # botocore repeats a failed request, but not a body that breaks off.
            except BotoCoreError as error:
                if attempt >= ATTEMPTS:
                    raise self._translate(error) from error
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def _call(self, operation: str, **arguments: Any) -> Any:
        with self._translate_errors():
            return getattr(client(), operation)(Bucket=self.bucket, Key=self.key, **arguments)

    def _list(self, prefix: str, delimiter: str = "") -> tuple[list[Entry], list[str]]:
        """List the objects below a prefix, and the prefixes there that end with the delimiter."""
        entries, prefixes = [], []
        with self._translate_errors():
            listing = client().get_paginator("list_objects_v2")
            for page in listing.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter=delimiter):
                for item in page.get("Contents", ()):
                    modified = round(item["LastModified"].timestamp() * 1_000_000)
                    entries.append(Entry(item["Key"][len(self._prefix) :], item["Size"], modified))
                prefixes += [item["Prefix"] for item in page.get("CommonPrefixes", ())]
        return entries, prefixes

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> OSError:
        """Return the standard library's error for one of boto3's: one line, without secrets."""
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code == "NoSuchBucket":
                return FileNotFoundError(f"there is no bucket {self.bucket!r} ({self.uri})")
            if code in MISSING:
                return FileNotFoundError(f"no such object: {self.uri}")
            if code in BEYOND_END:
                return _BeyondEndError(f"shorter than listed: {self.uri}")
            if code in CONFLICT:
                return FileExistsError(f"changed by another writer: {self.uri}")
            if code in FORBIDDEN:
                return PermissionError(f"S3 refuses access to {self.uri} ({code})")
            return OSError(f"S3 answers {code} for {self.uri}")
        if isinstance(error, NoCredentialsError):
            return PermissionError(
                f"no AWS credentials found for {self.uri}: set a profile (AWS_PROFILE) or log in"
            )
        if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
            return ConnectionError(f"no S3 server answers for {self.uri}: {error}")
        return OSError(f"S3 fails for {self.uri}: {error}")


class _BeyondEndError(OSError):
    """The range begins beyond the object's end."""


class _Chunks:
    """Chunks as a readable file, which boto3's upload needs."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        pieces = [self._rest]
        held = len(self._rest)
        while size < 0 or held < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            pieces.append(chunk)
            held += len(chunk)
        content = b"".join(pieces)
        if size < 0:
            size = len(content)
        self._rest = content[size:]
        return content[:size]


def client() -> Any:
    """Return the process's S3 client; ``AWS_ENDPOINT_URL`` names an S3-compatible server."""
    with _CLIENT_LOCK:  # sixteen threads that begin to read need one client, not sixteen
        return _create_client()


@lru_cache(maxsize=1)
def _create_client() -> Any:
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        max_pool_connections=32,
    )
    try:
        return boto3.Session().client("s3", config=settings, endpoint_url=read_endpoint())
    except ValueError as error:
        raise OSError(f"AWS_ENDPOINT_URL must be like http://host:port: {error}") from error
