"""The manifest of a run: what each stage finished last, from what, and the history."""

import itertools
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from helpers.parameters import CURRENT, NOTEBOOKS
from helpers.storage.location import Location
from helpers.storage.snapshots import parsed_json

FORMAT = 1
MANIFEST = "manifest.json"
LIBRARIES = ("pyspark", "keras", "tensorflow", "openvino", "pillow", "numpy", "pyarrow")

#: the table that names a stage's result
RESULT = dict(zip(NOTEBOOKS, ("images", "pixels", "features", "pca", "classify"), strict=True))


class StaleError(RuntimeError):
    """A stage's input was not made from what the stages before it finished last."""


class AccountingError(RuntimeError):
    """A stage's sum does not hold: a photo is lost or counted twice."""


@dataclass(frozen=True)
class Record:
    """One finished execution of a stage.

    ``lineage`` maps each table that the result was made from, and the result, to fingerprints.
    ``seconds`` is None where there was nothing to do; ``refused`` says why the result is not to
    be built on, if it is not.
    """

    stage: str
    run: str
    lineage: dict[str, str]
    parameters: dict[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    images: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    finished: str = ""
    refused: str = ""

    def agrees(self, other: "Record") -> bool:
        """Whether the two speak of one lineage, as far as both reach."""
        return all(
            self.lineage[table] == other.lineage[table]
            for table in self.lineage.keys() & other.lineage.keys()
        )


@dataclass(frozen=True)
class Run:
    """A run's folder or prefix, with its manifest and its tables."""

    location: Location

    def table(self, name: str) -> Location:
        return self.location / name

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty one.

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
        return self._parsed(content)

    def history(self) -> list[Record]:
        return [Record(**record) for record in self.manifest()["history"]]

    def finish(self, record: Record) -> None:
        """Append a record and say anew what the run holds; the manifest is replaced whole."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")

        def append(content: bytes | None) -> bytes | None:
            history = [] if content is None else self._parsed(content)["history"]
            records = [Record(**past) for past in history]
            if any(past.run == record.run for past in records):
                return None  # done before: the answer was lost, and boto3 asked again
            records.append(Record(**{**asdict(record), "finished": finished}))
            text = json.dumps(_summary(records), indent=2, ensure_ascii=False)
            return text.encode() + b"\n"

        (self.location / MANIFEST).update(append)

    def upstream(self, stage: str, named: str = CURRENT, *, even_refused: bool = False) -> Record:
        """The finished record of ``stage`` whose result another stage reads.

        Parameters
        ----------
        stage
            The stage that made the result.
        named
            Its fingerprint, or ``"current"``: what the stage finished last.
        even_refused
            Take a result that its stage has refused, to look into it.

        Raises
        ------
        StaleError
            If the stage has not finished here, or if ``"current"`` was not made from what the
            stages before it finished last; the message names the notebook to rerun.
        ValueError
            If no result of that fingerprint was finished here.
        """
        history = self.history()
        if named != CURRENT:
            for record in reversed(history):
                is_named = record.stage == stage and record.lineage[RESULT[stage]] == named
                if is_named and (even_refused or not record.refused):
                    return record
            raise ValueError(
                f"{RESULT[stage].upper()} must name a result finished in {self.location.uri}, "
                f"got {named!r}"
            )
        last = {record.stage: record for record in history}
        reached: Record | None = None
        for name in NOTEBOOKS[: NOTEBOOKS.index(stage) + 1]:
            record_ = last.get(name)
            if record_ is None:
                raise StaleError(f"{name} has not finished in {self.location.uri}: run it first")
            if record_.refused and not even_refused:
                raise StaleError(f"{name} stopped in {self.location.uri}: {record_.refused}")
            if reached is not None and not record_.agrees(reached):
                raise StaleError(
                    f"{name} was last run before {reached.stage} finished something new in "
                    f"{self.location.uri}: rerun {name}"
                )
            reached = record_
        assert reached is not None
        return reached

    def _parsed(self, content: bytes) -> dict[str, Any]:
        place = self.location / MANIFEST
        manifest = parsed_json(content, place)
        if manifest.get("format") != FORMAT:
            raise ValueError(
                f"{place.uri} has format {manifest.get('format')!r}, this version reads format "
                f"{FORMAT}: name another RUN_URI, or use the version that made it"
            )
        if not isinstance(manifest.get("history"), list):
            raise OSError(f"damaged: {place.uri} has no history")
        return manifest


def versions() -> dict[str, str]:
    """Versions of the libraries that make the numbers; those not installed are left out."""
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


def _summary(records: list[Record]) -> dict[str, Any]:
    """The manifest: the lineage of the stage that finished last, then the history."""
    latest = records[-1]
    last = _lineage(records)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "finished": latest.finished,
        "parameters": {},
        "versions": versions(),
        "fingerprints": {},
        "counts": {},
        "stages": {},
    }
    for stage in sorted(last):
        record = last[stage]
        summary["parameters"] |= record.parameters
        summary["fingerprints"] |= record.lineage
        summary["counts"] |= record.counts
        if record.figures:
            summary[RESULT[stage]] = record.figures
        worked = [
            past
            for past in records
            if past.lineage == record.lineage and past.stage == stage and past.seconds is not None
        ]
        if worked:
            summary["stages"][stage] = _speed(worked[-1])
    summary["history"] = [asdict(record) for record in records]
    return summary


def _lineage(records: list[Record]) -> dict[str, Record]:
    """Of each stage the last record that agrees with the latest one and those of earlier stages."""
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


def _speed(record: Record) -> dict[str, Any]:
    seconds = record.seconds or 0.0
    rate = record.images / seconds if seconds else 0.0
    return {
        "seconds": round(seconds, 3),
        "images": record.images,
        "images_per_second": round(rate, 2),
    }
