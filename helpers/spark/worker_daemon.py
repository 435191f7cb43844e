"""The process from which Spark forks its Python workers: PySpark's own, with less to wait for.

``spark.python.daemon.module`` names it in a local session. It spares some 0.3 s of the first task
and 40 ms between two tasks of a worker.
"""

import gc
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Task = Callable[[socket.socket, bool], int]


def archives(path: Sequence[str], spark_home: str) -> list[str]:
    """The entries of ``path`` below ``spark_home``, if that is a PySpark which ``path`` also finds.

    Spark puts its archives first. From a zip the daemon compiles each of PySpark's modules anew,
    and a worker lists what the archives hold before every task.
    """
    home = Path(spark_home).resolve()
    installed = spark_home and (home / "__init__.py").is_file()
    if not installed or home.parent not in [Path(place).resolve() for place in path]:
        return []
    return [place for place in path if home in Path(place).resolve().parents]


def hastened(run_task: Task) -> Task:
    """PySpark's function for one task of a worker, which is called again for the next."""
    known = 0

    def worker(sock: socket.socket, authenticated: bool) -> int:
        nonlocal known
        if hasattr(socket, "TCP_QUICKACK"):
            # The JVM sends the rest of a task when its beginning is acknowledged: at once, and not
            # after the 40 ms for which Linux would wait for an answer to send along.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        code = run_task(sock, authenticated)
        if len(sys.modules) > known:
            # PySpark collects garbage after every task: not among all that was imported.
            known = len(sys.modules)
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        return code

    return worker


def main() -> None:
    """Fork workers when Spark asks for them, until it ends."""
    for place in archives(sys.path, os.environ.get("SPARK_HOME", "")):
        sys.path.remove(place)
        sys.path_importer_cache.pop(place, None)
    from pyspark import daemon

    daemon.worker = hastened(daemon.worker)
    daemon.manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
