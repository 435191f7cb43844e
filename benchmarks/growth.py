"""More photos, fewer cores: what a further photo costs, in time and in memory."""

from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks import stages
from benchmarks.findings import Goal, Group, Line
from benchmarks.stages import FEATURIZE
from benchmarks.work import Work, components
from helpers.parameters import NOTEBOOKS

DOUBLINGS = (1, 2, 4, 8)
STAGES = NOTEBOOKS[:4]
MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Grown:
    """Seconds of 01 to 04; peak memory of all processes in bytes, at any time and within 03."""

    seconds: float
    peak: int
    peak_03: int


def measure(work: Work) -> Group:
    least = work.plan.least
    sizes = [least * times for times in DOUBLINGS]
    most = sizes[-1]

    def run(count: int, cores: int | None = None) -> Grown:
        place, photos = work.new_run("growth"), work.photos.folder(count)
        settings = work.settings(place, photos, COMPONENTS=components(least))
        timed, sampler = work.project.watched(stages.run, settings, STAGES, cores=cores)
        start, end = timed.spans[STAGES[0]][0], timed.spans[STAGES[-1]][1]
        peak_03 = sampler.peak(*timed.spans[FEATURIZE])
        return Grown(timed.seconds(*STAGES), sampler.peak(start, end), peak_03)

    contestants = {f"{count:,} photos": partial(run, count) for count in sizes}
    one_core = f"{most:,} photos on 1 core"
    rounds = work.budget.rounds({**contestants, one_core: partial(run, most, cores=1)})
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
        f"Growth: 01 to 04 on {work.cores} cores, and on one",
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
            _two_cores(work.cores, lines[f"{most:,} photos"], lines[one_core]),
            Goal.at_most(
                1,
                f"GiB of peak memory of 03, all processes, {most:,} photos",
                max(grown.peak_03 for grown in whole) / GIB,
            ),
        ],
    )


def _two_cores(cores: int, all_cores: Line, one_core: Line) -> Goal:
    what = f"2 cores beside 1, {all_cores.what}"
    if cores != 2:
        return Goal.untold("at least 1.85", what, f"this machine has {cores} cores")
    return Goal.at_least(1.85, what, all_cores.speed_beside(one_core))
