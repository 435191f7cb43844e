"""Execute the committed notebooks on data_sample and keep their outputs in them.

    python notebooks/execute.py

They run in order with the parameters that they declare; RUN_URI is emptied first. If all five
succeed, their outputs and execution counts are written back, but no times and no paths. The
README's pictures are taken from them.
"""

import base64
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers import runner
from helpers.parameters import NOTEBOOKS, Parameters
from helpers.storage.location import locate

#: the README's pictures: notebook, and number of the figure in it
PICTURES = {"gallery.png": ("02_preprocess", 0), "components.png": ("04_pca", 1)}


def main() -> int:
    """Execute all notebooks; return the exit code."""
    folder = runner.find_notebooks()
    locate(Parameters().RUN_URI).delete_tree()
    notebooks = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in NOTEBOOKS:
            print(name, flush=True)
            output = Path(scratch) / f"{name}.ipynb"
            try:
                runner.execute(folder / output.name, output, {})
            except runner.NotebookError as error:
                print(error, file=sys.stderr)
                return 1
            notebooks[name] = read_notebook(folder / output.name)
            keep_outputs(notebooks[name], read_notebook(output))
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")  # type: ignore[no-untyped-call]
    pictures = folder.parent / "docs" / "figures"
    for picture, (name, number) in PICTURES.items():
        (pictures / picture).write_bytes(list_figures(notebooks[name])[number])
    return 0


def read_notebook(file: Path) -> NotebookNode:
    """Read a notebook in the format of version 4."""
    notebook: NotebookNode = nbformat.read(file, 4)  # type: ignore[no-untyped-call]
    return notebook


def list_figures(notebook: NotebookNode) -> list[bytes]:
    """List the figures of an executed notebook as PNG, in order."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    encoded = (output.get("data", {}).get("image/png") for output in outputs)
    return [base64.b64decode(figure) for figure in encoded if figure]


def keep_outputs(notebook: NotebookNode, executed: NotebookNode) -> None:
    """Copy outputs and execution counts from ``executed`` to ``notebook``.

    Raises
    ------
    ValueError
        If an output holds text on stderr or a path of this machine.
    """
    machine = (str(runner.find_notebooks().parent), str(Path.home()), sys.prefix)
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type != "code":
            continue
        cell.execution_count = done.execution_count
        cell.outputs = done.outputs
        for output in cell.outputs:
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            if output.get("name") == "stderr" or any(path in text for path in machine):
                raise ValueError(f"an output that must not be committed: {text!r}")


if __name__ == "__main__":
    sys.exit(main())
