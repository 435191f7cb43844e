"""S3 twice: a mock in this process, and a real server with runs from one bucket to another."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import gateway, services
from harness.gateway import Server
from harness.ledger import ledger
from harness.reference import SAMPLE
from harness.runs import Runs
from moto import mock_aws

from helpers.parameters import NOTEBOOKS
from helpers.storage import s3
from helpers.storage.location import Location, locate

__all__ = ["ledger"]

SOURCE, TARGET = "photos", "results"
MOCK_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """This process finds none of the machine's settings of AWS, and makes a new client."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    s3._create_client.cache_clear()
    yield
    s3._create_client.cache_clear()


@pytest.fixture
def mock_secret(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001
    """Credentials of nobody, which the mock accepts; the value is the secret key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MOCK_SECRET)
    return MOCK_SECRET


@pytest.fixture
def bucket(mock_secret: str) -> Iterator[Location]:  # noqa: ARG001 - the client needs credentials
    """An empty bucket of the mock, ``s3://bucket``."""
    with mock_aws():
        s3.client().create_bucket(Bucket="bucket")
        yield locate("s3://bucket")


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another attempt follows at once."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the sample's photos in the bucket ``photos``, and the bucket ``results``."""
    if not gateway.BINARY.exists():
        pytest.skip(_explain_missing("versitygw"))
    with gateway.start_server(tmp_path_factory.mktemp("s3")) as server:
        client = server.make_client()
        for bucket in (SOURCE, TARGET):
            client.create_bucket(Bucket=bucket)

        def put(key: str) -> None:
            client.put_object(Bucket=SOURCE, Key=key, Body=(SAMPLE / key).read_bytes())

        keys = [file.relative_to(SAMPLE).as_posix() for file in SAMPLE.rglob("*") if file.is_file()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, keys))
        yield server


@pytest.fixture
def at_server(
    server: Server,
    no_settings: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """The server, in whose environment this process and those that it starts are."""
    for name, value in server.make_environment().items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture(scope="session")
def connector() -> dict[str, str]:
    """Spark's options that name Hadoop's S3 connector."""
    if not services.has_connector():
        pytest.skip(_explain_missing("hadoop-aws"))
    return {"spark.jars.packages": services.CONNECTOR, "spark.jars.ivy": str(services.IVY)}


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of the same photos from a folder to a folder."""
    folder = tmp_path_factory.mktemp("local")
    parameters = {"SOURCE_URI": str(SAMPLE), "RUN_URI": str(folder / "run")}
    runs = Runs(parameters, folder / "counts")
    outcome = runs.run(*NOTEBOOKS)
    assert outcome.code == 0, outcome.stderr
    return runs


@pytest.fixture
def remote(
    at_server: Server,  # noqa: ARG001 - the runs inherit its environment
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Runs]:
    """Runs from bucket to bucket: ``remote(SOURCE_URI="s3://photos/Training")``.

    They get the server's environment and ``through``; this process has the former alone.
    """
    folder = tmp_path_factory.mktemp("remote")

    def runs(through: Mapping[str, str] | None = None, **parameters: Any) -> Runs:
        given = {
            "SOURCE_URI": f"s3://{SOURCE}",
            "RUN_URI": f"s3://{TARGET}/{folder.name}",
            **parameters,
        }
        return Runs(given, folder, environment=through or {})

    return runs


def _explain_missing(name: str) -> str:
    reason = services.locate_reason(name)
    return reason.read_text() if reason.exists() else f"{name} is fetched by `make services`"
