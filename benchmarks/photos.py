"""The photos to measure on: real ones where there are enough, else their copies."""

import hashlib
import io
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import images

ENDINGS = (".jpg", ".jpeg")
LIMITS = images.Limits(pixels=100_000_000, aspect=20.0)
#: width and height of a photo of a phone's camera, 12 megapixels
LARGE = (4000, 3000)

_START, _COMMENT = b"\xff\xd8", b"\xff\xfe"  # markers of a JPEG file


class Photos:
    """Folders of distinct JPEG files, taken from ``source`` and written below ``scratch``."""

    def __init__(self, source: Path, scratch: Path) -> None:
        self._source = source
        self._scratch = scratch

    def folder(self, count: int) -> Path:
        """A folder of ``count`` photos, spread evenly over the source.

        Where the source has fewer, photos come again, each time with another comment in the
        file: the same picture, but other bytes, so the pipeline takes it for another photo.
        """
        folder = self._scratch / f"photos-{count}"
        if folder.exists():
            return folder
        available = len(self._usable)
        for number in range(count):
            if count <= available:
                path, turn = self._usable[number * available // count], 0
            else:
                path, turn = self._usable[number % available], number // available
            content = (self._source / path).read_bytes()
            if turn:
                content = _commented(content, f"copy {turn}")
                path = Path(f"copy-{turn}") / path
            _write(folder / path, content)
        return folder

    def folder_with_enlarged(self, count: int, enlarged: int, size: int) -> Path:
        """As :meth:`folder`, with ``enlarged`` more photos of just the network's input size.

        Those need no resizing and come as PNG, so every path must find the same features for
        them; they lie below ``enlarged/``.
        """
        folder = self._scratch / f"photos-{count}-{enlarged}"
        if not folder.exists():
            self.folder(count).rename(folder)
            for number, photo in enumerate(sorted(folder.rglob("*.jpg"))[:enlarged]):
                with Image.open(photo) as image:
                    picture = image.convert("RGB").resize((size, size))
                content = io.BytesIO()
                picture.save(content, "PNG")
                _write(folder / "enlarged" / f"{number}.png", content.getvalue())
        return folder

    def small(self) -> list[bytes]:
        """The bytes of 256 photos."""
        return [(self._source / path).read_bytes() for path in self._usable[:256]]

    def large(self) -> bytes:
        """A JPEG of 12 megapixels: photos side by side."""
        width, height = LARGE
        mosaic = Image.new("RGB", LARGE)
        side = 100
        places = [(x, y) for y in range(0, height, side) for x in range(0, width, side)]
        for number, place in enumerate(places):
            path = self._usable[number % len(self._usable)]
            with Image.open(self._source / path) as image:
                mosaic.paste(image.convert("RGB").resize((side, side)), place)
        content = io.BytesIO()
        mosaic.save(content, "JPEG", quality=90)
        return content.getvalue()

    @cached_property
    def _usable(self) -> list[Path]:
        """Paths of the distinct photos that decode, sorted.

        Raises
        ------
        ValueError
            If there is none.
        """
        seen: set[bytes] = set()
        usable = []
        for file in sorted(self._source.rglob("*")):
            if file.suffix.lower() not in ENDINGS or not file.is_file():
                continue
            content = file.read_bytes()
            digest = hashlib.sha256(content).digest()
            if digest not in seen and _decodes(content):
                seen.add(digest)
                usable.append(file.relative_to(self._source))
        if not usable:
            raise ValueError(f"--photos must hold JPEG files, got {str(self._source)!r}")
        return usable


def _decodes(content: bytes) -> bool:
    try:
        picture = images.pixels(images.opened(content, LIMITS), 224)
    except images.RejectedError:
        return False
    return bool(np.ptp(picture))


def _commented(jpeg: bytes, comment: str) -> bytes:
    """The same JPEG with a comment behind its first marker (ITU-T T.81, B.2.4.5)."""
    assert jpeg.startswith(_START)
    text = comment.encode()
    return _START + _COMMENT + (len(text) + 2).to_bytes(2, "big") + text + jpeg[len(_START) :]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
