"""What docs/generate.py writes is committed as it writes it."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from helpers.parameters import NOTEBOOKS, Parameters, declared
from helpers.photos.decode import REASONS
from helpers.run.schemas import TABLES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "generate.py"
FILES = ("README.md", "docs/tables.md", *(f"notebooks/{name}.ipynb" for name in NOTEBOOKS))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that are generated, in whole or in part."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def generate(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, project], capture_output=True, text=True)


def edit(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text(encoding="utf-8")
    file.write_text(change(before), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != before


def test_the_committed_files_are_what_it_writes(copy: Path) -> None:
    done = generate(copy)
    assert done.returncode == 0, done.stderr
    differing = [file for file in FILES if (copy / file).read_bytes() != (ROOT / file).read_bytes()]
    assert not differing, "run `make docs`"


@pytest.mark.parametrize("file", FILES)
def test_it_undoes_an_edit_of_what_is_generated(file: str, copy: Path) -> None:
    generated = "# Tables" if file == "docs/tables.md" else "where the results go"
    edit(copy / file, lambda text: text.replace(generated, "something else", 1))
    assert generate(copy).returncode == 0
    assert (copy / file).read_bytes() == (ROOT / file).read_bytes()


def test_it_leaves_the_rest_of_a_page_alone(copy: Path) -> None:
    edit(copy / "README.md", lambda text: f"before\n{text}after\n")
    expected = (copy / "README.md").read_bytes()
    assert generate(copy).returncode == 0
    assert (copy / "README.md").read_bytes() == expected


def test_a_page_without_a_mark_is_named(copy: Path) -> None:
    edit(copy / "README.md", lambda text: text.replace("<!-- End of the table", "<!-- End of"))
    done = generate(copy)
    assert done.returncode != 0
    assert "README.md must have the mark '<!-- End of the table of parameters -->' once, got 0" in (
        done.stderr
    )


def test_a_notebook_without_a_parameters_cell_is_named(copy: Path) -> None:
    edit(copy / "notebooks" / "04_pca.ipynb", lambda text: text.replace('"parameters"\n', '"x"\n'))
    done = generate(copy)
    assert done.returncode != 0
    assert "04_pca.ipynb must have one cell tagged 'parameters', got 0" in done.stderr


def test_the_readme_has_each_parameter_once_in_order() -> None:
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 5
    ]
    shown = {name: (default, notebooks) for name, default, notebooks, _ in rows}
    assert list(shown) == [parameter.name for parameter in fields(Parameters)]
    for name, (default, notebooks) in shown.items():
        assert ast.literal_eval(default) == getattr(Parameters, name)
        takers = [notebook[:2] for notebook in NOTEBOOKS if name in declared(notebook)]
        assert notebooks.split() == takers


def test_the_page_of_tables_has_each_column_of_each_table() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    sections = dict(section.split("\n", 1) for section in page.split("\n## ")[1:])
    assert list(sections) == list(TABLES)
    for name, table in TABLES.items():
        assert table.folder in sections[name]
        for column in table.columns:
            assert f"| `{column.name}` |" in sections[name]
            assert column.meaning in sections[name]
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in page
