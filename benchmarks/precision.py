"""bfloat16 and int8 beside float32: speed of 03, error of the features, accuracy of 05."""

import os
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import compare, stages
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN, CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS
from benchmarks.work import Work
from helpers.backbones import instruction_set
from helpers.run.manifest import Run
from helpers.storage.location import locate

FLOAT32, BFLOAT16, INT8 = "f32", "bf16", "int8"
POINTS = 0.5  # of accuracy, in percent

_MATRIX_BFLOAT16 = "amx_bf16"
_DOT_PRODUCTS = {"avx_vnni", "avx512_vnni", "amx_int8"}  # what int8 gains most from


def measure(work: Work) -> Group:
    count = work.plan.few
    photos = work.photos.folder(count)
    bounds, missing = _bounds(), _missing()
    reduced = [precision for precision in bounds if precision not in missing]

    def project(precision: str) -> stages.Timed:
        settings = work.settings(work.new_run(precision), photos, PRECISION=precision)
        named = (INGEST, PREPROCESS, FEATURIZE)
        return work.project.call(stages.run, settings, named, again=True)

    rounds = work.budget.rounds({name: partial(project, name) for name in (FLOAT32, *reduced)})
    lines = {
        name: Line(f"03 in {name}, its workers warm", [one.seconds(AGAIN) for one in runs], count)
        for name, runs in rounds.items()
    }
    goals = []
    for name, bound in bounds.items():
        what = f"03 in {name} beside {FLOAT32}, {count:,} photos"
        if name in missing:
            goals.append(Goal.untold(f"at least {bound}", what, missing[name]))
        else:
            faster = lines[name].speed_beside(lines[FLOAT32])
            goals += [Goal.at_least(bound, what, faster), _accuracy(work, name)]
    return Group("Precision", lines[FLOAT32].what, list(lines.values()), goals)


def _bounds() -> dict[str, float]:
    """How many times as fast as float32 each precision should be, on this processor."""
    has_dot_products = _DOT_PRODUCTS & set(instruction_set().split())
    return {BFLOAT16: 1.6, INT8: 2.0 if has_dot_products else 1.4}


def _missing() -> dict[str, str]:
    """Precisions that cannot be measured here, and why."""
    missing = {}
    if _MATRIX_BFLOAT16 not in instruction_set().split():
        missing[BFLOAT16] = "cannot be shown on this processor: it has no AMX"
    if find_spec("nncf") is None:
        missing[INT8] = "NNCF is not installed"
    return missing


def _accuracy(work: Work, precision: str) -> Goal:
    """Points of accuracy between a precision and float32, all photos of the plan classified."""
    photos = work.photos.folder(work.plan.photos)
    run = work.new_folder(f"runs/{precision}-whole")
    shutil.copytree(work.whole_run, run, copy_function=os.link)
    settings = work.settings(run, photos, PRECISION=precision)
    work.project.call(stages.run, settings, (FEATURIZE, PCA, CLASSIFY))
    accuracy, expected = _of_05(run), _of_05(work.whole_run)
    error = compare.relative_error(
        compare.features_by_path(run), compare.features_by_path(work.whole_run)
    )
    note = f"{accuracy:.4f} beside {expected:.4f}; relative error of the features {error:.2g}"
    what = f"points of accuracy between {precision} and {FLOAT32}, {work.plan.photos:,} photos"
    if work.weights == "random":
        return Goal.untold(f"at most {POINTS}", what, f"the weights are random; {note}")
    return Goal.at_most(POINTS, what, 100 * abs(accuracy - expected), note)


def _of_05(run: Path) -> float:
    accuracy: float = Run(locate(str(run))).manifest()["classify"]["accuracy"]
    return accuracy
