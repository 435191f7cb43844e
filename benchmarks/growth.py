"""More photos, fewer cores: what a further photo costs, in time and in memory."""

from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks import stages
from benchmarks.context import Context, choose_components
from benchmarks.findings import Goal, Group, Line
from helpers.parameters import NOTEBOOKS
from helpers.run.manifest import FEATURIZE

DOUBLINGS = (1, 2, 4, 8)
STAGES = NOTEBOOKS[:4]
MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Grown:
    """What a run of 01 to 04 took.

    Attributes
    ----------
    peak, peak_03
        Peak memory of all processes in bytes: at any time, and within 03.
    """

    seconds: float
    peak: int
    peak_03: int


def measure(context: Context) -> Group:
    """Measure 01 to 04 on four numbers of photos, and on one core."""
    least = context.plan.least
    sizes = [least * times for times in DOUBLINGS]
    most = sizes[-1]

    def run(count: int, cores: int | None = None) -> Grown:
        place, photos = context.clear_run("growth"), context.photos.write_folder(count)
        parameters = context.make_parameters(place, photos, COMPONENTS=choose_components(least))
        timed, sampler = context.project.call_and_sample(
            stages.run, parameters, STAGES, cores=cores
        )
        start, end = timed.spans[STAGES[0]][0], timed.spans[STAGES[-1]][1]
        peak_03 = sampler.find_peak(*timed.spans[FEATURIZE])
        return Grown(timed.sum_seconds(*STAGES), sampler.find_peak(start, end), peak_03)

    contestants = {f"{count:,} photos": partial(run, count) for count in sizes}
    one_core = f"{most:,} photos on 1 core"
    rounds = context.budget.run_rounds({**contestants, one_core: partial(run, most, cores=1)})
    counts = dict(zip(rounds, [*sizes, most], strict=True))
    lines = {
        name: Line(
            name,
            [grown.seconds for grown in found],
            counts[name],
            f"peak memory {max(grown.peak for grown in found) / MIB:,.0f} MiB",
        )
        for name, found in rounds.items()
    }
    smallest, doubled, half, whole = (rounds[name] for name in contestants)
    dearer = median(
        (d.seconds - c.seconds) / (b.seconds - a.seconds) / (DOUBLINGS[3] - DOUBLINGS[2])
        for a, b, c, d in zip(smallest, doubled, half, whole, strict=True)
    )
    larger = median(d.peak / a.peak for a, d in zip(smallest, whole, strict=True))
    return Group(
        f"Growth: 01 to 04 on {context.cores} cores, and on one",
        next(iter(lines)),
        list(lines.values()),
        [
            Goal.between(
                0.9,
                1.1,
                f"seconds of a further photo from {sizes[2]:,} to {most:,} beside from "
                f"{sizes[0]:,} to {sizes[1]:,}",
                dearer,
            ),
            Goal.at_most(1.1, f"peak memory with {most:,} photos beside {sizes[0]:,}", larger),
            _compare_cores(context.cores, lines[f"{most:,} photos"], lines[one_core]),
            Goal.at_most(
                1,
                f"GiB of peak memory of 03, all processes, {most:,} photos",
                max(grown.peak_03 for grown in whole) / GIB,
            ),
        ],
    )


def _compare_cores(cores: int, all_cores: Line, one_core: Line) -> Goal:
    what = f"2 cores beside 1, {all_cores.what}"
    if cores != 2:
        return Goal.not_measured("at least 1.85", what, f"this machine has {cores} cores")
    return Goal.at_least(1.85, what, all_cores.compare_speed(one_core))
