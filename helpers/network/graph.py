"""The exported graph: photos of any size in, features out."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np


def add_resizing(graph: Any, size: int, batch: int) -> Any:
    """Give an OpenVINO graph an input of uint8 photos of any height and width.

    Parameters
    ----------
    graph
        A graph with one input of shape (``batch``, 3, ``size``, ``size``), float32.
    batch
        Photos that the graph computes at once.
    """
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(graph)
    photos = steps.input().tensor()
    photos.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    photos.set_spatial_dynamic_shape()
    steps.input().preprocess().custom(lambda photos: _resize(photos, size).output(0))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    resized = steps.build()
    resized.reshape([batch, -1, -1, 3])
    return resized


def _resize(photos: Any, size: int) -> Any:
    """Resize photos of shape (n, h, w, 3) to float32 of shape (n, ``size``, ``size``, 3).

    Bilinear with half-pixel centers and without antialiasing: the numbers of tf.image.resize. One
    axis after the other, each as the rows of a picture one pixel wide: OpenVINO vectorizes over
    what follows the rows, and three colors would fill three lanes of a vector.
    """
    from openvino import opset13 as ops

    def resize_rows(rows: Any) -> Any:  # (n, rows, a, b) to (n, size, a * b)
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
    columns = resize_rows(ops.convert(ops.transpose(photos, swapped), "f32"))
    wide = ops.transpose(ops.reshape(columns, np.array([0, size, -1, 3]), True), swapped)
    return ops.reshape(resize_rows(wide), np.array([0, size, size, 3]), True)


def keep_first_depthwise_precise(graph_file: Path) -> None:
    """Mark the first depthwise convolution, if there is one, to be computed in float32.

    It makes half of bfloat16's error: over an even background its weights nearly cancel.
    """
    tree = ElementTree.parse(graph_file)
    first = tree.find("./layers/layer[@type='GroupConvolution']")
    if first is not None:
        marks = first.find("rt_info")
        if marks is None:
            marks = ElementTree.SubElement(first, "rt_info")
        ElementTree.SubElement(marks, "attribute", name="precise", version="0")
        tree.write(graph_file, xml_declaration=True)
