"""Write what the tables in ``helpers`` say into the pages and the notebooks.

    python docs/generate.py [PROJECT]

From ``helpers/parameters.py``: the README's table of parameters, and the cell of each notebook
that is tagged ``parameters``. From ``helpers/run/schemas.py`` and the reasons in
``helpers/photos/decode.py``: ``docs/tables.md``.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from helpers.parameters import A_RESULT, A_URI, NOTEBOOKS, Parameters
from helpers.photos.decode import REASONS
from helpers.run.schemas import TABLES, Table

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- Written by `make docs` from helpers/parameters.py -->\n"
END = "<!-- End of the table of parameters -->"
MAX_LINE = 100  # as ruff has it
TAG = "parameters"

#: rules that a parameter's meaning already says
_KNOWN_RULES = (A_URI, A_RESULT)
_TYPE_NAMES = {"float": "float32", "double": "float64"}  # Arrow's words: NumPy's

TABLES_HEAD = """\
# Tables of a run

<!-- Written by `make docs` from helpers/run/schemas.py -->

All tables lie below `RUN_URI` as Parquet files, so pandas, Spark, pyarrow and DuckDB read them as
they are. In the paths, `<fingerprint>` stands for 16 hex digits and `<run>` for the execution that
wrote the folder. `manifest.json` lists the current fingerprints.

`pixels`, `rejects` and `features` only grow: they keep the rows of photos that were removed or
changed since. A row counts only if its photo is still in `images`. `helpers.load_features` and
`helpers.load_predictions` return the rows that count.
"""


def main(arguments: Sequence[str]) -> None:
    """Write the generated parts of the project in ``arguments[0]``, or of this one."""
    project = Path(arguments[0]) if arguments else ROOT
    write_readme(project / "README.md")
    for name in NOTEBOOKS:
        write_parameters_cell(project / "notebooks" / f"{name}.ipynb", name)
    (project / "docs" / "tables.md").write_text(format_tables(TABLES), encoding="utf-8")


def write_readme(page: Path) -> None:
    """Write the table of parameters between the page's two marks.

    Raises
    ------
    ValueError
        If the page does not have each mark once.
    """
    text = page.read_text(encoding="utf-8")
    for mark in (BEGIN, END):
        if text.count(mark) != 1:
            raise ValueError(
                f"{page} must have the mark {mark.strip()!r} once, got {text.count(mark)}"
            )
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    table = format_parameters(fields(Parameters))
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def format_parameters(parameters: Iterable[Field[Any]]) -> str:
    """Format the table of parameters as Markdown."""
    rows = (
        (
            f"`{parameter.name}`",
            f"`{format_literal(parameter.default)}`",
            " ".join(notebook[:2] for notebook in parameter.metadata["notebooks"]),
            re.sub(r"'([^']*)'", r"`\1`", describe(parameter)),
        )
        for parameter in parameters
    )
    return format_table(("name", "default", "notebooks", "meaning"), rows)


def write_parameters_cell(file: Path, notebook: str) -> None:
    """Write the source of a notebook's cell that is tagged ``parameters``.

    Raises
    ------
    ValueError
        If the notebook does not have one such cell.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    tagged = [cell for cell in content["cells"] if TAG in cell["metadata"].get("tags", ())]
    if len(tagged) != 1:
        raise ValueError(f"{file} must have one cell tagged {TAG!r}, got {len(tagged)}")
    source = "\n".join(format_assignments(notebook))
    tagged[0]["source"] = source.splitlines(keepends=True)
    # As nbformat writes a notebook.
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def format_assignments(notebook: str) -> Iterator[str]:
    """Format the lines of a notebook's parameters cell."""
    for parameter in fields(Parameters):
        if notebook not in parameter.metadata["notebooks"]:
            continue
        line = f"{parameter.name} = {format_literal(parameter.default)}"
        comment = describe(parameter)
        beside = f"{line}  # {comment}"
        if len(beside) <= MAX_LINE:
            yield beside
        else:
            yield from textwrap.wrap(comment, MAX_LINE, initial_indent="# ", subsequent_indent="# ")
            yield line


def describe(parameter: Field[Any]) -> str:
    """Describe a parameter: its meaning, and its rule unless the meaning says it."""
    rule, meaning = parameter.metadata["rule"], parameter.metadata["meaning"]
    if rule in _KNOWN_RULES or parameter.type is bool:
        return str(meaning)
    return f"{meaning} ({rule.description})"


def format_literal(value: Any) -> str:
    """Format a value as Python source.

    >>> format_literal(50_000_000), format_literal("current"), format_literal(0.9)
    ('50_000_000', '"current"', '0.9')
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    return repr(value)


def format_tables(tables: dict[str, Table]) -> str:
    """Format the page of a run's tables."""
    sections = (format_section(*named) for named in tables.items())
    reasons = ((f"`{reason}`", meaning) for reason, meaning in REASONS.items())
    closing = f"### Reasons in rejects\n\n{format_table(('reason', 'meaning'), reasons)}"
    return "\n".join([TABLES_HEAD, *sections, closing])


def format_section(name: str, table: Table) -> str:
    """Format the section of one table."""
    rows = (
        (f"`{column.name}`", name_type(column.type), column.meaning) for column in table.columns
    )
    columns = format_table(("column", "type", "meaning"), rows)
    return f"## {name}\n\nOne row: {table.row}. Path: `{table.folder}`.\n\n{columns}"


def name_type(kind: pa.DataType) -> str:
    """Name the type of a column.

    >>> name_type(pa.list_(pa.float32())), name_type(pa.timestamp("us", tz="UTC"))
    ('list of float32', 'timestamp[us, tz=UTC]')
    """
    if pa.types.is_list(kind):
        return f"list of {name_type(kind.value_type)}"
    return _TYPE_NAMES.get(str(kind), str(kind))


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


if __name__ == "__main__":
    main(sys.argv[1:])
