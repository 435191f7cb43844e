"""The subprocess that builds a network with Keras and exports it: ``python -m helpers.builder``.

Its folder holds ``request.json``, perhaps ``weights.h5`` and calibration photos; it adds the
network's files and ``answer.json``.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from helpers.backbones import CALIBRATION, KERAS_FILES, OPENVINO_FILES
from helpers.parameters import ALPHAS


class RefusedError(Exception):
    """The request cannot be met; the message is for the user."""


def build(folder: Path) -> dict[str, Any]:
    """Build, load the weights, export; say what was built.

    Raises
    ------
    RefusedError
        If the weights do not fit the network.
    """
    import keras

    request = json.loads((folder / "request.json").read_text())
    weights = folder / "weights.h5"
    if request["weights"].startswith("random"):
        keras.utils.set_random_seed(request["seed"])
    alpha = request["alpha"] or (_alpha(weights) if weights.exists() else 1.0)
    backbone = assembled(request, alpha, "imagenet" if request["weights"] == "imagenet" else None)
    if weights.exists():
        _load(backbone, weights, request, alpha)
    _require_finite(backbone)
    if request["engine"] == "openvino":
        _export(preprocessed(backbone, request), folder, request)
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


def assembled(request: dict[str, Any], alpha: float, weights: str | None) -> Any:
    """The bare Keras network of a request, from float32 input to the features."""
    import keras

    size = request["input"]
    if request["backbone"] == "mobilenet_v2":
        return keras.applications.MobileNetV2(
            input_shape=(size, size, 3),
            alpha=alpha,
            include_top=False,
            weights=weights,
            pooling="avg",
        )
    if request["layer"] == "fc2":
        whole = keras.applications.VGG16(weights=weights, include_top=True)
        return keras.Model(whole.input, whole.get_layer("fc2").output)
    return keras.applications.VGG16(
        input_shape=(size, size, 3), include_top=False, weights=weights, pooling="avg"
    )


def preprocessed(backbone: Any, request: dict[str, Any]) -> Any:
    """The network with Keras's own preprocessing before it: input RGB, float32, 0 to 255."""
    import keras

    module = getattr(keras.applications, request["backbone"])
    rgb = keras.Input((request["input"], request["input"], 3), dtype="float32")
    return keras.Model(rgb, backbone(module.preprocess_input(rgb)))


def _numbers(weights: Path) -> tuple[int, bool]:
    """How many numbers a weights file holds, and whether it is of Keras 2's layout."""
    import h5py

    sizes: list[int] = []
    try:
        with h5py.File(weights) as file:
            file.visititems(
                lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None
            )
            return sum(sizes), "layer_names" in file.attrs
    except OSError as error:
        raise RefusedError(f"WEIGHTS must be an HDF5 file that is whole: {error}") from error


def _alpha(weights: Path) -> float:
    """The width of MobileNetV2 that has as many numbers as this file."""
    import keras

    held, _ = _numbers(weights)
    for alpha in ALPHAS:
        bare = keras.applications.MobileNetV2((96, 96, 3), alpha, include_top=False, weights=None)
        if bare.count_params() == held:
            return alpha
    return 1.0  # none of MobileNetV2's: loading says what does not fit


def _load(backbone: Any, weights: Path, request: dict[str, Any], alpha: float) -> None:
    _, is_old = _numbers(weights)
    # Keras tells the layout of a file by its name alone.
    named = weights.rename(weights.with_suffix(".h5" if is_old else ".weights.h5"))
    try:
        backbone.load_weights(named)
    except (ValueError, OSError, KeyError) as error:
        line = " ".join(str(error).split())[:300]
        is_vgg = request["backbone"] == "vgg16"
        kind = f"layer {request['layer']}" if is_vgg else f"alpha {alpha}"
        raise RefusedError(
            f"WEIGHTS must be the weights of {request['backbone']} ({kind}), and the file is "
            f"not: {line}"
        ) from error


