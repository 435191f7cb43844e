"""The project's own stages, called as the notebooks call them, and timed."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from benchmarks.sessions import open_session
from helpers.network.store import prepare_network, specify_network
from helpers.parameters import NOTEBOOKS, Parameters
from helpers.run.manifest import CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS, RESULT_TABLES
from helpers.run.snapshots import new_run
from helpers.stages.classify import Classified, classify, embed_sample
from helpers.stages.featurize import featurize
from helpers.stages.ingest import ingest
from helpers.stages.pca import fit_pca
from helpers.stages.preprocess import fingerprint_pixels, preprocess
from helpers.stages.stage import StageResult
from helpers.storage.location import locate

AGAIN = "03_featurize again"
EMBED = "t-SNE"
NETWORKS = "networks"


@dataclass(frozen=True)
class Timed:
    """When stages ran.

    Attributes
    ----------
    spans
        Start and end of each stage by ``time.monotonic``.
    session
        Seconds that the session took to start.
    """

    spans: Mapping[str, tuple[float, float]]
    session: float

    def sum_seconds(self, *stages: str) -> float:
        """Return the seconds of some stages together."""
        return sum(self.spans[stage][1] - self.spans[stage][0] for stage in stages)


def run(
    values: Mapping[str, Any],
    stages: Sequence[str] = NOTEBOOKS,
    again: bool = False,
    embed: bool = False,
    cores: int | None = None,
) -> Timed:
    """Run stages in a session of their own; what they had written before is removed.

    Parameters
    ----------
    values
        Parameters of the run, as the notebooks take them.
    again
        After 03, remove the features and run it again, with warm workers and the network built.
    embed
        After 05, compute the t-SNE.
    cores
        Cores that the session may use; None for all.
    """
    parameters = Parameters(**values)
    place = Path(parameters.RUN_URI)
    for stage in stages:
        shutil.rmtree(place / RESULT_TABLES[stage], ignore_errors=True)
    started = time.monotonic()
    with open_session(cores) as spark:
        opened = time.monotonic() - started
        spans = {}
        for stage in stages:
            begin = time.monotonic()
            result = _run_stage(stage, spark, parameters)
            spans[stage] = (begin, time.monotonic())
            if again and stage == FEATURIZE:
                shutil.rmtree(place / RESULT_TABLES[stage])
                begin = time.monotonic()
                featurize(spark, parameters)
                spans[AGAIN] = (begin, time.monotonic())
            if embed and isinstance(result, Classified):
                begin = time.monotonic()
                embed_sample(result, parameters.SEED)
                spans[EMBED] = (begin, time.monotonic())
    return Timed(spans, opened)


def build_network(values: Mapping[str, Any]) -> Path:
    """Build and keep a float32 network as 03 does; return the folder that holds its files."""
    parameters = Parameters(**values)
    networks = Path(parameters.RUN_URI) / NETWORKS
    spec, weights = specify_network(parameters, fingerprint_pixels(parameters))
    built = prepare_network(locate(str(networks)), new_run(), spec, weights, calibration=None)
    [folder] = networks.glob(f"{built.fingerprint}-*")
    return folder


def _run_stage(stage: str, spark: SparkSession, parameters: Parameters) -> StageResult:
    runs = {PREPROCESS: preprocess, FEATURIZE: featurize, PCA: fit_pca, CLASSIFY: classify}
    return ingest(parameters) if stage == INGEST else runs[stage](spark, parameters)
