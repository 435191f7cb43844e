"""A standalone Spark cluster on this machine, from the wheel of PySpark: a master and workers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyspark

from harness.runs import wait_until
from helpers.spark.session import find_java

HOST = "127.0.0.1"
START_SECONDS = 120.0
_DEPLOY = "org.apache.spark.deploy"


def find_free_port() -> int:
    """Find a port that no process listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def start_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Run a cluster whose workers have one core and room for one executor each; yield its URL."""
    port, page = find_free_port(), find_free_port()
    environment = {
        **os.environ,
        "JAVA_HOME": str(find_java()),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_DAEMON_MEMORY": "256m",
        "LC_ALL": "C.UTF-8",
    }
    url = f"spark://{HOST}:{port}"
    at = ["--host", HOST, "--webui-port"]
    with contextlib.ExitStack() as running:

        def start(name: str, *arguments: str) -> None:
            command = [str(Path(pyspark.__path__[0]) / "bin" / "spark-class"), *arguments]
            with (folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, start_new_session=True
                )
            running.callback(_stop, process)

        start("master", f"{_DEPLOY}.master.Master", "--port", str(port), *at, str(page))
        wait_until(lambda: _count_workers(page) is not None, START_SECONDS, "start of the master")
        for number in range(workers):
            place = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"work{number}")]
            start(f"worker{number}", f"{_DEPLOY}.worker.Worker", *place, *at, "0", url)
        wait_until(lambda: _count_workers(page) == workers, START_SECONDS, "start of the workers")
        yield url


def _count_workers(page: int) -> int | None:
    """Ask the master how many workers it has; None where it does not answer yet."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{page}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except OSError:
        return None


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
