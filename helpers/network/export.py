"""The process that builds a network with Keras and exports it.

``python -m helpers.network.export FOLDER`` reads ``spec.json`` and, where they are needed,
``weights.h5`` and ``calibration.npz``. It writes the network's files and ``answer.json``. A process
of its own, since Keras and its backend keep their memory. Keras's backend is the engine of the
spec, so TensorFlow is imported for ENGINE='tensorflow' alone.
"""

import hashlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from helpers.backbones import POOLED, Backbone
from helpers.network.graph import add_resizing, keep_first_depthwise_precise
from helpers.network.quantize import MissingNncfError, quantize_graph
from helpers.network.spec import KERAS_FILES, OPENVINO_FILES, NetworkSpec
from helpers.network.store import ANSWER, CALIBRATION, SPEC, WEIGHTS


class RefusedError(Exception):
    """The network cannot be built as specified; the message is for the user."""


def build(folder: Path) -> dict[str, Any]:
    """Build the network, load the weights, export it.

    Returns
    -------
    dict
        ``alpha``, ``width`` (number of features) and ``weights_sha256``.

    Raises
    ------
    RefusedError
        If the weights do not fit the network, or the engine is not installed.
    """
    spec = NetworkSpec(**json.loads((folder / SPEC).read_text()))
    if spec.engine == "tensorflow" and find_spec("tensorflow") is None:
        raise RefusedError(
            "ENGINE='tensorflow' needs TensorFlow: run `pip install '.[tensorflow]'` in the "
            "project's folder"
        )
    import keras

    weights = folder / WEIGHTS
    if spec.engine == "openvino":
        # Channels last, OpenVINO's backend puts transposes around each layer: a third of the speed.
        keras.config.set_image_data_format("channels_first")
    alpha = spec.alpha or (find_alpha(spec.row, weights) if weights.exists() else 1.0)
    backbone = build_backbone(spec, alpha, "imagenet" if spec.weights == "imagenet" else None)
    if weights.exists():
        load_weights(backbone, weights, spec, alpha)
    elif spec.weights == "random":
        assert spec.seed is not None
        draw_weights(backbone, spec.seed)
    _require_finite(backbone)
    if spec.engine == "openvino":
        _export_graph(add_preprocessing(backbone, spec), folder, spec)
    else:
        backbone.save_weights(folder / KERAS_FILES[0])
    digest = hashlib.sha256()
    for array in backbone.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "alpha": alpha,
        "width": int(backbone.output_shape[-1]),
        "weights_sha256": digest.hexdigest(),
    }


def build_backbone(spec: NetworkSpec, alpha: float, weights: str | None) -> Any:
    """Build the bare Keras network, from preprocessed float32 input to the features."""
    import keras

    row = spec.row
    builder = getattr(keras.applications, row.builder)
    options = {**row.options, **({"alpha": alpha} if row.alphas else {})}
    if spec.layer != POOLED:
        whole = builder(weights=weights, include_top=True, **options)
        return keras.Model(whole.input, whole.get_layer(spec.layer).output)
    return builder(
        input_shape=_shape_input(spec.input_size),
        include_top=False,
        weights=weights,
        pooling="avg",
        **options,
    )


def add_preprocessing(backbone: Any, spec: NetworkSpec) -> Any:
    """Put Keras's own preprocessing before a backbone: input RGB, float32, 0 to 255."""
    import keras

    preprocess_input = getattr(keras.applications, spec.row.module).preprocess_input
    rgb = keras.Input(_shape_input(spec.input_size), dtype="float32")
    return keras.Model(rgb, backbone(preprocess_input(rgb)))


def draw_weights(backbone: Any, seed: int) -> None:
    """Draw the kernels of a new network at random: the same numbers with every backend.

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks": uniform within plus and minus the root of 6 / (fan in + fan out), as Keras draws.
    """
    random = np.random.default_rng(seed)
    for variable in backbone.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            fans = (shape[-2] + shape[-1]) * np.prod(shape[:-2])
            limit = np.sqrt(6 / fans)
            variable.assign(random.uniform(-limit, limit, shape).astype(np.float32))


