"""``python -m benchmarks``: measure, print the table, write ``benchmarks/results.json``."""

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
)
from benchmarks.compare import DifferentError
from benchmarks.findings import Group, table
from benchmarks.work import FULL, QUICK, Work

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
SCRATCH = ROOT / "runs" / "benchmarks"
REFERENCE = ROOT.parent / "shared"
PHOTOS = REFERENCE / "data" / "fruits360"
WEIGHTS = REFERENCE / "weights" / "mobilenet_v2_1.0_224_no_top_dequantised.weights.h5"

#: what is measured, in this order, and its share of the time
GROUPS: dict[str, tuple[Callable[[Work], Group], float]] = {
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
    """Read the command line, measure, print, write; 1 if a peer computed something else."""
    chosen = _parser().parse_args(arguments)
    plan = QUICK if chosen.quick else FULL
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    described = machine.describe()
    print(json.dumps(described, indent=2), flush=True)
    work = Work(plan, chosen.photos.resolve(), chosen.weights, SCRATCH)
    groups, troubles = measured(work, chosen.only)
    print("\n".join([table(groups), "", *troubles]))
    results = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "plan": asdict(plan),
        "photos": chosen.photos.name,
        "weights": Path(chosen.weights).name,
        "goals": [asdict(goal) for group in groups for goal in group.goals],
        "groups": [group.as_json() for group in groups],
        "troubles": troubles,
    }
    chosen.results.write_text(json.dumps(results, indent=2) + "\n")
    shutil.rmtree(SCRATCH)
    return 1 if troubles else 0


def measured(work: Work, names: Iterable[str]) -> tuple[list[Group], list[str]]:
    """The named groups; and in words, which could not be measured and why."""
    groups, troubles = [], []
    for name in names:
        measure, share = GROUPS[name]
        work.budget.grant(share)
        if work.budget.spent:
            troubles.append(f"{name}: not measured, the {work.plan.minutes:g} minutes are used up")
            continue
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            groups.append(measure(work))
        except DifferentError as error:
            troubles.append(f"{name}: {error}")
    return groups, troubles


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the project beside its peers, in one run; outputs are compared too.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="8 minutes and fewer photos; else 40 minutes"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        default=PHOTOS if PHOTOS.is_dir() else ROOT / "data_sample",
        metavar="FOLDER",
        help="JPEG files to measure on; too few come several times, with other bytes",
    )
    parser.add_argument(
        "--weights",
        default=str(WEIGHTS) if WEIGHTS.is_file() else "random",
        metavar="FILE.h5",
        help="weights of MobileNetV2 at 224 pixels, 'imagenet' or 'random'",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=list(GROUPS),
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
