"""Tables written whole: a folder whose ``_manifest.json`` comes last and lists the other files.

A folder without a manifest, or with a listed file missing, is never read.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from helpers.storage.json_object import read_json, write_json
from helpers.storage.local import TEMPORARY
from helpers.storage.location import Location

MANIFEST = "_manifest.json"
FILES = "held"  # key of the manifest: names of the other files


def new_run() -> str:
    """Make a name for one execution of a stage; later names sort later."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: found whole, or a draft that nobody reads before :meth:`finish`."""

    location: Location
    is_new: bool = False

    @property
    def manifest(self) -> dict[str, Any]:
        """What its writer said of it."""
        return read_json(self.location / MANIFEST)

    @property
    def fingerprint(self) -> str:
        """The fingerprint that the folder's name begins with."""
        return self.location.name.partition("-")[0]

    @property
    def is_whole(self) -> bool:
        """Whether it was finished, and no file of it was deleted since."""
        present = {entry.path for entry in self.location.list_files()}
        if MANIFEST not in present:
            return False
        files = self.manifest.get(FILES)
        return files is not None and present.issuperset(files)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Declare the draft whole."""
        found = (entry.path for entry in self.location.list_files())
        # What a killed task was writing is no file of the snapshot.
        files = sorted(path for path in found if not PurePath(path).name.startswith(TEMPORARY))
        write_json(self.location / MANIFEST, {**manifest, FILES: files})


def find_snapshot(table: Location, fingerprint: str) -> Snapshot | None:
    """Find the first whole snapshot of ``fingerprint`` by name."""
    for name in table.list_folders():
        found = Snapshot(table / name)
        if name.startswith(f"{fingerprint}-") and found.is_whole:
            return found
    return None


def require_snapshot(table: Location, fingerprint: str) -> Snapshot:
    """Find the first whole snapshot of ``fingerprint``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = find_snapshot(table, fingerprint)
    if found is None:
        raise FileNotFoundError(
            f"no whole snapshot {fingerprint} in {table.uri}: it was never finished, or files were "
            "deleted; rerun the notebook that writes it"
        )
    return found


def draft_snapshot(table: Location, fingerprint: str, run: str) -> Snapshot:
    """Begin a snapshot to write."""
    return Snapshot(table / f"{fingerprint}-{run}", is_new=True)
