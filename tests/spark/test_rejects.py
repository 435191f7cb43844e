"""Photos that cannot be read or decoded end in ``rejects``, and take nothing with them."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset
import pytest
from harness.pipeline import Pipeline
from PIL import Image

from helpers.photos.decode import Limits, decode_rgb, open_image
from helpers.run.examples import PhotoSummary, summarize_photos
from helpers.run.manifest import StaleError
from helpers.stages import preprocess
from helpers.stages.preprocess import Preprocessed, TooManyRejectsError

KILLER = """
    # Imported by every Python that starts here: a photo of 37 x 41 kills the process that
    # decodes it.
    import importlib.util, os, signal, sys

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name != "helpers.photos.decode":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                decode_rgb = module.decode_rgb

                def decode_or_die(image, size):
                    if image.size == (37, 41):
                        os.kill(os.getpid(), signal.SIGKILL)
                    return decode_rgb(image, size)

                module.decode_rgb = decode_or_die

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder())
"""
STAGES = """
    import sys
    from helpers.parameters import Parameters
    from helpers.spark import session
    from helpers.stages import ingest, preprocess

    parameters = Parameters(SOURCE_URI=sys.argv[1], RUN_URI=sys.argv[2], MAX_REJECT_FRACTION=0.5)
    spark = session.start_session({"spark.master": "local[2,4]"})
    ingest.ingest(parameters)
    preprocess.preprocess(spark, parameters)
    spark.stop()
