"""VGG16 with random weights: 03 beside the bare engine, where the engine is nearly all."""

from functools import cache

from benchmarks import stages
from benchmarks.bare import Limit
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN, FEATURIZE, INGEST, PREPROCESS
from benchmarks.work import Work

VGG16 = {"BACKBONE": "vgg16", "WEIGHTS": "random"}
BATCHES = (1, 4)
TRIED = 64


def measure(work: Work) -> Group:
    count = work.plan.vgg
    photos = work.photos.folder(count)
    network = work.build(**VGG16)
    run = work.new_run("vgg16")
    named = (INGEST, PREPROCESS, FEATURIZE)

    def project() -> stages.Timed:
        settings = work.settings(run, photos, **VGG16)
        return work.project.call(stages.run, settings, named, again=True)

    @cache
    def limit() -> Limit:
        return work.bare_limit(run, network, BATCHES, count, TRIED)

    rounds = work.budget.rounds({"project": project, "bare": lambda: limit().seconds()})
    again = Line("03, its workers warm", [one.seconds(AGAIN) for one in rounds["project"]], count)
    engine = Line("the bare engine", rounds["bare"], limit().photos, str(limit().setting))
    return Group(
        f"VGG16 with random weights, {count:,} photos",
        engine.what,
        [engine, again],
        [
            Goal.at_least(
                0.95,
                f"03 with VGG16 beside the bare engine, {count:,} photos",
                again.speed_beside(engine),
            )
        ],
    )
