"""The bare engine on tensors in memory: the limit that no pipeline around it can pass."""

import itertools
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

START_SECONDS = 300.0


@dataclass(frozen=True)
class Setting:
    """How the engine uses the cores: processes, streams per process, photos per batch."""

    processes: int
    streams: int
    batch: int

    def __str__(self) -> str:
        return f"{self.processes} process(es) x {self.streams} stream(s), batch {self.batch}"


@dataclass(frozen=True)
class EngineLimit:
    """The bare engine at its best setting.

    Attributes
    ----------
    network
        Folder of the exported network.
    tensors
        File of the photos' pixels.
    photos
        Number of photos that it computes: the first ones of the file.
    """

    network: Path
    tensors: Path
    photos: int
    setting: Setting

    def measure_seconds(self) -> float:
        """Measure one pass over the tensors, with everything loaded, compiled and warm."""
        return run_engine(self.network, self.tensors, self.setting, self.photos)[0]

    def compute_features(self) -> NDArray[np.float32]:
        """Compute the features of the tensors; shape (photos, width)."""
        return run_engine(self.network, self.tensors, self.setting, self.photos)[1]


def find_limit(
    network: Path, tensors: Path, cores: int, batches: Sequence[int], tried: int
) -> EngineLimit:
    """Find the best setting: one process with a stream per core, or one process per core.

    Parameters
    ----------
    network
        Folder of the exported network that 03 used.
    tensors
        ``.npy`` file of pixels, uint8, shape (photos, height, width, 3).
    tried
        Photos that each setting is tried on, or the nearest number of whole batches.
    """
    available = len(np.load(tensors, mmap_mode="r"))
    settings = [
        Setting(processes, cores // processes, batch)
        for processes, batch in itertools.product(sorted({1, cores}), batches)
    ]
    whole = max(batches) * cores
    tried = max(whole, min(tried, available) // whole * whole)
    best = min(settings, key=lambda setting: run_engine(network, tensors, setting, tried)[0])
    photos = available - available % (best.batch * best.processes)
    return EngineLimit(network, tensors, photos, best)


def run_engine(
    network: Path, tensors: Path, setting: Setting, photos: int
) -> tuple[float, NDArray[np.float32]]:
    """Compute the features of the first ``photos`` tensors.

    Returns
    -------
    seconds, features
        The features have shape (photos, width).

    Raises
    ------
    ValueError
        If the photos cannot be divided into whole batches.
    """
    share, rest = divmod(photos, setting.processes * setting.batch)
    if rest or not share:
        raise ValueError(f"photos must make whole batches of {setting}, got {photos}")
    share *= setting.batch
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(setting.processes)
    workers = []
    for number in range(setting.processes):
        here, there = context.Pipe(duplex=False)
        rows = slice(number * share, (number + 1) * share)
        worker = context.Process(
            target=_run_worker, args=(network, tensors, setting, rows, ready, there)
        )
        worker.start()
        there.close()  # so that a dead worker ends the wait below
        workers.append((worker, here))
    answers = [connection.recv() for _, connection in workers]
    for worker, _ in workers:
        worker.join()
    starts, ends, features = zip(*answers, strict=True)
    return max(ends) - min(starts), np.concatenate(features)


def _run_worker(
    network: Path, tensors: Path, setting: Setting, rows: slice, ready: Barrier, answer: Connection
) -> None:
    import openvino

    photos = np.load(tensors, mmap_mode="r")[rows].copy()
    core = openvino.Core()
    model = core.read_model(network / "network.xml")
    model.reshape([setting.batch, *photos.shape[1:]])
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": setting.streams,
        "NUM_STREAMS": setting.streams,
        "INFERENCE_PRECISION_HINT": openvino.Type.f32,
    }
    if setting.processes > 1:
        options["ENABLE_CPU_PINNING"] = False  # else all processes share one core
    compiled = core.compile_model(model, "CPU", options)
    features = np.empty((len(photos), compiled.output(0).shape[1]), np.float32)
    queue = openvino.AsyncInferQueue(compiled, setting.streams)

    def keep(request: Any, begin: int) -> None:
        features[begin : begin + setting.batch] = request.get_output_tensor(0).data

    queue.set_callback(keep)
    begins = range(0, len(photos), setting.batch)
    for begin in begins[: 2 * setting.streams]:  # warms up
        queue.start_async({0: photos[begin : begin + setting.batch]}, begin, share_inputs=True)
    queue.wait_all()
    ready.wait(START_SECONDS)
    started = time.monotonic()
    for begin in begins:
        queue.start_async({0: photos[begin : begin + setting.batch]}, begin, share_inputs=True)
    queue.wait_all()
    answer.send((started, time.monotonic(), features))
