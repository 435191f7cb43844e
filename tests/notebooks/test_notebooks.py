"""The committed notebooks: their form, and that they were executed, in order and cleanly."""

import re

import nbformat
import pytest
from nbformat import NotebookNode

from helpers.parameters import NOTEBOOKS, declared
from helpers.storage.location import project_root

FOLDER = project_root() / "notebooks"

MOST_CELLS, FEWEST_CELLS = 16, 8
MOST_LINES = 130
MOST_LINES_A_CELL = 30
UNWANTED = ("[Stage ", "FloatProgress", "Traceback", "WARN", "Warning", "/home/", "/root/", "/tmp/")


@pytest.fixture(params=NOTEBOOKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notebook(name: str) -> NotebookNode:
    read = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    nbformat.validate(read)
    return read


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


def test_the_kernel_is_the_one_of_emr(notebook: NotebookNode) -> None:
    assert notebook.metadata.kernelspec.name == "pysparkkernel"
    assert notebook.metadata.language_info.name == "python"


def test_it_is_short_and_defines_nothing(code: list[NotebookNode]) -> None:
    lines = [line for cell in code for line in cell.source.splitlines()]
    assert FEWEST_CELLS <= len(code) <= MOST_CELLS
    assert len(lines) <= MOST_LINES
    assert max(cell.source.count("\n") + 1 for cell in code) <= MOST_LINES_A_CELL
    assert not [line for line in lines if re.match(r"\s*(def|class|async def)\b", line)]


def test_the_parameters_are_the_declared_ones(name: str, code: list[NotebookNode]) -> None:
    assert code[0].metadata.tags == ["parameters"]
    namespace: dict[str, object] = {}
    exec(code[0].source, namespace)  # literals alone, as the next test holds
    del namespace["__builtins__"]
    assert namespace == declared(name)
    assert list(namespace) == list(declared(name))


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


def test_the_last_cell_links_the_neighbours(name: str, notebook: NotebookNode) -> None:
    position = NOTEBOOKS.index(name)
    for neighbour in NOTEBOOKS[max(0, position - 1) : position + 2]:
        if neighbour != name:
            assert f"({neighbour}.ipynb)" in notebook.cells[-1].source


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
