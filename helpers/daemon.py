"""The process from which Spark forks its Python workers: PySpark's own, with less to wait for.

``spark.python.daemon.module`` names it in a local session. It spares some 0.3 s of the first task
and 50 ms between two tasks of a worker.
"""

import gc
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path


def archives(path: Sequence[str], spark_home: str) -> list[str]:
    """Places on the module path that hold PySpark once more, ``spark_home`` being the installed.

    Spark puts its archives first. From a zip the daemon compiles each of PySpark's modules anew,
    and a worker lists what the archives hold before every task.
    """
    home = Path(spark_home)
    if not (home / "__init__.py").is_file() or str(home.parent) not in path:
        return []
    return [place for place in path if home in Path(place).parents]


def main() -> None:
    """Fork workers when Spark asks for them, until it ends."""
    for place in archives(sys.path, os.environ.get("SPARK_HOME", "")):
        sys.path.remove(place)
        sys.path_importer_cache.pop(place, None)
    from pyspark import daemon

    run_task = daemon.worker

    def worker(sock: socket.socket, authenticated: bool) -> int:
        if hasattr(socket, "TCP_QUICKACK"):
            # The JVM sends the rest of a task when its beginning is acknowledged: at once, and not
            # after the 40 ms for which Linux would wait for an answer to send along.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        code: int = run_task(sock, authenticated)  # type: ignore[no-untyped-call]
        if gc.get_freeze_count() == 0:
            gc.freeze()  # all that was imported: PySpark collects garbage after every task
        return code

    daemon.worker = worker
    daemon.manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
