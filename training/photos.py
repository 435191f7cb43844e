"""The photos that train and measure the small network, and the classes held out from training.

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

from helpers.photos.decode import decode_rgb

# Kinds of fruit are held out of both data sets if both have them (pear, avocado, kiwi, mango,
# pomegranate, passion fruit). Three grapes that look much alike are held out together.
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

STORED_SIZE = 224  # pixels: largest height and width, as the pipeline stores photos


@dataclass(frozen=True)
class Photo:
    """A photo on disk.

    Attributes
    ----------
    path
        Its file.
    label
        Its class: the name of its folder.
    """

    path: Path
    label: str


def list_fruits360(data: Path) -> list[Photo]:
    """List the photos of both folders of Fruits-360, sorted by path in each.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    return _list_photos([data / "fruits360" / "Training", data / "fruits360" / "Test"])


def list_grocery(data: Path) -> list[Photo]:
    """List the phone photos, sorted by path.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
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
    ndarray of uint8, shape (height, width, 3)
        RGB. A height or a width above 224 pixels is reduced to 224, so the aspect is not kept.
    """
    with Image.open(photo.path) as image:
        return decode_rgb(image, STORED_SIZE)
