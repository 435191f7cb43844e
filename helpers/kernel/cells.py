"""Reads a cell: what it asks for, or why sparkmagic over Livy would not do it."""

import ast
import json
import re
from dataclasses import dataclass

SUPPORTED = """\
A cell is Python for the Spark driver. Its last line may be
  %matplot plt       show the current figure (and no text: print in another cell)
Or its first line may be
  %%configure [-f]   Spark options follow as a JSON object; -f also restarts the session
  %%info             show the options and the state of the session
  %%local            Python follows that runs beside the driver, with variables of its own
  %%help             show this text"""

_FIGURE = re.compile(r"%matplot\s+([^\W\d]\w*)")


class CellError(Exception):
    """A cell asks for something that this kernel, or sparkmagic over Livy, does not do."""


@dataclass(frozen=True)
class Code:
    """Statements for the driver; `figure` is the name after ``%matplot``, or None."""

    statements: list[ast.stmt]
    figure: str | None = None


@dataclass(frozen=True)
class Local:
    """Statements that run beside the driver."""

    statements: list[ast.stmt]


@dataclass(frozen=True)
class Configure:
    """Livy's session fields, as given; `force` allows them to end a session that has begun."""

    settings: dict[str, object]
    force: bool


@dataclass(frozen=True)
class Info:
    """A request for the state of the session."""


@dataclass(frozen=True)
class Help:
    """A request for what a cell may hold."""


Cell = Code | Local | Configure | Info | Help


def parse(source: str, filename: str = "<cell>") -> Cell:
    """Read a cell.

    As in Livy, lines that begin with ``%`` are magics only where the cell as a whole is not
    Python, and the page shows only the result of the last one.

    Parameters
    ----------
    source
        The cell's text.
    filename
        The cell's name in tracebacks.

    Raises
    ------
    SyntaxError
        If the cell is not Python.
    CellError
        If the cell asks for what does not work over Livy; the message lists what works.
    """
    first, _, rest = source.partition("\n")
    if first.startswith("%%"):
        return _headed(first, rest, filename)
    try:
        return Code(ast.parse(source, filename).body)
    except SyntaxError as error:
        _refuse_ipython(error)
        lines = source.rstrip().split("\n")
        magics = [line for line in lines if line.startswith("%")]
        if not magics:
            raise
    figure = _FIGURE.fullmatch(lines[-1])
    for line in magics:
        if not _FIGURE.fullmatch(line.rstrip()):
            raise _unsupported(line)
    if figure is None or len(magics) > 1:
        raise CellError(
            "'%matplot' must be the cell's last line and stand there once, since over Livy a cell "
            f"shows one figure and only from there; received {len(magics)} in {len(lines)} lines"
        )
    return Code(ast.parse("\n".join(lines[:-1]), filename).body, figure[1])


def _headed(first: str, rest: str, filename: str) -> Cell:
    match first[2:].split():
        case ["local"]:
            return Local(ast.parse("\n" + rest, filename).body)
        case ["configure", *flags] if flags in ([], ["-f"], ["--force"]):
            return Configure(_json_object(rest), force=bool(flags))
        case ["info" | "help" as name]:
            if rest.strip():
                raise CellError(f"%%{name} must stand alone in its cell, received {rest.strip()!r}")
            return Info() if name == "info" else Help()
    raise _unsupported(first)


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CellError(f"%%configure takes a JSON object: {error}; received {text!r}") from None
    if not isinstance(value, dict):
        raise CellError(f"%%configure takes a JSON object, received {text!r}")
    return value


def _refuse_ipython(error: SyntaxError) -> None:
    line = (error.text or "").strip()
    if line.startswith(("!", "?")) or line.endswith("?"):
        raise _unsupported(line) from None


def _unsupported(line: str) -> CellError:
    return CellError(f"{line.strip()!r} does not work on this kernel.\n{SUPPORTED}")
