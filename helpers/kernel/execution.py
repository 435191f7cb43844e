"""Statements -> effects in a namespace; an exception -> what the page shows of it."""

import ast
import contextlib
import io
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
    """Give a cell a file name, and its lines to tracebacks."""
    filename = f"<cell {number}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    return filename


def execute(
    statements: Sequence[ast.stmt], namespace: dict[str, Any], filename: str = "<cell>"
) -> None:
    """Run a cell's statements; the last one shows its value, as at Python's own prompt.

    Compiled one by one and the last as "single", which is Livy's way: a loop that stands last
    shows the value of each expression in it.
    """
    for node in statements[:-1]:
        exec(compile(ast.Module([node], []), filename, "exec"), namespace)
    for node in statements[-1:]:
        exec(compile(ast.Interactive([node]), filename, "single"), namespace)


@contextlib.contextmanager
def text_withheld() -> Iterator[None]:
    """Keep a cell's text from the page, as Livy does where the cell shows a figure.

    Values of expressions go unseen (plotting functions return some). Printed text was meant to be
    read: a note on stderr tells that it is lost, and a failing cell shows it.
    """
    shown, hook = io.StringIO(), sys.displayhook
    sys.displayhook = _ignore
    try:
        with contextlib.redirect_stdout(shown):
            yield
    except BaseException:
        sys.stdout.write(shown.getvalue())
        raise
    finally:
        sys.displayhook = hook
    if text := shown.getvalue().strip():
        first = text.splitlines()[0]
        sys.stderr.write(
            f"Not shown, since over Livy a cell with %matplot shows its figure alone: {first!r}. "
            "Print in another cell.\n"
        )


def _ignore(_value: object) -> None:
    pass


def png(namespace: dict[str, Any], name: str) -> bytes:
    """Draw the current figure of the module `name`, which stays the current one, as in Livy.

    Raises
    ------
    CellError
        If the namespace has no such name.
    """
    try:
        pyplot = namespace[name]
    except KeyError:
        raise CellError(
            f"%matplot: name {name!r} is not defined; it takes pyplot, mostly as plt"
        ) from None
    image = io.BytesIO()
    pyplot.gcf().savefig(image, format="png")
    return image.getvalue()


def explain(error: BaseException) -> dict[str, Any]:
    """Describe an exception as Jupyter's messages do: ename, evalue and traceback.

    Frames of this kernel are left out, unless the fault is its own.
    """
    report = traceback.TracebackException.from_exception(error)
    names = [frame.filename for frame in report.stack]
    first = next((i for i, name in enumerate(names) if _CELL.fullmatch(name)), None)
    if first is not None:
        frames = [frame for frame in report.stack[first:] if Path(frame.filename).parent != _HERE]
        report.stack = traceback.StackSummary.from_list(frames)
    elif isinstance(error, CellError | SyntaxError):
        report.stack = traceback.StackSummary()
    return {
        "ename": type(error).__name__,
        "evalue": str(report),
        "traceback": "".join(report.format()).splitlines(),
    }
