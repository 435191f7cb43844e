"""The project's own stages, called as the notebooks call them, and timed."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from benchmarks.sessions import session
from helpers import backbones
from helpers.parameters import NOTEBOOKS, Parameters
from helpers.run.manifest import RESULT_TABLES
from helpers.run.snapshots import new_run
from helpers.stages import classify, featurize, ingest, pca, preprocess
from helpers.storage.location import locate

INGEST, PREPROCESS, FEATURIZE, PCA, CLASSIFY = NOTEBOOKS
AGAIN = "03_featurize again"
EMBED = "t-SNE"
NETWORKS = "networks"


@dataclass(frozen=True)
class Timed:
    """Start and end of each stage by ``time.monotonic``; seconds of the session's start."""

    spans: Mapping[str, tuple[float, float]]
    session: float

    def seconds(self, *stages: str) -> float:
        return sum(self.spans[stage][1] - self.spans[stage][0] for stage in stages)


def run(
    settings: Mapping[str, Any],
    stages: Sequence[str] = NOTEBOOKS,
    again: bool = False,
    embed: bool = False,
    cores: int | None = None,
) -> Timed:
    """Run stages in a session of their own; what they had written before is removed.

    Parameters
    ----------
    settings
        Parameters of the run, as the notebooks take them.
    again
        After 03, remove the features and run it again, the workers warm and the network built.
    embed
        After 05, draw the t-SNE.
    cores
        Cores that the session may use; None for all.
    """
    parameters = Parameters(**settings)
    place = Path(parameters.RUN_URI)
    for stage in stages:
        shutil.rmtree(place / RESULT_TABLES[stage], ignore_errors=True)
    started = time.monotonic()
    with session(cores) as spark:
        opened = time.monotonic() - started
        spans = {}
        for stage in stages:
            begin = time.monotonic()
            result = _stage(stage, spark, parameters)
            spans[stage] = (begin, time.monotonic())
            if again and stage == FEATURIZE:
                shutil.rmtree(place / RESULT_TABLES[stage])
                begin = time.monotonic()
                featurize.featurize(spark, parameters)
                spans[AGAIN] = (begin, time.monotonic())
            if embed and isinstance(result, classify.Classified):
                begin = time.monotonic()
                classify.embed(result, parameters.SEED)
                spans[EMBED] = (begin, time.monotonic())
    return Timed(spans, opened)


def build_network(settings: Mapping[str, Any]) -> Path:
    """Build and keep a float32 network as 03 does; the folder that holds its files."""
    parameters = Parameters(**settings)
    networks = Path(parameters.RUN_URI) / NETWORKS
    pixels = preprocess.pixels_fingerprint(parameters)
    built = backbones.network(
        parameters, locate(str(networks)), new_run(), pixels, calibration=dict
    )
    [folder] = networks.glob(f"{built.fingerprint}-*")
    return folder


def _stage(stage: str, spark: SparkSession, parameters: Parameters) -> Any:
    match stage:
        case ingest.STAGE:
            return ingest.ingest(parameters)
        case preprocess.STAGE:
            return preprocess.preprocess(spark, parameters)
        case featurize.STAGE:
            return featurize.featurize(spark, parameters)
        case pca.STAGE:
            return pca.fit_pca(spark, parameters)
        case _:
            return classify.classify(spark, parameters)
