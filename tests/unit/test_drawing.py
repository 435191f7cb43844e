"""The scripts of ``data_sample`` draw its photos, and lose nothing that is not theirs."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

DATA_SAMPLE = Path(__file__).parents[2] / "data_sample"


def draw(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    writing = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=writing,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_the_sample_holds_the_files_that_are_drawn_and_no_other(drawing: ModuleType) -> None:
    stored = [path for name in drawing.FOLDERS for path in (DATA_SAMPLE / name).rglob("*.*")]
    assert {path.relative_to(DATA_SAMPLE).as_posix() for path in stored} == drawing.list_paths()


def test_a_class_is_drawn_as_it_is_stored(drawing: ModuleType) -> None:
    """Not byte for byte: another processor may round a few pixels differently."""
    drawn = drawing.draw_class("Strawberry")
    assert len(drawn) == drawing.UPRIGHT_FRAMES + drawing.LYING_FRAMES
    for path, content in drawn.items():
        with Image.open(io.BytesIO(content)) as new, Image.open(DATA_SAMPLE / path) as old:
            assert (new.format, new.mode, new.size) == (old.format, old.mode, old.size), path
            difference = np.asarray(new, np.float32) - np.asarray(old, np.float32)
        assert np.abs(difference).mean() < 0.5, path


def test_a_file_that_is_not_of_the_sample_is_named_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "Training" / "Kiwi" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    drawn = draw(DATA_SAMPLE / "draw.py", "--to", str(tmp_path))
    assert drawn.returncode == 2
    assert f"got {tmp_path}, which holds Training/Kiwi/mine.jpg" in drawn.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_bytes() == b"mine"


def test_drawing_leaves_no_bytecode_among_the_photos(tmp_path: Path) -> None:
    shutil.copy(DATA_SAMPLE / "draw.py", tmp_path)
    shutil.copytree(DATA_SAMPLE / "drawing", tmp_path / "drawing")
    scripts = sorted(tmp_path.rglob("*"))
    drawn = draw(tmp_path / "draw.py", "--help")  # imports every module
    assert drawn.returncode == 0, drawn.stderr
    assert sorted(tmp_path.rglob("*")) == scripts
