"""``python -m helpers run`` and ``python -m helpers rejects``."""

import argparse
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from helpers.parameters import NOTEBOOKS, Parameters

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, do what it says, return the exit code.

    0: done. 1: a notebook failed. 2: refused before anything started. 130: interrupted.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted: the same command goes on where it stopped")


def _run(chosen: argparse.Namespace) -> int:
    # Imported here: papermill and nbconvert take a second, and --help needs neither.
    from helpers import runner

    try:
        values = runner.parameters(chosen.params, chosen.p)
    except (ValueError, TypeError, OSError) as error:
        return _fail(REFUSED, f"error: {error}")
    try:
        runner.run(values, chosen.only)
    except (runner.NotebookError, OSError) as error:
        return _fail(FAILED, str(error))
    return OK


def _rejects(chosen: argparse.Namespace) -> int:
    from helpers import rejects
    from helpers.storage.location import locate
    from helpers.storage.run import StaleError

    try:
        reasons = rejects.export(locate(chosen.run_uri), chosen.to)
    except (ValueError, OSError, StaleError) as error:
        return _fail(REFUSED, f"error: {error}")
    for reason, count in sorted(reasons.items()):
        print(f"{count:6,}  {reason}")
    print(f"{reasons.total():6,}  rejected; {chosen.to / rejects.LISTING} lists them")
    return OK


def _fail(code: int, message: str) -> int:
    print(message, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers",
        description="Photos of fruit become CNN features, a PCA and a classifier.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the notebooks with parameters",
        description=(
            "Run the notebooks 01 to 05 by papermill, and write a report. The executed notebooks\n"
            "and report.html lie below RUN_URI. A run that was stopped goes on where it stopped."
        ),
        epilog=_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "--params", type=Path, metavar="FILE.yaml", help="parameters, one NAME: VALUE a line"
    )
    run.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="one parameter; wins over the file's; may be given several times",
    )
    run.add_argument(
        "--only",
        nargs="+",
        choices=NOTEBOOKS,
        default=NOTEBOOKS,
        metavar="NOTEBOOK",
        help=f"run these alone, of {', '.join(NOTEBOOKS)}",
    )
    run.set_defaults(command=_run)
    rejects = commands.add_parser(
        "rejects",
        help="write the rejected photos out to look at",
        description=(
            "Write the photos that 02 rejected to FOLDER/<reason>/, and FOLDER/rejects.csv, which "
            "says of each why."
        ),
    )
    rejects.add_argument("run_uri", metavar="RUN_URI", help="the run: a folder or an s3:// prefix")
    rejects.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="empty, or not there yet"
    )
    rejects.set_defaults(command=_rejects)
    return parser


def _table() -> str:
    lines = ["parameters, with their defaults:"]
    for parameter in fields(Parameters):
        lines.append(f"  {parameter.name} = {parameter.default!r}")
        meaning = f"{parameter.metadata['meaning']} ({parameter.metadata['rule'].words})"
        indent = " " * 6
        lines += textwrap.wrap(meaning, 88, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
