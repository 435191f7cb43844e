"""``python -m benchmarks``: measure, print the tables, write ``benchmarks/results.json``."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    components,
    decoding,
    featurizing,
    growth,
    large_network,
    machine,
    pipeline,
    precision,
    reading,
    reference,
)
from benchmarks.compare import DifferentError
from benchmarks.context import FULL, QUICK, Context
from benchmarks.findings import Group, format_tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
SCRATCH = ROOT / "runs" / "benchmarks"

#: what is measured, in this order, and its share of the time
GROUPS: dict[str, tuple[Callable[[Context], Group], float]] = {
    "pipeline": (pipeline.measure, 0.15),
    "featurizing": (featurizing.measure, 0.26),
    "precision": (precision.measure, 0.14),
    "pca": (components.measure, 0.12),
    "reading": (reading.measure, 0.03),
    "small": (decoding.measure_small, 0.005),
    "large": (decoding.measure_large, 0.005),
    "growth": (growth.measure, 0.20),
    "vgg16": (large_network.measure, 0.09),
}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, measure, print, write; return 1 if a peer computed something else."""
    chosen = _make_parser().parse_args(arguments)
    photos, weights = _choose_data(chosen.photos, chosen.weights)
    plan = QUICK if chosen.quick else FULL
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    described = machine.describe()
    print(json.dumps(described, indent=2), flush=True)
    context = Context(plan, photos.resolve(), weights, SCRATCH)
    groups, troubles = measure_groups(context, chosen.only)
    print("\n".join([format_tables(groups), "", *troubles]))
    results = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "plan": asdict(plan),
        "photos": photos.name,
        "weights": Path(weights).name,
        "goals": [asdict(goal) for group in groups for goal in group.goals],
        "groups": [group.to_json() for group in groups],
        "troubles": troubles,
    }
    chosen.results.write_text(json.dumps(results, indent=2) + "\n")
    shutil.rmtree(SCRATCH)
    return 1 if troubles else 0


def measure_groups(context: Context, names: Iterable[str]) -> tuple[list[Group], list[str]]:
    """Measure the named groups.

    Returns
    -------
    groups, troubles
        What was measured; and a sentence for each group that could not be measured.
    """
    groups, troubles = [], []
    for name in names:
        measure, share = GROUPS[name]
        context.budget.grant(share)
        if context.budget.is_spent:
            minutes = f"{context.plan.minutes:g} minutes"
            troubles.append(f"{name}: not measured, the {minutes} are used up")
            continue
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            groups.append(measure(context))
        except DifferentError as error:
            troubles.append(f"{name}: {error}")
    return groups, troubles


def _choose_data(photos: Path | None, weights: str | None) -> tuple[Path, str]:
    """Take the photos and weights that were given, else the reference data, else the sample."""
    folder = reference.find_reference()
    if folder is None:
        return photos or ROOT / "data_sample", weights or "random"
    return photos or folder / reference.PHOTOS, weights or str(folder / reference.WEIGHTS)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(
            "Measure the project beside its peers in one run, and compare their outputs. Photos "
            f"and weights come from the folder that {reference.VARIABLE} names; without it the "
            "sample photos and random weights are measured."
        ),
    )
    parser.add_argument(
        "--quick", action="store_true", help="take 8 minutes and fewer photos, not 40 minutes"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="JPEG files to measure on; if they are too few, copies with other bytes are added",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE.h5",
        help="weights of MobileNetV2 at 224 pixels, 'imagenet' or 'random'",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=list(GROUPS),
        metavar="GROUP",
        help=f"measure only these, of {', '.join(GROUPS)}",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="FILE.json",
        help="where the results are written (default: benchmarks/results.json)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
