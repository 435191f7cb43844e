"""Runs a cell's statements, draws its figure, and describes what it raises."""

import ast
import contextlib
import io
import itertools
import linecache
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from helpers.kernel.cells import CellError

_CELL = re.compile(r"<cell \d+>")
_HERE = Path(__file__).parent


def name_source(number: int, source: str) -> str:
    """Give a cell a file name, under which tracebacks find its lines."""
    filename = f"<cell {number}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    return filename


def execute(
    statements: Sequence[ast.stmt], namespace: dict[str, Any], filename: str = "<cell>"
) -> None:
    """Run a cell's statements; the last one shows its value, as at Python's own prompt.

    As in Livy, each statement is compiled alone and the last one as "single": a loop that stands
    last shows the value of each expression in it.
    """
    for node in statements[:-1]:
        exec(compile(ast.Module([node], []), filename, "exec"), namespace)
    for node in statements[-1:]:
        exec(compile(ast.Interactive([node]), filename, "single"), namespace)


@contextlib.contextmanager
def text_withheld() -> Iterator[None]:
    """Keep a cell's text from the page, as Livy does where the cell shows a figure.

    Values of expressions go without a word, since plotting functions return some. Printed text
    was meant to be read: stderr says that it is lost, and a failing cell shows it.
    """
    printed, hook = io.StringIO(), sys.displayhook
    sys.displayhook = lambda _: None
    try:
        with contextlib.redirect_stdout(printed):
            yield
    except BaseException:
        sys.stdout.write(printed.getvalue())
        raise
    finally:
        sys.displayhook = hook
    if text := printed.getvalue().strip():
        sys.stderr.write(
            f"Not shown: {text.splitlines()[0]!r}. Over Livy a cell with %matplot shows its figure "
            "alone; print in another cell.\n"
        )


def png(namespace: dict[str, Any], name: str) -> bytes:
    """Draw the current figure of the module `name`; as in Livy it stays the current one.

    Raises
    ------
    CellError
        If the namespace has no such name.
    """
    try:
        pyplot = namespace[name]
    except KeyError:
        raise CellError(
            f"%matplot takes the name of matplotlib.pyplot, mostly plt; {name!r} is not defined"
        ) from None
    image = io.BytesIO()
    pyplot.gcf().savefig(image, format="png")
    return image.getvalue()


def explain(error: BaseException) -> dict[str, Any]:
    """Describe an exception as Jupyter's messages do, by ename, evalue and traceback.

    The traceback begins in the cell and leaves out frames of this kernel, unless the fault is the
    kernel's own. An interrupt shows the cell's frames alone: where in a library it fell is chance.
    """
    if isinstance(error, KeyboardInterrupt):
        told = KeyboardInterrupt("the cell was interrupted, and Spark's jobs were cancelled")
        error = told.with_traceback(error.__traceback__)
    report = traceback.TracebackException.from_exception(error)
    of_cell = [bool(_CELL.fullmatch(frame.filename)) for frame in report.stack]
    if isinstance(error, KeyboardInterrupt):
        frames = list(itertools.compress(report.stack, of_cell))
    elif any(of_cell):
        frames = report.stack[of_cell.index(True) :]
        frames = [frame for frame in frames if Path(frame.filename).parent != _HERE]
    else:
        frames = [] if isinstance(error, CellError | SyntaxError) else report.stack
    report.stack = traceback.StackSummary.from_list(frames)
    return {
        "ename": type(error).__name__,
        "evalue": str(report),
        "traceback": "".join(report.format()).splitlines(),
    }
