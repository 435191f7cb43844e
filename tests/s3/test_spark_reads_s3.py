"""Spark's own readers on a bucket, with Hadoop's connector: no stage needs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.gateway import Server
from harness.runs import Runs

from helpers.run.manifest import Run
from helpers.storage.location import locate

pytestmark = [pytest.mark.services, pytest.mark.slow]

STAGES = ("01_ingest", "02_preprocess")
READ = """
import json, sys
from helpers.spark.session import start_session
conf, uri = sys.argv[1:]
spark = start_session(json.loads(conf))
print(json.dumps({"rows": spark.read.parquet(uri).count(),
                  "conf": dict(spark.sparkContext.getConf().getAll())}))
spark.stop()
"""


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_spark_reads_a_table_with_the_credentials_of_a_profile(
    scheme: str,
    connector: dict[str, str],
    remote: Callable[..., Runs],
    server: Server,
    tmp_path: Path,
) -> None:
    runs = remote(SOURCE_URI="s3://photos/Test")
    outcome = runs.run(*STAGES)
    assert outcome.code == 0, outcome.stderr
    manifest = Run(locate(runs.uri)).read_manifest()
    table = f"{runs.uri}/pixels/{manifest['fingerprints']['pixels']}".replace("s3:", f"{scheme}:")
    file = tmp_path / "credentials"
    file.write_text(
        f"[fruit]\naws_access_key_id = {server.key}\naws_secret_access_key = {server.secret}\n"
    )
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in keys}
    environment |= {"AWS_PROFILE": "fruit", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(connector), table],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["rows"] == manifest["counts"]["pixels"]
    assert server.secret not in json.dumps(printed["conf"])
    assert server.secret not in done.stderr
