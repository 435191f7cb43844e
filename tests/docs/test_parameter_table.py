"""The README's table of parameters says what `helpers.parameters` says."""

from dataclasses import fields

import pytest

from helpers.parameters import Parameters
from helpers.storage.location import project_root

ROWS = {
    cells[1].strip(" `"): cells
    for line in (project_root() / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `") and len(cells := line.split("|")) == 6
}


def test_it_has_each_parameter_once_in_order() -> None:
    assert list(ROWS) == [parameter.name for parameter in fields(Parameters)]


@pytest.mark.parametrize("parameter", fields(Parameters), ids=lambda parameter: parameter.name)
def test_a_row_gives_default_notebooks_and_meaning(parameter) -> None:
    _, _, default, notebooks, meaning, _ = ROWS[parameter.name]
    value = default.strip(" `")
    assert (value.strip('"') if '"' in value else eval(value)) == parameter.default
    assert notebooks.split() == [name[:2] for name in parameter.metadata["notebooks"]]
    assert parameter.metadata["meaning"] in meaning
