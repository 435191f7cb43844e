"""Fetch what the tests on S3 need: ``make services``.

Go fetches the server, and Spark fetches Hadoop's connector. What cannot be fetched is named, and
the tests that need it are skipped with that reason.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import gateway
from helpers.spark import s3a

MODULE = f"github.com/versity/versitygw/cmd/versitygw@{gateway.VERSION}"
CONNECTOR = f"{s3a.PACKAGE}:3.3.4"  # of Spark 3.5's Hadoop
IVY = gateway.SERVICES / "ivy"
FETCH_SECONDS = 1800

_RESOLVE = """
import sys
from helpers.spark import session
package, ivy = sys.argv[1:]
session.start_session({"spark.jars.packages": package, "spark.jars.ivy": ivy}).stop()
"""


def locate_reason(name: str) -> Path:
    """Locate the file that says why something could not be fetched."""
    return gateway.SERVICES / f"{name}.missing"


def has_connector() -> bool:
    return any(IVY.glob("jars/*hadoop-aws*.jar"))


def main() -> None:
    gateway.SERVICES.mkdir(exist_ok=True)
    if not gateway.BINARY.exists():
        with tempfile.TemporaryDirectory(dir=gateway.SERVICES) as folder:
            if _fetch("versitygw", ["go", "install", MODULE], {"GOBIN": folder}):
                (Path(folder) / "versitygw").rename(gateway.BINARY)
    if gateway.BINARY.exists():
        with tempfile.TemporaryDirectory() as folder, gateway.start_server(Path(folder)) as server:
            print(f"{gateway.BINARY.name} starts and answers, at {server.url}; it is stopped again")
    if not has_connector():
        # Any keys will do: nothing is read.
        keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
        _fetch("hadoop-aws", [sys.executable, "-c", _RESOLVE, CONNECTOR, str(IVY)], keys)
    if has_connector():
        print(f"{CONNECTOR} is there")


def _fetch(name: str, command: list[str], environment: dict[str, str]) -> bool:
    """Run a command that fetches something; write down why where it fails."""
    locate_reason(name).unlink(missing_ok=True)
    if shutil.which(command[0]) is None:
        why = f"{command[0]} is not installed"
    else:
        print(f"fetching {name} ...", flush=True)
        try:
            fetched = subprocess.run(
                command,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
            )
        except subprocess.TimeoutExpired:
            why = f"the registry did not answer within {FETCH_SECONDS} s"
        else:
            if fetched.returncode == 0:
                return True
            why = (fetched.stderr.strip().splitlines() or ["no reason given"])[-1]
    locate_reason(name).write_text(why)
    print(f"{name} is not there, and its tests will be skipped: {why}")
    return False


if __name__ == "__main__":
    main()
