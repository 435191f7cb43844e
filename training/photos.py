"""The photos the small backbone is trained and measured on, and the classes it must never see.

Layout of the data folder::

    fruits360/Training/<class>/<frame>_100.jpg, fruits360/Test/<class>/<frame>_100.jpg
    grocery/<class>/<name>.jpg
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.photos.decode import pixels

# Whole kinds of fruit, the same in both data sets where both have them (pear, avocado, kiwi,
# mango, pomegranate, passion fruit), and three grapes that differ little from each other.
FRUITS360_HELD_OUT = frozenset(
    {
        "Avocado",
        "Avocado ripe",
        "Granadilla",
        "Grape Pink",
        "Grape White",
        "Grape White 2",
        "Kiwi",
        "Mango",
        "Maracuja",
        "Passion Fruit",
        "Pear",
        "Pear Abate",
        "Pear Monster",
        "Pear Williams",
        "Pomegranate",
    }
)
GROCERY_HELD_OUT = frozenset(
    {
        "Anjou",
        "Avocado",
        "Conference",
        "Kaiser",
        "Kiwi",
        "Mango",
        "Passion-Fruit",
        "Pomegranate",
    }
)

STORED_SIZE = 224


@dataclass(frozen=True)
class Photo:
    """One photo on disk: its path and the class that its folder names."""

    path: Path
    label: str


def list_fruits360(data: Path) -> list[Photo]:
    """List the photos of both folders of Fruits-360, in the order of their paths."""
    return _list_photos([data / "fruits360" / "Training", data / "fruits360" / "Test"])


def list_grocery(data: Path) -> list[Photo]:
    """List the phone photos, in the order of their paths."""
    return _list_photos([data / "grocery"])


def _list_photos(folders: Iterable[Path]) -> list[Photo]:
    photos = [
        Photo(path, path.parent.name)
        for folder in folders
        for path in sorted(folder.glob("*/*.jpg"))
    ]
    if not photos:
        raise FileNotFoundError(f"no <class>/*.jpg below {', '.join(map(str, folders))}")
    return photos


def read_stored(photo: Photo) -> NDArray[np.uint8]:
    """Read a photo as the pipeline stores it.

    Returns
    -------
    uint8 array (height, width, 3), RGB. A side above 224 pixels is reduced to 224 (the aspect is
    not kept); a smaller one stays.
    """
    with Image.open(photo.path) as image:
        return pixels(image, STORED_SIZE)
