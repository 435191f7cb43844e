"""VGG16 with random weights: 03 beside the bare engine, where the engine is nearly all."""

from functools import cache

from benchmarks import stages
from benchmarks.context import Context
from benchmarks.engine_limit import EngineLimit
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN
from helpers.run.manifest import FEATURIZE, INGEST, PREPROCESS

VGG16 = {"BACKBONE": "vgg16", "WEIGHTS": "random"}
BATCHES = (1, 4)
TRIED = 64


def measure(context: Context) -> Group:
    """Measure 03 with VGG16 beside the bare engine."""
    count = context.plan.vgg
    photos = context.photos.write_folder(count)
    network = context.build_network(**VGG16)
    run = context.clear_run("vgg16")
    named = (INGEST, PREPROCESS, FEATURIZE)

    def project() -> stages.Timed:
        parameters = context.make_parameters(run, photos, **VGG16)
        return context.project.call(stages.run, parameters, named, again=True)

    @cache
    def find_limit() -> EngineLimit:
        return context.find_limit_of(run, network, BATCHES, count, TRIED)

    rounds = context.budget.run_rounds(
        {"project": project, "bare": lambda: find_limit().measure_seconds()}
    )
    again = Line(
        "03, its workers warm", [one.sum_seconds(AGAIN) for one in rounds["project"]], count
    )
    engine = Line("the bare engine", rounds["bare"], find_limit().photos, str(find_limit().setting))
    return Group(
        f"VGG16 with random weights, {count:,} photos",
        engine.what,
        [engine, again],
        [
            Goal.at_least(
                0.95,
                f"03 with VGG16 beside the bare engine, {count:,} photos",
                again.compare_speed(engine),
            )
        ],
    )
