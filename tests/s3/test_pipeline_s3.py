"""Runs from bucket to bucket on a real S3 server: their tables are those of local runs."""

import io
import itertools
import os
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import rows
from harness.gateway import Server
from harness.proxy import BUSY, CUT, LOST, PASS, RESET, fail_every, start_proxy
from harness.reference import ROOT, SAMPLE
from harness.runs import Driver, Runs, make_environment

from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import Run
from helpers.storage.location import locate

pytestmark = pytest.mark.services

INGEST, PREPROCESS, FEATURIZE, PCA, CLASSIFY = NOTEBOOKS
MODIFIED = ("modified",)  # the one column in which a bucket and a folder differ
PEARS = sorted(path.relative_to(SAMPLE).as_posix() for path in SAMPLE.glob("Test/Pear/*"))


def test_a_run_from_bucket_to_bucket_equals_one_from_folder_to_folder(
    remote: Callable[..., Runs], local: Runs, server: Server, ledger: Callable[..., None]
) -> None:
    runs = remote()
    outcome = runs.run(*NOTEBOOKS)
    assert outcome.code == 0, outcome.stderr
    equal = rows.compare(runs.uri, local.uri, ignore=MODIFIED)
    assert runs.passes == local.passes
    again = runs.run(*NOTEBOOKS)
    assert [again.new[stage] for stage in NOTEBOOKS[1:]] == [0, 0, 0, 0]
    assert runs.passes == local.passes
    _require_no_secret(runs, server)
    ledger(
        "none",
        "S3, 01 to 05",
        "as from folder to folder",
        _describe_passes(runs, local),
        f"{equal:,}",
    )


@pytest.mark.slow
def test_a_run_whose_every_seventh_request_fails_equals_one_without_failures(
    remote: Callable[..., Runs], local: Runs, server: Server, ledger: Callable[..., None]
) -> None:
    with start_proxy(server.url, fail_every(7, BUSY, RESET, LOST, CUT)) as flaky:
        runs = remote(through={"AWS_ENDPOINT_URL": flaky.url})
        outcome = runs.run(*NOTEBOOKS)
    assert outcome.code == 0, outcome.stderr
    assert flaky.failed > 100
    equal = rows.compare(runs.uri, local.uri, ignore=MODIFIED)
    what = f"{flaky.failed} requests: 503, reset, lost, cut"
    ledger(what, "S3, 01 to 05", "as without", _describe_passes(runs, local), f"{equal:,}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "table", "at"),
    [
        (PREPROCESS, "pixels", 7),
        (FEATURIZE, "features", 7),
        (PCA, "pca", 2),
        (CLASSIFY, "classify", 5),
    ],
)
def test_the_rerun_of_a_killed_driver_finishes(
    stage: str,
    table: str,
    at: int,
    remote: Callable[..., Runs],
    local: Runs,
    server: Server,
    ledger: Callable[..., None],
) -> None:
    """It is killed when it has asked for a write, before the write is done."""
    begun: list[Driver] = []
    writes = itertools.count(1)

    def judge(method: str, path: str) -> str:
        if method == "PUT" and f"/{table}/" in path and next(writes) == at:
            os.kill(begun[0].process.pid, signal.SIGKILL)
        return PASS

    with start_proxy(server.url, judge) as counting:
        runs = remote(through={"AWS_ENDPOINT_URL": counting.url})
        with runs.start(*NOTEBOOKS) as driver:
            begun.append(driver)
            killed = driver.wait()
        assert killed.code == -signal.SIGKILL, killed.stderr
        assert stage not in killed.new
        again = runs.run(*NOTEBOOKS)
    assert again.code == 0, again.stderr
    equal = rows.compare(runs.uri, local.uri, ignore=MODIFIED)
    passes = _describe_passes(runs, local)
    ledger("driver killed", f"S3, {stage}", "the rerun finishes", passes, f"{equal:,}")


