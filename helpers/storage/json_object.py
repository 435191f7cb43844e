"""JSON objects in files."""

import json
from collections.abc import Mapping
from typing import Any

from helpers.storage.base import Location


def write_json(location: Location, content: Mapping[str, Any]) -> None:
    """Write ``content`` as indented JSON."""
    location.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(location: Location) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    OSError
        If the file cannot be read or holds no JSON object; the message names it.
    """
    return parse_json(location.read(), location)


def parse_json(text: bytes, location: Location) -> dict[str, Any]:
    """Parse the JSON object in ``text``, which was read from ``location``.

    Raises
    ------
    OSError
        If there is none; the message names ``location``.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise OSError(f"damaged: {location.uri} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise OSError(f"damaged: {location.uri} is no JSON object")
    return content
