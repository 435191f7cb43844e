"""A table of photos in four formats: the project's parts, Delta Lake, Iceberg and Lance.

The libraries are imported where they are used, so a writer's process loads its own alone.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from helpers.run.parts import Parts, name_part
from helpers.run.schemas import Column, Table
from helpers.storage.location import locate

#: a row: what a photo is known by, and its decoded pixels
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("length", pa.int64()),
        ("modified", pa.timestamp("us", tz="UTC")),
        ("image_id", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("pixels", pa.binary()),
    ]
)
MAX_APPENDS = 100  # until a commit counts as impossible


@dataclass(frozen=True)
class Format(ABC):
    """A table in a folder or below an S3 prefix."""

    uri: str

    @abstractmethod
    def load_library(self) -> None:
        """Import what the calls below need."""

    @abstractmethod
    def create(self) -> None:
        """Make the empty table."""

    @abstractmethod
    def append(self, rows: pa.Table) -> int:
        """Commit rows; return how often the library gave up and had to be called again."""

    @abstractmethod
    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of all rows."""

    @abstractmethod
    def read_photos(self, paths: list[str]) -> pa.Table:
        """Read path and pixels of some photos."""

    @abstractmethod
    def count_conflicts(self) -> int:
        """Count what the table's own history tells of commits that met another's."""

    @abstractmethod
    def list_referenced(self) -> set[Path]:
        """List the files of the newest state and of all older ones that can still be read."""

    @property
    def plain_folder(self) -> Path:
        """The folder in which a reader without the library would look for Parquet files."""
        return Path(self.uri)


class MaintainedFormat(Format):
    """A table whose library changes it after it was written."""

    @abstractmethod
    def delete(self, paths: list[str]) -> None:
        """Delete rows."""

    @abstractmethod
    def compact(self) -> None:
        """Make few files of many."""

    @abstractmethod
    def clean(self) -> None:
        """Remove the files that only older states need, however young they are."""


@dataclass(frozen=True)
class OwnParts(Format):
    """The project's parts, by its own code."""

    @override
    def load_library(self) -> None:
        pass  # there is none beside pyarrow

    @override
    def create(self) -> None:
        pass  # a parts table begins with its first part

    @override
    def append(self, rows: pa.Table) -> int:
        self._parts.write(name_part(rows["path"].to_pylist()), rows)
        return 0

    @override
    def read(self, columns: Sequence[str]) -> pa.Table:
        parts = self._parts
        return pa.concat_tables(parts.read(name, list(columns)) for name in parts.list_names())

    @override
    def read_photos(self, paths: list[str]) -> pa.Table:
        parts, wanted = self._parts, pa.array(paths)
        found = []
        for name in parts.list_names():
            taken = pc.indices_nonzero(pc.is_in(parts.read(name, ["path"])["path"], wanted))
            if len(taken):
                found.append(parts.read(name, ["path", "pixels"]).take(taken))
        return pa.concat_tables(found)

    @override
    def count_conflicts(self) -> int:
        return 0  # no two writers share a file

    @override
    def list_referenced(self) -> set[Path]:
        return {Path(self.uri) / name for name in self._parts.list_names()}

    @property
    def _parts(self) -> Parts:
        columns = tuple(Column(field.name, field.type, "") for field in SCHEMA)
        return Parts(locate(self.uri), Table("", "a photo", columns))


@dataclass(frozen=True)
class DeltaLake(MaintainedFormat):
    """Delta Lake, by delta-rs (``deltalake``)."""

    @override
    def load_library(self) -> None:
        import deltalake  # noqa: F401

    @override
    def create(self) -> None:
        from deltalake import DeltaTable, Schema

        DeltaTable.create(self.uri, schema=Schema.from_arrow(SCHEMA))

    @override
    def append(self, rows: pa.Table) -> int:
        from deltalake import write_deltalake

        write_deltalake(self.uri, rows, mode="append")
        return 0

    @override
    def read(self, columns: Sequence[str]) -> pa.Table:
        return self._table.to_pyarrow_table(columns=list(columns))

    @override
    def read_photos(self, paths: list[str]) -> pa.Table:
        chosen = pc.field("path").isin(paths)
        dataset = self._table.to_pyarrow_dataset()
        return dataset.to_table(columns=["path", "pixels"], filter=chosen)

    @override
    def count_conflicts(self) -> int:
        metrics = (commit.get("operationMetrics", {}) for commit in self._table.history())
        return sum(each.get("num_retries", 0) for each in metrics)

    @override
    def list_referenced(self) -> set[Path]:
        log = Path(self.uri) / "_delta_log"
        entry = re.compile(r"\d{20}\.(json|checkpoint.*parquet)|_last_checkpoint")
        data = {local_path(uri) for uri in self._table.file_uris()}
        return data | {path for path in log.iterdir() if entry.fullmatch(path.name)}

    @override
    def delete(self, paths: list[str]) -> None:
        self._table.delete(write_in_list(paths))

    @override
    def compact(self) -> None:
        self._table.optimize.compact()

    @override
    def clean(self) -> None:
        self._table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)

    @property
    def _table(self) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(self.uri)


