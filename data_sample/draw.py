"""Draw the sample photos: fruit on white, turning frame by frame, in the layout of Fruits-360.

    python data_sample/draw.py [--to FOLDER]

Training/ and Test/ of the folder are replaced, and only if every file in them is one of the
sample's. Each run writes the same bytes with the same versions of NumPy and Pillow; another version
or another processor may change a few.
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # it would lie among the photos, and be counted as skipped files

from drawing import files  # noqa: E402


def main() -> None:
    """Draw the sample into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Draw the sample photos.")
    parser.add_argument(
        "--to",
        type=Path,
        default=Path(__file__).parent,
        metavar="FOLDER",
        help="whose Training/ and Test/ are replaced (default: %(default)s)",
    )
    folder: Path = parser.parse_args().to
    for path in files.find_foreign_files(folder):
        parser.error(
            f"--to must name a folder whose Training/ and Test/ hold files of the sample alone, "
            f"got {folder}, which holds {path.relative_to(folder)}: move it first, or it is lost"
        )
    drawn = files.draw_files()
    files.write_files(folder, drawn)
    print(f"{len(drawn)} files, {sum(map(len, drawn.values())) / 1e6:.1f} MB, in {folder}")


if __name__ == "__main__":
    main()
