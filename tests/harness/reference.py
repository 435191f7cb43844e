"""The photos that the faults strike, and a run of them that nothing struck."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.runs import Runs
from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import Run
from helpers.run.parts import choose_part_rows
from helpers.spark.session import count_cores
from helpers.storage.location import locate

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data_sample"
REAL = ROOT.parent / "shared" / "data" / "fruits360"
REAL_FRACTION = 0.4  # a little more than 5,000 of them
MOST_SHARE = 1.05  # of the photos: passes through the network, kill and rerun together


@dataclass(frozen=True)
class Reference:
    """A run that nothing struck, and a copy of it as it was after each stage."""

    runs: Runs
    copies: Path

    @staticmethod
    def made(folder: Path) -> "Reference":
        """Run all stages on 5,000 real photos where they are, else on the sample."""
        parameters: dict[str, Any] = {"SOURCE_URI": str(SAMPLE)}
        if REAL.is_dir():
            parameters = {"SOURCE_URI": str(REAL), "SAMPLE_FRACTION": REAL_FRACTION}
        runs = Runs({**parameters, "RUN_URI": str(folder / "run")}, folder / "counts")
        outcome = runs.run(*NOTEBOOKS, copies=folder / "copies")
        assert outcome.code == 0, outcome.stderr
        reference = Reference(runs, folder / "copies")
        assert runs.passes == reference.photos
        return reference

    def before(self, stage: str, to: Path) -> Runs:
        """A run of the same photos that is about to begin ``stage``."""
        earlier = NOTEBOOKS[NOTEBOOKS.index(stage) - 1]
        shutil.copytree(self.copies / earlier, to, copy_function=os.link)
        return Runs({**self.runs.parameters, "RUN_URI": str(to)}, to.with_name(f"{to.name}-counts"))

    def after(self, stage: str) -> str:
        """The run as it was after ``stage``."""
        return str(self.copies / stage)

    @property
    def photos(self) -> int:
        """Distinct photos, each of which is pushed through the network once."""
        return int(Run(locate(self.runs.uri)).manifest()["counts"]["features"])

    @property
    def most_passes(self) -> int:
        """Passes with one kill: one part a core more than there are photos, 5 % at most.

        The few photos of the sample lie in parts of 32, which are more than 5 % of them.
        """
        lost = count_cores() * choose_part_rows(self.photos, row_bytes=1)
        if REAL.is_dir():
            lost = min(lost, int((MOST_SHARE - 1) * self.photos))
        return self.photos + lost
