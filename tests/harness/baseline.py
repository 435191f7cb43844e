"""The run that the faults are compared with: nothing struck it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.reference import SAMPLE, find_reference
from harness.runs import Runs
from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import Run
from helpers.run.parts import choose_part_rows
from helpers.spark.session import count_cores
from helpers.storage.location import locate

#: photos that a run with one kill may push through the network, per photo of the run
MAX_PASS_SHARE = 1.05
#: parts that a stage meets before it is struck: a third of them or so
SAMPLE_PARTS = 6

_PHOTOS = Path("data", "fruits360")
_FRACTION = 0.4  # of 12,884 photos
_PARTS = 40


@dataclass(frozen=True)
class Baseline:
    """A run that nothing struck, and a copy of it as it was after each stage.

    Attributes
    ----------
    runs
        Starts drivers on the run.
    copies
        Folder of the copies, by stage.
    parts_before_fault
        Parts that a stage of it meets before it is struck.
    is_large
        Whether it is a run of 5,000 real photos, not of the sample.
    """

    runs: Runs
    copies: Path
    parts_before_fault: int
    is_large: bool

    @classmethod
    def make(cls, folder: Path) -> "Baseline":
        """Run all stages: on 5,000 reference photos if they are there, else on the sample."""
        reference = find_reference()
        parameters: dict[str, Any] = {"SOURCE_URI": str(SAMPLE)}
        if reference is not None:
            parameters = {"SOURCE_URI": str(reference / _PHOTOS), "SAMPLE_FRACTION": _FRACTION}
        runs = Runs({**parameters, "RUN_URI": str(folder / "run")}, folder / "counts")
        outcome = runs.run(*NOTEBOOKS, copies=folder / "copies")
        assert outcome.code == 0, outcome.stderr
        is_large = reference is not None
        made = cls(runs, folder / "copies", _PARTS if is_large else SAMPLE_PARTS, is_large)
        assert runs.passes == made.photos
        return made

    def copy_before(self, stage: str, to: Path) -> Runs:
        """Copy the run as it was when ``stage`` was about to begin."""
        earlier = NOTEBOOKS[NOTEBOOKS.index(stage) - 1]
        shutil.copytree(self.copies / earlier, to, copy_function=os.link)
        return Runs({**self.runs.parameters, "RUN_URI": str(to)}, to.with_name(f"{to.name}-counts"))

    def locate_after(self, stage: str) -> str:
        """Return the URI of the run as it was after ``stage``."""
        return str(self.copies / stage)

    @property
    def photos(self) -> int:
        """Distinct photos; each is pushed through the network once."""
        return int(Run(locate(self.runs.uri)).read_manifest()["counts"]["features"])

    @property
    def max_passes(self) -> int:
        """Most passes through the network with one kill: a part per core is lost, 5 % at most.

        The few photos of the sample lie in parts of 32, which are more than 5 % of them.
        """
        lost = count_cores() * choose_part_rows(self.photos, row_bytes=1)
        if self.is_large:
            lost = min(lost, int((MAX_PASS_SHARE - 1) * self.photos))
        return self.photos + lost
