"""The table of faults that the tests of faults print when all have run."""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import pytest

NAME = "ledger"
HEADINGS = ("fault", "where", "outcome", "passes", "rows equal")


@dataclass(frozen=True)
class Line:
    """A fault: what it was, where it struck, and how the run came out of it.

    ``passes`` are photos pushed through the network, of how many. ``rows`` were compared.
    """

    fault: str
    where: str
    outcome: str
    passes: str = "-"
    rows: str = "-"


class Ledger:
    """Gathers the lines, and prints them as a plugin of pytest."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        table = [HEADINGS, *map(astuple, self.lines)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        terminalreporter.section("faults")
        for row in table:
            cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
            terminalreporter.line("  ".join(cells).rstrip())


@pytest.fixture(scope="session")
def ledger(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes a fault that a run survived: ``ledger(fault, where, outcome, passes, rows)``."""
    plugins = request.config.pluginmanager
    kept = plugins.get_plugin(NAME)
    if kept is None:
        kept = Ledger()
        plugins.register(kept, NAME)

    def note(*texts: str) -> None:
        kept.lines.append(Line(*texts))

    return note
