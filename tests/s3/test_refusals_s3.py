"""A wrong bucket, key or server is one clear line, within 30 seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.cluster import HOST, find_free_port
from harness.gateway import GUEST_KEY, GUEST_SECRET, Server
from harness.proxy import BUSY, fail_every, start_proxy
from harness.runs import Outcome, Runs

pytestmark = pytest.mark.services

INGEST = "01_ingest"
MAX_SECONDS = 30.0
GUEST = {"AWS_ACCESS_KEY_ID": GUEST_KEY, "AWS_SECRET_ACCESS_KEY": GUEST_SECRET}
NOBODY = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.mark.parametrize(
    ("parameters", "through", "words"),
    [
        ({"SOURCE_URI": "s3://nowhere/x"}, {}, "there is no bucket 'nowhere'"),
        ({"RUN_URI": "s3://nowhere/run"}, {}, "there is no bucket 'nowhere'"),
        ({"SOURCE_URI": "s3://photos/nothing"}, {}, "SOURCE_URI must hold photos"),
        ({}, {"AWS_ACCESS_KEY_ID": "UNKNOWN"}, "InvalidAccessKeyId"),
        ({}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({}, GUEST, "AccessDenied"),
        ({}, NOBODY, "no AWS credentials found"),
        ({}, {"AWS_ENDPOINT_URL": f"http://{HOST}:{find_free_port()}"}, "no S3 server answers"),
        ({}, {"AWS_ENDPOINT_URL": "http://nowhere.invalid:9000"}, "no S3 server answers"),
        ({}, {"AWS_ENDPOINT_URL": "http://192.0.2.1:9000"}, "no S3 server answers"),
        ({}, {"AWS_ENDPOINT_URL": "localhost:9000"}, "AWS_ENDPOINT_URL must be like http://"),
    ],
)
def test_a_wrong_bucket_key_or_server_is_one_clear_line(
    parameters: dict[str, str],
    through: dict[str, str],
    words: str,
    remote: Callable[..., Runs],
    server: Server,
    tmp_path: Path,
    ledger: Callable[..., None],
) -> None:
    files = {
        name: str(tmp_path / name) for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    }
    outcome = remote({**files, **through}, **parameters).run(INGEST)
    _require_one_clear_line(outcome, words, server)
    observed = f"one line, {outcome.seconds.get(INGEST, 0.0):.1f} s"
    ledger(words.removesuffix(" 'nowhere'"), "S3, 01", observed)


def test_a_server_that_is_always_busy_is_one_clear_line(
    remote: Callable[..., Runs], server: Server, ledger: Callable[..., None]
) -> None:
    with start_proxy(server.url, fail_every(1, BUSY)) as busy:
        outcome = remote({"AWS_ENDPOINT_URL": busy.url}).run(INGEST)
    _require_one_clear_line(outcome, "S3 answers SlowDown", server)
    ledger("503 to every request", "S3, 01", f"one line, {outcome.seconds[INGEST]:.1f} s")


def test_the_credentials_of_a_profile_are_used_in_every_process(
    remote: Callable[..., Runs], server: Server, tmp_path: Path
) -> None:
    """AWS's own chain finds them in the driver and in every task."""
    file = tmp_path / "credentials"
    file.write_text(
        f"[fruit]\naws_access_key_id = {server.key}\naws_secret_access_key = {server.secret}\n"
    )
    profile = {"AWS_PROFILE": "fruit", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    runs = remote({**NOBODY, **profile}, SOURCE_URI="s3://photos/Test")
    outcome = runs.run(INGEST, "02_preprocess")
    assert outcome.code == 0, outcome.stderr


def _require_one_clear_line(outcome: Outcome, words: str, server: Server) -> None:
    assert outcome.code == 1
    assert words in outcome.error, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.error) < 300
    assert outcome.seconds.get(INGEST, 0.0) < MAX_SECONDS
    assert server.secret not in outcome.stderr
    assert GUEST_SECRET not in outcome.stderr
