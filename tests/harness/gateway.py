"""A real S3 server over a folder: Versity's gateway, which `make services` fetches."""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from harness.cluster import HOST, find_free_port
from harness.runs import wait_until

SERVICES = Path(__file__).parents[2] / ".services"
VERSION = "v1.8.0"
BINARY = SERVICES / f"versitygw-{VERSION}"
ROOT_KEY, ROOT_SECRET = "ROOTKEYOFTHETESTS", "root-secret-of-the-tests"
GUEST_KEY, GUEST_SECRET = "GUESTKEYOFTHETESTS", "guest-secret-of-the-tests"


@dataclass(frozen=True)
class Server:
    """A running S3 server, and the keys to use it with."""

    url: str
    key: str = ROOT_KEY
    secret: str = field(default=ROOT_SECRET, repr=False)

    def make_environment(self) -> Mapping[str, str]:
        """Make the environment of a process that is to use the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_client(self) -> Any:
        """Make an S3 client with these keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(max_pool_connections=16),
        )


@contextlib.contextmanager
def start_server(folder: Path) -> Iterator[Server]:
    """Run a server over ``folder``; besides root it knows a guest who may do nothing."""
    url = f"http://{HOST}:{find_free_port()}"
    objects, accounts, sidecar = (folder / name for name in ("objects", "accounts", "sidecar"))
    for place in (objects, accounts, sidecar):
        place.mkdir(parents=True)
    guest = {"access": GUEST_KEY, "secret": GUEST_SECRET, "role": "user"}
    known = {"accessAccounts": {GUEST_KEY: guest}}
    (accounts / "users.json").write_text(json.dumps(known))
    command: list[str | Path] = [BINARY, "--port", url.removeprefix("http://")]
    command += ["--iam-dir", accounts, "posix", "--sidecar", sidecar, objects]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, "ROOT_ACCESS_KEY": ROOT_KEY, "ROOT_SECRET_KEY": ROOT_SECRET},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: _answers(url), 30, "start of the S3 server")
        yield Server(url)
    finally:
        server.terminate()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # it refuses a request that is not signed
    except OSError:
        return False
    return True
