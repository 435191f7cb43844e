"""Running an exported network: with OpenVINO, or with Keras as the reference."""

import io
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from helpers.network.export import add_preprocessing, build_backbone
from helpers.network.spec import KERAS_FILES, OPENVINO_FILES, Network, read_instruction_set

_KERAS_BATCH = 16  # photos


class Engine(Protocol):
    """Turns photos into features."""

    def compute(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Compute the features of RGB photos of shape (height, width, 3): shape (photos, width)."""


@lru_cache(maxsize=1)
def load_engine(network: Network) -> Engine:
    """Load a network to run it. A process keeps the last one that it loaded.

    Raises
    ------
    RuntimeError
        If this processor computes the network's precision differently from the one that the
        features are fingerprinted for, or not at all.
    """
    spec = network.spec
    if spec.instructions is not None and spec.instructions != read_instruction_set():
        raise RuntimeError(
            f"PRECISION={spec.precision!r} must run on processors of one kind: "
            f"the driver has {spec.instructions}, this one has {read_instruction_set()}"
        )
    if spec.engine == "openvino":
        return OpenvinoEngine(network)
    return KerasEngine(network)


class OpenvinoEngine:
    """OpenVINO on one thread: Spark runs one task per core.

    The graph is compiled for the size of the first photos. When another size comes, it is compiled
    once more, for any size: a known size saves 2 % of the time.
    """

    def __init__(self, network: Network) -> None:
        import openvino

        self._openvino = openvino
        self._files = [network.files[name] for name in OPENVINO_FILES]
        self._precision = network.spec.precision
        self._batch = network.spec.batch
        self._width = network.width
        self._shape: tuple[int, ...] | None = None
        self._request: Any = None

    def compute(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Compute the features of RGB photos: shape (photos, width), in order."""
        result = np.empty((len(photos), self._width), np.float32)
        for indices in _batch_by_shape(photos, self._batch):
            shape = (self._batch, *photos[indices[0]].shape)
            self._compile(shape)
            pixels = self._input_array(shape)
            for place, i in enumerate(indices):
                pixels[place] = photos[i]
            pixels[len(indices) :] = 0
            # infer() with its arguments would take 2 % longer.
            self._request.start_async()
            self._request.wait()
            result[indices] = self._request.get_output_tensor(0).data[: len(indices)]
        return result

    def _compile(self, shape: tuple[int, ...]) -> None:
        """Compile the graph for photos of this shape, unless it is compiled for them."""
        any_size = (self._batch, -1, -1, 3)
        if self._shape in (shape, any_size):
            return
        wanted = shape if self._shape is None else any_size
        # Frees its memory before the next graph takes as much; a failure leaves nothing behind.
        self._request = self._shape = None
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
        model.reshape(list(wanted))
        compiled = core.compile_model(model, "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT") != hint:
            raise RuntimeError(f"PRECISION must be one this processor has, got {self._precision!r}")
        self._request = compiled.create_infer_request()
        self._shape = wanted

    def _input_array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the network's input tensor as an array of this shape, to write photos to."""
        tensor = self._request.get_input_tensor(0)
        if tuple(tensor.shape) != shape:
            tensor = self._openvino.Tensor(self._openvino.Type.u8, list(shape))
            self._request.set_input_tensor(0, tensor)
        array: NDArray[np.uint8] = tensor.data
        return array


class KerasEngine:
    """Keras with TensorFlow on one thread: slow, and the reference for the other engine."""

    def __init__(self, network: Network) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        spec = network.spec
        backbone = build_backbone(spec, network.alpha, weights=None)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / KERAS_FILES[0]
            file.write_bytes(network.files[KERAS_FILES[0]])
            backbone.load_weights(file)
        model = add_preprocessing(backbone, spec)
        size = (spec.input_size, spec.input_size)

        def forward(stacked: Any) -> Any:
            enlarged = tf.image.resize(tf.cast(stacked, tf.float32), size)
            return model(enlarged, training=False)

        self._forward = tf.function(forward, reduce_retracing=True)
        self._width = network.width

    def compute(self, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Compute the features of RGB photos: shape (photos, width), in order."""
        result = np.empty((len(photos), self._width), np.float32)
        for indices in _batch_by_shape(photos, _KERAS_BATCH):
            result[indices] = self._forward(np.stack([photos[i] for i in indices])).numpy()
        return result


def _batch_by_shape(photos: Sequence[NDArray[np.uint8]], size: int) -> list[list[int]]:
    """Batch the indices of photos of one shape, at most ``size`` together."""
    order = sorted(range(len(photos)), key=lambda i: photos[i].shape)
    batches = []
    for _, same in groupby(order, key=lambda i: photos[i].shape):
        indices = list(same)
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches
