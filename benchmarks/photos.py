"""The photos to measure on; where there are too few, copies with other bytes are added."""

import hashlib
import io
from functools import cached_property
from itertools import cycle, product
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.photos.decode import Limits, RejectedError, decode_rgb, open_image

ENDINGS = (".jpg", ".jpeg")
LIMITS = Limits(pixels=100_000_000, aspect=20.0)
#: width and height of a photo of a phone's camera, 12 megapixels
LARGE = (4000, 3000)
OCTAVES = (1, 2, 4, 8, 15, 30)  # rows of photos in it
NOISE = 4.0  # levels of 0 to 255, standard deviation

_START, _COMMENT = b"\xff\xd8", b"\xff\xfe"  # markers of a JPEG file


class Photos:
    """Folders of distinct JPEG files, copied from ``source`` to folders below ``scratch``."""

    def __init__(self, source: Path, scratch: Path) -> None:
        self._source = source
        self._scratch = scratch

    def write_folder(self, count: int) -> Path:
        """Write a folder of ``count`` photos, spread evenly over the source; return its path.

        Where the source has fewer, photos come again, each time with another comment in the
        file: the same picture with other bytes, which the pipeline takes for another photo.
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
                content = _add_comment(content, f"copy {turn}")
                path = Path(f"copy-{turn}") / path
            _write(folder / path, content)
        return folder

    def write_folder_with_enlarged(self, count: int, enlarged: int, size: int) -> Path:
        """Write a folder as :meth:`write_folder` does, and ``enlarged`` photos of the input size.

        These are PNG files below ``enlarged/``. They need no resizing, so all peers must compute
        the same features for them.
        """
        folder = self._scratch / f"photos-{count}-{enlarged}"
        if not folder.exists():
            self.write_folder(count).rename(folder)
            for number, photo in enumerate(sorted(folder.rglob("*.jpg"))[:enlarged]):
                with Image.open(photo) as image:
                    picture = image.convert("RGB").resize((size, size))
                content = io.BytesIO()
                picture.save(content, "PNG")
                _write(folder / "enlarged" / f"{number}.png", content.getvalue())
        return folder

    def read_small(self) -> list[bytes]:
        """Read the bytes of 256 photos."""
        return [(self._source / path).read_bytes() for path in self._usable[:256]]

    def make_large(self) -> bytes:
        """Make a JPEG of 12 megapixels with detail of every size, as real photos have it.

        Photos side by side, large and small ones blended, so that each octave has about the same
        contrast (Field 1987, "Relations between the statistics of natural images"); and noise.
        """
        random = np.random.default_rng(0)
        width, height = LARGE
        blended = random.normal(0, NOISE, (height, width, 3)).astype(np.float32)
        for rows in OCTAVES:
            blended += np.asarray(self._make_mosaic(height // rows), np.float32) / len(OCTAVES)
        content = io.BytesIO()
        Image.fromarray(blended.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
        return content.getvalue()

    def _make_mosaic(self, side: int) -> Image.Image:
        """Place photos of this height and width side by side."""
        width, height = LARGE
        mosaic = Image.new("RGB", LARGE)
        paths = cycle(self._usable[:: len(self._usable) // 64 + 1])  # neighbors differ
        for x, y in product(range(0, width, side), range(0, height, side)):
            with Image.open(self._source / next(paths)) as image:
                mosaic.paste(image.convert("RGB").resize((side, side)), (x, y))
        return mosaic

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
            if digest not in seen and _is_usable(content):
                seen.add(digest)
                usable.append(file.relative_to(self._source))
        if not usable:
            raise ValueError(f"--photos must hold JPEG files, got {str(self._source)!r}")
        return usable


def _is_usable(content: bytes) -> bool:
    """Tell whether a photo decodes to a picture that is not all of one color."""
    try:
        picture = decode_rgb(open_image(content, LIMITS), 224)
    except RejectedError:
        return False
    return bool(np.ptp(picture))


def _add_comment(jpeg: bytes, comment: str) -> bytes:
    """Add a comment after the first marker of a JPEG (ITU-T T.81, B.2.4.5)."""
    assert jpeg.startswith(_START)
    text = comment.encode()
    return _START + _COMMENT + (len(text) + 2).to_bytes(2, "big") + text + jpeg[len(_START) :]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
