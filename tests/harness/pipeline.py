"""Small runs pushed through the stages, in the Spark session of the tests."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pyspark.sql import SparkSession

from harness.reference import SAMPLE
from helpers.parameters import Parameters
from helpers.run import results
from helpers.run.manifest import Run
from helpers.stages import classify, featurize, ingest, pca, preprocess
from helpers.stages.classify import Classified
from helpers.stages.featurize import Featurized
from helpers.stages.ingest import Ingested
from helpers.stages.pca import PcaResult
from helpers.stages.preprocess import Preprocessed
from helpers.stages.stage import StageResult
from helpers.storage.location import locate

#: where a snapshot holds the files of the table that it is named after
SNAPSHOTS = {"images": "images", "splits": "sides", "pca": "scores", "classify": "predictions"}

_PHOTOS = """
SELECT i.path, lower(hex(d.image_id)) AS image_id, r.reason, r.attempt
FROM images AS i
LEFT JOIN decoded AS d ON d.photo = i.photo
LEFT JOIN rejected AS r ON r.photo = i.photo
ORDER BY i.photo
"""


@dataclass(frozen=True)
class Pipeline:
    """A source and a run of it. The stages take the defaults of all parameters that are not given.

    A few photos make large shares: rejects do not stop these runs unless a test says so.

    Attributes
    ----------
    spark
        The session that runs the tasks.
    source, run
        Folders of the photos and of the results.
    """

    spark: SparkSession
    source: Path
    run: Path

    def make_parameters(self, **values: Any) -> Parameters:
        defaults = {"MAX_REJECT_FRACTION": 1.0}
        return Parameters(
            SOURCE_URI=str(self.source), RUN_URI=str(self.run), **{**defaults, **values}
        )

    def ingest(self, **values: Any) -> Ingested:
        return ingest.ingest(self.make_parameters(**values))

    def preprocess(self, **values: Any) -> Preprocessed:
        return preprocess.preprocess(self.spark, self.make_parameters(**values))

    def featurize(self, **values: Any) -> Featurized:
        return featurize.featurize(self.spark, self.make_parameters(**values))

    def fit_pca(self, **values: Any) -> PcaResult:
        return pca.fit_pca(self.spark, self.make_parameters(**values))

    def classify(self, **values: Any) -> Classified:
        return classify.classify(self.spark, self.make_parameters(**values))

    def run_to_features(self) -> Featurized:
        """Run 01 to 03."""
        self.ingest()
        self.preprocess()
        return self.featurize()

    def read_manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.run / "manifest.json").read_text())
        return manifest

    def find_table(self, name: str) -> Path:
        """Find the one folder of a table: a fingerprint's parts or a snapshot."""
        [folder] = (self.run / name).iterdir()
        return folder

    def find_rows(self, name: str) -> Path:
        """Find the folder that holds a table's Parquet files."""
        if name == "photos":
            return self.find_table("pca") / name
        return self.find_table(name) / SNAPSHOTS.get(name, "")

    def read_photos(self, result: StageResult) -> list[dict[str, Any]]:
        """Read what became of each photo of the catalog, by path.

        ``image_id`` is null where the photo was not decoded, ``reason`` and ``attempt`` where it
        was.
        """
        with results.plan_decoded(Run(locate(str(self.run))), result.record) as planner:
            rows: list[dict[str, Any]] = planner.read(_PHOTOS).to_pylist()
        return rows

    def list_parts(self, name: str) -> list[Path]:
        """List the parts of a table in parts."""
        return sorted(self.find_table(name).glob("part-*.parquet"))

    def stat_files(self) -> dict[str, tuple[int, int]]:
        """Inode and time of every file of the tables: equal where nothing was written."""
        return {
            str(path.relative_to(self.run)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in sorted(self.run.rglob("*"))
            if path.is_file() and path.name[0] != "_" and path.name != "manifest.json"
        }

    def add_photos(self, fruit: str, number: int) -> list[str]:
        """Copy photos of a class of ``data_sample`` that has no odd ones; return their paths."""
        folder = self.source / "Training" / fruit
        folder.mkdir(parents=True, exist_ok=True)
        frames = sorted((SAMPLE / "Training" / fruit).glob("*_100.jpg"))[:number]
        for frame in frames:
            shutil.copy(frame, folder)
        return [f"Training/{fruit}/{frame.name}" for frame in frames]

    def draw_photo(self, path: str, height: int, width: int, seed: int = 0) -> str:
        """Save a photo of smooth colored noise, in the format that its name says."""
        (self.source / path).parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        smooth.save(self.source / path)
        return path
