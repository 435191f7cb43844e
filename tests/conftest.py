"""Fixtures that several folders of tests share."""

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness.reference import HOW_TO_SET, SAMPLE, find_reference
from PIL import Image


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference data: ``data/`` and ``weights/``, which the project does not hold."""
    folder = find_reference()
    if folder is None:
        pytest.skip(f"needs reference data: {HOW_TO_SET}")
    return folder


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
        patch.syspath_prepend(SAMPLE)
        patch.setattr(sys, "dont_write_bytecode", True)  # it would be listed with the photos
        return importlib.import_module("drawing.files")
