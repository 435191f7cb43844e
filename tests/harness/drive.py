"""A driver: ``python drive.py SPEC`` runs stages one after another, as the notebooks do.

SPEC is a JSON object: ``stages`` (names of notebooks), ``parameters``, ``conf`` (Spark's options)
and, where they are wanted, ``copies``: a folder that gets a copy of the run after each stage, made
of hard links. For each stage the driver prints a line of JSON: its seconds, and how many photos it
worked on, unless it failed. An error ends the driver with one line, as it ends a notebook's cell.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from helpers.parameters import Parameters
from helpers.run.manifest import CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS
from helpers.spark import session
from helpers.stages import classify, featurize, ingest, pca, preprocess
from helpers.stages.stage import StageResult

STAGES: dict[str, Callable[[SparkSession, Parameters], StageResult]] = {
    PREPROCESS: preprocess.preprocess,
    FEATURIZE: featurize.featurize,
    PCA: pca.fit_pca,
    CLASSIFY: classify.classify,
}


def drive(spec: dict[str, Any]) -> None:
    """Run the stages of ``spec``."""
    parameters = Parameters(**spec["parameters"])
    spark: SparkSession | None = None
    for name in spec["stages"]:
        run_stage: Callable[[Parameters], StageResult] = ingest.ingest
        if name != INGEST:
            spark = spark or session.start_session({"spark.driver.memory": "1g", **spec["conf"]})
            run_stage = partial(STAGES[name], spark)
        done: dict[str, Any] = {"stage": name}
        started = time.perf_counter()
        try:
            done["new"] = run_stage(parameters).new
        finally:
            done["seconds"] = round(time.perf_counter() - started, 2)
            print(json.dumps(done), flush=True)
        if "copies" in spec:
            shutil.copytree(parameters.RUN_URI, f"{spec['copies']}/{name}", copy_function=os.link)
    if spark is not None:
        spark.stop()


if __name__ == "__main__":
    try:
        drive(json.loads(sys.argv[1]))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is shown
        sys.exit(f"{type(error).__name__}: {error}")
