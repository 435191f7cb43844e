"""Runs an exported network in a task: OpenVINO, or Keras as the reference.

Each Python worker compiles a network once and keeps it.
"""

import io
import json
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from helpers.backbones import KERAS_FILES, OPENVINO_FILES, Network, instruction_set

_KERAS_BATCH = 16


class Engine(Protocol):
    """Turns photos into features."""

    def features(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of RGB photos of shape (height, width, 3); shape (photos, width), in order."""


@lru_cache(maxsize=1)
def engine(network: Network) -> Engine:
    """The network, compiled for this process.

    Raises
    ------
    RuntimeError
        If this processor computes the network's precision differently from the one that the
        features are fingerprinted for, or not at all.
    """
    expected = network.request.get("instructions")
    if expected is not None and expected != instruction_set():
        raise RuntimeError(
            f"PRECISION={network.request['precision']!r} must run on processors of one kind: "
            f"the driver has {expected}, this one has {instruction_set()}"
        )
    if network.request["engine"] == "openvino":
        return OpenvinoEngine(network)
    return KerasEngine(network)


class OpenvinoEngine:
    """OpenVINO on one thread: as many tasks as cores share the machine.

    The graph is compiled for the size of the first photos, and once more, for any size, when
    another is met: knowing the size spares 2 % of the time.
    """

    def __init__(self, network: Network) -> None:
        import openvino

        self._openvino = openvino
        self._files = [network.files[name] for name in OPENVINO_FILES]
        self._precision = network.request["precision"]
        self._batch = int(network.request["batch"])
        self._width = network.width
        self._shape: tuple[int, ...] | None = None
        self._request: Any = None

    def features(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of RGB photos, computed in the fixed batch, photos of one size together."""
        result = np.empty((len(photos), self._width), np.float32)
        for indices in _batches(photos, self._batch):
            shape = (self._batch, *photos[indices[0]].shape)
            self._compile(shape)
            pixels = self._input(shape)
            for place, i in enumerate(indices):
                pixels[place] = photos[i]
            pixels[len(indices) :] = 0
            # Less between two photos than by infer() with its arguments: 2 % of the time.
            self._request.start_async()
            self._request.wait()
            result[indices] = self._request.get_output_tensor(0).data[: len(indices)]
        return result

    def _compile(self, shape: tuple[int, ...]) -> None:
        """Make the graph ready for photos of this shape, unless it is."""
        any_size = (self._batch, -1, -1, 3)
        if self._shape in (shape, any_size):
            return
        self._request = None  # gives its memory back before the next graph takes as much
        self._shape = shape if self._shape is None else any_size
        hint = self._openvino.Type.bf16 if self._precision == "bf16" else self._openvino.Type.f32
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            # By default every process pins itself to the same core.
            "ENABLE_CPU_PINNING": False,
            # By default a processor with AMX computes in bfloat16.
            "INFERENCE_PRECISION_HINT": hint,
        }
        core = self._openvino.Core()
        model = core.read_model(*map(io.BytesIO, self._files))
        model.reshape(list(self._shape))
        compiled = core.compile_model(model, "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT") != hint:
            raise RuntimeError(f"PRECISION must be one this processor has, got {self._precision!r}")
        self._request = compiled.create_infer_request()

    def _input(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The network's input tensor, as an array of this shape to write the photos to."""
        tensor = self._request.get_input_tensor(0)
        if tuple(tensor.shape) != shape:
            tensor = self._openvino.Tensor(self._openvino.Type.u8, list(shape))
            self._request.set_input_tensor(0, tensor)
        array: NDArray[np.uint8] = tensor.data
        return array


class KerasEngine:
    """Keras on TensorFlow, on one thread: slow, and the reference the other is held to."""

    def __init__(self, network: Network) -> None:
        import tensorflow as tf

        from helpers.builder import assembled, preprocessed

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        request = json.loads(json.dumps(dict(network.request)))
        backbone = assembled(request, network.alpha, weights=None)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / KERAS_FILES[0]
            file.write_bytes(network.files[KERAS_FILES[0]])
            backbone.load_weights(file)
        model = preprocessed(backbone, request)
        size = (network.input_size, network.input_size)

        def forward(stacked: Any) -> Any:
            enlarged = tf.image.resize(tf.cast(stacked, tf.float32), size)
            return model(enlarged, training=False)

        self._forward = tf.function(forward, reduce_retracing=True)
        self._width = network.width

    def features(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of RGB photos, photos of one size together."""
        result = np.empty((len(photos), self._width), np.float32)
        for indices in _batches(photos, _KERAS_BATCH):
            result[indices] = self._forward(np.stack([photos[i] for i in indices])).numpy()
        return result


def _batches(photos: Sequence[NDArray[np.uint8]], most: int) -> list[list[int]]:
    """Indices of photos of one shape, at most ``most`` together."""
    order = sorted(range(len(photos)), key=lambda i: photos[i].shape)
    batches = []
    for _, same in groupby(order, key=lambda i: photos[i].shape):
        indices = list(same)
        batches += [indices[start : start + most] for start in range(0, len(indices), most)]
    return batches
