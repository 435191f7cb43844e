"""A place on S3, by boto3: one client a process, credentials from the default AWS chain."""

import itertools
import time
from collections.abc import Callable, Iterator
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
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from helpers.storage.location import Entry, Location

ATTEMPTS = 5
CONNECT_SECONDS = 4
READ_SECONDS = 20
MISSING = {"404", "NoSuchKey", "NotFound"}
CONFLICT = {"412", "409", "PreconditionFailed", "ConditionalRequestConflict"}
FORBIDDEN = {"403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
UPLOAD_PART = 8 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Bucket(Location):
    """A prefix or an object of an S3 bucket."""

    bucket: str
    key: str
    concurrency = 16

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    @property
    def spark_uri(self) -> str:
        return f"s3a://{self.bucket}/{self.key}"

    def __truediv__(self, path: str) -> "Bucket":
        return Bucket(self.bucket, f"{self.key}/{path}" if self.key else path)

    @property
    def parent(self) -> "Bucket":
        return Bucket(self.bucket, self.key.rpartition("/")[0])

    def entries(self) -> Iterator[Entry]:
        prefix = f"{self.key}/" if self.key else ""
        pages = (
            client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        )
        for page in self._pages(pages):
            for item in page.get("Contents", ()):
                modified = round(item["LastModified"].timestamp() * 1_000_000)
                yield Entry(item["Key"][len(prefix) :], item["Size"], modified)

    def folders(self) -> list[str]:
        prefix = f"{self.key}/" if self.key else ""
        pages = (
            client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        )
        return sorted(
            item["Prefix"][len(prefix) : -1]
            for page in self._pages(pages)
            for item in page.get("CommonPrefixes", ())
        )

    def is_file(self) -> bool:
        try:
            self._call("head_object")
        except FileNotFoundError:
            return False
        return True

    def length(self) -> int:
        return int(self._call("head_object")["ContentLength"])

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        return self._read(offset, length)[0]

    def write(self, content: bytes | memoryview) -> None:
        self._call("put_object", Body=bytes(content))

    def write_stream(self, chunks: Iterator[bytes]) -> None:
        settings = TransferConfig(multipart_chunksize=UPLOAD_PART, max_concurrency=4)
        try:
            client().upload_fileobj(_Chunks(chunks), self.bucket, self.key, Config=settings)
        except (ClientError, BotoCoreError) as error:
            raise self._plain(error) from error

    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
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
            except FileExistsError:  # another writer was faster: read again what it wrote
                if attempt >= ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return

    def delete(self) -> None:
        self._call("delete_object")

    def delete_all(self) -> None:
        keys = [{"Key": f"{self.key}/{entry.path}"} for entry in self.entries()]
        for start in range(0, len(keys), 1000):
            self._call("delete_objects", Delete={"Objects": keys[start : start + 1000]})

    def _read(self, offset: int, length: int | None) -> tuple[bytes, str]:
        if length == 0:
            return b"", ""
        span: dict[str, Any] = {}
        if offset or length is not None:
            span["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        for attempt in itertools.count(1):
            answer = self._call("get_object", **span)
            try:
                return answer["Body"].read(), answer["ETag"]
            # botocore repeats a failed request, but not a body that breaks off.
            except (HTTPClientError, ResponseStreamingError, ReadTimeoutError) as error:
                if attempt >= ATTEMPTS:
                    raise self._plain(error) from error
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def _call(self, operation: str, **arguments: Any) -> Any:
        if operation != "delete_objects":
            arguments["Key"] = self.key
        try:
            return getattr(client(), operation)(Bucket=self.bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._plain(error) from error

    def _pages(self, pages: Any) -> Iterator[Any]:
        try:
            yield from pages
        except (ClientError, BotoCoreError) as error:
            raise self._plain(error) from error

    def _plain(self, error: Exception) -> OSError:
        """The standard library's error for one of boto3's, in one line and without secrets."""
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code == "NoSuchBucket":
                return FileNotFoundError(f"there is no bucket {self.bucket!r} ({self.uri})")
            if code in MISSING:
                return FileNotFoundError(f"no such object: {self.uri}")
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


class _Chunks:
    """A readable file made of chunks, as boto3 uploads want one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        gathered = [self._rest]
        held = len(self._rest)
        while size < 0 or held < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            gathered.append(chunk)
            held += len(chunk)
        content = b"".join(gathered)
        if size < 0:
            size = len(content)
        self._rest = content[size:]
        return content[:size]


@lru_cache(maxsize=1)
def client() -> Any:
    """The process's S3 client; ``AWS_ENDPOINT_URL`` names an S3-compatible server."""
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        max_pool_connections=32,
    )
    return boto3.client("s3", config=settings)
