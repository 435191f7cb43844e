"""Links of the pages and of the notebooks lead to files that are there."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "*/*.md", "helpers/**/*.md", "notebooks/*.ipynb")
PAGES = sorted(
    page
    for place in PLACES
    for page in ROOT.glob(place)
    if page.relative_to(ROOT).parts[0] not in ("runs", "build", "dist")
    and not page.relative_to(ROOT).parts[0].startswith(".")
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def read_markdown(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] != "code")
    return text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_file(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(read_markdown(page))]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_pages_have_links() -> None:
    assert {"README.md", "reliability.md", "01_ingest.ipynb"} <= {
        page.name for page in PAGES if LINK.search(read_markdown(page))
    }
