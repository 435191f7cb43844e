"""A real S3 server, and runs from one of its buckets to another."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import gateway, services
from harness.gateway import Server
from harness.ledger import ledger
from harness.reference import SAMPLE
from harness.runs import Runs

from helpers.parameters import NOTEBOOKS
from helpers.storage import s3

__all__ = ["ledger"]

SOURCE, TARGET = "photos", "results"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the sample's photos in the bucket ``photos``, and the bucket ``results``."""
    if not gateway.BINARY.exists():
        pytest.skip(_missing("versitygw"))
    with gateway.running(tmp_path_factory.mktemp("s3")) as server:
        client = server.client()
        for bucket in (SOURCE, TARGET):
            client.create_bucket(Bucket=bucket)

        def put(key: str) -> None:
            client.put_object(Bucket=SOURCE, Key=key, Body=(SAMPLE / key).read_bytes())

        keys = [file.relative_to(SAMPLE).as_posix() for file in SAMPLE.rglob("*") if file.is_file()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, keys))
        yield server


@pytest.fixture(scope="session")
def connector() -> dict[str, str]:
    """Spark's options that name Hadoop's S3 connector."""
    if not services.has_connector():
        pytest.skip(_missing("hadoop-aws"))
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
    server: Server, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Runs]]:
    """Runs from bucket to bucket: ``remote(SOURCE_URI="s3://photos/Training")``.

    They get the server's environment and ``through``; so does this process, without ``through``.
    """
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
    folder = tmp_path_factory.mktemp("remote")

    def runs(through: Mapping[str, str] | None = None, **parameters: Any) -> Runs:
        given = {
            "SOURCE_URI": f"s3://{SOURCE}",
            "RUN_URI": f"s3://{TARGET}/{folder.name}",
            **parameters,
        }
        return Runs(given, folder, environment=through or {})

    yield runs
    s3._client.cache_clear()


def _missing(name: str) -> str:
    reason = services.reason(name)
    return reason.read_text() if reason.exists() else f"{name} is fetched by `make services`"
