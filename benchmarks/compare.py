"""Outputs are compared before times are: peers that compute something else are no peers."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from helpers.run import results
from helpers.run.manifest import FEATURIZE, Run
from helpers.storage.location import locate

_PATHS = """
SELECT i.path, lower(hex(d.image_id)) AS image_id
FROM decoded AS d JOIN images AS i ON i.photo = d.photo ORDER BY d.photo
"""

Rows = Mapping[str, NDArray[np.floating[Any]]]


class DifferentError(RuntimeError):
    """Two ways that should compute the same numbers do not."""


def measure_error(found: Rows, expected: Rows) -> float:
    """Measure the norm of the difference over the norm of ``expected``, over its keys.

    Raises
    ------
    DifferentError
        If a key is missing.
    """
    missing = expected.keys() - found.keys()
    if missing:
        raise DifferentError(f"{len(missing):,} of {len(expected):,} rows are missing")
    ours = np.stack([found[key] for key in expected])
    theirs = np.stack([expected[key] for key in expected])
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def require_close(what: str, error: float, most: float) -> None:
    """Raise if an error is above ``most``.

    Raises
    ------
    DifferentError
        With both.
    """
    if not error <= most:
        raise DifferentError(f"{what}: relative error must be at most {most:g}, got {error:g}")


def read_features_by_path(run: Path) -> dict[str, NDArray[np.float32]]:
    """Read the features that 03 finished last in a run, by the photos' paths."""
    opened = Run(locate(str(run)))
    record = opened.require(FEATURIZE)
    with results.plan_decoded(opened, record) as planner:
        photos = planner.read(_PATHS)
    by_id = read_rows_by(run / "features" / record.lineage["features"], "image_id", "features")
    pairs = zip(photos["path"].to_pylist(), photos["image_id"].to_pylist(), strict=True)
    return {path: by_id[image_id] for path, image_id in pairs}


def read_rows_by(folder: Path, key: str, values: str) -> dict[str, NDArray[Any]]:
    """Read a column of lists from a folder of Parquet files, by another column."""
    table = ds.dataset(folder).to_table(columns=[key, values])
    flat = pc.list_flatten(table[values]).to_numpy()
    return dict(zip(table[key].to_pylist(), flat.reshape(len(table), -1), strict=True))


def read_tensors(run: Path, most: int) -> tuple[list[str], NDArray[np.uint8]]:
    """Read stored pixels of the most frequent size, of at most ``most`` photos.

    Returns
    -------
    paths, pixels
        The pixels have shape (photos, height, width, 3).
    """
    columns = ["path", "height", "width", "pixels"]
    rows = ds.dataset(run / "pixels").head(most, columns=columns)
    pictures = results.to_rgb(rows)
    [(shape, _)] = Counter(picture.shape for picture in pictures).most_common(1)
    chosen = [i for i, picture in enumerate(pictures) if picture.shape == shape]
    return rows["path"].take(chosen).to_pylist(), np.stack([pictures[i] for i in chosen])
