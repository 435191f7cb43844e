"""Real photos and weights, which the project does not hold."""

import os
from pathlib import Path

VARIABLE = "FRUIT_FEATURES_REFERENCE"
PHOTOS = Path("data", "fruits360")
WEIGHTS = Path("weights", "mobilenet_v2_1.0_224_no_top_dequantised.weights.h5")


def find_reference() -> Path | None:
    """Find the folder of reference data; None where the environment names none.

    Raises
    ------
    FileNotFoundError
        If the photos or the weights are not in the folder that the environment names.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    folder = Path(given).resolve()
    for part in (PHOTOS, WEIGHTS):
        if not (folder / part).exists():
            raise FileNotFoundError(f"{VARIABLE} must name a folder with {part}, got {given!r}")
    return folder
