"""The command ``fruit-features``; ``python -m helpers`` is the same."""

import argparse
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from helpers.parameters import NOTEBOOKS, Parameters

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0: done. 1: a notebook failed. 2: refused before anything started. 130: interrupted.
    """
    chosen = _make_parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted: the same command goes on where it stopped")


def _run(chosen: argparse.Namespace) -> int:
    # Imported here: papermill and nbconvert take a second, and --help needs neither.
    from helpers import runner

    try:
        values = runner.read_parameters(chosen.params, chosen.p)
    except (ValueError, TypeError, OSError) as error:
        return _fail(REFUSED, f"error: {error}")
    try:
        runner.run_notebooks(values, chosen.only)
    except (runner.NotebookError, OSError) as error:
        return _fail(FAILED, str(error))
    return OK


def _rejects(chosen: argparse.Namespace) -> int:
    from helpers.report import rejects
    from helpers.run.manifest import StaleError
    from helpers.storage.location import locate

    try:
        reasons = rejects.export_rejects(locate(chosen.run_uri), chosen.to)
    except (ValueError, OSError, StaleError) as error:
        return _fail(REFUSED, f"error: {error}")
    for reason, count in sorted(reasons.items()):
        print(f"{count:6,}  {reason}")
    print(f"{reasons.total():6,}  rejected; {chosen.to / rejects.LISTING} lists them")
    return OK


def _fail(code: int, message: str) -> int:
    print(message, file=sys.stderr)
    return code


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fruit-features",
        description="Turn photos of fruit into CNN features, a PCA and a classifier.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the notebooks with parameters",
        description=(
            "Run the notebooks 01 to 05 with papermill and write a report. The executed notebooks\n"
            "and report.html are written below RUN_URI. A stopped run goes on where it stopped."
        ),
        epilog=_list_parameters(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "--params", type=Path, metavar="FILE.yaml", help="parameters: one NAME: VALUE per line"
    )
    run.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="one parameter; wins over the file; may be given several times",
    )
    run.add_argument(
        "--only",
        nargs="+",
        choices=NOTEBOOKS,
        default=NOTEBOOKS,
        metavar="NOTEBOOK",
        help=f"run only these, of {', '.join(NOTEBOOKS)}",
    )
    run.set_defaults(command=_run)
    rejects = commands.add_parser(
        "rejects",
        help="export the rejected photos to look at them",
        description=(
            "Write the photos that 02 rejected to FOLDER/<reason>/, and FOLDER/rejects.csv with "
            "the reason of each."
        ),
    )
    rejects.add_argument("run_uri", metavar="RUN_URI", help="the run: a folder or an s3:// prefix")
    rejects.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="an empty or a new folder"
    )
    rejects.set_defaults(command=_rejects)
    return parser


def _list_parameters() -> str:
    lines = ["parameters, with their defaults:"]
    for parameter in fields(Parameters):
        lines.append(f"  {parameter.name} = {parameter.default!r}")
        rule = parameter.metadata["rule"].description
        indent = " " * 6
        lines += textwrap.wrap(
            f"{parameter.metadata['meaning']} ({rule})",
            88,
            initial_indent=indent,
            subsequent_indent=indent,
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
