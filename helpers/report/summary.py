"""About ten lines that say what a run found."""

from collections.abc import Mapping
from typing import Any


def summarize(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Summarize a run, as far as its stages have finished: title and text of each line."""
    lines = []
    counts, used = manifest.get("counts", {}), manifest.get("parameters", {})
    if "found" in counts:
        skipped = counts["skipped"]
        lines.append(
            (
                "Photos",
                f"{counts['found']:,} found: {counts['images']:,} taken, "
                f"{sum(skipped.values()):,} skipped{_list_counts(skipped)}",
            )
        )
    if "rejects" in counts:
        rejects = counts["rejects"]
        lines.append(("Rejected", f"{sum(rejects.values()):,}{_list_counts(rejects)}"))
        lines.append(("Duplicates", f"{counts['duplicates']:,} (same bytes under another path)"))
    if "features" in counts:
        network = f"{used['BACKBONE']}, weights {used['WEIGHTS']}"
        if used["WEIGHTS"] == "random":
            network += ": THESE FEATURES MEAN NOTHING, they serve for speed tests alone"
        width = manifest["features"]["width"]
        lines.append(("Features", f"{counts['features']:,} photos x {width:,} ({network})"))
    if "pca" in manifest:
        pca = manifest["pca"]
        lines.append(
            (
                "PCA",
                f"{pca['components']:,} components explain {pca['explained_variance']:.1%} of the "
                f"variance, fitted on {pca['fitted_rows']:,} photos",
            )
        )
    if "classify" in manifest:
        metrics = manifest["classify"]
        fitted = f"{metrics['classifier']}, split {metrics['split']}"
        lines.append(("Accuracy", f"{_format_metrics(metrics)} ({fitted})"))
        baselines = (
            f"{_format_metrics(value)} ({name})" for name, value in metrics["baselines"].items()
        )
        lines.append(("Baselines", "; ".join(baselines)))
    for stage, speed in manifest.get("stages", {}).items():
        lines.append(
            (
                stage,
                f"{speed['seconds']:.1f} s, {speed['images']:,} photos, "
                f"{speed['images_per_second']:,.0f} per second",
            )
        )
    return lines


def _list_counts(counts: Mapping[str, int]) -> str:
    return ": " + ", ".join(f"{n:,} {name}" for name, n in counts.items()) if counts else ""


def _format_metrics(metrics: Mapping[str, float]) -> str:
    return f"{metrics['accuracy']:.1%}, macro F1 {metrics['macro_f1']:.3f}"
