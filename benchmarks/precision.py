"""bfloat16 and int8 beside float32: speed of 03, error of the features, accuracy of 05."""

import os
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import compare, stages
from benchmarks.context import Context
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN
from helpers.network.spec import read_instruction_set
from helpers.run.manifest import CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS, Run
from helpers.storage.location import locate

FLOAT32, BFLOAT16, INT8 = "f32", "bf16", "int8"
POINTS = 0.5  # of accuracy, in percent

_MATRIX_BFLOAT16 = "amx_bf16"
_DOT_PRODUCTS = {"avx_vnni", "avx512_vnni", "amx_int8"}  # what int8 gains most from


def measure(context: Context) -> Group:
    """Measure the reduced precisions beside float32."""
    count = context.plan.few
    photos = context.photos.write_folder(count)
    bounds, missing = _choose_bounds(), _explain_missing()
    reduced = [precision for precision in bounds if precision not in missing]

    def project(precision: str) -> stages.Timed:
        parameters = context.make_parameters(
            context.clear_run(precision), photos, PRECISION=precision
        )
        named = (INGEST, PREPROCESS, FEATURIZE)
        return context.project.call(stages.run, parameters, named, again=True)

    rounds = context.budget.run_rounds(
        {name: partial(project, name) for name in (FLOAT32, *reduced)}
    )
    lines = {
        name: Line(
            f"03 in {name}, its workers warm", [one.sum_seconds(AGAIN) for one in runs], count
        )
        for name, runs in rounds.items()
    }
    goals = []
    for name, bound in bounds.items():
        what = f"03 in {name} beside {FLOAT32}, {count:,} photos"
        if name in missing:
            goals.append(Goal.not_measured(f"at least {bound}", what, missing[name]))
        else:
            faster = lines[name].compare_speed(lines[FLOAT32])
            goals += [Goal.at_least(bound, what, faster), _compare_accuracy(context, name)]
    return Group("Precision", lines[FLOAT32].what, list(lines.values()), goals)


def _choose_bounds() -> dict[str, float]:
    """Choose how many times as fast as float32 each precision should be, on this processor."""
    has_dot_products = _DOT_PRODUCTS & set(read_instruction_set().split())
    return {BFLOAT16: 1.6, INT8: 2.0 if has_dot_products else 1.4}


def _explain_missing() -> dict[str, str]:
    """Explain for each precision that cannot be measured here why."""
    missing = {}
    if _MATRIX_BFLOAT16 not in read_instruction_set().split():
        missing[BFLOAT16] = "cannot be shown on this processor: it has no AMX"
    if find_spec("nncf") is None:
        missing[INT8] = "NNCF is not installed"
    return missing


def _compare_accuracy(context: Context, precision: str) -> Goal:
    """Compare the accuracy of a precision with float32's, over all photos of the plan."""
    photos = context.photos.write_folder(context.plan.photos)
    run = context.clear_folder(f"runs/{precision}-whole")
    shutil.copytree(context.whole_run, run, copy_function=os.link)
    parameters = context.make_parameters(run, photos, PRECISION=precision)
    context.project.call(stages.run, parameters, (FEATURIZE, PCA, CLASSIFY))
    accuracy, expected = _read_accuracy(run), _read_accuracy(context.whole_run)
    error = compare.measure_error(
        compare.read_features_by_path(run), compare.read_features_by_path(context.whole_run)
    )
    note = f"{accuracy:.4f} beside {expected:.4f}; relative error of the features {error:.2g}"
    what = f"points of accuracy between {precision} and {FLOAT32}, {context.plan.photos:,} photos"
    if context.weights == "random":
        return Goal.not_measured(f"at most {POINTS}", what, f"the weights are random; {note}")
    return Goal.at_most(POINTS, what, 100 * abs(accuracy - expected), note)


def _read_accuracy(run: Path) -> float:
    accuracy: float = Run(locate(str(run))).read_manifest()["classify"]["accuracy"]
    return accuracy
