"""Measure the project's parts beside Delta Lake, Iceberg and Lance, as Python packages.

The project needs none of them, so they go into an environment of their own::

    python3.11 -m venv formats
    formats/bin/pip install deltalake==1.6.6 "pyiceberg[sql-sqlite,pyarrow]==0.12.0" \
        pylance==14.0.2 pyarrow==25.0.0 pandas==2.2.3 numpy==1.26.4 boto3==1.44.5 \
        duckdb==1.5.6 pyspark==3.5.8 pillow==13.0.0 packaging==26.4 \
        "moto[server,s3]==5.2.5"
    formats/bin/python -m benchmarks.compare_formats PHOTOS SCRATCH

PHOTOS is a folder with 12,800 JPEG files or more; they are squashed to 100 x 100. SCRATCH is a
folder on a local disk with 6 GB free; the figures go to ``SCRATCH/results.json``. It takes ten
minutes on two cores, and needs Linux and a Java for Spark. What a table holds is compared with
what was written to it before a time counts. ``--steps`` and ``--formats`` choose some.
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import platform
import random
import re
import shutil
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from benchmarks.table_formats import (
    SCHEMA,
    DeltaLake,
    Format,
    Iceberg,
    Lance,
    MaintainedFormat,
    OwnParts,
)
from helpers.run.schemas import KEY

FORMATS: dict[str, Callable[[str], Format]] = {
    "parts": OwnParts,
    "deltalake": DeltaLake,
    "pyiceberg": Iceberg,
    "lance": Lance,
}
PHOTOS, SIDE = 12_800, 100
COMMITS = (50, 400)
WRITERS = 2
BARE_COMMITS, BARE_ROWS = 100, 32  # without pixels
REPEATS = 3
CHOSEN = 100  # photos read by their path
DELETED_OF = 100  # one photo of so many is deleted
KILLS, KILLED_ROWS = 20, 256
LARGE_SIDE, LARGE_ROWS, LARGE_COMMITS = 224, 222, 65  # 2.17 GB: more than an int32 addresses
S3_COMMITS, S3_ROWS = 21, 32  # the last one's requests are counted
BUCKET = "formats"
BASE = ("pyarrow", "numpy", "pandas", "boto3")  # what the project installs anyway
MIB = 1024**2

Result = dict[str, Any]
# Lance and delta-rs have threads, which do not survive a fork.
_spawning = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Source:
    """Photos as one array on disk, which every process maps."""

    file: str
    side: int = SIDE

    def make_rows(self, start: int, count: int) -> pa.Table:
        """Make rows of the photos from number ``start`` on; after the last one they come again."""
        photos = np.load(self.file, mmap_mode="r")
        numbers = range(start, start + count)
        near = np.arange(self.side) * SIDE // self.side
        pixels = [photos[number % PHOTOS][near][:, near].tobytes() for number in numbers]
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        columns = {
            "path": [name_photo(number) for number in numbers],
            "length": [5_000 + number for number in numbers],
            "modified": [moment + timedelta(seconds=number) for number in numbers],
            "image_id": [hashlib.sha256(photo).hexdigest() for photo in pixels],
            "height": [self.side] * count,
            "width": [self.side] * count,
            "pixels": pixels,
        }
        return pa.table(columns, schema=SCHEMA)


def name_photo(number: int) -> str:
    """Name a photo by its number."""
    return f"photos/{number:06d}.jpg"


def collect_photos(folder: Path, file: Path) -> None:
    """Squash the first photos below ``folder`` and keep them as one array."""
    from PIL import Image

    paths = sorted(folder.rglob("*.jpg"))[:PHOTOS]
    if len(paths) < PHOTOS:
        raise ValueError(f"PHOTOS must hold {PHOTOS} JPEG files, got {len(paths)} in {folder}")
    photos = np.empty((PHOTOS, SIDE, SIDE, 3), np.uint8)
    for photo, path in zip(photos, paths, strict=True):
        with Image.open(path) as image:
            photo[:] = np.asarray(image.convert("RGB").resize((SIDE, SIDE)))
    np.save(file, photos)


def check_rows(table: pa.Table, numbers: list[int] | range) -> None:
    """Refuse a table whose paths are not those of ``numbers``, each once."""
    found = sorted(table["path"].to_pylist())
    if found != [name_photo(number) for number in sorted(numbers)]:
        raise AssertionError(f"expected {len(numbers)} rows, got {len(found)}, or other ones")


# Commits


@dataclass(frozen=True)
class Share:
    """What one writer of several met."""

    milliseconds: list[float]
    cpu_milliseconds: float
    retries: int
    repeats: int


def measure_commits(make: Callable[[str], Format], source: Source, scratch: Path) -> Result:
    """Append all photos from two processes at once, in few and in many commits."""
    results: Result = {}
    for commits in COMMITS:
        table = make(str(clear(scratch / str(commits))))
        table.create()
        rows = PHOTOS // commits
        started = time.perf_counter()
        shares = _write_together(make, table, source, rows, scratch)
        seconds = time.perf_counter() - started
        check_rows(table.read(["path"]), range(PHOTOS))
        folder = Path(table.uri)
        results[f"{commits}_commits"] = {
            "rows": rows,
            "median_ms": _median(ms for share in shares for ms in share.milliseconds),
            "cpu_ms": round(sum(share.cpu_milliseconds for share in shares) / commits, 1),
            "worst_ms": round(max(ms for share in shares for ms in share.milliseconds), 1),
            "first_50_ms": _median(ms for share in shares for ms in share.milliseconds[:25]),
            "last_50_ms": _median(ms for share in shares for ms in share.milliseconds[-25:]),
            "conflicts": sum(share.retries for share in shares) + table.count_conflicts(),
            "repeats_by_caller": sum(share.repeats for share in shares),
            "seconds_with_start": round(seconds, 1),
            "files": len(list_files(folder)),
            "unreferenced": len(set(list_files(folder)) - table.list_referenced()),
            **measure_size(folder),
        }
    results["bare"] = _measure_bare_commits(make, source, scratch)
    return results


def _write_together(
    make: Callable[[str], Format], table: Format, source: Source, rows: int, scratch: Path
) -> list[Share]:
    starts = range(0, PHOTOS, rows)
    with _spawning.Pool(WRITERS, _keep_barrier, (_spawning.Barrier(WRITERS),)) as pool:
        pending = []
        for writer in range(WRITERS):
            warm = make(str(clear(scratch / f"warm-{writer}")))
            share = (table, warm, source, starts[writer::WRITERS], rows)
            pending.append(pool.apply_async(_write_share, share))
        return [each.get() for each in pending]


def _keep_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


_barrier: Any = None  # of a pool's worker


def _write_share(table: Format, warm: Format, source: Source, starts: range, rows: int) -> Share:
    retries = _count_retry_warnings()
    batches = [source.make_rows(start, rows) for start in starts]
    warm.create()
    warm.append(batches[0])  # imports and thread pools are no part of a commit
    _barrier.wait()
    milliseconds, repeats, cpu = [], 0, time.process_time()
    for batch in batches:
        started = time.perf_counter()
        repeats += table.append(batch)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return Share(milliseconds, (time.process_time() - cpu) * 1000, retries["retrying"], repeats)


def _count_retry_warnings() -> Counter[str]:
    """Count the warnings by which pyiceberg tells that it tries a commit again."""
    seen: Counter[str] = Counter()

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen["retrying"] += "retrying" in record.getMessage()

    logger = logging.getLogger("pyiceberg.table")
    logger.addHandler(Counting())
    logger.propagate = False
    return seen


def _measure_bare_commits(make: Callable[[str], Format], source: Source, scratch: Path) -> Result:
    """Measure commits of 32 rows without pixels by one writer: what the books alone cost."""
    table = make(str(clear(scratch / "bare")))
    table.create()
    table.append(_drop_pixels(source.make_rows(0, BARE_ROWS)))
    milliseconds, cpu = [], 0.0
    for commit in range(1, BARE_COMMITS + 1):
        rows = _drop_pixels(source.make_rows(commit * BARE_ROWS, BARE_ROWS))
        started, busy = time.perf_counter(), time.process_time()
        table.append(rows)
        milliseconds.append((time.perf_counter() - started) * 1000)
        cpu += time.process_time() - busy
    return {
        "rows": BARE_ROWS,
        "median_ms": _median(milliseconds),
        "cpu_ms": round(cpu * 1000 / BARE_COMMITS, 1),
    }


def _drop_pixels(rows: pa.Table) -> pa.Table:
    empty = pa.array([b""] * len(rows), pa.binary())
    return rows.set_column(rows.schema.get_field_index("pixels"), "pixels", empty)


# Reads


def measure_reads(make: Callable[[str], Format], scratch: Path) -> Result:
    """Read the keys of all rows, and some photos, each time in a new process."""
    table = make(str(scratch / str(COMMITS[-1])))
    chosen = random.Random(0).sample(range(PHOTOS), CHOSEN)
    keys = [run_apart(table, _read_keys, table) for _ in range(REPEATS)]
    photos = [run_apart(table, _read_photos, table, chosen) for _ in range(REPEATS)]
    return {
        "keys_s": statistics.median(each["seconds"] for each in keys),
        "keys_cpu_s": statistics.median(each["cpu_s"] for each in keys),
        f"photos_{CHOSEN}_s": statistics.median(each["seconds"] for each in photos),
        f"photos_{CHOSEN}_cpu_s": statistics.median(each["cpu_s"] for each in photos),
        "import_s": statistics.median(each["import_s"] for each in keys + photos),
    }


def _read_keys(table: Format) -> None:
    check_rows(table.read(KEY), range(PHOTOS))


def _read_photos(table: Format, numbers: list[int]) -> None:
    found = table.read_photos([name_photo(number) for number in numbers])
    check_rows(found, numbers)
    if pc.unique(pc.binary_length(found["pixels"])).to_pylist() != [SIDE * SIDE * 3]:
        raise AssertionError("photos of another size were read")


# Kills


def measure_kills(make: Callable[[str], Format], source: Source, scratch: Path) -> Result:
    """Kill a writer again and again, and look at the table each time.

    Every other kill strikes at a random moment of a commit, the others as soon as the commit has
    made a file.
    """
    table = make(str(clear(scratch / "kills")))
    table.create()
    folder = Path(table.uri)
    folder.mkdir(exist_ok=True)
    chance = random.Random(0)
    seconds = _measure_calm_commit(make, source, scratch)
    commits = torn = lost = 0
    for kill in range(KILLS):
        finished, go = _spawning.Value("i", 0), _spawning.Event()
        writer = _spawning.Process(target=_append_more, args=(table, source, commits, finished, go))
        writer.start()
        while finished.value == 0:
            time.sleep(0.001)
        known = set(list_files(folder))
        go.set()
        if kill % 2:
            time.sleep(chance.uniform(0, seconds))
        else:
            while not set(list_files(folder)) - known:
                pass
        os.kill(cast(int, writer.pid), signal.SIGKILL)
        writer.join()
        paths = table.read(["path"])["path"].to_pylist()
        torn += len(paths) % KILLED_ROWS != 0 or len(set(paths)) != len(paths)
        lost += len(paths) < (commits + finished.value) * KILLED_ROWS
        commits = len(paths) // KILLED_ROWS
    results = {
        "commit_ms": round(seconds * 1000, 1),
        "kills": KILLS,
        "half_commits_seen": torn,
        "finished_commits_lost": lost,
        "rows": commits * KILLED_ROWS,
        "debris": _describe_debris(table),
        "plain_rows": count_plainly(table),
    }
    if isinstance(table, MaintainedFormat):
        table.clean()
        results["debris_cleaned"] = _describe_debris(table)
        results["plain_rows_cleaned"] = count_plainly(table)
    return results


def _describe_debris(table: Format) -> Result:
    debris = set(list_files(Path(table.uri))) - table.list_referenced()
    size = sum(path.stat().st_size for path in debris)
    return Counter(_strip_random(path.name) for path in debris) | {"mib": round(size / MIB, 1)}


def _measure_calm_commit(make: Callable[[str], Format], source: Source, scratch: Path) -> float:
    table = make(str(clear(scratch / "calm")))
    table.create()
    batch = source.make_rows(0, KILLED_ROWS)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        table.append(batch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _append_more(table: Format, source: Source, commits: int, finished: Any, go: Any) -> None:
    """Commit once, wait for the word, then commit until the kill."""
    logging.disable(logging.WARNING)
    ahead = range(commits, commits + 4)
    for batch in [source.make_rows(commit * KILLED_ROWS, KILLED_ROWS) for commit in ahead]:
        table.append(batch)
        finished.value += 1
        go.wait()
    time.sleep(60)


def _strip_random(name: str) -> str:
    name = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{20,}|\d{19,}", "*", name)
    return re.sub(r"(?<=_tmp-)\w+|(?<=\.tmp)\w+", "*", name)


# Changes


def measure_changes(table: Format) -> Result:
    """Delete one photo of a hundred, compact, and remove what is old, as far as there is a call."""
    results: Result = {"before": _describe_state(table)}
    if not isinstance(table, MaintainedFormat):
        return results
    deleted = [name_photo(number) for number in range(0, PHOTOS, DELETED_OF)]
    left = [number for number in range(PHOTOS) if number % DELETED_OF]
    for step, arguments in (
        (table.delete, (deleted,)),
        (table.compact, ()),
        (table.clean, ()),
    ):
        cost = run_apart(table, step, *arguments)
        check_rows(table.read(["path"]), left)
        keys = run_apart(table, table.read, KEY)
        results[step.__name__] = cost | {"keys_s": keys["seconds"]} | _describe_state(table)
    return results


def _describe_state(table: Format) -> Result:
    folder = Path(table.uri)
    return {
        "data_files": sum(is_data(path) for path in list_files(folder)),
        **measure_size(folder),
        "plain_rows": count_plainly(table),
    }


def measure_adoption(parts: OwnParts, scratch: Path) -> Result:
    """Make tables of the other formats out of parts as they lie."""
    results: Result = {}
    for name, adopt in (
        ("deltalake", _adopt_by_delta),
        ("pyiceberg", _adopt_by_iceberg),
        ("lance", _rewrite_by_lance),
    ):
        folder = clear(scratch / f"adopted-{name}")
        shutil.copytree(parts.uri, folder / "parts")
        started = time.perf_counter()
        table = adopt(folder)
        seconds = time.perf_counter() - started
        check_rows(table.read(["path"]), range(PHOTOS))
        kept = OwnParts(str(folder / "parts"))
        check_rows(kept.read(["path"]), range(PHOTOS))
        results[name] = {
            "seconds": round(seconds, 2),
            **measure_size(Path(table.uri)),
            "plain_rows_of_parts": count_plainly(kept),
        }
    return results


def _adopt_by_delta(folder: Path) -> Format:
    from deltalake import convert_to_deltalake

    convert_to_deltalake(folder / "parts")
    return DeltaLake(str(folder / "parts"))


def _adopt_by_iceberg(folder: Path) -> Format:
    logging.getLogger("pyiceberg.io.pyarrow").setLevel(logging.ERROR)  # pixels have no statistics
    adopted = Iceberg(str(folder))
    adopted.create()
    parts = sorted((folder / "parts").iterdir())
    adopted.table.add_files([f"file://{part}" for part in parts])
    return adopted


def _rewrite_by_lance(folder: Path) -> Format:
    import lance

    lance.write_dataset(pads.dataset(folder / "parts", format="parquet"), str(folder / "lance"))
    return Lance(str(folder / "lance"))


# Large rows


def measure_large_rows(make: Callable[[str], Format], source: Source, scratch: Path) -> Result:
    """Write rows of 150 kB, more than 2 GiB in all; read them, compact, read them again."""
    table = make(str(clear(scratch / "large")))
    table.create()
    large = Source(source.file, LARGE_SIDE)
    milliseconds = []
    for commit in range(LARGE_COMMITS):
        batch = large.make_rows(commit * LARGE_ROWS, LARGE_ROWS)
        started = time.perf_counter()
        table.append(batch)
        milliseconds.append((time.perf_counter() - started) * 1000)
    results: Result = {"median_ms": _median(milliseconds), "read": _try(table, _read_large, table)}
    if isinstance(table, MaintainedFormat):
        results["compact"] = _try(table, table.compact)
        results["read_compacted"] = _try(table, _read_large, table)
    sizes = [path.stat().st_size for path in list_files(Path(table.uri))]
    results["largest_file_mib"] = round(max(sizes) / MIB, 1)
    clear(scratch / "large")
    return results


def _read_large(table: Format) -> None:
    found = table.read(["path", "pixels"])
    check_rows(found, range(LARGE_ROWS * LARGE_COMMITS))
    size = pc.sum(pc.binary_length(found["pixels"]).cast(pa.int64())).as_py()
    if size != LARGE_ROWS * LARGE_COMMITS * LARGE_SIDE**2 * 3:
        raise AssertionError(f"{size} bytes of pixels were read")


def _try(table: Format, work: Callable[..., object], *arguments: object) -> Result:
    try:
        return run_apart(table, work, *arguments)
    except Exception as error:  # noqa: BLE001 - how a format refuses is the result
        return {"fails": _first_line(error)}


# S3


def measure_requests(source: Source, scratch: Path) -> Result:
    """Count the requests of one commit to a mock of S3, by method."""
    import boto3

    results: Result = {}
    with _serve_s3() as (endpoint, requests):
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        catalog = clear(scratch / "s3-catalog")
        tables: dict[str, Format] = {
            "parts": OwnParts(f"s3://{BUCKET}/parts"),
            "deltalake": DeltaLake(f"s3://{BUCKET}/delta"),
            "pyiceberg": Iceberg(f"s3://{BUCKET}/iceberg", str(catalog)),
            "lance": Lance(f"s3://{BUCKET}/lance"),
        }
        for name, table in tables.items():
            table.create()
            for commit in range(S3_COMMITS):
                rows = source.make_rows(commit * S3_ROWS, S3_ROWS)
                requests.clear()
                table.append(rows)
            results[name] = dict(Counter(requests))
            check_rows(table.read(["path"]), range(S3_COMMITS * S3_ROWS))
    return results


@contextmanager
def _serve_s3() -> Iterator[tuple[str, list[str]]]:
    """Serve a mock of S3; give its address and a list to which it adds each request."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    mock = DomainDispatcherApplication(create_backend_app)
    requests: list[str] = []

    def answer(environment: Result, start: Any) -> Any:
        kind = environment["REQUEST_METHOD"]
        if kind == "GET" and re.search(r"list-type|prefix=", environment["QUERY_STRING"]):
            kind = "LIST"
        if "HTTP_IF_NONE_MATCH" in environment:
            kind += " if absent"
        requests.append(kind)
        return mock(environment, start)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, answer, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()


