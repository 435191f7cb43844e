"""Storage that fails: a clear error or a reject, and no half table taken for a whole one."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from harness import rows
from harness.runs import Outcome, Runs

from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import INGEST, PREPROCESS, Run
from helpers.storage.location import locate

SAMPLE_LIMIT = 12  # photos per class

pytestmark = pytest.mark.slow


class Disk:
    def __init__(self, place: Path) -> None:
        self.place = place

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", self.place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a file system: {mounted.stderr.strip()}")
    yield Disk(place)
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def unstruck(sample: Callable[..., Runs], tmp_path: Path) -> Runs:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(tmp_path / "unstruck"))
    outcome = runs.run(*NOTEBOOKS)
    assert outcome.code == 0, outcome.stderr
    return runs


def test_a_run_stopped_by_a_full_disk_goes_on_when_there_is_room(
    disk: Disk, sample: Callable[..., Runs], unstruck: Runs, ledger: Callable[..., None]
) -> None:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(disk.place / "run"))
    stopped = runs.run(*NOTEBOOKS)
    _check_error(stopped, "No space left on device")
    finished = list(stopped.new)
    assert finished == [INGEST]
    _check_files_are_whole(disk.place)
    disk.remount("size=1g")
    again = runs.run(*NOTEBOOKS)
    assert again.code == 0, again.stderr
    equal = rows.compare(runs.uri, unstruck.uri)
    ledger("disk full", PREPROCESS, "stops; goes on when there is room", "-", f"{equal:,}")


def test_a_disk_that_is_full_from_the_start_is_told_in_one_line(
    disk: Disk, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    (disk.place / "ballast").write_bytes(bytes(1024**2 - 8192))
    _fill(disk.place / "rest")
    outcome = sample(RUN_URI=str(disk.place / "run")).run(INGEST)
    _check_error(outcome, "No space left on device")
    ledger("disk full from the start", INGEST, "one clear line")


def test_a_read_only_target_is_told_in_one_line(
    disk: Disk, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(disk.place / "run"))
    disk.remount("size=1g")
    outcome = runs.run(INGEST)
    assert outcome.code == 0, outcome.stderr
    disk.remount("ro")
    for stage in (INGEST, PREPROCESS):
        _check_error(runs.run(stage), "Read-only file system")
    ledger("read-only target", "01, 02", "one clear line")


def test_photos_that_vanish_or_change_after_the_listing_are_rejects_and_read_later(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(SOURCE_URI=str(folder))
    assert runs.run(INGEST).code == 0
    files = sorted(folder.rglob("*_100.jpg"))
    gone, longer, shorter = files[0], files[20], files[40]
    content = gone.read_bytes()
    gone.unlink()
    longer.write_bytes(longer.read_bytes() + b"x")
    shorter.write_bytes(shorter.read_bytes()[:-1])
    outcome = runs.run(PREPROCESS)
    assert outcome.code == 0, outcome.stderr
    assert _read_counts(runs)["rejects"]["unreadable"] == 3
    gone.write_bytes(content)
    # 01 lists the changed ones anew; all three are read again.
    assert runs.run(INGEST, PREPROCESS).code == 0
    assert "unreadable" not in _read_counts(runs)["rejects"]
    ledger("photos vanish, change", "01 to 02", "3 rejects, unreadable; then read")


def test_a_run_whose_source_vanished_goes_on_when_it_is_back(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(SOURCE_URI=str(folder))
    assert runs.run(INGEST).code == 0
    away = folder.rename(folder.with_name("away"))
    outcome = runs.run(PREPROCESS)
    _check_error(outcome, "unreadable")
    assert outcome.error.startswith("TooManyRejectsError: all ")
    away.rename(folder)
    again = runs.run(PREPROCESS)
    assert again.code == 0, again.stderr
    alone = sample(SOURCE_URI=str(folder), RUN_URI=f"{runs.uri}-alone")
    assert alone.run(INGEST, PREPROCESS).code == 0
    equal = rows.compare(runs.uri, alone.uri)
    ledger("source away for a while", PREPROCESS, "stops; goes on", "-", f"{equal:,}")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_source_that_may_not_be_read_is_told_in_one_line(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    nobody = 65534
    os.chown(folder, nobody, -1)
    folder.chmod(0o700)
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root as any other user
    with sample(SOURCE_URI=str(folder)).start(INGEST, before=without) as driver:
        outcome = driver.wait()
    _check_error(outcome, "Permission denied")
    ledger("source not readable", INGEST, "one clear line")


def _check_error(outcome: Outcome, words: str) -> None:
    """Check that a run failed, and that its last line says why."""
    assert outcome.code == 1, outcome.stderr
    assert words in outcome.error
    assert len(outcome.error) < 400


def _check_files_are_whole(place: Path) -> None:
    """Check that no temporary file is left, and that no manifest is empty."""
    assert not list(place.rglob("_tmp-*"))
    for manifest in place.rglob("_manifest.json"):
        assert manifest.stat().st_size > 0


def _read_counts(runs: Runs) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = Run(locate(runs.uri)).read_manifest()["counts"]
    return counts


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filling:  # until it is full
        while True:
            filling.write(bytes(4096))
