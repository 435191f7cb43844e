"""Execute the committed notebooks on data_sample, and keep their outputs in them.

    python notebooks/execute.py

They run in order with the parameters they declare; RUN_URI is begun anew. If all five succeed,
outputs and execution counts are written back, and nothing else of the run: no times, no paths.
"""

import sys
import tempfile
from pathlib import Path

import nbformat

from helpers import runner
from helpers.parameters import NOTEBOOKS, Parameters
from helpers.storage.location import locate


def main() -> int:
    folder = runner.notebooks_folder()
    locate(Parameters().RUN_URI).delete_all()
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
    return 0


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
            machine = (str(runner.notebooks_folder().parent), str(Path.home()), sys.prefix)
            if output.get("name") == "stderr" or any(path in text for path in machine):
                raise ValueError(f"an output that must not be committed: {text!r}")


if __name__ == "__main__":
    sys.exit(main())
