"""The whole pipeline, 01 to 05, beside the bare engine's time for the forward passes."""

from benchmarks import stages
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import EMBED, FEATURIZE, INGEST, PREPROCESS
from benchmarks.work import Work
from helpers.parameters import NOTEBOOKS


def measure(work: Work) -> Group:
    count = work.plan.photos
    photos = work.photos.folder(count)
    _, built = work.network

    def project() -> stages.Timed:
        run = work.new_run("whole")
        return work.project.call(stages.run, work.settings(run, photos), embed=True)

    rounds = work.budget.rounds(
        {"project": project, "bare": lambda: work.limit(work.whole_run).seconds()}
    )
    runs: list[stages.Timed] = rounds["project"]

    def line(what: str, *names: str) -> Line:
        return Line(what, [run.seconds(*names) for run in runs], count)

    limit = work.limit(work.whole_run)
    engine = Line("the bare engine", rounds["bare"], limit.photos, str(limit.setting))
    featurized = line("03", FEATURIZE)
    both = line("02 and 03", PREPROCESS, FEATURIZE)
    whole = line("01 to 05", *NOTEBOOKS)
    return Group(
        f"Whole pipeline, {count:,} photos",
        engine.what,
        [
            engine,
            Line("first build of the network, kept ever after", [built]),
            Line("session start", [run.session for run in runs]),
            line("01", INGEST),
            line("02", PREPROCESS),
            featurized,
            both,
            line("04", stages.PCA),
            line("05 with logistic regression", stages.CLASSIFY),
            line("t-SNE of 1,000 photos, which 05 also draws", EMBED),
            whole,
        ],
        [
            Goal.at_least(
                0.92,
                f"03 beside the bare engine, {count:,} photos",
                featurized.speed_beside(engine),
            ),
            Goal.at_least(
                0.85,
                f"02 and 03 beside the bare engine, {count:,} photos",
                both.speed_beside(engine),
            ),
            Goal.at_most(
                1.5,
                f"time of 01 to 05 beside the bare engine's, {count:,} photos",
                engine.speed_beside(whole),
            ),
        ],
    )