# Packages


def measure_packages() -> Result:
    """Measure the MiB that a package and all it needs add to what the project installs anyway."""
    base: set[str] = set()
    for name in BASE:
        _add_required(name, (), base)
    results: Result = {}
    wanted = {"deltalake": (), "pyiceberg": ("sql-sqlite", "pyarrow"), "pylance": ()}
    for name, extras in wanted.items():
        needed: set[str] = set()
        _add_required(name, extras, needed)
        added = needed - base
        results[name] = {
            "own_mib": round(_measure_installed(name) / MIB, 1),
            "added_mib": round(sum(_measure_installed(each) for each in added) / MIB, 1),
            "added_packages": len(added),
        }
    return results


def _add_required(name: str, extras: tuple[str, ...], found: set[str]) -> None:
    from packaging.requirements import Requirement

    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return
    found.add(key)
    for line in metadata.requires(name) or ():
        required = Requirement(line)
        marker = required.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in ("", *extras)):
            _add_required(required.name, tuple(required.extras), found)


def _measure_installed(name: str) -> int:
    listed = metadata.distribution(name).files or []
    paths = [Path(str(file.locate())) for file in listed if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


# Plain readers


def count_plainly(table: Format) -> Result:
    """Count the rows that readers without the library see, or tell why they fail."""
    folder = str(table.plain_folder)
    seen: Result = {}
    for count in (_count_by_pandas, _count_by_pyarrow, _count_by_duckdb, _count_by_spark):
        name = count.__name__.removeprefix("_count_by_")
        try:
            seen[name] = count(folder)
        except Exception as error:  # noqa: BLE001 - how a reader fails is the result
            seen[name] = _first_line(error).replace(folder, "...")
    return seen


def _count_by_pandas(folder: str) -> int:
    import pandas as pd

    return len(pd.read_parquet(folder, columns=["path"]))


def _count_by_pyarrow(folder: str) -> int:
    return int(pads.dataset(folder, format="parquet").to_table(columns=["path"]).num_rows)


def _count_by_duckdb(folder: str) -> int:
    import duckdb

    counted = duckdb.sql(f"SELECT count(path) FROM read_parquet('{folder}/*.parquet')").fetchall()
    return int(counted[0][0])


def _count_by_spark(folder: str) -> int:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]")
    for key, value in {"ui.enabled": "false", "ui.showConsoleProgress": "false"}.items():
        builder = builder.config(f"spark.{key}", value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return int(session.read.parquet(folder).select("path").dropna().count())


def _first_line(error: Exception) -> str:
    """Tell an error in a line; of Spark's, the innermost cause."""
    lines = str(error).strip().splitlines() or [""]
    causes = [line.removeprefix("Caused by: ") for line in lines if "Caused by: " in line]
    line = causes[-1] if causes else f"{type(error).__name__}: {lines[0]}"
    return re.sub(r"(?<=\.\.\./)[^ ']+/|file:\S+/", "", line)[:200]


# Tools


def run_apart(table: Format, work: Callable[..., object], *arguments: object) -> Result:
    """Run ``work`` in a new process; give its seconds, the peak memory, the import's seconds."""
    with _spawning.Pool(1) as pool:
        return pool.apply(_run_measured, (table, work, arguments))


def _run_measured(
    table: Format, work: Callable[..., object], arguments: tuple[object, ...]
) -> Result:
    logging.disable(logging.WARNING)
    started = time.perf_counter()
    table.load_library()
    loaded, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])  # ru_maxrss counts the parent's too
    return {
        "seconds": round(ended - loaded, 3),
        "cpu_s": round(cpu, 3),
        "import_s": round(loaded - started, 2),
        "peak_mib": peak // 1024,
    }


