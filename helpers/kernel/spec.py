"""The kernelspec: how Jupyter finds and starts the kernel."""

import json
import sys
from pathlib import Path

from helpers.spark import environment

NAME = "pysparkkernel"


def kernelspec() -> dict[str, object]:
    """The content of ``kernel.json``, for the Python that runs this.

    ``-P`` keeps the notebook's folder off the import path and ``Agg`` draws without a screen: in
    Livy's driver it is the same.
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
    """Write the kernelspec below `prefix` (``sys.prefix`` for this environment); return its folder.

    A kernelspec that is there is replaced.
    """
    folder = prefix / "share" / "jupyter" / "kernels" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(kernelspec(), indent=1) + "\n"
    (folder / "kernel.json").write_text(text, encoding="utf-8")
    return folder
