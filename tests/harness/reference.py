"""Photos for tests: the committed sample, and the reference data that lie outside the project."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data_sample"

VARIABLE = "FRUIT_FEATURES_REFERENCE"
HOW_TO_SET = f"set {VARIABLE} to a folder with data/ (real photos) and weights/ (trained weights)"


def find_reference() -> Path | None:
    """Find the folder of reference data; None where the environment names none.

    Raises
    ------
    ValueError
        If the environment names a folder that is not laid out as reference data.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    folder = Path(given).resolve()
    missing = [name for name in ("data", "weights") if not (folder / name).is_dir()]
    if missing:
        raise ValueError(
            f"{VARIABLE} must name a folder with data/ and weights/, got {given!r} without "
            + " and ".join(f"{name}/" for name in missing)
        )
    return folder
