"""From a folder of photos to features on disk, beside the peers and the bare engine."""

from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import compare, peers, stages
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import AGAIN, FEATURIZE, INGEST, PREPROCESS
from benchmarks.work import SAME, Work
from helpers.backbones import INPUT

ENLARGED = 32  # photos that need no resizing, on which all must agree

PEERS = {
    "Keras in a pandas UDF (24 partitions)": peers.keras_in_pandas_udf,
    "Keras in predict_batch_udf": peers.keras_in_predict_batch_udf,
    "tf.data and Keras, one process": peers.keras_on_tf_data,
}
NOTEBOOK = next(iter(PEERS))  # the one that the project set out from


def measure(work: Work) -> Group:
    photos = work.photos.folder_with_enlarged(work.plan.few, ENLARGED, INPUT)
    count = work.plan.few + ENLARGED
    written = {name: work.new_folder(f"peers/{i}") for i, name in enumerate(PEERS)}
    run = work.new_run("few")

    def project() -> stages.Timed:
        settings = work.settings(run, photos)
        named = (INGEST, PREPROCESS, FEATURIZE)
        return work.project.call(stages.run, settings, named, again=True)

    def peer(name: str) -> peers.Taken:
        to = work.new_folder(str(written[name]))
        return work.processes.call(PEERS[name], photos, work.keras, to)

    rounds = work.budget.rounds(
        {
            "project": project,
            "bare": lambda: work.limit(run).seconds(),
            **{name: partial(peer, name) for name in PEERS},
        }
    )
    runs: list[stages.Timed] = rounds["project"]
    limit = work.limit(run)
    engine = Line("the bare engine", rounds["bare"], limit.photos, str(limit.setting))
    both = Line("02 and 03", [one.seconds(PREPROCESS, FEATURIZE) for one in runs], count)
    first = Line("03", [one.seconds(FEATURIZE) for one in runs], count)
    again = Line("03 once more, its workers warm", [one.seconds(AGAIN) for one in runs], count)
    expected = compare.features_by_path(run)
    lines = {
        name: Line(
            name,
            [taken.seconds for taken in rounds[name]],
            count,
            f"ready after {median(taken.start for taken in rounds[name]):.1f} s more; "
            + _compared(name, written[name], expected),
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
                again.speed_beside(engine),
                f"their start: {first.median - again.median:.1f} s",
            ),
            Goal.at_least(
                8.5,
                f"02 and 03 beside Keras in a pandas UDF, {count:,} photos",
                both.speed_beside(lines[NOTEBOOK]),
            ),
        ],
    )


def _compared(name: str, written: Path, expected: compare.Rows) -> str:
    """How near a peer's features are; raises where nothing is resized and they differ."""
    found = compare.rows_by(written, "path", "features")
    same = {path: row for path, row in expected.items() if path.startswith("enlarged/")}
    error = compare.relative_error(found, same)
    compare.require_close(name, error, SAME)
    resized = {path: row for path, row in expected.items() if path not in same}
    return (
        f"features differ by {error:.0e}, and by {compare.relative_error(found, resized):.1g} "
        "where the photo is resized, each with its own filter"
    )
