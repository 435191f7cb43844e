"""What was found: measured lines, groups of them, goals reached or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Line:
    """One measured thing: seconds of each repetition, for so many photos (or rows)."""

    what: str
    seconds: Sequence[float]
    photos: int = 0
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest minus fastest repetition, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    @property
    def rate(self) -> float:
        """Photos a second; 0 where no photos are counted."""
        return self.photos / self.median

    def speed_beside(self, other: "Line") -> float:
        """How many times as fast as ``other``: the median over the rounds that both ran in."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median((self.photos / mine) / (other.photos / theirs) for mine, theirs in pairs)


@dataclass(frozen=True)
class Goal:
    """A ratio that is aimed at; ``reached`` is None where it cannot be told, and ``note`` why."""

    what: str
    wanted: str
    value: float | None
    reached: bool | None
    note: str = ""

    @staticmethod
    def at_least(bound: float, what: str, value: float, note: str = "") -> "Goal":
        return Goal(what, f"at least {bound:g}", value, value >= bound, note)

    @staticmethod
    def at_most(bound: float, what: str, value: float, note: str = "") -> "Goal":
        return Goal(what, f"at most {bound:g}", value, value <= bound, note)

    @staticmethod
    def between(low: float, high: float, what: str, value: float, note: str = "") -> "Goal":
        return Goal(what, f"{low:g} to {high:g}", value, low <= value <= high, note)

    @staticmethod
    def untold(wanted: str, what: str, why: str) -> "Goal":
        return Goal(what, wanted, None, None, why)


@dataclass(frozen=True)
class Group:
    """Lines that belong together; the rates of all are set beside that of ``reference``."""

    title: str
    reference: str
    lines: list[Line]
    goals: list[Goal] = field(default_factory=list)

    def ratio(self, line: Line) -> float | None:
        """Speed beside the reference; None where photos are not counted."""
        reference = next(line for line in self.lines if line.what == self.reference)
        if not line.photos or len(line.seconds) != len(reference.seconds):
            return None
        return line.speed_beside(reference)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "reference": self.reference,
            "lines": [
                {
                    "what": line.what,
                    "ratio": self.ratio(line),
                    "median_seconds": line.median,
                    "spread": line.spread,
                    "photos": line.photos,
                    "photos_per_second": line.rate,
                    "seconds": list(line.seconds),
                    "note": line.note,
                }
                for line in self.lines
            ],
        }


def table(groups: Sequence[Group]) -> str:
    """The goals, then every line, the ratios first."""
    rows = ["Goals"]
    for goal in (goal for group in groups for goal in group.goals):
        value = "     -" if goal.value is None else f"{goal.value:6.2f}"
        verdict = {True: "reached", False: "NOT REACHED", None: "not told"}[goal.reached]
        rows.append(f"{value}  {goal.wanted:14} {verdict:12} {_noted(goal.what, goal.note)}")
    for group in groups:
        rows += ["", f"{group.title} (ratio: speed beside {group.reference!r})"]
        rows.append(" ratio    seconds  spread  runs   photos/s")
        for line in group.lines:
            ratio = group.ratio(line)
            shown = "     -" if ratio is None else f"{ratio:6.2f}"
            spread = f"{line.spread:7.1%}" if len(line.seconds) > 1 else "      -"
            rate = f"{line.rate:10.1f}" if line.photos else "         -"
            what = _noted(line.what, line.note)
            rows.append(
                f"{shown} {line.median:10.3f} {spread} {len(line.seconds):5} {rate}  {what}"
            )
    return "\n".join(rows)


def _noted(what: str, note: str) -> str:
    return f"{what} ({note})" if note else what
