"""Fixtures that several folders of tests share."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

PHOTOS = Path(__file__).parents[2] / "shared" / "data"


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
