"""Running the notebooks: parameters are checked, then papermill executes the notebooks."""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from helpers.kernel import spec
from helpers.kernel.manager import FileSocketKernelManager
from helpers.parameters import NOTEBOOKS, Parameters, declared, refuse_unknown
from helpers.report.page import EXECUTED, write_page
from helpers.report.summary import summarize
from helpers.run.manifest import Run
from helpers.storage.local import LocalLocation
from helpers.storage.location import Location, locate, project_root

_BOOLEANS = {"true": True, "false": False}
_JAVA_FRAMES = re.compile(r"^\s+(at |\.\.\. \d+ more).*\n?", re.MULTILINE)


class NotebookError(RuntimeError):
    """A cell failed, or the kernel died; the executed notebook is kept.

    The message's last lines are the notebook's name, the cell's number and the cell's error.
    """


def read_parameters(file: Path | None, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Read the parameters of a run: those of a YAML file, then those given one by one.

    Values are read as papermill reads them, except that the value of a text parameter stays text:
    a fingerprint may consist of digits alone.

    Raises
    ------
    ValueError, TypeError
        If a name is declared by no notebook, or a value is not allowed.
    OSError
        If the file cannot be read.
    """
    values = {} if file is None else _read_yaml(file)
    named = list(pairs)
    refuse_unknown([*values, *(name for name, _ in named)])
    values |= {name: _parse_value(name, text) for name, text in named}
    locate(Parameters(**values).RUN_URI)
    return values


def _print(line: str) -> None:
    print(line, flush=True)


def run_notebooks(
    values: Mapping[str, Any],
    notebooks: Iterable[str] = NOTEBOOKS,
    say: Callable[[str], None] = _print,
) -> None:
    """Execute notebooks in order, write the report, print what was found.

    Parameters
    ----------
    values
        What :func:`read_parameters` returned; each notebook gets those that it declares.
    notebooks
        Names without ending; they run in the order of their numbers.
    say
        Shows a line.

    Raises
    ------
    NotebookError
        If a cell fails.
    FileNotFoundError
        If the notebooks are not on this machine.
    """
    folder = find_notebooks()
    place = locate(Parameters(**values).RUN_URI)
    for name in sorted(set(notebooks)):
        given = {key: value for key, value in values.items() if key in declared(name)}
        executed = place / EXECUTED / f"{name}.ipynb"
        started = time.perf_counter()
        try:
            with _write_locally(executed) as output:
                execute(folder / f"{name}.ipynb", output, given)
        except NotebookError:
            say(f"{name} as far as it came: {executed.uri}")
            raise
        say(f"{name:13} {time.perf_counter() - started:6.1f} s")
    page = write_page(Run(place))
    lines = [*summarize(Run(place).read_manifest()), ("Report", page.uri)]
    say("")
    for title, text in lines:
        say(f"{title:13} {text}")


def find_notebooks() -> Path:
    """Find the folder of the notebooks.

    Raises
    ------
    FileNotFoundError
        If ``helpers`` is an installed wheel, which holds no notebooks.
    """
    project = project_root()
    if project is None:
        raise FileNotFoundError("the notebooks are not on this machine: run this in a clone")
    return project / "notebooks"


def execute(notebook: Path, output: Path, given: Mapping[str, Any]) -> None:
    """Execute one notebook with parameters; ``output`` is written cell by cell.

    A kernel that does not come up is started a second time.

    Raises
    ------
    NotebookError
        If a cell fails, or if the kernel is not installed or dies.
    """
    try:
        try:
            _execute(notebook, output, given)
        except _NoAnswerError:
            _execute(notebook, output, given)
    except _NoAnswerError as error:
        raise NotebookError(f"{notebook.stem} cannot start\nRuntimeError: {error}, twice") from None
    except PapermillExecutionError as error:
        message = _JAVA_FRAMES.sub("", str(error.evalue)).rstrip()
        raise NotebookError(
            f"{notebook.stem} failed in cell [{error.exec_count}]\n{error.ename}: {message}"
        ) from None
    except DeadKernelError:
        raise NotebookError(
            f"{notebook.stem} failed in cell [{_count_begun(output)}]\n"
            "DeadKernelError: the kernel's process died; it may have run out of memory"
        ) from None
    except NoSuchKernel:
        raise NotebookError(
            f"{notebook.stem} cannot start\n"
            f"NoSuchKernel: install {spec.NAME} by `{sys.executable} -m helpers.kernel install`"
        ) from None


class _NoAnswerError(Exception):
    """The kernel died, or was silent for a minute, before its first answer."""


def _execute(notebook: Path, output: Path, given: Mapping[str, Any]) -> None:
    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters=dict(given),
            kernel_name=spec.NAME,
            kernel_manager_class=FileSocketKernelManager,
            progress_bar=sys.stderr.isatty(),
        )
    except DeadKernelError:
        raise
    except RuntimeError as error:
        if _count_begun(output):
            raise
        raise _NoAnswerError(error) from None


def _count_begun(executed: Path) -> int:
    """Count the code cells that papermill has sent to the kernel."""
    notebook = nbformat.read(executed, 4)  # type: ignore[no-untyped-call]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return sum(cell.metadata["papermill"]["start_time"] is not None for cell in code)


@contextmanager
def _write_locally(to: Location) -> Iterator[Path]:
    """Yield a local file for papermill to write; copy it to ``to``, also after a failure."""
    if isinstance(to, LocalLocation):
        path = Path(to.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / to.name
        try:
            yield path
        finally:
            if path.exists():
                to.write(path.read_bytes())


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise ValueError(f"{file} must be YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise TypeError(f"{file} must hold lines of NAME: VALUE, got {values!r}")
    return {str(name): value for name, value in values.items()}


def _parse_value(name: str, text: str) -> str | int | float | bool:
    if isinstance(getattr(Parameters, name), str):
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return _BOOLEANS.get(text.lower(), text)
