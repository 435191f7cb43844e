"""One local Spark session for every test here, and small runs to push through the stages."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from helpers.parameters import Parameters
from helpers.spark import session
from helpers.stages import classify, featurize, ingest, pca, preprocess

ROOT = Path(__file__).parents[2]
DATA_SAMPLE = ROOT / "data_sample"


def pytest_configure(config: pytest.Config) -> None:
    """Spark 3.5's own code warns by each call, of what only Spark can change."""
    for message in ("distutils Version classes", "is_categorical_dtype", "is_datetime64tz_dtype"):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")


@dataclass(frozen=True)
class Pipeline:
    """A source and a run of its own; each method is one stage, with the defaults but those given.

    Few photos make large shares: rejects do not stop these runs unless a test says so.
    """

    spark: SparkSession
    source: Path
    run: Path

    def parameters(self, **values: Any) -> Parameters:
        few = {"MAX_REJECT_FRACTION": 1.0}
        return Parameters(SOURCE_URI=str(self.source), RUN_URI=str(self.run), **{**few, **values})

    def ingest(self, **values: Any) -> ingest.Ingested:
        return ingest.ingest(self.parameters(**values))

    def preprocess(self, **values: Any) -> preprocess.Preprocessed:
        return preprocess.preprocess(self.spark, self.parameters(**values))

    def featurize(self, **values: Any) -> featurize.Featurized:
        return featurize.featurize(self.spark, self.parameters(**values))

    def analyse(self, **values: Any) -> pca.PcaResult:
        return pca.fit_pca(self.spark, self.parameters(**values))

    def classify(self, **values: Any) -> classify.Classified:
        return classify.classify(self.spark, self.parameters(**values))

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.run / "manifest.json").read_text())

    def table(self, name: str) -> Path:
        """The one folder of a table: a fingerprint's parts or a snapshot."""
        [folder] = (self.run / name).iterdir()
        return folder

    def files(self) -> dict[str, tuple[int, int]]:
        """Inode and time of every file of the tables: equal where nothing was written."""
        written = {}
        for path in sorted(self.run.rglob("*")):
            if path.is_file() and path.name[0] != "_" and path.name != "manifest.json":
                written[str(path.relative_to(self.run))] = (
                    path.stat().st_ino,
                    path.stat().st_mtime_ns,
                )
        return written

    def add(self, fruit: str, number: int) -> list[str]:
        """Copy photos of a class of ``data_sample`` that has no odd ones; their paths."""
        folder = self.source / "Training" / fruit
        folder.mkdir(parents=True, exist_ok=True)
        frames = sorted((DATA_SAMPLE / "Training" / fruit).glob("*_100.jpg"))[:number]
        for frame in frames:
            shutil.copy(frame, folder)
        return [f"Training/{fruit}/{frame.name}" for frame in frames]

    def draw(self, path: str, height: int, width: int, seed: int = 0) -> str:
        """Save a photo of smooth coloured noise, in the format that its name says."""
        (self.source / path).parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        smooth.save(self.source / path)
        return path


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    built = session.start_session({"spark.master": "local[2,4]"})
    yield built
    built.stop()


@pytest.fixture(scope="session")
def sample(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """``data_sample`` taken through all five stages; look at it, and change nothing."""
    pipeline = Pipeline(spark, DATA_SAMPLE, tmp_path_factory.mktemp("sample"))
    pipeline.ingest()
    pipeline.preprocess(MAX_REJECT_FRACTION=0.05)
    pipeline.featurize()
    pipeline.analyse()
    pipeline.classify()
    return pipeline


@pytest.fixture
def pipeline(spark: SparkSession, sample: Pipeline, tmp_path: Path) -> Pipeline:
    """An empty source, and a run that holds nothing but the sample's network, built already."""
    (tmp_path / "photos").mkdir()
    shutil.copytree(sample.run / "networks", tmp_path / "run" / "networks")
    return Pipeline(spark, tmp_path / "photos", tmp_path / "run")
