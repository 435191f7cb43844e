"""One local Spark session for every test here, and small runs to push through the stages."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.pipeline import Pipeline
from harness.reference import SAMPLE
from pyspark.sql import SparkSession

from helpers.spark.session import start_session


def pytest_configure(config: pytest.Config) -> None:
    """Silence what Spark 3.5's own code warns of at each call: only Spark can change it."""
    for message in ("distutils Version classes", "is_categorical_dtype", "is_datetime64tz_dtype"):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = start_session({"spark.master": "local[2,4]"})
    yield session
    session.stop()


@pytest.fixture(scope="session")
def sample(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """``data_sample`` taken through all five stages; look at it, and change nothing."""
    pipeline = Pipeline(spark, SAMPLE, tmp_path_factory.mktemp("sample"))
    pipeline.ingest()
    pipeline.preprocess(MAX_REJECT_FRACTION=0.05)
    pipeline.featurize()
    pipeline.fit_pca()
    pipeline.classify()
    return pipeline


@pytest.fixture
def pipeline(spark: SparkSession, sample: Pipeline, tmp_path: Path) -> Pipeline:
    """An empty source, and a run that holds nothing but the sample's network, built already."""
    (tmp_path / "photos").mkdir()
    shutil.copytree(sample.run / "networks", tmp_path / "run" / "networks")
    return Pipeline(spark, tmp_path / "photos", tmp_path / "run")
