"""The kernelspec: how Jupyter finds and starts the kernel."""

import json
import sys
from pathlib import Path

from helpers.spark import environment

NAME = "pysparkkernel"


def kernelspec() -> dict[str, object]:
    """Return the content of ``kernel.json`` for the Python that runs this.

    As in Livy's driver, the notebook's folder is not on the import path (``-P``), and figures are
    drawn without a screen (``Agg``).
    """
    return {
        "argv": [
            sys.executable,
            "-P",
            "-m",
            "helpers.kernel",
            "serve",
            "--connection-file",
            "{connection_file}",
        ],
        "display_name": "PySpark",
        "language": "python",
        "interrupt_mode": "signal",
        "env": {"MPLBACKEND": "Agg", **environment.MEMORY},
        "metadata": {"supported_encryption": ["curve"]},
    }


def install(prefix: Path) -> Path:
    """Write the kernelspec below `prefix` and return its folder; an older one is replaced.

    Below ``sys.prefix``, the Jupyter of this environment finds it.
    """
    folder = prefix / "share" / "jupyter" / "kernels" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(kernelspec(), indent=1) + "\n"
    (folder / "kernel.json").write_text(text, encoding="utf-8")
    return folder
