"""bootstrap.sh, really run: bash, venv and pip, with ``aws`` and ``sudo`` replaced."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pip
import pytest

SCRIPT = Path(__file__).parents[2] / "emr" / "bootstrap.sh"
RELEASE_URI = "s3://bucket/fruit-features/release"
# What the script imports at its end: as distributions that hold nothing else, and as the project.
DEPENDENCIES = {
    "boto3": "boto3",
    "keras": "keras",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "openvino": "openvino",
    "pandas": "pandas",
    "pillow": "PIL",
    "pyarrow": "pyarrow",
    "scikit_learn": "sklearn",
    "seaborn": "seaborn",
}
PROJECT = {
    "helpers/__init__.py": "",
    "helpers/network/__init__.py": "",
    "helpers/network/export.py": "import numpy",
    "helpers/network/inference.py": "import openvino",
    "helpers/photos/__init__.py": "",
    "helpers/photos/decode.py": "import PIL",
    "helpers/storage/__init__.py": "",
    "helpers/storage/s3.py": "import boto3",
}


def wheel(folder: Path, name: str, files: Mapping[str, str], version: str = "1.0") -> Path:
    """A wheel of pure Python with these files."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD,,\n"
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text.encode())}\n"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return made


class Node:
    """A folder that stands for a node: stubs on its PATH, a release that ``aws`` copies."""

    def __init__(self, folder: Path) -> None:
        self.release = folder / "release"
        self.venv = folder / "opt" / "fruit-features"
        self.scratch = folder / "tmp"
        self._stubs = folder / "bin"
        self._home = folder / "home"
        for made in (self.scratch, self._stubs, self._home):
            made.mkdir()
        self._release()
        self._stub(
            "aws",
            f'[[ "$*" == "s3 cp --recursive --only-show-errors {RELEASE_URI}/ "* ]]\n'
            "[[ $AWS_DEFAULT_REGION == eu-west-1 ]]\n"
            f'cp -r "{self.release}/." "${{@: -1}}"',
        )
        self._stub("sudo", 'exec "$@"')
        # The environment and its pip are real; pip is linked, since unpacking it takes seconds.
        packages = self.venv / "lib" / "python3.11" / "site-packages"
        self._stub(
            "python3.11",
            f'[[ "$*" == "-m venv --clear {self.venv}" ]]\n'
            f'"{sys.executable}" "$@" --without-pip\n'
            f'ln -s "{Path(pip.__file__).parent}" "{packages}/pip"',
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = arguments or (RELEASE_URI, "eu-west-1", str(self.venv))
        return subprocess.run(
            ["bash", str(SCRIPT), *given],
            env={
                "PATH": f"{self._stubs}:{os.environ['PATH']}",
                "HOME": str(self._home),
                "TMPDIR": str(self.scratch),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _release(self) -> None:
        lock = ""
        for name, module in DEPENDENCIES.items():
            made = wheel(self.release / "wheelhouse", name, {f"{module}/__init__.py": ""})
            digest = hashlib.sha256(made.read_bytes()).hexdigest()
            lock += f"{name}==1.0 --hash=sha256:{digest}\n"
        (self.release / "requirements-cluster.lock").write_text(lock)
        wheel(self.release, "fruit_features", PROJECT)

    def _stub(self, name: str, body: str) -> None:
        stub = self._stubs / name
        stub.write_text(f"#!/usr/bin/env bash\nset -e\n{body}\n")
        stub.chmod(0o755)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_it_parses() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    assert os.access(SCRIPT, os.X_OK)


def test_it_builds_the_environment_anew(node: Node) -> None:
    stale = node.venv / "lib" / "python3.11" / "site-packages" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")

    done = node.run()

    assert done.returncode == 0, done.stderr
    assert "ready: " in done.stdout.splitlines()[-1]
    assert not stale.exists()
    python = node.venv / "bin" / "python"
    question = "import helpers as project, sys; print(project.__file__, sys.version_info[:2])"
    answer = subprocess.run(
        [python, "-I", "-c", question], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith(str(node.venv))
    assert answer.stdout.endswith("(3, 11)\n")
    assert list(node.scratch.iterdir()) == []
    # YARN's users are others than the one that built it.
    assert all(path.stat().st_mode & 0o004 for path in node.venv.rglob("*.py"))


def test_a_missing_dependency_fails(node: Node) -> None:
    next((node.release / "wheelhouse").glob("keras-*")).unlink()
    done = node.run()
    assert done.returncode != 0
    assert "No matching distribution found for keras==1.0" in done.stderr
    assert "bootstrap: error: line" in done.stderr
    assert "ready" not in done.stdout


def test_a_changed_dependency_fails(node: Node) -> None:
    wheel(node.release / "wheelhouse", "openvino", {"openvino/__init__.py": "changed = True"})
    done = node.run()
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "ready" not in done.stdout


def test_a_lock_without_hashes_fails(node: Node) -> None:
    (node.release / "requirements-cluster.lock").write_text("keras==1.0\n")
    done = node.run()
    assert done.returncode != 0
    assert "Hashes are required" in done.stderr
    assert "ready" not in done.stdout


def test_a_module_that_cannot_be_imported_fails(node: Node) -> None:
    wheel(
        node.release, "fruit_features", PROJECT | {"helpers/network/inference.py": "import absent"}
    )
    done = node.run()
    assert done.returncode != 0
    assert "ModuleNotFoundError: No module named 'absent'" in done.stderr
    assert "ready" not in done.stdout


def test_no_lock_fails(node: Node) -> None:
    (node.release / "requirements-cluster.lock").unlink()
    done = node.run()
    assert done.returncode == 1
    assert f"{RELEASE_URI} has no requirements-cluster.lock" in done.stderr
    assert not node.venv.exists()


@pytest.mark.parametrize("versions", [(), ("1.0", "1.1")], ids=["none", "two"])
def test_another_number_of_project_wheels_than_one_fails(
    node: Node, versions: tuple[str, ...]
) -> None:
    next(node.release.glob("fruit_features-*")).unlink()
    for version in versions:
        wheel(node.release, "fruit_features", PROJECT, version)
    done = node.run()
    assert done.returncode == 1
    assert f"must hold one fruit_features wheel, got {len(versions)}" in done.stderr
    assert not node.venv.exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((RELEASE_URI, "eu-west-1"), "usage: bootstrap.sh RELEASE_URI REGION VENV, got 2"),
        (("/tmp/release", "eu-west-1", "/opt/x"), "RELEASE_URI must begin with s3://"),
        ((RELEASE_URI, "eu-west-1", "opt/x"), "VENV must be an absolute path, got opt/x"),
        ((f"{RELEASE_URI}/absent", "eu-west-1", "/opt/x"), "aws s3 cp"),
    ],
    ids=["too few", "no bucket", "relative", "no such release"],
)
def test_wrong_arguments_fail(node: Node, arguments: tuple[str, ...], error: str) -> None:
    done = node.run(*arguments)
    assert done.returncode != 0
    assert error in done.stderr
    assert not node.venv.exists()
