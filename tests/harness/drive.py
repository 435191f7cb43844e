"""A driver: ``python drive.py SPEC`` runs stages one after another, as the notebooks do.

SPEC is a JSON object: ``stages`` (names of notebooks), ``parameters``, ``conf`` (Spark's options)
and perhaps ``copies``, a folder that gets a copy of the run after each stage, made of hard links.
For each stage it prints a line of JSON: its seconds, and what it computed, unless it failed. An
error ends it with one line, as it ends a notebook's cell.
"""

import json
import os
import shutil
import sys
import time
from typing import Any

from helpers.parameters import Parameters
from helpers.spark import session
from helpers.stages import classify, featurize, ingest, pca, preprocess

STAGES = {
    preprocess.STAGE: preprocess.preprocess,
    featurize.STAGE: featurize.featurize,
    pca.STAGE: pca.fit_pca,
    classify.STAGE: classify.classify,
}


def drive(spec: dict[str, Any]) -> None:
    parameters = Parameters(**spec["parameters"])
    spark = None
    for name in spec["stages"]:
        if name != ingest.STAGE and spark is None:
            spark = session.start_session({"spark.driver.memory": "1g", **spec["conf"]})
        done: dict[str, Any] = {"stage": name}
        started = time.perf_counter()
        try:
            if spark is None:
                done["new"] = len(ingest.ingest(parameters).images)
            else:
                done["new"] = int(STAGES[name](spark, parameters).new)
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