@pytest.mark.slow
def test_the_command_writes_notebooks_and_report_to_the_bucket(
    remote: Callable[..., Runs], local: Runs
) -> None:
    """The whole of ``python -m helpers run``: the executed notebooks lie in the bucket too."""
    runs = remote()
    command = [sys.executable, "-m", "helpers", "run"]
    command += ["--params", str(ROOT / "notebooks" / "params" / "sample.yaml")]
    command += ["-p", "SOURCE_URI", str(runs.parameters["SOURCE_URI"]), "-p", "RUN_URI", runs.uri]
    with Driver(command, {**os.environ, **make_environment(runs.counts)}, runs.counts) as driver:
        outcome = driver.wait()
    assert outcome.code == 0, outcome.stderr
    rows.compare(runs.uri, local.uri, ignore=MODIFIED)
    place = locate(runs.uri)
    assert (place / "report.html").is_file()
    assert all((place / "notebooks" / f"{name}.ipynb").is_file() for name in NOTEBOOKS)


def test_a_key_deleted_between_listing_and_reading_is_a_reject(
    remote: Callable[..., Runs], server: Server, ledger: Callable[..., None]
) -> None:
    client = server.make_client()
    client.create_bucket(Bucket="vanishing")
    for key in PEARS:
        client.put_object(Bucket="vanishing", Key=key, Body=(SAMPLE / key).read_bytes())
    runs = remote(SOURCE_URI="s3://vanishing", MAX_REJECT_FRACTION=0.2)
    assert runs.run(INGEST).code == 0
    client.delete_object(Bucket="vanishing", Key=PEARS[0])
    outcome = runs.run(PREPROCESS)
    assert outcome.code == 0, outcome.stderr
    counts = Run(locate(runs.uri)).read_manifest()["counts"]
    assert counts["rejects"] == {"unreadable": 1}
    assert counts["pixels"] == len(PEARS) - 1
    ledger("key deleted after listing", "S3, 01 to 02", "1 reject, unreadable")


def test_an_archive_in_a_bucket_is_read_in_place(
    remote: Callable[..., Runs], server: Server, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in PEARS:
            archive.writestr(zipfile.ZipInfo(key), (SAMPLE / key).read_bytes())
    (tmp_path / "pears.zip").write_bytes(packed.getvalue())
    server.make_client().put_object(Bucket="photos", Key="packed/pears.zip", Body=packed.getvalue())
    far = remote(SOURCE_URI="s3a://photos/packed/pears.zip")
    near = Runs(
        {"SOURCE_URI": str(tmp_path / "pears.zip"), "RUN_URI": str(tmp_path / "run")}, tmp_path
    )
    for runs in (far, near):
        outcome = runs.run(INGEST, PREPROCESS)
        assert outcome.code == 0, outcome.stderr
    assert rows.compare(far.uri, near.uri) == 2 * len(PEARS)


def test_odd_keys_are_taken_and_other_files_are_counted(
    remote: Callable[..., Runs], server: Server
) -> None:
    client = server.make_client()
    client.create_bucket(Bucket="odd")
    taken = ["a b/Äpfel+1.jpg", "100 %/ü%20.JPG", "quo'te\"/é & 🍎?#.jpg"]
    for key in [*taken, "a b/_hidden.jpg", "a b/notes.txt"]:
        client.put_object(Bucket="odd", Key=key, Body=(SAMPLE / PEARS[0]).read_bytes())
    client.put_object(Bucket="odd", Key="empty/", Body=b"")
    runs = remote(SOURCE_URI="s3://odd")
    outcome = runs.run(INGEST, PREPROCESS)
    assert outcome.code == 0, outcome.stderr
    counts = Run(locate(runs.uri)).read_manifest()["counts"]
    assert counts["skipped"] == {"folder_marker": 1, "hidden": 1, "other_ending": 1}
    assert counts["pixels"] == counts["images"] == len(taken)


def _describe_passes(runs: Runs, local: Runs) -> str:
    """Describe how many photos went through the network; a kill may add a part or two."""
    assert local.passes <= runs.passes <= 1.2 * local.passes
    return f"{runs.passes:,} of {local.passes:,}"


def _require_no_secret(runs: Runs, server: Server) -> None:
    place = locate(runs.uri)
    for entry in place.list_files():
        content = (place / entry.path).read()
        assert server.secret.encode() not in content, entry.path
        assert server.key.encode() not in content, entry.path
