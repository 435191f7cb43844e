"""docs/reliability.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
HEADING = "| promise | held by |"
LINK = re.compile(r"\[\w+\.py\]\(\.\./(tests/[\w/]+\.py)\)((?:[ ,;]|`test_\w+`)*)")


def test_every_promise_names_a_test() -> None:
    tables = [part for part in PAGE.read_text().split("\n\n") if part.startswith(HEADING)]
    held = [line for table in tables for line in table.splitlines()[2:]]
    assert len(held) > 30
    assert all(LINK.search(line) or "| the same" in line for line in held)


def test_the_tests_it_names_are_there() -> None:
    named = LINK.findall(PAGE.read_text())
    assert named
    for file, names in named:
        text = (ROOT / file).read_text()
        tests = re.findall(r"test_\w+", names)
        assert tests, file
        missing = [name for name in tests if f"def {name}(" not in text]
        assert not missing, (file, missing)
