"""Runs to strike."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.ledger import ledger
from harness.reference import SAMPLE, Reference
from harness.runs import Runs

__all__ = ["ledger"]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference.made(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Runs]:
    """Runs of the sample in a new folder: ``sample(IMAGE_SIZE=96)``."""

    def runs(**parameters: Any) -> Runs:
        given = {"SOURCE_URI": str(SAMPLE), "RUN_URI": str(tmp_path / "run"), **parameters}
        return Runs(given, tmp_path / "counts")

    return runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the sample's photos that a test may harm."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "photos"))
