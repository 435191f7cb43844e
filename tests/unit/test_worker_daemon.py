"""Spark's Python workers wait little, and take PySpark from where it is installed."""

import gc
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from helpers.spark.worker_daemon import acknowledge_at_once, find_archives


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages, PySpark with its archives among them."""
    home = tmp_path / "packages" / "pyspark"
    home.mkdir(parents=True)
    (home / "__init__.py").touch()
    return home.parent


@pytest.fixture(autouse=True)
def _unfreeze() -> Iterator[None]:
    """Nothing stays frozen after a test."""
    yield
    gc.unfreeze()


# Where PySpark comes from


def test_archives_of_the_installed_pyspark_are_left_out(packages: Path) -> None:
    home = packages / "pyspark"
    sparks = [str(home / "python" / "lib" / "pyspark.zip"), str(home / "jars" / "spark-core.jar")]
    others = ["", "/photos/mine.zip", str(packages)]
    assert find_archives([*sparks, *others], str(home)) == sparks


def test_archives_are_found_behind_a_link(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(packages)
    archive = str(packages / "pyspark" / "python" / "lib" / "pyspark.zip")
    path = [archive, str(tmp_path / "link")]
    assert find_archives(path, str(packages / "pyspark")) == [archive]
    assert find_archives(path, str(tmp_path / "link" / "pyspark")) == [archive]


def test_archives_are_kept_where_pyspark_is_not_installed_beside_them(packages: Path) -> None:
    home = packages / "pyspark"
    archive = str(home / "python" / "lib" / "pyspark.zip")
    assert find_archives([archive], str(home)) == []  # its folder is not on the path
    assert find_archives([archive, str(packages)], "") == []
    (home / "__init__.py").unlink()
    assert find_archives([archive, str(packages)], str(home)) == []  # a Spark from elsewhere


# Between two tasks


class FakeSocket:
    """A socket that keeps the options that are set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, *option: int) -> None:
        level, name, value = option
        self.options.append((level, name, value))


def as_socket(fake: FakeSocket) -> socket.socket:
    return cast(socket.socket, fake)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone has TCP_QUICKACK")
def test_each_task_is_acknowledged_at_once() -> None:
    quick = (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    fake = FakeSocket()
    seen = []

    def run_task(_sock: socket.socket, authenticated: bool) -> int:
        seen.append((list(fake.options), authenticated))
        return 7

    worker = acknowledge_at_once(run_task)
    assert worker(as_socket(fake), False) == 7
    assert worker(as_socket(fake), True) == 7
    assert seen == [([quick], False), ([quick, quick], True)]


def test_what_a_task_imports_is_frozen_and_its_garbage_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = []

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            ended.append(self)

    def run_task(_sock: socket.socket, authenticated: bool) -> int:
        if authenticated:
            monkeypatch.setitem(sys.modules, "a_module_of_the_second_task", ModuleType("a"))
        Garbage()
        return 0

    worker = acknowledge_at_once(run_task)
    worker(as_socket(FakeSocket()), False)
    assert len(ended) == 1
    frozen = gc.get_freeze_count()
    assert frozen > 0
    later: list[list[None]] = [[] for _ in range(1000)]
    worker(as_socket(FakeSocket()), True)
    assert len(ended) == 2
    assert gc.get_freeze_count() >= frozen + len(later)
