"""PySpark's daemon of Python workers, which keeps what the workers' tasks have covered.

Workers are forked, used again and ended by a signal, so coverage.py would never save their data.
``spark-defaults.conf`` beside this file names it; `make test` lets Spark find both.
"""

import coverage
from pyspark import daemon

unmeasured = daemon.worker


def worker(sock: object, authenticated: bool) -> int:
    """One task; what it has covered is saved at its end."""
    try:
        return int(unmeasured(sock, authenticated))
    finally:
        if measured := coverage.Coverage.current():
            measured.save()


if __name__ == "__main__":
    daemon.worker = worker
    daemon.manager()
