"""What all measurements share: how much is measured, the photos, the networks, a place to write."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bare, compare, stages
from benchmarks.peers import Keras
from benchmarks.photos import Photos
from benchmarks.processes import Processes
from benchmarks.timing import Budget
from helpers.backbones import KERAS_FILES
from helpers.run.manifest import MANIFEST
from helpers.spark import environment, session

COMPONENTS = 300
BATCHES = (1, 4, 8, 16, 32)
SAME = 1e-4  # relative error between engines in float32
_TENSORS = 2048
_TRIED = 256  # photos that a setting of the bare engine is tried on


@dataclass(frozen=True)
class Plan:
    """How much is measured: minutes in all, and photos.

    ``photos`` go through the whole pipeline, ``few`` through the peers, ``least`` is the
    smallest of four sizes that double, ``vgg`` go through VGG16.
    """

    minutes: float
    photos: int
    few: int
    least: int
    vgg: int


FULL = Plan(minutes=40, photos=12_884, few=2048, least=1600, vgg=320)
QUICK = Plan(minutes=8, photos=768, few=192, least=64, vgg=32)


class Work:
    """The measurements' common ground; files lie below ``scratch``."""

    def __init__(self, plan: Plan, photos: Path, weights: str, scratch: Path) -> None:
        self.plan = plan
        self.weights = weights
        self.photos = Photos(photos, scratch / "photos")
        log = scratch / "log.txt"
        self.processes = Processes(log)
        self.project = Processes(log, environment.MEMORY)  # as the kernel starts with
        self.budget = Budget(60 * plan.minutes)
        self.cores = session.count_cores()
        self._scratch = scratch
        self._limit: bare.Limit | None = None

    def settings(self, run: Path, photos: Path, **more: Any) -> dict[str, Any]:
        """Parameters of a run as the notebooks take them."""
        return {
            "SOURCE_URI": str(photos),
            "RUN_URI": str(run),
            "WEIGHTS": self.weights,
            "COMPONENTS": components(self.plan.photos),
            **more,
        }

    def new_folder(self, name: str) -> Path:
        """A path below the scratch folder where nothing lies."""
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def new_run(self, name: str) -> Path:
        """An empty run that holds the networks built so far, the float32 one among them."""
        folder = self.new_folder(f"runs/{name}")
        network, _ = self.network
        shutil.copytree(network.parent, folder / stages.NETWORKS)
        return folder

    def build(self, **more: Any) -> Path:
        """Build and keep a network; the folder that holds its files."""
        run = self._scratch / "runs" / "built"
        return stages.build_network({"RUN_URI": str(run), "WEIGHTS": self.weights, **more})

    @cached_property
    def network(self) -> tuple[Path, float]:
        """Folder of the exported float32 network; seconds it took to build."""
        started = time.perf_counter()
        return self.build(), time.perf_counter() - started

    @cached_property
    def keras(self) -> Keras:
        """The same network for the peers."""
        folder = self.build(ENGINE="tensorflow")
        manifest = json.loads((folder / "_manifest.json").read_text())
        return Keras(manifest["alpha"], folder / KERAS_FILES[0])

    @property
    def whole_run(self) -> Path:
        """A run of all stages in float32 over the plan's photos, done if it is not there."""
        run = self._scratch / "runs" / "whole"
        if not (run / MANIFEST).exists():
            self.new_run("whole")
            settings = self.settings(run, self.photos.folder(self.plan.photos))
            self.project.call(stages.run, settings)
        return run

    def limit(self, run: Path) -> bare.Limit:
        """The bare engine beside this run; made and checked at the first call.

        Raises
        ------
        DifferentError
            If its features are not those of the run.
        """
        if self._limit is None:
            network, _ = self.network
            self._limit = self.bare_limit(run, network, BATCHES, _TENSORS, _TRIED)
        return self._limit

    def bare_limit(
        self, run: Path, network: Path, batches: Sequence[int], most: int, tried: int
    ) -> bare.Limit:
        """The bare engine at its best setting, its features compared with those of a run."""
        paths, pixels = compare.ready_tensors(run, most)
        file = self.new_folder(f"{network.name}.npy")
        np.save(file, pixels)
        found = bare.limit(network, file, self.cores, batches, tried)
        rows = dict(zip(paths, found.features(), strict=False))
        expected = compare.features_by_path(run)
        error = compare.relative_error(rows, {path: expected[path] for path in rows})
        compare.require_close("the bare engine", error, SAME)
        return found


def components(photos: int) -> int:
    """Principal components for so many photos: 300 where there are enough to fit on."""
    return min(COMPONENTS, photos // 4)