def list_files(folder: Path) -> list[Path]:
    """List all files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def is_data(path: Path) -> bool:
    """Whether a file holds photos, and not what a format notes about them."""
    return path.suffix in (".parquet", ".lance") and path.parent.name != "_delta_log"


def measure_size(folder: Path) -> Result:
    """Measure what lies in a folder: photos, and what a format notes about them."""
    sizes: Counter[bool] = Counter()
    for path in list_files(folder):
        sizes[is_data(path)] += path.stat().st_size
    return {"data_mib": round(sizes[True] / MIB, 1), "books_mib": round(sizes[False] / MIB, 2)}


def clear(folder: Path) -> Path:
    """Remove a folder, so that a table can be made there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _median(values: Iterable[float]) -> float:
    return float(round(statistics.median(values), 1))


def describe_machine() -> Result:
    """Describe what was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    packages = ("deltalake", "pyiceberg", "pylance", "pyarrow", "pandas", "duckdb", "pyspark")
    return {
        "processor": next(line.partition(": ")[2] for line in lines if "model name" in line),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def main() -> None:
    """Take the steps that were chosen, one format after the other."""
    parser = argparse.ArgumentParser(description="Measure table formats beside the project's own.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("scratch", type=Path)
    steps = ("packages", "commits", "reads", "kills", "large", "requests", "adoption", "changes")
    parser.add_argument("--steps", nargs="+", choices=steps, default=steps)
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS))
    options = parser.parse_args()
    scratch: Path = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    array, output = scratch / "photos.npy", scratch / "results.json"
    if not array.exists():
        collect_photos(options.photos, array)
    source = Source(str(array))
    parts = OwnParts(str(scratch / "parts" / str(COMMITS[-1])))
    results: Result = json.loads(output.read_text()) if output.exists() else {}
    results["machine"] = describe_machine()

    def run(step: str, name: str, work: Callable[[], Result]) -> None:
        if step in options.steps and name in ("all", *options.formats):
            load, started = os.getloadavg()[0], time.monotonic()
            results.setdefault(step, {})[name] = work() | {"load_before": round(load, 1)}
            output.write_text(json.dumps(results, indent=1))
            print(f"{step}, {name}: {time.monotonic() - started:.0f} s", file=sys.stderr)

    run("packages", "all", measure_packages)
    for name, make in FORMATS.items():
        place = scratch / name
        run("commits", name, partial(measure_commits, make, source, place))
        run("reads", name, partial(measure_reads, make, place))
        run("kills", name, partial(measure_kills, make, source, place))
        run("large", name, partial(measure_large_rows, make, source, place))
    run("adoption", "all", partial(measure_adoption, parts, scratch))
    run("requests", "all", partial(measure_requests, source, scratch))
    for name, make in FORMATS.items():  # last, as it changes what was written
        table = make(str(scratch / name / str(COMMITS[-1])))
        run("changes", name, partial(measure_changes, table))


if __name__ == "__main__":
    main()
