"""One HTML page of a run: its summary, then the executed notebooks."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from helpers.parameters import NOTEBOOKS
from helpers.report.summary import summarize
from helpers.run.manifest import Run
from helpers.storage.location import Location

EXECUTED = "notebooks"
REPORT = "report.html"

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_NOTEBOOK_LINK = re.compile(rf"\]\(({'|'.join(NOTEBOOKS)})\.ipynb\)")


def write_page(run: Run) -> Location:
    """Write the report of a run below its location; return the report's location.

    The page holds the run's notebooks as they were executed last. It needs no other host: figures
    are part of it, code is folded, and there is no script.

    Raises
    ------
    FileNotFoundError
        If no notebook was executed in this run.
    """
    cells = []
    executed = {}
    for name in NOTEBOOKS:
        place = run.location / EXECUTED / f"{name}.ipynb"
        if not place.is_file():
            continue
        notebook = nbformat.reads(place.read().decode(), 4)  # type: ignore[no-untyped-call]
        executed[name] = str(notebook.metadata.get("papermill", {}).get("end_time", ""))[:16]
        cells += _prepare_cells(name, notebook)
    if not cells:
        raise FileNotFoundError(f"no notebook was executed in {run.location.uri}")
    content = {
        "summary": summarize(run.read_manifest()),
        "executed": executed,
        "place": run.location.uri,
    }
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="classic",
        template_file=str(_TEMPLATE),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    merged = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    page, _ = exporter.from_notebook_node(merged, resources={"report": content})
    to = run.location / REPORT
    to.write(page.encode())
    return to


def _prepare_cells(name: str, notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Prepare a notebook's cells for the page.

    Links to other notebooks stay within the page. The words before a figure become its alternative
    text.
    """
    cells: list[nbformat.NotebookNode] = notebook.cells
    words = ""
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _NOTEBOOK_LINK.sub(r"](#\1)", cell.source)
            words = " ".join(cell.source.split())
        else:
            cell.metadata["alt"] = words
    cells[0].metadata["opens"] = name
    return cells
