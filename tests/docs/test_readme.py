"""Every command of the README runs, or its block says why it cannot run here.

A block that cannot run has a comment on the line above its fence, which the page does not show::

    <!-- not run: REASON -->
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.storage.location import project_root

PROJECT = project_root()
SECONDS = 600

_FENCE = re.compile(
    r"(?:^<!-- not run:(?P<reason>[^\n]*)-->\n+)?^```bash\n(?P<commands>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """Commands of one fence: all of them run, in order, in one shell."""

    line: int
    commands: str
    reason: str | None


def blocks(page: str) -> list[Block]:
    """The blocks of a Markdown page.

    Raises
    ------
    ValueError
        If a block is left out without a reason.
    """
    found = []
    for fence in _FENCE.finditer(page):
        line = page[: fence.start("commands")].count("\n") + 1
        reason = fence["reason"]
        if reason is not None and not reason.strip():
            raise ValueError(f"line {line}: a block is left out without a reason")
        found.append(Block(line, fence["commands"], reason and reason.strip()))
    return found


BLOCKS = blocks((PROJECT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files as a fresh clone has them, with this environment as its own.

    make finds its stamps there, and installs nothing.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True, text=True)
    copy = tmp_path_factory.mktemp("clone")
    for name in tracked.stdout.rstrip("\0").split("\0"):
        if (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, copy / name)
    (copy / ".venv").mkdir()
    for part in Path(sys.prefix).glob("[!.]*"):
        (copy / ".venv" / part.name).symlink_to(part)
    for stamp in (".laptop", ".dev"):
        (copy / ".venv" / stamp).touch()
    return copy


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line-{block.line}")
def test_the_block_runs(block: Block, clone: Path) -> None:
    subprocess.run(["bash", "-n", "-c", block.commands], check=True)
    if block.reason:
        pytest.skip(block.reason)
    assert "make test" not in block.commands, "these tests would run themselves: say so above it"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.commands],
        cwd=clone,
        env={**_plain_environment(), "PYTHONPATH": str(clone)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _plain_environment() -> dict[str, str]:
    """This environment without what `make test` adds to it."""
    added = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    return {name: value for name, value in os.environ.items() if name not in added}


def test_some_block_runs() -> None:
    assert any(block.reason is None for block in BLOCKS)


def test_a_page_is_read_block_by_block() -> None:
    page = (
        "# A\n```bash\none\ntwo\n```\n```python\nnone\n```\n"
        "<!-- not run: far away -->\n```bash\nthree\n```\n"
    )
    assert blocks(page) == [Block(3, "one\ntwo\n", None), Block(11, "three\n", "far away")]


def test_a_block_left_out_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="line 3: a block is left out without a reason"):
        blocks("<!-- not run: -->\n```bash\none\n```\n")


def test_a_comment_elsewhere_leaves_no_block_out() -> None:
    page = "<!-- not run: far away -->\nText.\n\n```bash\none\n```\n"
    assert blocks(page) == [Block(5, "one\n", None)]
