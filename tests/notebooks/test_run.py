"""The five notebooks on the sample photos, with the one command that the README names."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from helpers import runner
from helpers.parameters import NOTEBOOKS

FOLDER = runner.find_notebooks()
COMMAND = (sys.executable, "-m", "helpers", "run")
SECONDS = 600


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run's folder, and what the command said."""
    folder = tmp_path_factory.mktemp("run")
    done = subprocess.run(
        [*COMMAND, "--params", FOLDER / "params" / "sample.yaml", "-p", "RUN_URI", folder],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture
def manifest(finished: tuple[Path, str]) -> dict[str, Any]:
    return read_manifest(finished[0])


def read_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def test_every_photo_is_accounted_for(manifest: dict[str, Any]) -> None:
    counts = manifest["counts"]
    assert counts["found"] == counts["images"] + sum(counts["skipped"].values())
    assert counts["images"] == counts["pixels"] + sum(counts["rejects"].values())
    assert counts["features"] == counts["pixels"] - counts["duplicates"]
    assert set(counts["rejects"]) == {"empty", "not_an_image", "too_many_pixels", "truncated"}
    assert counts["duplicates"] == 2


def test_the_classifier_has_learned_something(manifest: dict[str, Any]) -> None:
    metrics = manifest["classify"]
    chance = max(value["accuracy"] for value in metrics["baselines"].values())
    assert metrics["split"] == "blocked"
    assert metrics["accuracy"] > 0.75 > 4 * chance


def test_the_components_reach_the_share_of_variance_asked_for(manifest: dict[str, Any]) -> None:
    assert 0.9 <= manifest["pca"]["explained_variance"] < 0.95


def test_the_csv_has_a_row_for_each_photo_decoded(
    finished: tuple[Path, str], manifest: dict[str, Any]
) -> None:
    [file] = finished[0].glob("pca/*/pca_features.csv")
    table = pd.read_csv(file)
    assert len(table) == manifest["counts"]["pixels"]
    assert list(table.columns[:3]) == ["path", "label", "side"]
    assert len(table.columns) == 3 + manifest["pca"]["components"]


def test_other_parameters_down_to_one_component(finished: tuple[Path, str], tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(finished[0], again)
    chosen = ["-p", "COMPONENTS", "1", "-p", "SPLIT", "random", "-p", "CLASSIFIER", "random_forest"]
    done = subprocess.run(
        [*COMMAND, "--only", "04_pca", "05_classify", "-p", "RUN_URI", again, *chosen],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = read_manifest(again)
    assert manifest["pca"]["components"] == 1
    assert (manifest["classify"]["split"], manifest["classify"]["classifier"]) == (
        "random",
        "random_forest",
    )


def test_it_ends_with_a_summary(finished: tuple[Path, str]) -> None:
    folder, said = finished
    for word in ("Photos", "Rejected", "Features", "PCA", "Accuracy", "Baselines", *NOTEBOOKS):
        assert re.search(rf"^{word}\b", said, re.MULTILINE), word
    assert said.rstrip().endswith(str(folder / "report.html"))


def test_the_report_needs_no_other_host(finished: tuple[Path, str]) -> None:
    page = (finished[0] / "report.html").read_text()
    assert page.count("data:image/png") >= 10
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "<script" not in page


def test_03_prints_the_hash_of_the_networks_weights(finished: tuple[Path, str]) -> None:
    [network] = finished[0].glob("networks/*/_manifest.json")
    printed = "".join(read_outputs(finished[0] / "notebooks" / "03_featurize.ipynb"))
    assert json.loads(network.read_text())["weights_sha256"] in printed


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_committed_notebook_says_what_a_run_says(name: str, finished: tuple[Path, str]) -> None:
    """The same words and figures in the same cells; numbers may differ by rounding and time."""
    committed = read_outputs(FOLDER / f"{name}.ipynb")
    executed = read_outputs(finished[0] / "notebooks" / f"{name}.ipynb")
    assert list(map(mask_numbers, committed)) == list(map(mask_numbers, executed))


def read_outputs(file: Path) -> list[str]:
    """What each code cell printed and drew."""
    notebook = nbformat.read(file, 4)  # type: ignore[no-untyped-call]
    return [
        "".join(output.get("text", "[figure]") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def mask_numbers(text: str) -> list[str]:
    """The words of a text, without numbers and fingerprints."""
    return re.sub(r"\b[0-9a-f]{16}\b|[-+]?[\d.,]+|\s+", " ", text).split()
