"""The photos that the faults strike, and a run of them that nothing struck."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.ledger import ledger
from harness.runs import Runs

from helpers.parameters import NOTEBOOKS
from helpers.session import cores
from helpers.storage.parts import part_rows
from helpers.storage.run import Run
from helpers.storage.location import locate

__all__ = ["ledger"]

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "fruits360"
#: takes a little more than 5,000 of the real photos
REAL_FRACTION = 0.4
MOST_SHARE = 1.05  # of the photos: passes through the network, kill and rerun together


@dataclass(frozen=True)
class Reference:
    """A run that nothing struck, and a copy of it as it was after each stage."""

    runs: Runs
    copies: Path

    def before(self, stage: str, to: Path) -> Runs:
        """A run of the same photos that is about to begin ``stage``."""
        earlier = NOTEBOOKS[NOTEBOOKS.index(stage) - 1]
        shutil.copytree(self.copies / earlier, to, copy_function=os.link)
        return Runs({**self.runs.parameters, "RUN_URI": str(to)}, to.with_name(f"{to.name}-counts"))

    def after(self, stage: str) -> str:
        return str(self.copies / stage)

    @property
    def photos(self) -> int:
        """Distinct photos, each of which is pushed through the network once."""
        return int(Run(locate(self.runs.uri)).manifest()["counts"]["features"])

    @property
    def most_passes(self) -> int:
        """Passes that a kill may cost in all: one part a core more than there are photos."""
        lost = cores() * part_rows(self.photos, 1)
        assert REAL.is_dir() is False or self.photos + lost <= MOST_SHARE * self.photos
        return self.photos + lost


@pytest.fixture(scope="session")
def photos() -> dict[str, Any]:
    """SOURCE_URI and what goes with it: 5,000 real photos where they are, else the sample."""
    if REAL.is_dir():
        return {"SOURCE_URI": str(REAL), "SAMPLE_FRACTION": REAL_FRACTION}
    return {"SOURCE_URI": str(ROOT / "data_sample")}


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Any]) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    runs = Runs({**photos, "RUN_URI": str(folder / "run")}, folder / "counts")
    outcome = runs.run(*NOTEBOOKS, copies=folder / "copies")
    assert outcome.code == 0, outcome.stderr
    reference = Reference(runs, folder / "copies")
    assert runs.passes == reference.photos
    return reference


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Runs]:
    """Runs of the sample in a new folder: ``sample(IMAGE_SIZE=96)``."""

    def runs(**parameters: Any) -> Runs:
        given = {
            "SOURCE_URI": str(ROOT / "data_sample"),
            "RUN_URI": str(tmp_path / "run"),
            **parameters,
        }
        return Runs(given, tmp_path / "counts")

    return runs
