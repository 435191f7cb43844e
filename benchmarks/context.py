"""What all measurements share: how much is measured, the photos, the networks, a scratch folder."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import compare, engine_limit, stages
from benchmarks.peers import Keras
from benchmarks.photos import Photos
from benchmarks.processes import Processes
from benchmarks.timing import Budget
from helpers.network.spec import KERAS_FILES
from helpers.run.manifest import MANIFEST
from helpers.run.snapshots import MANIFEST as SNAPSHOT_MANIFEST
from helpers.spark import environment, session

COMPONENTS = 300
BATCHES = (1, 4, 8, 16, 32)
MAX_ERROR = 1e-4  # relative, between engines in float32
_TENSORS = 2048
_TRIED = 256  # photos that a setting of the bare engine is tried on


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    minutes
        For all measurements together.
    photos
        Photos that go through the whole pipeline.
    few
        Photos that go through the peers.
    least
        The smallest of four numbers of photos that double.
    vgg
        Photos that go through VGG16.
    """

    minutes: float
    photos: int
    few: int
    least: int
    vgg: int


FULL = Plan(minutes=40, photos=12_884, few=2048, least=1600, vgg=320)
QUICK = Plan(minutes=8, photos=768, few=192, least=64, vgg=32)


class Context:
    """What the measurements share; its files lie below ``scratch``.

    Attributes
    ----------
    processes, project
        Start functions in processes of their own: as they are, and with the environment of the
        project's kernel.
    """

    def __init__(self, plan: Plan, photos: Path, weights: str, scratch: Path) -> None:
        self.plan = plan
        self.weights = weights
        self.photos = Photos(photos, scratch / "photos")
        log = scratch / "log.txt"
        self.processes = Processes(log)
        self.project = Processes(log, environment.MEMORY)
        self.budget = Budget(60 * plan.minutes)
        self.cores = session.count_cores()
        self._scratch = scratch
        self._limit: engine_limit.EngineLimit | None = None

    def make_parameters(self, run: Path, photos: Path, **more: Any) -> dict[str, Any]:
        """Make the parameters of a run as the notebooks take them."""
        return {
            "SOURCE_URI": str(photos),
            "RUN_URI": str(run),
            "WEIGHTS": self.weights,
            "COMPONENTS": choose_components(self.plan.photos),
            **more,
        }

    def clear_folder(self, name: str) -> Path:
        """Return a path below the scratch folder; what was there is removed."""
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_run(self, name: str) -> Path:
        """Return an empty run that holds only the networks built so far, the float32 one too."""
        folder = self.clear_folder(f"runs/{name}")
        network, _ = self.network
        shutil.copytree(network.parent, folder / stages.NETWORKS)
        return folder

    def build_network(self, **more: Any) -> Path:
        """Build and keep a network; return the folder that holds its files."""
        run = self._scratch / "runs" / "built"
        return stages.build_network({"RUN_URI": str(run), "WEIGHTS": self.weights, **more})

    @cached_property
    def network(self) -> tuple[Path, float]:
        """Folder of the exported float32 network, and the seconds that it took to build."""
        started = time.perf_counter()
        return self.build_network(), time.perf_counter() - started

    @cached_property
    def keras(self) -> Keras:
        """The same network for the peers."""
        folder = self.build_network(ENGINE="tensorflow")
        manifest = json.loads((folder / SNAPSHOT_MANIFEST).read_text())
        return Keras(manifest["alpha"], folder / KERAS_FILES[0])

    @property
    def whole_run(self) -> Path:
        """A run of all stages in float32 over the plan's photos; it is made if it is not there."""
        run = self._scratch / "runs" / "whole"
        if not (run / MANIFEST).exists():
            self.clear_run("whole")
            parameters = self.make_parameters(run, self.photos.write_folder(self.plan.photos))
            self.project.call(stages.run, parameters)
        return run

    def find_limit(self, run: Path) -> engine_limit.EngineLimit:
        """Find the limit of the bare engine for the float32 network, at the first call.

        Raises
        ------
        DifferentError
            If its features are not those of the run.
        """
        if self._limit is None:
            network, _ = self.network
            self._limit = self.find_limit_of(run, network, BATCHES, _TENSORS, _TRIED)
        return self._limit

    def find_limit_of(
        self, run: Path, network: Path, batches: Sequence[int], most: int, tried: int
    ) -> engine_limit.EngineLimit:
        """Find the limit of the bare engine for a network.

        Parameters
        ----------
        run
            The run whose pixels it computes and whose features it must compute.
        most
            Photos that it computes at most.
        batches, tried
            As :func:`benchmarks.engine_limit.find_limit` has them.

        Raises
        ------
        DifferentError
            If its features are not those of the run.
        """
        paths, pixels = compare.read_tensors(run, most)
        file = self.clear_folder(f"{network.name}.npy")
        np.save(file, pixels)
        limit = engine_limit.find_limit(network, file, self.cores, batches, tried)
        rows = dict(zip(paths, limit.compute_features(), strict=False))
        expected = compare.read_features_by_path(run)
        error = compare.measure_error(rows, {path: expected[path] for path in rows})
        compare.require_close("the bare engine", error, MAX_ERROR)
        return limit


def choose_components(photos: int) -> int:
    """Choose the number of components: 300 where there are enough photos to fit on."""
    return min(COMPONENTS, photos // 4)
