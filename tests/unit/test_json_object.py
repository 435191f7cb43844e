"""JSON objects in files: any text, and files that hold something else."""

import os
from pathlib import Path

import pytest

from helpers.storage.json_object import parse_json, read_json, write_json
from helpers.storage.local import LocalLocation


@pytest.fixture
def location(tmp_path: Path) -> LocalLocation:
    return LocalLocation(str(tmp_path / "x.json"))


def test_json_is_read_as_it_was_written(location: LocalLocation) -> None:
    content = {"a": [1, 2.5, None, True], "é": {"\n": "🍎"}}
    write_json(location, content)
    assert read_json(location) == content
    assert "🍎" in location.read().decode()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1', b"[1]", b"null", b"7", b'"text"', b"\xff\xfe", os.urandom(64)],
)
def test_damaged_json_is_named(content: bytes, location: LocalLocation) -> None:
    location.write(content)
    with pytest.raises(OSError, match=f"damaged: {location.uri} is no JSON"):
        read_json(location)
    with pytest.raises(OSError, match=f"damaged: {location.uri} is no JSON"):
        parse_json(content, location)


def test_a_file_that_does_not_exist_is_named_and_not_called_damaged(
    location: LocalLocation,
) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.json"):
        read_json(location)
