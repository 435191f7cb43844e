"""Notebooks for tests: read, written and made, with types."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

KERNEL = {"display_name": "PySpark", "language": "python", "name": "pysparkkernel"}


def make_notebook(*sources: str) -> NotebookNode:
    """Make a notebook of code cells; the first one holds the parameters."""
    notebook: NotebookNode = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(source) for source in sources],  # type: ignore[no-untyped-call]
        metadata={"kernelspec": KERNEL},
    )
    notebook.cells[0].metadata["tags"] = ["parameters"]
    return notebook


def make_text_cell(source: str) -> NotebookNode:
    """Make a Markdown cell."""
    cell: NotebookNode = nbformat.v4.new_markdown_cell(source)  # type: ignore[no-untyped-call]
    return cell


def make_printed(text: str) -> NotebookNode:
    """Make the output of a cell that printed a text."""
    output: NotebookNode = nbformat.v4.new_output("stream", text=text)  # type: ignore[no-untyped-call]
    return output


def make_figure(png: str) -> NotebookNode:
    """Make the output of a cell that drew a figure."""
    data = {"image/png": png, "text/plain": "Figure"}
    output: NotebookNode = nbformat.v4.new_output("display_data", data)  # type: ignore[no-untyped-call]
    return output


def read_notebook(file: Path) -> NotebookNode:
    """Read a notebook in the format of version 4."""
    notebook: NotebookNode = nbformat.read(file, 4)  # type: ignore[no-untyped-call]
    return notebook


def write_notebook(notebook: NotebookNode, file: Path) -> None:
    """Write a notebook."""
    nbformat.write(notebook, file)  # type: ignore[no-untyped-call]


def list_printed(notebook: NotebookNode) -> list[str]:
    """List what the cells of an executed notebook printed, in order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.text for output in outputs if output.output_type == "stream"]
