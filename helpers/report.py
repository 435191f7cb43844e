"""What a run found: about ten lines of summary, and one HTML page with the executed notebooks."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter

from helpers.parameters import NOTEBOOKS
from helpers.storage.location import Location
from helpers.storage.run import Run

EXECUTED = "notebooks"
REPORT = "report.html"

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_NEIGHBOUR = re.compile(rf"\]\(({'|'.join(NOTEBOOKS)})\.ipynb\)")


def write(run: Run) -> Location:
    """Write the report of a run below its location, and return where it lies.

    The page holds the notebooks that lie in the run's folder as they were executed last. It reads
    without any other host: figures are part of it, code is folded, there is no script.

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
        cells += _cells(name, notebook)
    if not cells:
        raise FileNotFoundError(f"no notebook was executed in {run.location.uri}")
    content = {
        "summary": summary(run.manifest()),
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


def summary(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and text of each line of a run's summary, as far as its stages have finished."""
    lines = []
    counts, used = manifest.get("counts", {}), manifest.get("parameters", {})
    if "found" in counts:
        skipped = counts["skipped"]
        lines.append(
            (
                "Photos",
                f"{counts['found']:,} found: {counts['images']:,} taken, "
                f"{sum(skipped.values()):,} skipped{_listed(skipped)}",
            )
        )
    if "rejects" in counts:
        rejects = counts["rejects"]
        lines.append(("Rejected", f"{sum(rejects.values()):,}{_listed(rejects)}"))
        lines.append(("Duplicates", f"{counts['duplicates']:,} (same bytes under another path)"))
    if "features" in counts:
        network = f"{used['BACKBONE']}, weights {used['WEIGHTS']}"
        if used["WEIGHTS"] == "random":
            network += ": THESE FEATURES MEAN NOTHING, they are for speed tests alone"
        width = manifest["features"]["width"]
        lines.append(("Features", f"{counts['features']:,} photos x {width:,} ({network})"))
    if "pca" in manifest:
        pca = manifest["pca"]
        lines.append(
            (
                "PCA",
                f"{pca['components']:,} components explain {pca['explained_variance']:.1%} of the "
                f"variance, fitted on {pca['fitted_rows']:,} photos",
            )
        )
    if "classify" in manifest:
        merit = manifest["classify"]
        fitted = f"{merit['classifier']}, split {merit['split']}"
        lines.append(("Accuracy", f"{_merit(merit)} ({fitted})"))
        baselines = (f"{_merit(value)} ({name})" for name, value in merit["baselines"].items())
        lines.append(("Baselines", "; ".join(baselines)))
    for stage, speed in manifest.get("stages", {}).items():
        lines.append(
            (
                stage,
                f"{speed['seconds']:.1f} s, {speed['images']:,} photos, "
                f"{speed['images_per_second']:,.0f} a second",
            )
        )
    return lines


def _cells(name: str, notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A notebook's cells as the page takes them.

    Links to neighbours stay within the page; the words before a figure are its alternative text.
    """
    cells: list[nbformat.NotebookNode] = notebook.cells
    said = ""
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _NEIGHBOUR.sub(r"](#\1)", cell.source)
            said = " ".join(cell.source.split())
        else:
            cell.metadata["alt"] = said
    cells[0].metadata["opens"] = name
    return cells


def _listed(counts: Mapping[str, int]) -> str:
    return ": " + ", ".join(f"{n:,} {name}" for name, n in counts.items()) if counts else ""


def _merit(merit: Mapping[str, float]) -> str:
    return f"{merit['accuracy']:.1%}, macro F1 {merit['macro_f1']:.3f}"
