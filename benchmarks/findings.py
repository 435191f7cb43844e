"""What was measured: lines, groups of lines, goals that were reached or missed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Line:
    """One thing that was measured.

    Attributes
    ----------
    seconds
        Of each repetition.
    photos
        Photos (or rows) of a repetition; 0 where none are counted.
    """

    what: str
    seconds: Sequence[float]
    photos: int = 0
    note: str = ""

    @property
    def median(self) -> float:
        """Seconds of the median repetition."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest minus fastest repetition, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    @property
    def rate(self) -> float:
        """Photos per second; 0 where none are counted."""
        return self.photos / self.median

    def compare_speed(self, other: "Line") -> float:
        """Return how many times as fast as ``other`` it is: the median over their rounds."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median((self.photos / mine) / (other.photos / theirs) for mine, theirs in pairs)


@dataclass(frozen=True)
class Goal:
    """A ratio to reach.

    Attributes
    ----------
    reached
        None where it cannot be measured here; ``note`` says why.
    """

    what: str
    wanted: str
    value: float | None
    reached: bool | None
    note: str = ""

    @staticmethod
    def at_least(bound: float, what: str, value: float, note: str = "") -> "Goal":
        """Make a goal that a value of at least ``bound`` reaches."""
        return Goal(what, f"at least {bound:g}", value, value >= bound, note)

    @staticmethod
    def at_most(bound: float, what: str, value: float, note: str = "") -> "Goal":
        """Make a goal that a value of at most ``bound`` reaches."""
        return Goal(what, f"at most {bound:g}", value, value <= bound, note)

    @staticmethod
    def between(low: float, high: float, what: str, value: float, note: str = "") -> "Goal":
        """Make a goal that a value from ``low`` to ``high`` reaches."""
        return Goal(what, f"{low:g} to {high:g}", value, low <= value <= high, note)

    @staticmethod
    def not_measured(wanted: str, what: str, why: str) -> "Goal":
        """Make a goal that cannot be measured here."""
        return Goal(what, wanted, None, None, why)


@dataclass(frozen=True)
class Group:
    """Lines that belong together; all are compared with the line named ``reference``."""

    title: str
    reference: str
    lines: list[Line]
    goals: list[Goal] = field(default_factory=list)

    def compute_ratio(self, line: Line) -> float | None:
        """Compute a line's speed beside the reference; None where photos are not counted."""
        reference = next(line for line in self.lines if line.what == self.reference)
        if not line.photos or len(line.seconds) != len(reference.seconds):
            return None
        return line.compare_speed(reference)

    def to_json(self) -> dict[str, Any]:
        """Return the group as JSON values, without its goals."""
        return {
            "title": self.title,
            "reference": self.reference,
            "lines": [
                {
                    "what": line.what,
                    "ratio": self.compute_ratio(line),
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


def format_tables(groups: Sequence[Group]) -> str:
    """Format the goals, then the lines of each group, the ratios first."""
    rows = ["Goals"]
    for goal in (goal for group in groups for goal in group.goals):
        value = "     -" if goal.value is None else f"{goal.value:6.2f}"
        verdict = {True: "reached", False: "NOT REACHED", None: "not measured"}[goal.reached]
        rows.append(f"{value}  {goal.wanted:14} {verdict:13} {_add_note(goal.what, goal.note)}")
    for group in groups:
        rows += ["", f"{group.title} (ratio: speed beside {group.reference!r})"]
        rows.append(" ratio    seconds  spread  runs   photos/s")
        for line in group.lines:
            ratio = group.compute_ratio(line)
            shown = "     -" if ratio is None else f"{ratio:6.2f}"
            spread = f"{line.spread:7.1%}" if len(line.seconds) > 1 else "      -"
            rate = f"{line.rate:10.1f}" if line.photos else "         -"
            what = _add_note(line.what, line.note)
            rows.append(
                f"{shown} {line.median:10.3f} {spread} {len(line.seconds):5} {rate}  {what}"
            )
    return "\n".join(rows)


def _add_note(what: str, note: str) -> str:
    return f"{what} ({note})" if note else what
