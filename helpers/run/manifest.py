"""The manifest of a run: what each stage finished last, from what, and the history."""

import itertools
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from helpers.parameters import CURRENT, NOTEBOOKS
from helpers.storage.json_object import parse_json
from helpers.storage.location import Location

FORMAT = 2
MANIFEST = "manifest.json"
LIBRARIES = ("pyspark", "keras", "tensorflow", "openvino", "pillow", "numpy", "pyarrow")

# A stage has the name of its notebook.
INGEST, PREPROCESS, FEATURIZE, PCA, CLASSIFY = NOTEBOOKS

#: the table that holds each stage's result
RESULT_TABLES = {
    INGEST: "images",
    PREPROCESS: "pixels",
    FEATURIZE: "features",
    PCA: "pca",
    CLASSIFY: "classify",
}


class StaleError(RuntimeError):
    """A stage's input was not made from what the stages before it finished last."""


class AccountingError(RuntimeError):
    """A sum does not hold: a photo is lost or counted twice."""


@dataclass(frozen=True)
class Record:
    """One finished execution of a stage.

    Attributes
    ----------
    stage
        Name of the notebook.
    run
        Name of the execution.
    lineage
        Fingerprint of each table that the result was made from, and of the result.
    parameters
        Those that entered the result.
    counts
        Photos by what became of them.
    seconds
        None where there was nothing to do.
    photos
        Photos that this execution worked on.
    metrics
        Numbers that describe the result, such as an accuracy.
    finished
        Date and time, UTC, ISO 8601.
    blocked_because
        Why no other stage may build on the result; empty if it may.
    """

    stage: str
    run: str
    lineage: dict[str, str]
    parameters: dict[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    photos: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    finished: str = ""
    blocked_because: str = ""

    def agrees(self, other: "Record") -> bool:
        """Tell whether both have the same fingerprint for every table that both name."""
        return all(
            self.lineage[table] == other.lineage[table]
            for table in self.lineage.keys() & other.lineage.keys()
        )


@dataclass(frozen=True)
class Run:
    """A run's folder or prefix, with its manifest and its tables."""

    location: Location

    def table(self, name: str) -> Location:
        """Return the location of a table."""
        return self.location / name

    def read_manifest(self) -> dict[str, Any]:
        """Read the manifest, or return an empty one.

        Raises
        ------
        OSError
            If it is damaged.
        ValueError
            If an incompatible version of the project wrote it.
        """
        try:
            content = (self.location / MANIFEST).read()
        except FileNotFoundError:
            return {"format": FORMAT, "history": []}
        return self._parse(content)

    def read_history(self) -> list[Record]:
        """Read the record of every finished execution, oldest first."""
        return [Record(**record) for record in self.read_manifest()["history"]]

    def append(self, record: Record) -> None:
        """Append a record to the manifest, which is replaced whole."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")

        def add(content: bytes | None) -> bytes | None:
            history = [] if content is None else self._parse(content)["history"]
            records = [Record(**past) for past in history]
            if any(past.run == record.run for past in records):
                return None  # written already: the answer was lost, and boto3 repeated the request
            records.append(Record(**{**asdict(record), "finished": finished}))
            text = json.dumps(_summarize(records), indent=2, ensure_ascii=False)
            return text.encode() + b"\n"

        (self.location / MANIFEST).compare_and_swap(add)

    def require(self, stage: str, wanted: str = CURRENT, *, even_blocked: bool = False) -> Record:
        """Return the finished record of ``stage`` whose result another stage reads.

        Parameters
        ----------
        stage
            The stage that made the result.
        wanted
            Its fingerprint, or ``"current"``: what the stage finished last.
        even_blocked
            Return a result that no stage may build on, too.

        Raises
        ------
        StaleError
            If the stage has not finished here, or if ``"current"`` was not made from what the
            stages before it finished last; the message names the notebook to rerun.
        ValueError
            If no result of that fingerprint was finished here.
        """
        history = self.read_history()
        if wanted != CURRENT:
            table = RESULT_TABLES[stage]
            for record in reversed(history):
                is_wanted = record.stage == stage and record.lineage[table] == wanted
                if is_wanted and (even_blocked or not record.blocked_because):
                    return record
            raise ValueError(
                f"{table.upper()} must be a result finished in {self.location.uri}, got {wanted!r}"
            )
        last = {record.stage: record for record in history}
        newest: Record | None = None
        for name in NOTEBOOKS[: NOTEBOOKS.index(stage) + 1]:
            found = last.get(name)
            if found is None:
                raise StaleError(f"{name} has not finished in {self.location.uri}: run it first")
            if found.blocked_because and not even_blocked:
                raise StaleError(f"{name} stopped in {self.location.uri}: {found.blocked_because}")
            if newest is not None and not found.agrees(newest):
                raise StaleError(
                    f"{name} was last run before {newest.stage} finished something new in "
                    f"{self.location.uri}: rerun {name}"
                )
            newest = found
        assert newest is not None
        return newest

    def _parse(self, content: bytes) -> dict[str, Any]:
        place = self.location / MANIFEST
        manifest = parse_json(content, place)
        if manifest.get("format") != FORMAT:
            raise ValueError(
                f"{place.uri} has format {manifest.get('format')!r}, this version reads format "
                f"{FORMAT}: choose another RUN_URI, or use the version that made it"
            )
        if not isinstance(manifest.get("history"), list):
            raise OSError(f"damaged: {place.uri} has no history")
        return manifest


def installed_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that make the numbers."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def require_sum(what: str, whole: int, **shares: int) -> None:
    """Raise unless ``whole`` is the sum of ``shares``.

    Raises
    ------
    AccountingError
        With both numbers.
    """
    if whole != sum(shares.values()):
        sums = " + ".join(f"{value:,} {name}" for name, value in shares.items())
        raise AccountingError(f"{what}: {whole:,} is not {sums} = {sum(shares.values()):,}")


def _summarize(records: list[Record]) -> dict[str, Any]:
    """Make the manifest: the lineage of the stage that finished last, then the history."""
    latest = records[-1]
    last = _select_lineage(records)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "finished": latest.finished,
        "parameters": {},
        "versions": installed_versions(),
        "fingerprints": {},
        "counts": {},
        "stages": {},
    }
    for stage in sorted(last):
        record = last[stage]
        summary["parameters"] |= record.parameters
        summary["fingerprints"] |= record.lineage
        summary["counts"] |= record.counts
        if record.metrics:
            summary[RESULT_TABLES[stage]] = record.metrics
        worked = [
            past
            for past in records
            if past.lineage == record.lineage and past.stage == stage and past.seconds is not None
        ]
        if worked:
            summary["stages"][stage] = _describe_speed(worked[-1])
    summary["history"] = [asdict(record) for record in records]
    return summary


def _select_lineage(records: list[Record]) -> dict[str, Record]:
    """Select each stage's last record that agrees with the latest one and with earlier stages."""
    last = {records[-1].stage: records[-1]}
    for stage in NOTEBOOKS:
        if stage not in last:
            agreeing = (
                record
                for record in reversed(records)
                if record.stage == stage and all(map(record.agrees, last.values()))
            )
            last |= {record.stage: record for record in itertools.islice(agreeing, 1)}
    return last


def _describe_speed(record: Record) -> dict[str, Any]:
    seconds = record.seconds or 0.0
    rate = record.photos / seconds if seconds else 0.0
    return {
        "seconds": round(seconds, 3),
        "images": record.photos,
        "images_per_second": round(rate, 2),
    }
