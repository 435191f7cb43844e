"""Draw docs/figures/architecture.svg: the packages of ``helpers`` and what each imports.

The order of the packages is the contract in pyproject.toml, their sentences are their docstrings,
and the arrows are the imports in the code.
"""

import ast
import tomllib
from pathlib import Path

import grimp
import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "figures" / "architecture.svg"

WIDTH = 11.5  # inches
ROW = 0.62
BOX = 7.6
BLUE, GRAY = "#0072B2", "#666666"


def main(picture: Path = PICTURE) -> None:
    """Draw the picture."""
    mpl.rcParams["svg.hashsalt"] = "fruit-features"  # the same picture, byte for byte
    packages = read_order()
    figure, axes = plt.subplots(figsize=(WIDTH, ROW * len(packages) + 0.4))
    axes.set(xlim=(0, WIDTH), ylim=(len(packages), -0.3))
    axes.axis("off")
    for row, package in enumerate(packages):
        draw_package(axes, row, package)
    for importer, imported in read_imports(packages):
        draw_import(axes, packages.index(importer), packages.index(imported))
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(picture, metadata={"Date": None})


def read_order() -> list[str]:
    """Read the packages from the top down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [c["layers"] for c in contracts if c["containers"] == ["helpers"]]
    return list(layers)


def read_imports(packages: list[str]) -> list[tuple[str, str]]:
    """Read which package imports which, from the code."""
    graph = grimp.build_graph("helpers", cache_dir=None)
    found = {
        (importer.split(".")[1], imported.split(".")[1])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if importer != "helpers" and imported != "helpers"
    }
    return sorted(pair for pair in found if pair[0] != pair[1] and set(pair) <= set(packages))


def describe(package: str) -> tuple[str, str]:
    """Read the sentence of a package, and the names of its modules."""
    folder = ROOT / "helpers" / package
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    sentence = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0]
    modules = sorted(module.stem for module in folder.glob("[!_]*.py"))
    return " ".join(sentence.replace("`", "").split()), "  ".join(modules)


def draw_package(axes: Axes, row: int, package: str) -> None:
    """Draw a package as a box with its name, its sentence and its modules."""
    sentence, modules = describe(package)
    axes.add_patch(
        FancyBboxPatch(
            (0.1, row + 0.06), BOX, 0.84, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="white", edgecolor=BLUE,
        )
    )  # fmt: skip
    axes.text(0.25, row + 0.3, package, fontsize=11, weight="bold", va="center")
    axes.text(1.55, row + 0.3, sentence, fontsize=8.5, va="center")
    axes.text(1.55, row + 0.66, modules, fontsize=7.5, color=GRAY, va="center", family="monospace")


def draw_import(axes: Axes, importer: int, imported: int) -> None:
    """Draw an arrow from a package to one that it imports."""
    axes.add_patch(
        FancyArrowPatch(
            (BOX + 0.1, importer + 0.5), (BOX + 0.1, imported + 0.5),
            connectionstyle=f"arc3,rad={-0.9 + 0.05 * (imported - importer):.2f}",
            arrowstyle="-|>", mutation_scale=7, color=BLUE, alpha=0.45, linewidth=0.8,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
