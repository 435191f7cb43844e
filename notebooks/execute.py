"""Execute the committed notebooks on data_sample, and keep their outputs in them.

    python notebooks/execute.py

They run in order with the parameters they declare; RUN_URI is begun anew. If all five succeed,
outputs and execution counts are written back, and nothing else of the run: no times, no paths.
The README's pictures are taken from them.
"""

import base64
import sys
import tempfile
from pathlib import Path

import nbformat

from helpers import runner
from helpers.parameters import NOTEBOOKS, Parameters
from helpers.storage.location import locate

#: the README's pictures: notebook, and number of the figure in it
PICTURES = {"gallery.png": ("02_preprocess", 0), "components.png": ("04_pca", 1)}


def main() -> int:
    folder = runner.find_notebooks()
    locate(Parameters().RUN_URI).delete_tree()
    written = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in NOTEBOOKS:
            print(name, flush=True)
            output = Path(scratch) / f"{name}.ipynb"
            try:
                runner.execute(folder / output.name, output, {})
            except runner.NotebookError as error:
                print(error, file=sys.stderr)
                return 1
            notebook = nbformat.read(folder / output.name, 4)
            keep_outputs(notebook, nbformat.read(output, 4))
            written[folder / output.name] = notebook
    for path, notebook in written.items():
        nbformat.write(notebook, path)
    pictures = folder.parent / "docs" / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for picture, (name, number) in PICTURES.items():
        (pictures / picture).write_bytes(figures(written[folder / f"{name}.ipynb"])[number])
    return 0


def figures(notebook: nbformat.NotebookNode) -> list[bytes]:
    """The figures of an executed notebook, as PNG."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    encoded = (output.get("data", {}).get("image/png") for output in outputs)
    return [base64.b64decode(figure) for figure in encoded if figure]


def keep_outputs(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> None:
    """Take over outputs and execution counts.

    Raises
    ------
    ValueError
        If an output holds text on stderr or a path of this machine.
    """
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type != "code":
            continue
        cell.execution_count = done.execution_count
        cell.outputs = done.outputs
        for output in cell.outputs:
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            machine = (str(runner.find_notebooks().parent), str(Path.home()), sys.prefix)
            if output.get("name") == "stderr" or any(path in text for path in machine):
                raise ValueError(f"an output that must not be committed: {text!r}")


if __name__ == "__main__":
    sys.exit(main())
