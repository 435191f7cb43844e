"""Every command of the README runs, and its Python, or the block says why it cannot run here.

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

PROJECT = Path(__file__).parents[2]
SECONDS = 600

_FENCE = re.compile(
    r"(?:^<!-- not run:(?P<reason>[^\n]*)-->\n+)?"
    r"^```(?P<language>bash|python)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """The code of one fence: commands run in one shell, in order."""

    line: int
    language: str
    code: str
    reason: str | None


def read_blocks(page: str) -> list[Block]:
    """Read the blocks of a Markdown page.

    Raises
    ------
    ValueError
        If a block is left out without a reason.
    """
    found = []
    for fence in _FENCE.finditer(page):
        line = page[: fence.start("code")].count("\n") + 1
        reason = fence["reason"]
        if reason is not None and not reason.strip():
            raise ValueError(f"line {line}: a block is left out without a reason")
        found.append(Block(line, fence["language"], fence["code"], reason and reason.strip()))
    return found


BLOCKS = read_blocks((PROJECT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files as a fresh clone has them, with this environment as its own.

    make finds its stamps there, so it installs the kernel and no package.
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
        if part.name == "share":  # the kernel is installed there
            shutil.copytree(part, copy / ".venv" / part.name)
        else:
            (copy / ".venv" / part.name).symlink_to(part)
    for stamp in (".base", ".classes", ".dev"):
        (copy / ".venv" / stamp).touch()
    return copy


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line-{block.line}")
def test_the_block_runs(block: Block, clone: Path) -> None:
    shell: list[str | Path] = ["bash", "-euo", "pipefail", "-c"]
    if block.language == "python":
        shell = [clone / ".venv" / "bin" / "python", "-c"]
    else:
        subprocess.run(["bash", "-n", "-c", block.code], check=True)
    if block.reason:
        pytest.skip(block.reason)
    assert "make test" not in block.code, "these tests would run themselves: say so above it"
    done = subprocess.run(
        [*shell, block.code],
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
        "# A\n```bash\none\ntwo\n```\n```text\nnone\n```\n"
        "<!-- not run: far away -->\n```bash\nthree\n```\n```python\nfour\n```\n"
    )
    assert read_blocks(page) == [
        Block(3, "bash", "one\ntwo\n", None),
        Block(11, "bash", "three\n", "far away"),
        Block(14, "python", "four\n", None),
    ]


def test_a_block_left_out_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="line 3: a block is left out without a reason"):
        read_blocks("<!-- not run: -->\n```bash\none\n```\n")


def test_a_comment_elsewhere_leaves_no_block_out() -> None:
    page = "<!-- not run: far away -->\nText.\n\n```bash\none\n```\n"
    assert read_blocks(page) == [Block(5, "bash", "one\n", None)]
