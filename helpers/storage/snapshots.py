"""Tables written whole: a folder whose ``_manifest.json`` comes last, and names the others.

A folder without it, or with a file missing, is debris, and is never read.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from helpers.storage.location import Location

MANIFEST = "_manifest.json"
HELD = "held"  # in the manifest: the names of the other files


def new_run() -> str:
    """A name for one execution of one stage; later ones sort later."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Snapshot:
    """A whole snapshot, or one being written until :meth:`finish`."""

    location: Location

    @property
    def manifest(self) -> dict[str, Any]:
        return read_json(self.location / MANIFEST)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Declare the snapshot whole."""
        held = sorted(entry.path for entry in self.location.entries())
        write_json(self.location / MANIFEST, {**manifest, HELD: held})

    @property
    def is_whole(self) -> bool:
        """Whether it was finished, and no file of it was deleted since."""
        there = {entry.path for entry in self.location.entries()}
        if MANIFEST not in there:
            return False
        held = self.manifest.get(HELD)
        return held is not None and there.issuperset(held)


def find(table: Location, fingerprint: str) -> Snapshot | None:
    """The first whole snapshot of ``fingerprint`` by name, or None."""
    for name in table.folders():
        found = Snapshot(table / name)
        if name.startswith(f"{fingerprint}-") and found.is_whole:
            return found
    return None


def require(table: Location, fingerprint: str) -> Snapshot:
    """The first whole snapshot of ``fingerprint``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = find(table, fingerprint)
    if found is None:
        raise FileNotFoundError(
            f"no whole snapshot {fingerprint} in {table.uri}: it was never finished, or files were "
            "deleted; rerun the notebook that writes it"
        )
    return found


def draft(table: Location, fingerprint: str, run: str) -> Snapshot:
    """A snapshot to write; not to be read before :meth:`Snapshot.finish`."""
    return Snapshot(table / f"{fingerprint}-{run}")


def write_json(location: Location, content: Mapping[str, Any]) -> None:
    """Write ``content`` as indented JSON."""
    location.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(location: Location) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    OSError
        If the file cannot be read or is no JSON object; the message names it.
    """
    return parsed_json(location.read(), location)


def parsed_json(text: bytes, location: Location) -> dict[str, Any]:
    """The JSON object in ``text``, which was read from ``location``.

    Raises
    ------
    OSError
        If it is none.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise OSError(f"damaged: {location.uri} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise OSError(f"damaged: {location.uri} is no JSON object")
    return content
