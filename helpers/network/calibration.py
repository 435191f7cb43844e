"""The photos that int8 is calibrated with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from helpers.network.spec import Network
from helpers.run.parts import Parts
from helpers.run.results import to_rgb

PHOTOS = 300


@dataclass(frozen=True)
class Calibration:
    """Photos of the training side, to draw calibration photos from.

    Attributes
    ----------
    pixels
        The table of pixels.
    train
        ``image_id``, ``part`` and ``row`` of each distinct photo of the training side, by
        image_id.
    seed
        Of the draw.
    """

    pixels: Parts
    train: pa.Table
    seed: int

    def read_pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Draw at most 300 photos, and read their pixels: RGB arrays by image_id."""
        count = min(PHOTOS, len(self.train))
        drawn = np.random.default_rng(self.seed).choice(len(self.train), count, replace=False)
        pictures: dict[str, NDArray[np.uint8]] = {}
        chosen = self.train.take(np.sort(drawn)).group_by("part").aggregate([("row", "list")])
        for part, rows in zip(*(column.to_pylist() for column in chosen.columns), strict=True):
            stored = self.pixels.read(part, ["image_id", "height", "width", "pixels"]).take(rows)
            pictures |= zip(stored["image_id"].to_pylist(), to_rgb(stored), strict=True)
        return dict(sorted(pictures.items()))  # in an order that does not depend on the parts

    def count(self, network: Network) -> Mapping[str, int]:
        """Count a network's calibration photos, and those that are not on the training side now."""
        elsewhere = set(network.calibrated).difference(self.train["image_id"].to_pylist())
        return {
            "calibration_photos": len(network.calibrated),
            "calibration_photos_elsewhere": len(elsewhere),
        }
