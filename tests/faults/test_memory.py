"""Memory: large photos through a small heap, and all processes together within 3.5 GB."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness.memory import watch_peak
from harness.runs import Runs
from PIL import Image

from helpers.run.manifest import FEATURIZE, INGEST, PREPROCESS

pytestmark = pytest.mark.slow

PHOTOS = 200
SIZE = (4000, 3000)  # 12 megapixels
MAX_BYTES = 3.5 * 1024**3
PATIENCE = 1800.0


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """200 photos of 12 megapixels: one picture, with another comment in each file."""
    height, width = SIZE[1] // 8, SIZE[0] // 8
    coarse = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    picture = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    picture.save(tmp_path / "one.jpg", quality=90)
    content = (tmp_path / "one.jpg").read_bytes()
    for number in range(PHOTOS):
        comment = f"{number:04d}".encode()
        marked = b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment
        file = tmp_path / "photos" / f"class {number % 4}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content[:2] + marked + content[2:])
    return tmp_path / "photos"


def test_large_photos_and_vgg16_fit_a_small_heap_and_little_memory(
    large: Path, tmp_path: Path, ledger: Callable[..., None]
) -> None:
    """VGG16's 512 pooled features at 224 pixels, the JVM's heap 1 GB."""
    parameters = {
        "SOURCE_URI": str(large),
        "RUN_URI": str(tmp_path / "run"),
        "BACKBONE": "vgg16",
        "WEIGHTS": "random",
    }
    runs = Runs(parameters, tmp_path / "counts", conf={"spark.driver.memory": "1g"})
    stages = (INGEST, PREPROCESS, FEATURIZE)
    with runs.start(*stages) as driver, watch_peak(driver.process.pid) as peak:
        outcome = driver.wait(PATIENCE)
    assert outcome.code == 0, outcome.stderr
    assert runs.passes == PHOTOS
    gigabytes = peak.bytes / 1024**3
    assert 0.3 < gigabytes < MAX_BYTES / 1024**3
    fault = f"{PHOTOS} photos of 12 megapixels"
    ledger(fault, "01 to 03, heap 1 GB, VGG16", f"peak {gigabytes:.2f} GB of PSS", f"{runs.passes}")
