"""Runs for faults to strike."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.baseline import Baseline
from harness.ledger import ledger
from harness.reference import SAMPLE
from harness.runs import Runs

__all__ = ["ledger"]


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return Baseline.make(tmp_path_factory.mktemp("baseline"))


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Runs]:
    """Runs of the sample in a new folder: ``sample(IMAGE_SIZE=96)``."""

    def runs(**parameters: Any) -> Runs:
        given = {"SOURCE_URI": str(SAMPLE), "RUN_URI": str(tmp_path / "run"), **parameters}
        return Runs(given, tmp_path / "counts")

    return runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the sample's photos that a test may damage."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "photos"))
