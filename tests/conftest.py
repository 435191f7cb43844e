"""Fixtures that several folders of tests share."""

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

PHOTOS = Path(__file__).parents[2] / "shared" / "data"
DATA_SAMPLE = Path(__file__).parents[1] / "data_sample"


@pytest.fixture
def shared() -> Path:
    """Reference photos that lie beside the project, not in it."""
    if not PHOTOS.is_dir():
        pytest.skip("needs the reference photos in ../shared/data")
    return PHOTOS


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """A picture as the bytes of a file: ``encoded(image, "PNG", **options)``."""

    def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder of small files: ``folder_of({"a/b.jpg": b"..."})``; its modified times are fixed."""

    def build(files: dict[str, bytes], name: str = "source") -> Path:
        for path, content in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / name

    return build


@pytest.fixture(scope="session")
def drawing() -> ModuleType:
    """The module that draws the sample's files: it knows which are odd and which are copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DATA_SAMPLE)
        patch.setattr(sys, "dont_write_bytecode", True)  # it would be listed with the photos
        return importlib.import_module("drawing.files")