def _shape_input(size: int) -> tuple[int, ...]:
    """Return the shape of an RGB photo in Keras's data format."""
    import keras

    is_first = keras.config.image_data_format() == "channels_first"
    return (3, size, size) if is_first else (size, size, 3)


def find_alpha(row: Backbone, weights: Path) -> float:
    """Find the width of the backbone that has as many weights as the file."""
    import keras

    held, _ = _read_layout(weights)
    builder = getattr(keras.applications, row.builder)
    for alpha in row.alphas:
        bare = builder(
            input_shape=_shape_input(96),
            alpha=alpha,
            include_top=False,
            weights=None,
            **row.options,
        )
        if bare.count_params() == held:
            return alpha
    return 1.0  # loading says what does not fit


def load_weights(backbone: Any, weights: Path, spec: NetworkSpec, alpha: float) -> None:
    """Load a weights file.

    Raises
    ------
    RefusedError
        If the file is damaged, or holds the weights of another network.
    """
    _, is_keras2 = _read_layout(weights)
    # Keras tells the layout of a file by its name alone.
    named = weights.rename(weights.with_suffix(".h5" if is_keras2 else ".weights.h5"))
    try:
        backbone.load_weights(named)
    except (ValueError, OSError, KeyError) as error:
        line = " ".join(str(error).split())[:300]
        kind = f"alpha {alpha}" if spec.row.alphas else f"layer {spec.layer}"
        raise RefusedError(
            f"WEIGHTS must be the weights of {spec.backbone} ({kind}), and the file is not: {line}"
        ) from error


def _read_layout(weights: Path) -> tuple[int, bool]:
    """Read how many numbers a weights file holds, and whether its layout is Keras 2's."""
    import h5py

    sizes: list[int] = []
    try:
        with h5py.File(weights) as file:
            file.visititems(
                lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None
            )
            return sum(sizes), "layer_names" in file.attrs
    except OSError as error:
        raise RefusedError(f"WEIGHTS must be a whole HDF5 file: {error}") from error


def _require_finite(backbone: Any) -> None:
    """Refuse weights that are not finite: ReLU6 hides what they do to the features."""
    for variable in backbone.weights:
        if not np.isfinite(variable.numpy()).all():
            raise RefusedError(f"WEIGHTS must be finite numbers, and {variable.path} is not")


def _export_graph(model: Any, folder: Path, spec: NetworkSpec) -> None:
    """Export to OpenVINO: uint8 photos of any size in, features out, the batch fixed."""
    import keras
    import openvino

    raw = folder / "raw.xml"
    # An open batch would be traced as 1, and some layers keep that 1.
    signature = [keras.InputSpec(shape=(spec.batch, *model.inputs[0].shape[1:]), dtype="float32")]
    model.export(str(raw), format="openvino", verbose=False, input_signature=signature)
    graph = add_resizing(openvino.Core().read_model(str(raw)), spec.input_size, spec.batch)
    if spec.precision == "int8":
        try:
            graph = quantize_graph(graph, folder / CALIBRATION, spec.batch)
        except MissingNncfError as error:
            raise RefusedError(str(error)) from error
    graph_file = folder / OPENVINO_FILES[0]
    openvino.save_model(graph, str(graph_file), compress_to_fp16=False)
    if spec.precision == "bf16":
        keep_first_depthwise_precise(graph_file)


def main(folder: Path) -> None:
    """Build what ``folder`` specifies; say there what was built, or why not."""
    spec = json.loads((folder / SPEC).read_text())
    os.environ["KERAS_BACKEND"] = spec["engine"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        answer = build(folder)
    except RefusedError as error:
        answer = {"refused": str(error)}
    (folder / ANSWER).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