@dataclass(frozen=True)
class Iceberg(MaintainedFormat):
    """Iceberg, by ``pyiceberg``; its catalog is a SQLite file."""

    catalog_folder: str = ""  # ``uri`` itself, if it is a folder

    @override
    def load_library(self) -> None:
        import pyiceberg.catalog.sql
        import pyiceberg.io.pyarrow  # noqa: F401

    @override
    def create(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        catalog = self._open_catalog()
        catalog.create_namespace("photos")
        location = f"{self.uri}/pixels" if self.catalog_folder else f"file://{self.uri}/pixels"
        catalog.create_table("photos.pixels", schema=SCHEMA, location=location)

    @override
    def append(self, rows: pa.Table) -> int:
        from pyiceberg.exceptions import CommitFailedException

        for repeats in range(MAX_APPENDS):
            try:
                self.table.append(rows)
            except CommitFailedException:
                continue
            return repeats
        raise RuntimeError(f"{MAX_APPENDS} appends failed one after the other")

    @override
    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.table.scan(selected_fields=tuple(columns)).to_arrow()

    @override
    def read_photos(self, paths: list[str]) -> pa.Table:
        from pyiceberg.expressions import In

        chosen = In("path", paths)
        return self.table.scan(chosen, selected_fields=("path", "pixels")).to_arrow()

    @override
    def count_conflicts(self) -> int:
        return 0  # the table keeps no trace of them; the writers count the library's warnings

    @override
    def list_referenced(self) -> set[Path]:
        table = self.table
        uris = [table.metadata_location]
        uris += [entry.metadata_file for entry in table.metadata.metadata_log]
        uris += [snapshot.manifest_list for snapshot in table.metadata.snapshots]
        uris += table.inspect.all_manifests()["path"].to_pylist()
        uris += table.inspect.all_data_files()["file_path"].to_pylist()
        return {self._folder / "catalog.db", *(local_path(uri) for uri in uris)}

    @property
    @override
    def plain_folder(self) -> Path:
        return Path(self.uri) / "pixels" / "data"

    @override
    def delete(self, paths: list[str]) -> None:
        from pyiceberg.expressions import In

        self.table.delete(In("path", paths))

    @override
    def compact(self) -> None:
        """Read all rows and write them anew: the library has no compaction."""
        table = self.table
        table.overwrite(table.scan().to_arrow())

    @override
    def clean(self) -> None:
        self.table.maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()

    @property
    def table(self) -> Any:
        """The library's own table."""
        return self._open_catalog().load_table("photos.pixels")

    @property
    def _folder(self) -> Path:
        return Path(self.catalog_folder or self.uri)

    def _open_catalog(self) -> Any:
        from pyiceberg.catalog.sql import SqlCatalog

        settings = {"uri": f"sqlite:///{self._folder}/catalog.db", "warehouse": self.uri}
        if self.catalog_folder:
            settings["s3.endpoint"] = os.environ["AWS_ENDPOINT_URL"]
        return SqlCatalog("local", **settings)


@dataclass(frozen=True)
class Lance(MaintainedFormat):
    """Lance, by ``pylance``."""

    @override
    def load_library(self) -> None:
        import lance  # noqa: F401

    @override
    def create(self) -> None:
        import lance

        lance.write_dataset(SCHEMA.empty_table(), self.uri)

    @override
    def append(self, rows: pa.Table) -> int:
        import lance

        lance.write_dataset(rows, self.uri, mode="append")
        return 0

    @override
    def read(self, columns: Sequence[str]) -> pa.Table:
        return self._dataset.to_table(columns=list(columns))

    @override
    def read_photos(self, paths: list[str]) -> pa.Table:
        return self._dataset.to_table(columns=["path", "pixels"], filter=write_in_list(paths))

    @override
    def count_conflicts(self) -> int:
        dataset = self._dataset
        behind = 0
        for version in range(2, dataset.version + 1):
            transaction = dataset.read_transaction(version)
            behind += transaction is not None and transaction.read_version < version - 1
        return behind

    @override
    def list_referenced(self) -> set[Path]:
        tracked = self._dataset.tracked_files().read_all()["path"].to_pylist()
        tracked.append("_versions/latest_version_hint.json")
        return {Path(self.uri) / path for path in tracked}

    @property
    @override
    def plain_folder(self) -> Path:
        return Path(self.uri) / "data"

    @override
    def delete(self, paths: list[str]) -> None:
        self._dataset.delete(write_in_list(paths))

    @override
    def compact(self) -> None:
        self._dataset.optimize.compact_files()

    @override
    def clean(self) -> None:
        self._dataset.cleanup_old_versions(timedelta(0), delete_unverified=True)

    @property
    def _dataset(self) -> Any:
        import lance

        return lance.dataset(self.uri)


def local_path(uri: str) -> Path:
    """Return the path of a ``file://`` URI."""
    return Path(unquote(urlparse(uri).path))


def write_in_list(paths: list[str]) -> str:
    """Write the SQL condition that a row is of one of these paths."""
    return "path IN ({})".format(", ".join(f"'{path}'" for path in paths))
