"""The committed notebooks: their form, and that they were executed, in order and cleanly."""

import ast
import re

import nbformat
import pytest
from nbformat import NotebookNode

from helpers import runner
from helpers.parameters import NOTEBOOKS, declared

MIN_CELLS, MAX_CELLS = 8, 16  # of code
MAX_LINES = 130
MAX_LINES_PER_CELL = 30
UNWANTED = ("[Stage ", "FloatProgress", "Traceback", "WARN", "Warning", "/home/", "/root/", "/tmp/")


@pytest.fixture(params=NOTEBOOKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notebook(name: str) -> NotebookNode:
    file = runner.find_notebooks() / f"{name}.ipynb"
    notebook: NotebookNode = nbformat.read(file, 4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


@pytest.fixture
def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(code: list[NotebookNode]) -> list[NotebookNode]:
    return [output for cell in code for output in cell.outputs]


def text(code: list[NotebookNode]) -> str:
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs(code)
    )


def test_the_kernel_is_named_as_on_emr(notebook: NotebookNode) -> None:
    assert notebook.metadata.kernelspec.name == "pysparkkernel"
    assert notebook.metadata.language_info.name == "python"


def test_it_is_short_and_defines_nothing(code: list[NotebookNode]) -> None:
    lines = [line for cell in code for line in cell.source.splitlines()]
    assert MIN_CELLS <= len(code) <= MAX_CELLS
    assert len(lines) <= MAX_LINES
    assert max(cell.source.count("\n") + 1 for cell in code) <= MAX_LINES_PER_CELL
    assert not [line for line in lines if re.match(r"\s*(def|class|async def)\b", line)]


def test_the_parameters_are_the_declared_ones(name: str, code: list[NotebookNode]) -> None:
    assert code[0].metadata.tags == ["parameters"]
    values = {}
    for statement in ast.parse(code[0].source).body:
        assert isinstance(statement, ast.Assign)
        [target] = statement.targets
        assert isinstance(target, ast.Name)
        values[target.id] = ast.literal_eval(statement.value)
    assert values == declared(name)
    assert list(values) == list(declared(name))


def test_each_parameter_is_a_literal_with_a_comment(code: list[NotebookNode]) -> None:
    lines = code[0].source.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if not line.startswith("#"):
            assert re.fullmatch(r'[A-Z_]+ = ("[^"]*"|[\w.]+)(  # .+)?', line)
            assert "  # " in line or before.startswith("# ")


def test_a_sentence_stands_before_each_thought(notebook: NotebookNode) -> None:
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert kinds.startswith("mc")
    assert kinds.endswith("m")
    assert "cccc" not in kinds


def test_the_first_cell_says_what_it_reads_writes_and_takes(notebook: NotebookNode) -> None:
    opening = notebook.cells[0].source
    assert opening.startswith("# 0")
    for word in ("**Read", "**Write", "**Takes**"):
        assert word in opening


def test_the_last_cell_links_the_neighbors(name: str, notebook: NotebookNode) -> None:
    position = NOTEBOOKS.index(name)
    for neighbor in NOTEBOOKS[max(0, position - 1) : position + 2]:
        if neighbor != name:
            assert f"({neighbor}.ipynb)" in notebook.cells[-1].source


def test_it_was_executed_in_order(code: list[NotebookNode]) -> None:
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_its_outputs_are_clean(code: list[NotebookNode]) -> None:
    assert {output.output_type for output in outputs(code)} <= {"stream", "display_data"}
    assert {output.get("name", "stdout") for output in outputs(code)} == {"stdout"}
    assert not [word for word in UNWANTED if word in text(code)]


def test_it_carries_no_trace_of_its_execution(notebook: NotebookNode) -> None:
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}


def test_after_a_figure_stands_a_number(code: list[NotebookNode]) -> None:
    """Each figure is followed, in the next cell or the one after, by printed words."""
    figures = [
        position
        for position, cell in enumerate(code)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
    ]
    for position in figures:
        following = code[position + 1 : position + 3]
        assert any(output.output_type == "stream" for cell in following for output in cell.outputs)