def _require_finite(backbone: Any) -> None:
    """Refuse weights that are not finite: ReLU6 hides what they do to the features."""
    for variable in backbone.weights:
        if not np.isfinite(variable.numpy()).all():
            raise RefusedError(f"WEIGHTS must be finite numbers, and {variable.path} is not")


def _export(model: Any, folder: Path, request: dict[str, Any]) -> None:
    """Export to OpenVINO: uint8 photos of any size in, features out, the batch fixed."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    raw = folder / "raw.xml"
    model.export(str(raw), format="openvino", verbose=False)
    steps = PrePostProcessor(openvino.Core().read_model(str(raw)))
    layout = openvino.Layout("NHWC")
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(layout)
    steps.input().tensor().set_spatial_dynamic_shape()
    steps.input().model().set_layout(layout)
    steps.input().preprocess().custom(lambda photos: _resized(photos, request["input"]).output(0))
    graph = steps.build()
    graph.reshape([request["batch"], -1, -1, 3])
    if request["precision"] == "int8":
        graph = _quantised(graph, folder / CALIBRATION, request["batch"])
    graph_file = folder / OPENVINO_FILES[0]
    openvino.save_model(graph, str(graph_file), compress_to_fp16=False)
    if request["precision"] == "bf16":
        _keep_precise(graph_file)


def _resized(photos: Any, size: int) -> Any:
    """Photos of shape (n, h, w, 3) as float32, resized to (n, ``size``, ``size``, 3).

    Bilinear with half-pixel centres and without antialiasing: the numbers of tf.image.resize. One
    axis after the other, each as the rows of a picture one pixel wide: OpenVINO is quick along
    whatever lies behind the rows, and three colours there would use three lanes of a vector.
    """
    from openvino import opset13 as ops

    def along_rows(rows: Any) -> Any:  # (n, rows, a, b) to (n, size, a * b)
        flat = ops.reshape(rows, np.array([0, 0, 1, -1]), True)
        return ops.interpolate(
            flat,
            np.array([size, 1]),
            "linear",
            "sizes",
            axes=np.array([1, 2]),
            coordinate_transformation_mode="half_pixel",
        )

    swapped = np.array([0, 2, 1, 3])
    columns = along_rows(ops.convert(ops.transpose(photos, swapped), "f32"))
    wide = ops.transpose(ops.reshape(columns, np.array([0, size, -1, 3]), True), swapped)
    return ops.reshape(along_rows(wide), np.array([0, size, size, 3]), True)


def _keep_precise(graph: Path) -> None:
    """Mark the first depthwise convolution, if there is one, to be computed in float32.

    It alone makes half the error of bfloat16: over an even background its weights nearly cancel.
    """
    tree = ElementTree.parse(graph)
    first = tree.find("./layers/layer[@type='GroupConvolution']")
    if first is not None:
        marks = first.find("rt_info")
        if marks is None:
            marks = ElementTree.SubElement(first, "rt_info")
        ElementTree.SubElement(marks, "attribute", name="precise", version="0")
        tree.write(graph, xml_declaration=True)


def _quantised(graph: Any, calibration: Path, batch: int) -> Any:
    """The graph in 8 bits, calibrated with the given photos; NNCF is an optional dependency."""
    try:
        import nncf
    except ImportError as error:
        raise RefusedError(
            "PRECISION='int8' needs NNCF: pip install '.[int8]' in the project's folder"
        ) from error

    with np.load(calibration) as arrays:
        pictures = [np.repeat(array[np.newaxis], batch, axis=0) for array in arrays.values()]
    return nncf.quantize(
        graph,
        nncf.Dataset(pictures),
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(types=["Interpolate"]),  # resizing stays float32
    )


def main(folder: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        answer = build(folder)
    except RefusedError as error:
        answer = {"refused": str(error)}
    (folder / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
