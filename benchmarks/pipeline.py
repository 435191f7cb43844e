"""The whole pipeline, 01 to 05, beside the bare engine's time for the forward passes."""

from benchmarks import stages
from benchmarks.context import Context
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import EMBED
from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import CLASSIFY, FEATURIZE, INGEST, PCA, PREPROCESS


def measure(context: Context) -> Group:
    """Measure 01 to 05 beside the bare engine."""
    count = context.plan.photos
    photos = context.photos.write_folder(count)
    _, built = context.network

    def project() -> stages.Timed:
        run = context.clear_run("whole")
        return context.project.call(stages.run, context.make_parameters(run, photos), embed=True)

    rounds = context.budget.run_rounds(
        {
            "project": project,
            "bare": lambda: context.find_limit(context.whole_run).measure_seconds(),
        }
    )
    runs: list[stages.Timed] = rounds["project"]

    def line(what: str, *names: str) -> Line:
        return Line(what, [run.sum_seconds(*names) for run in runs], count)

    limit = context.find_limit(context.whole_run)
    engine = Line("the bare engine", rounds["bare"], limit.photos, str(limit.setting))
    featurized = line("03", FEATURIZE)
    both = line("02 and 03", PREPROCESS, FEATURIZE)
    whole = line("01 to 05", *NOTEBOOKS)
    return Group(
        f"Whole pipeline, {count:,} photos",
        engine.what,
        [
            engine,
            Line("first build of the network, which is kept", [built]),
            Line("session start", [run.session for run in runs]),
            line("01", INGEST),
            line("02", PREPROCESS),
            featurized,
            both,
            line("04", PCA),
            line("05 with logistic regression", CLASSIFY),
            line("t-SNE of 1,000 photos, as 05 draws it", EMBED),
            whole,
        ],
        [
            Goal.at_least(
                0.92,
                f"03 beside the bare engine, {count:,} photos",
                featurized.compare_speed(engine),
            ),
            Goal.at_least(
                0.85,
                f"02 and 03 beside the bare engine, {count:,} photos",
                both.compare_speed(engine),
            ),
            Goal.at_most(
                1.5,
                f"time of 01 to 05 beside the bare engine's, {count:,} photos",
                engine.compare_speed(whole),
            ),
        ],
    )
