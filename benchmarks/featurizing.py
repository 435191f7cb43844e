"""From a folder of photos to features on disk, beside the peers and the bare engine."""

from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import compare, peers, stages
from benchmarks.context import MAX_ERROR, Context
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN
from helpers.backbones import INPUT_SIZE
from helpers.run.manifest import FEATURIZE, INGEST, PREPROCESS

ENLARGED = 32  # photos that need no resizing, on which all must agree

PEERS = {
    "Keras in a pandas UDF (24 partitions)": peers.run_pandas_udf,
    "Keras in predict_batch_udf": peers.run_predict_batch_udf,
    "tf.data and Keras, one process": peers.run_tf_data,
}
NOTEBOOK = next(iter(PEERS))  # what the project started from


def measure(context: Context) -> Group:
    """Measure 02 and 03 beside the peers and the bare engine."""
    photos = context.photos.write_folder_with_enlarged(context.plan.few, ENLARGED, INPUT_SIZE)
    count = context.plan.few + ENLARGED
    written = {name: context.clear_folder(f"peers/{i}") for i, name in enumerate(PEERS)}
    run = context.clear_run("few")

    def project() -> stages.Timed:
        parameters = context.make_parameters(run, photos)
        named = (INGEST, PREPROCESS, FEATURIZE)
        return context.project.call(stages.run, parameters, named, again=True)

    def peer(name: str) -> peers.Taken:
        to = context.clear_folder(str(written[name]))
        return context.processes.call(PEERS[name], photos, context.keras, to)

    rounds = context.budget.run_rounds(
        {
            "project": project,
            "bare": lambda: context.find_limit(run).measure_seconds(),
            **{name: partial(peer, name) for name in PEERS},
        }
    )
    runs: list[stages.Timed] = rounds["project"]
    limit = context.find_limit(run)
    engine = Line("the bare engine", rounds["bare"], limit.photos, str(limit.setting))
    both = Line("02 and 03", [one.sum_seconds(PREPROCESS, FEATURIZE) for one in runs], count)
    first = Line("03", [one.sum_seconds(FEATURIZE) for one in runs], count)
    again = Line("03 once more, its workers warm", [one.sum_seconds(AGAIN) for one in runs], count)
    expected = compare.read_features_by_path(run)
    lines = {
        name: Line(
            name,
            [taken.seconds for taken in rounds[name]],
            count,
            f"ready after {median(taken.start for taken in rounds[name]):.1f} s more; "
            + _describe_errors(name, written[name], expected),
        )
        for name in PEERS
    }
    return Group(
        f"Folder to features on disk, {count:,} photos",
        both.what,
        [both, first, again, engine, *lines.values()],
        [
            Goal.at_least(
                0.87,
                f"03 with warm workers beside the bare engine, {count:,} photos",
                again.compare_speed(engine),
                f"their start: {first.median - again.median:.1f} s",
            ),
            Goal.at_least(
                8.5,
                f"02 and 03 beside Keras in a pandas UDF, {count:,} photos",
                both.compare_speed(lines[NOTEBOOK]),
            ),
        ],
    )


def _describe_errors(name: str, written: Path, expected: compare.Rows) -> str:
    """Describe how near a peer's features are.

    Raises
    ------
    DifferentError
        If they differ where nothing is resized.
    """
    found = compare.read_rows_by(written, "path", "features")
    same = {path: row for path, row in expected.items() if path.startswith("enlarged/")}
    error = compare.measure_error(found, same)
    compare.require_close(name, error, MAX_ERROR)
    resized = {path: row for path, row in expected.items() if path not in same}
    return (
        f"features differ by {error:.0e}, and by {compare.measure_error(found, resized):.1g} "
        "where the photo is resized, each with its own filter"
    )
