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

from helpers.run.manifest import Run
from helpers.storage.location import locate

STAGES = ("01_ingest", "02_preprocess", "03_featurize", "04_pca", "05_classify")
SAMPLE_LIMIT = 12  # photos a class

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator["Disk"]:
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


class Disk:
    def __init__(self, place: Path) -> None:
        self.place = place

    def becomes(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", self.place], check=True)


@pytest.fixture
def unstruck(sample: Callable[..., Runs], tmp_path: Path) -> Runs:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(tmp_path / "unstruck"))
    outcome = runs.run(*STAGES)
    assert outcome.code == 0, outcome.stderr
    return runs


def test_a_full_disk(
    disk: "Disk", sample: Callable[..., Runs], unstruck: Runs, ledger: Callable[..., None]
) -> None:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(disk.place / "run"))
    stopped = runs.run(*STAGES)
    _is_clear(stopped, "No space left on device")
    finished = list(stopped.new)
    assert finished == ["01_ingest"]
    _holds_whole_files_alone(disk.place)
    disk.becomes("size=1g")
    again = runs.run(*STAGES)
    assert again.code == 0, again.stderr
    equal = rows.same(runs.uri, unstruck.uri)
    ledger("disk full", "02_preprocess", "stops; goes on when there is room", "-", f"{equal:,}")


def test_a_disk_full_at_the_first_byte(
    disk: "Disk", sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    (disk.place / "ballast").write_bytes(bytes(1024**2 - 8192))
    _fill(disk.place / "rest")
    outcome = sample(RUN_URI=str(disk.place / "run")).run("01_ingest")
    _is_clear(outcome, "No space left on device")
    ledger("disk full from the start", "01_ingest", "one clear line")


def test_a_read_only_target(
    disk: "Disk", sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(LIMIT=SAMPLE_LIMIT, RUN_URI=str(disk.place / "run"))
    disk.becomes("size=1g")
    outcome = runs.run("01_ingest")
    assert outcome.code == 0, outcome.stderr
    disk.becomes("ro")
    for stage in ("01_ingest", "02_preprocess"):
        _is_clear(runs.run(stage), "Read-only file system")
    ledger("read-only target", "01, 02", "one clear line")


def test_photos_that_vanish_or_change_between_listing_and_reading(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(SOURCE_URI=str(folder))
    assert runs.run("01_ingest").code == 0
    files = sorted(folder.rglob("*_100.jpg"))
    gone, longer, shorter = files[0], files[20], files[40]
    content = gone.read_bytes()
    gone.unlink()
    longer.write_bytes(longer.read_bytes() + b"x")
    shorter.write_bytes(shorter.read_bytes()[:-1])
    outcome = runs.run("02_preprocess")
    assert outcome.code == 0, outcome.stderr
    assert _counts(runs)["rejects"]["unreadable"] == 3
    gone.write_bytes(content)
    # 01 lists the changed ones anew; all three are read again.
    assert runs.run("01_ingest", "02_preprocess").code == 0
    assert "unreadable" not in _counts(runs)["rejects"]
    ledger("photos vanish, change", "01 to 02", "3 rejects, unreadable; then read")


def test_a_source_that_vanishes_and_comes_back(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    runs = sample(SOURCE_URI=str(folder))
    assert runs.run("01_ingest").code == 0
    away = folder.rename(folder.with_name("away"))
    outcome = runs.run("02_preprocess")
    _is_clear(outcome, "unreadable")
    assert outcome.error.startswith("TooManyRejectsError: all ")
    away.rename(folder)
    again = runs.run("02_preprocess")
    assert again.code == 0, again.stderr
    alone = sample(SOURCE_URI=str(folder), RUN_URI=f"{runs.uri}-alone")
    assert alone.run("01_ingest", "02_preprocess").code == 0
    equal = rows.same(runs.uri, alone.uri)
    ledger("source away for a while", "02_preprocess", "stops; goes on", "-", f"{equal:,}")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_source_that_may_not_be_read(
    folder: Path, sample: Callable[..., Runs], ledger: Callable[..., None]
) -> None:
    nobody = 65534
    os.chown(folder, nobody, -1)
    folder.chmod(0o700)
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root as any other user
    with sample(SOURCE_URI=str(folder)).started("01_ingest", before=without) as driver:
        outcome = driver.end()
    _is_clear(outcome, "Permission denied")
    ledger("source not readable", "01_ingest", "one clear line")


def _is_clear(outcome: Outcome, words: str) -> None:
    """A failure whose last line says what is wrong, and names the place or the file."""
    assert outcome.code == 1, outcome.stderr
    assert words in outcome.error
    assert len(outcome.error) < 400


def _holds_whole_files_alone(place: Path) -> None:
    """No temporary file is left, no snapshot is declared whole that is not."""
    assert not list(place.rglob("_tmp-*"))
    for manifest in place.rglob("_manifest.json"):
        assert manifest.stat().st_size > 0


def _counts(runs: Runs) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = Run(locate(runs.uri)).manifest()["counts"]
    return counts


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filling:  # until it is full
        while True:
            filling.write(bytes(4096))
