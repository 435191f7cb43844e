"""The rows of a run's tables, read without the project's rules of what counts, and compared.

All rows of a key must be the same, so a second row that a killed run left changes nothing.
"""

import csv
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.run.manifest import Run
from helpers.run.snapshots import find_snapshot
from helpers.storage.location import Location, locate

PARTS = {"pixels": ("path", "length"), "rejects": ("path", "length"), "features": ("image_id",)}
SNAPSHOTS = {"images": "images", "splits": "sides"}
SCORES, PHOTOS = "scores", "photos"
#: greatest difference of a score, as a share of the greatest score, for another order of summing
SCORE_TOLERANCE = 1e-5
#: greatest difference of a probability between two fits that sum in another order
PROBABILITY_TOLERANCE = 1e-3


def compare(one: str, other: str, ignore: Iterable[str] = ()) -> int:
    """Compare the tables of two runs, row by row; return how many rows were compared.

    ``pixels`` and ``features`` must be equal bit for bit. Scores and probabilities depend on the
    order of summing, and get a tolerance.

    Parameters
    ----------
    ignore
        Columns that are left out, such as ``modified``.
    """
    runs = [Run(locate(uri)) for uri in (one, other)]
    manifests = [run.read_manifest() for run in runs]
    assert manifests[0]["counts"] == manifests[1]["counts"]
    names = [manifest["fingerprints"] for manifest in manifests]
    assert names[0].keys() == names[1].keys()
    count = 0
    assert names[0].get("decoded") == names[1].get("decoded")
    for table in names[0].keys() - {"networks", "decoded"} | {"rejects"}:
        found = [
            _read_table(table, run, fingerprints, set(ignore))
            for run, fingerprints in zip(runs, names, strict=True)
        ]
        assert found[0].keys() == found[1].keys(), table
        different = [key for key, row in found[0].items() if not _is_close(row, found[1][key])]
        assert not different, (table, different[:5])
        count += len(found[0])
    return count


def _read_table(
    table: str, run: Run, fingerprints: dict[str, str], ignore: set[str]
) -> dict[Any, Any]:
    if table == "rejects":
        # A photo that was rejected in one attempt and decoded in a later one counts as decoded;
        # else its last attempt counts.
        decoded = _read_parts(run, "pixels", fingerprints["pixels"], ignore)
        tables = list(_read_files(run.table(table) / fingerprints["pixels"]))
        if not tables:
            return {}
        rejected = pa.concat_tables(tables)
        last = rejected.group_by(["path", "length"]).aggregate([("attempt", "max")])
        last = last.rename_columns({"attempt_max": "attempt"})
        keys = ["path", "length", "attempt"]
        rejected = rejected.join(last.select(keys), keys, join_type="left semi")
        rows = _key_rows([rejected], PARTS[table], ignore | {"attempt"})
        return {key: row for key, row in rows.items() if key not in decoded}
    if table in PARTS:
        return _read_parts(run, table, fingerprints[table], ignore)
    snapshot = find_snapshot(run.table(table), fingerprints[table])
    assert snapshot is not None, (table, fingerprints[table])
    if table in SNAPSHOTS:
        return _key_rows(_read_files(snapshot.location / SNAPSHOTS[table]), ("path",), ignore)
    if table == "pca":
        return _read_scores(snapshot.location)
    predictions = _key_rows(_read_files(snapshot.location / "predictions"), ("path",), ignore)
    return {
        key: (*(value for name, value in row if name != "probability"), dict(row)["probability"])
        for key, row in predictions.items()
    }


def _read_parts(run: Run, table: str, fingerprint: str, ignore: set[str]) -> dict[Any, Any]:
    return _key_rows(_read_files(run.table(table) / fingerprint), PARTS[table], ignore)


def _key_rows(
    tables: Iterable[pa.Table], keys: tuple[str, ...], ignore: set[str]
) -> dict[Any, tuple[tuple[str, Any], ...]]:
    rows: dict[Any, tuple[tuple[str, Any], ...]] = {}
    for table in tables:
        for row in table.drop_columns(sorted(ignore & set(table.column_names))).to_pylist():
            key = tuple(row[name] for name in keys)
            frozen = tuple((name, _freeze(value)) for name, value in row.items())
            assert rows.setdefault(key, frozen) == frozen, f"two rows of {key} differ"
    return rows


def _freeze(value: Any) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, list):
        return hashlib.sha256(np.array(value, np.float32).tobytes()).hexdigest()
    return value


def _read_scores(snapshot: Location) -> dict[Any, Any]:
    """Read scores by image_id, photos by path, and the CSV by path.

    Scores are shares of the greatest.
    """
    tables = pa.concat_tables(_read_files(snapshot / SCORES))
    scores = np.array(tables["scores"].to_pylist(), np.float64)
    greatest = np.abs(scores).max()
    rows: dict[Any, Any] = dict(zip(tables["image_id"].to_pylist(), scores / greatest, strict=True))
    words = tables.drop_columns(["scores"])
    rows |= {("photo", *key): row for key, row in _key_rows([words], ("image_id",), set()).items()}
    photos = _read_files(snapshot / PHOTOS)
    rows |= {("path", *key): row for key, row in _key_rows(photos, ("path",), set()).items()}
    text = io.StringIO((snapshot / "pca_features.csv").read().decode(), newline="")
    for path, label, side, *listed in itertools.islice(csv.reader(text), 1, None):
        rows["scores in the CSV", path] = np.array(listed, np.float64) / greatest
        rows["words in the CSV", path] = (label, side)
    return rows


def _is_close(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.abs(one - other).max() <= SCORE_TOLERANCE)
    if isinstance(one, tuple) and isinstance(one[-1], float):
        difference = abs(one[-1] - other[-1])
        return bool(one[:-1] == other[:-1] and difference <= PROBABILITY_TOLERANCE)
    return bool(one == other)


def _read_files(folder: Location) -> Iterator[pa.Table]:
    """Read the Parquet files that other readers see: no name begins with ``_`` or ``.``."""
    for path in sorted(entry.path for entry in folder.list_files()):
        if not any(part.startswith(("_", ".")) for part in path.split("/")):
            yield _read_parquet(folder / path)


def _read_parquet(file: Location) -> pa.Table:
    return pq.ParquetFile(io.BytesIO(file.read())).read()