"""


@pytest.fixture
def photos(pipeline: Pipeline) -> Pipeline:
    """Six photos, listed by 01."""
    pipeline.add_photos("Limes", 6)
    pipeline.ingest()
    return pipeline


def find_first(photos: Pipeline) -> Path:
    """Find the first of the six photos."""
    return min((photos.source / "Training" / "Limes").iterdir())


def map_reasons(photos: Pipeline, result: Preprocessed) -> dict[str, str]:
    """Map the file name of each rejected photo to the reason."""
    rows = photos.read_photos(result)
    return {row["path"].split("/")[-1]: row["reason"] for row in rows if row["reason"]}


def read_rejects(pipeline: Pipeline) -> pd.DataFrame:
    """Read every row of ``rejects``, whether it counts or not."""
    return pd.read_parquet(pipeline.find_table("rejects")).sort_values("attempt")


def summarize(result: Preprocessed, examples: int) -> PhotoSummary:
    return summarize_photos(result.run, result.record, examples, rejects=0)


def test_a_photo_that_kills_its_worker_is_rejected_and_the_others_are_decoded(
    photos: Pipeline, tmp_path: Path
) -> None:
    photos.draw_photo("Training/Limes/killer.png", height=41, width=37)
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(textwrap.dedent(KILLER))
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STAGES), photos.source, photos.run],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(shim), *inherited])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [reject] = read_rejects(photos).to_dict("records")
    assert reject["path"] == "Training/Limes/killer.png"
    assert (reject["reason"], reject["detail"]) == ("decode_limit", "the decoder died (SIGKILL)")
    assert photos.read_manifest()["counts"]["rejects"] == {"decode_limit": 1}
    assert photos.read_manifest()["counts"]["pixels"] == 6


def test_photos_that_vanish_shrink_or_grow_after_the_listing_are_unreadable(
    photos: Pipeline,
) -> None:
    gone, cut, grown, *_ = sorted((photos.source / "Training" / "Limes").iterdir())
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    grown.write_bytes(grown.read_bytes() + b"more")
    result = photos.preprocess()
    assert map_reasons(photos, result) == dict.fromkeys(
        [gone.name, cut.name, grown.name], "unreadable"
    )
    assert result.counts["pixels"] == 3
    details = read_rejects(photos).set_index("path")["detail"]
    assert "No such file" in details[f"Training/Limes/{gone.name}"]
    assert details[f"Training/Limes/{cut.name}"].startswith("100 bytes where the listing said")
    assert details[f"Training/Limes/{grown.name}"].startswith("more bytes where the listing said")
    assert read_rejects(photos)["image_id"].isna().all()
    assert read_rejects(photos)["content"].isna().all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_photo_without_read_permission_is_unreadable(photos: Pipeline) -> None:
    find_first(photos).chmod(0)
    assert map_reasons(photos, photos.preprocess()) == {find_first(photos).name: "unreadable"}


def test_an_unreadable_photo_is_tried_again_by_every_run(photos: Pipeline) -> None:
    name = find_first(photos).name
    hidden = find_first(photos).rename(photos.source.parent / "hidden.jpg")
    assert (photos.preprocess().new, photos.preprocess().new) == (6, 1)
    assert list(read_rejects(photos)["attempt"]) == [1, 2]
    assert photos.read_manifest()["counts"]["rejects"] == {"unreadable": 1}
    hidden.rename(photos.source / "Training" / "Limes" / name)
    found = photos.preprocess()
    assert (found.new, found.counts["rejects"], found.counts["pixels"]) == (1, {}, 6)
    assert photos.preprocess().new == 0


def test_a_reject_that_passes_later_makes_what_was_built_without_it_stale(photos: Pipeline) -> None:
    name = find_first(photos).name
    hidden = find_first(photos).rename(photos.source.parent / "hidden.jpg")
    photos.preprocess()
    photos.featurize()
    photos.fit_pca(COMPONENTS=1)
    hidden.rename(photos.source / "Training" / "Limes" / name)
    photos.preprocess()
    with pytest.raises(StaleError, match="03_featurize was last run before 02_preprocess"):
        photos.fit_pca(COMPONENTS=1)
    assert photos.featurize().new == 1


def test_other_rejects_are_done_until_they_are_to_be_tried_again(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    (pipeline.source / "Training" / "Limes" / "text.jpg").write_text("no photo")
    (pipeline.source / "Training" / "Limes" / "empty.jpg").touch()
    pipeline.ingest()
    assert pipeline.preprocess().new == 4
    assert pipeline.preprocess().new == 0
    again = pipeline.preprocess(RETRY_REJECTS=True)
    assert (again.new, again.counts["rejects"]) == (2, {"empty": 1, "not_an_image": 1})
    assert list(read_rejects(pipeline)["attempt"]) == [1, 1, 2, 2]
    attempts = [row["attempt"] for row in pipeline.read_photos(again)]
    assert sorted(attempts, key=str) == [2, 2, None, None]


def test_a_changed_limit_tries_all_again_under_another_fingerprint(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.draw_photo("Training/Limes/large.png", 200, 200)
    pipeline.ingest()
    narrow = pipeline.preprocess(MAX_PIXELS=20_000)
    wide = pipeline.preprocess(MAX_PIXELS=40_000)
    reasons = [map_reasons(pipeline, result) for result in (narrow, wide)]
    assert reasons == [{"large.png": "too_many_pixels"}, {}]
    assert narrow.record.lineage["pixels"] != wide.record.lineage["pixels"]
    assert wide.new == 3


@pytest.mark.parametrize(
    ("limit", "reason", "reads"),
    [
        ({"MAX_BYTES": 10_000}, "too_large_file", False),
        ({"MAX_PIXELS": 20_000}, "too_many_pixels", True),
        ({"MAX_ASPECT": 3.0}, "extreme_aspect", True),
    ],
)
def test_a_photo_beyond_a_limit_is_rejected(
    pipeline: Pipeline, limit: dict[str, Any], reason: str, reads: bool
) -> None:
    pipeline.add_photos("Limes", 1)
    path = pipeline.draw_photo("Training/Limes/long.png", 600, 150)
    pipeline.ingest()
    assert map_reasons(pipeline, pipeline.preprocess(**limit)) == {"long.png": reason}
    [content] = read_rejects(pipeline)["content"]
    assert content == ((pipeline.source / path).read_bytes() if reads else None)


def test_a_photo_decoded_in_the_sandbox_has_the_same_pixels(pipeline: Pipeline) -> None:
    path = pipeline.draw_photo("Training/Drawn/large.png", 2100, 2000)
    pipeline.ingest()
    pipeline.preprocess(IMAGE_SIZE=64)
    [row] = pyarrow.dataset.dataset(pipeline.find_table("pixels")).to_table().to_pylist()
    image = open_image((pipeline.source / path).read_bytes(), Limits(pixels=10**7, aspect=2.0))
    decoded = decode_rgb(image, 64)
    assert preprocess.SANDBOX_PIXELS < 2100 * 2000
    assert (row["height"], row["width"], row["pixels"]) == (64, 64, decoded.tobytes())


def test_too_many_rejects_stop_the_run_with_both_numbers(photos: Pipeline) -> None:
    for path in sorted((photos.source / "Training" / "Limes").iterdir())[:2]:
        path.unlink()
    message = r"2 of 6 photos are rejected, above MAX_REJECT_FRACTION=0.3: 2 unreadable"
    with pytest.raises(TooManyRejectsError, match=message):
        photos.preprocess(MAX_REJECT_FRACTION=0.3)
    assert photos.read_manifest()["counts"]["rejects"] == {"unreadable": 2}
    with pytest.raises(StaleError, match=f"02_preprocess stopped in .*: {message}"):
        photos.featurize()
    with pytest.raises(ValueError, match="PIXELS must be a result finished"):
        photos.featurize(PIXELS=photos.read_manifest()["fingerprints"]["pixels"])
    assert photos.preprocess(MAX_REJECT_FRACTION=0.34).counts["pixels"] == 4
    assert photos.featurize().new == 4


def test_all_bad_always_stops_the_run(pipeline: Pipeline) -> None:
    (pipeline.source / "Kiwi").mkdir()
    for number in range(3):
        (pipeline.source / "Kiwi" / f"{number}.jpg").write_text("no photo")
    pipeline.ingest()
    with pytest.raises(TooManyRejectsError, match="all 3 photos are rejected: 3 not_an_image"):
        pipeline.preprocess(MAX_REJECT_FRACTION=1.0)


def test_kinds_and_examples_are_those_of_the_files(pipeline: Pipeline) -> None:
    (pipeline.source / "Kiwi").mkdir()
    Image.new("RGB", (900, 800)).save(pipeline.source / "Kiwi" / "a.jpg")
    Image.new("L", (100, 100)).save(pipeline.source / "Kiwi" / "b.png")
    Image.new("L", (100, 100)).save(pipeline.source / "Kiwi" / "c.png", compress_level=0)
    pipeline.ingest()
    result = pipeline.preprocess()
    kinds = pd.read_parquet(pipeline.find_table("pixels")).set_index("path")["kind"]
    assert kinds.to_dict() == {
        "Kiwi/a.jpg": "JPEG RGB 900 x 800",
        "Kiwi/b.png": "PNG L 100 x 100",
        "Kiwi/c.png": "PNG L 100 x 100",
    }
    summary = summarize(result, 3)
    assert summary.kinds.to_numpy().tolist() == [
        ["PNG L 100 x 100", 2],
        ["JPEG RGB 900 x 800", 1],
    ]
    shown = summary.examples
    assert [each.path for each in shown] == ["Kiwi/a.jpg", "Kiwi/b.png", "Kiwi/c.png"]
    large = shown[0]
    sizes = (large.file_size, large.file.size, large.stored.size)
    assert sizes == ((900, 800), (400, 356), (224, 224))


def test_photos_that_were_removed_are_of_no_kind_and_not_shown(pipeline: Pipeline) -> None:
    pipeline.draw_photo("Kiwi/a.png", 60, 60)
    pipeline.draw_photo("Kiwi/b.png", 70, 70)
    pipeline.ingest()
    pipeline.preprocess()
    (pipeline.source / "Kiwi" / "a.png").unlink()
    pipeline.ingest()
    result = pipeline.preprocess()
    summary = summarize(result, 9)
    assert summary.kinds.to_numpy().tolist() == [["PNG RGB 70 x 70", 1]]
    assert [each.path for each in summary.examples] == ["Kiwi/b.png"]
    (pipeline.source / "Kiwi" / "b.png").unlink()
    assert summarize(result, 9).examples == []


def test_odd_names_go_through(pipeline: Pipeline) -> None:
    names = ["a b.png", "50%.png", "Äpfel 🍎.png", "a'\"quote.png", "line\nbreak.png", "[x]*?.png"]
    names.append("ü" * 125 + ".png")  # 254 bytes
    for seed, name in enumerate(names):
        pipeline.draw_photo(f"Training/Früchte %41/{name}", 50, 50, seed)
    pipeline.ingest()
    assert pipeline.preprocess().counts["pixels"] == len(names)
    assert pipeline.featurize().new == len(names)
    fitted = pipeline.fit_pca(COMPONENTS=1, SPLIT="random")
    listed = pd.read_csv(f"{fitted.snapshot.location.uri}/pca_features.csv")
    assert {path.partition("%41/")[2] for path in listed["path"]} == set(names)


def test_every_file_of_the_odd_collection_ends_in_pixels_or_rejects(
    reference: Path, pipeline: Pipeline
) -> None:
    shutil.copytree(reference / "data" / "odd", pipeline.source / "odd")
    listed = pipeline.ingest().counts["images"]
    result = pipeline.preprocess()
    photos = pipeline.read_photos(result)
    assert len(photos) == listed > 200
    assert result.counts["pixels"] + sum(result.counts["rejects"].values()) == len(photos)
    broken = [row for row in photos if "pngsuite/x" in row["path"]]
    passed = [row["path"] for row in broken if row["reason"] is None]
    assert len(broken) > 10
    assert passed == ["odd/pngsuite/xcsn0g01.png"]  # Pillow does not check its pixels' CRC
