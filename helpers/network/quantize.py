"""A graph in 8 bits, by NNCF (the extra ``int8``)."""

from pathlib import Path
from typing import Any

import numpy as np


class MissingNncfError(Exception):
    """NNCF is not installed."""


def quantize_graph(graph: Any, calibration: Path, batch: int) -> Any:
    """Quantize an OpenVINO graph with the pictures of an ``.npz`` file.

    Parameters
    ----------
    graph
        A graph whose input is ``batch`` photos.
    calibration
        Each array is a picture of shape (height, width, 3), uint8.

    Raises
    ------
    MissingNncfError
        If NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise MissingNncfError(
            "PRECISION='int8' needs NNCF: run `pip install '.[int8]'` in the project's folder"
        ) from error

    from openvino._offline_transformations import apply_moc_transformations

    # NNCF marks what it sees: a batch norm that is not yet part of its convolution gets a rounding
    # of its own, and the error is four times as large. OpenVINO offers this pass nowhere else.
    apply_moc_transformations(graph, cf=True, smart_reshape=False)
    with np.load(calibration) as arrays:
        pictures = [np.repeat(array[np.newaxis], batch, axis=0) for array in arrays.values()]
    return nncf.quantize(
        graph,
        nncf.Dataset(pictures),
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(types=["Interpolate"]),  # resizing stays in float32
    )
