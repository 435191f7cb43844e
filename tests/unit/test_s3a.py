"""What Hadoop's S3A connector is given: the server's address as options, keys as variables."""

from pathlib import Path

import pytest

from helpers.spark.s3a import make_options, read_credentials
from helpers.storage.s3 import _create_client

PREFIX = "spark.hadoop.fs.s3a"
KEYS = {"AWS_ACCESS_KEY_ID": "a key", "AWS_SECRET_ACCESS_KEY": "a secret"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of the machine's settings of AWS is found."""
    for name in (
        *KEYS, "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_without_an_endpoint_the_connector_finds_aws_by_itself() -> None:
    options = make_options()
    assert options["spark.hadoop.fs.s3.impl"].endswith(".S3AFileSystem")
    assert not [name for name in options if "endpoint" in name or "ssl" in name]


@pytest.mark.parametrize(
    ("endpoint", "ssl"), [("http://localhost:9000", "false"), ("https://host", "true")]
)
def test_an_endpoint_is_an_option(endpoint: str, ssl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    options = make_options()
    assert options[f"{PREFIX}.endpoint"] == endpoint
    assert options[f"{PREFIX}.connection.ssl.enabled"] == ssl
    assert options[f"{PREFIX}.path.style.access"] == "true"


def test_the_endpoint_of_s3_comes_before_that_of_all_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert make_options()[f"{PREFIX}.endpoint"] == "http://s3"


def test_options_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert not set(KEYS.values()) & set(make_options().values())


def test_an_endpoint_with_a_password_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1:1")
    for read in (make_options, _create_client.__wrapped__):
        with pytest.raises((ValueError, OSError), match="must hold no user name") as refused:
            read()
        assert "hunter2" not in str(refused.value)


def test_credentials_of_the_environment_are_read_with_their_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert read_credentials() == KEYS
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a token")
    assert read_credentials() == {**KEYS, "AWS_SESSION_TOKEN": "a token"}


def test_credentials_of_a_profile_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [f"{name.lower()} = {value}" for name, value in KEYS.items()]
    (tmp_path / "credentials").write_text("\n".join(["[fruit]", *lines]))
    monkeypatch.setenv("AWS_PROFILE", "fruit")
    assert read_credentials() == KEYS


def test_missing_credentials_are_an_error_that_says_what_to_set() -> None:
    with pytest.raises(PermissionError, match=r"no AWS credentials found: .*AWS_PROFILE"):
        read_credentials()
