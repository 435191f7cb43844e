"""The house is as docs/architecture.md shows it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]


@pytest.fixture
def drawing() -> ModuleType:
    """The script that draws the picture."""
    spec = importlib.util.spec_from_file_location("drawing", ROOT / "docs/draw_architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_room_imports_only_from_rooms_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_every_room_has_a_place_in_the_order(drawing: ModuleType) -> None:
    folders = {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "helpers").glob("[!_]*.py")}
    assert set(drawing.read_order()) == folders | modules


def test_the_picture_is_the_one_that_the_code_draws(drawing: ModuleType, tmp_path: Path) -> None:
    drawing.main(tmp_path / "architecture.svg")
    drawn = (tmp_path / "architecture.svg").read_text()
    assert drawn == drawing.PICTURE.read_text(), "run `make docs`"
