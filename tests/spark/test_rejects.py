"""Photos that cannot be read or decoded end in ``rejects``, and take nothing with them."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pytest
from PIL import Image

from helpers.photos import decode
from helpers.run.manifest import StaleError
from helpers.stages import preprocess
from helpers.stages.preprocess import TooManyRejectsError

KILLER = """
    # Imported by every Python that starts here: a photo of 37 x 41 kills who decodes it.
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
                pixels = module.pixels

                def deadly(image, size):
                    if image.size == (37, 41):
                        os.kill(os.getpid(), signal.SIGKILL)
                    return pixels(image, size)

                module.pixels = deadly

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder())
"""
STAGES = """
    import sys
    from helpers import ingest, preprocess, session
    from helpers.parameters import Parameters

    parameters = Parameters(SOURCE_URI=sys.argv[1], RUN_URI=sys.argv[2], MAX_REJECT_FRACTION=0.5)
    spark = session.start_session({"spark.master": "local[2,4]"})
    ingest.ingest(parameters)
    preprocess.preprocess(spark, parameters)
    spark.stop()
"""


@pytest.fixture
def photos(pipeline):
    """Six photos, listed by 01."""
    pipeline.add("Limes", 6)
    pipeline.ingest()
    return pipeline


def first(photos):
    return sorted((photos.source / "Training" / "Limes").iterdir())[0]


def reasons(result):
    """Reason of each rejected photo, by its file's name."""
    rows = result.photos.to_pylist()
    return {row["path"].split("/")[-1]: row["reason"] for row in rows if row["reason"]}


def stored(pipeline):
    """Every row of ``rejects``, live or not."""
    return pd.read_parquet(pipeline.table("rejects")).sort_values("attempt")


def test_a_photo_that_kills_its_worker_is_rejected_and_the_others_are_decoded(photos, tmp_path):
    photos.draw("Training/Limes/killer.png", height=41, width=37)
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(textwrap.dedent(KILLER))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STAGES), photos.source, photos.run],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(shim), *_inherited()])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [reject] = stored(photos).to_dict("records")
    assert reject["path"] == "Training/Limes/killer.png"
    assert (reject["reason"], reject["detail"]) == ("decode_limit", "the decoder died (SIGKILL)")
    assert photos.manifest()["counts"]["rejects"] == {"decode_limit": 1}
    assert photos.manifest()["counts"]["pixels"] == 6


def test_photos_that_vanish_shrink_or_grow_after_the_listing_are_unreadable(photos):
    gone, cut, grown, *_ = sorted((photos.source / "Training" / "Limes").iterdir())
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    grown.write_bytes(grown.read_bytes() + b"more")
    result = photos.preprocess()
    assert reasons(result) == dict.fromkeys([gone.name, cut.name, grown.name], "unreadable")
    assert result.counts["pixels"] == 3
    details = stored(photos).set_index("path")["detail"]
    assert "No such file" in details[f"Training/Limes/{gone.name}"]
    assert details[f"Training/Limes/{cut.name}"].startswith("100 bytes where the listing said")
    assert details[f"Training/Limes/{grown.name}"].startswith("more bytes where the listing said")
    assert stored(photos)["image_id"].isna().all()
    assert stored(photos)["content"].isna().all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_photo_without_read_permission_is_unreadable(photos):
    first(photos).chmod(0)
    assert reasons(photos.preprocess()) == {first(photos).name: "unreadable"}


def test_an_unreadable_photo_is_tried_again_by_every_run(photos):
    name = first(photos).name
    hidden = first(photos).rename(photos.source.parent / "hidden.jpg")
    assert (photos.preprocess().new, photos.preprocess().new) == (6, 1)
    assert list(stored(photos)["attempt"]) == [1, 2]
    assert photos.manifest()["counts"]["rejects"] == {"unreadable": 1}
    hidden.rename(photos.source / "Training" / "Limes" / name)
    found = photos.preprocess()
    assert (found.new, found.counts["rejects"], found.counts["pixels"]) == (1, {}, 6)
    assert photos.preprocess().new == 0


def test_a_reject_that_passes_later_makes_what_was_built_without_it_stale(photos):
    name = first(photos).name
    hidden = first(photos).rename(photos.source.parent / "hidden.jpg")
    photos.preprocess()
    photos.featurize()
    photos.analyse(COMPONENTS=1)
    hidden.rename(photos.source / "Training" / "Limes" / name)
    photos.preprocess()
    with pytest.raises(StaleError, match="03_featurize was last run before 02_preprocess"):
        photos.analyse(COMPONENTS=1)
    assert photos.featurize().new == 1


def test_other_rejects_are_done_until_they_are_to_be_tried_again(pipeline):
    pipeline.add("Limes", 2)
    (pipeline.source / "Training" / "Limes" / "text.jpg").write_text("no photo")
    (pipeline.source / "Training" / "Limes" / "empty.jpg").touch()
    pipeline.ingest()
    assert pipeline.preprocess().new == 4
    assert pipeline.preprocess().new == 0
    again = pipeline.preprocess(RETRY_REJECTS=True)
    assert (again.new, again.counts["rejects"]) == (2, {"empty": 1, "not_an_image": 1})
    assert list(stored(pipeline)["attempt"]) == [1, 1, 2, 2]
    live = again.photos.to_pandas().dropna(subset="reason")
    assert list(live["attempt"]) == [2, 2]


def test_a_changed_limit_tries_all_again_under_another_fingerprint(pipeline):
    pipeline.add("Limes", 2)
    pipeline.draw("Training/Limes/large.png", 200, 200)
    pipeline.ingest()
    narrow = pipeline.preprocess(MAX_PIXELS=20_000)
    wide = pipeline.preprocess(MAX_PIXELS=40_000)
    assert (reasons(narrow), reasons(wide)) == ({"large.png": "too_many_pixels"}, {})
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
def test_a_photo_beyond_a_limit_is_rejected(pipeline, limit, reason, reads):
    pipeline.add("Limes", 1)
    path = pipeline.draw("Training/Limes/long.png", 600, 150)
    pipeline.ingest()
    assert reasons(pipeline.preprocess(**limit)) == {"long.png": reason}
    [content] = stored(pipeline)["content"]
    assert content == ((pipeline.source / path).read_bytes() if reads else None)


def test_a_photo_decoded_in_the_sandbox_has_the_same_pixels(pipeline):
    path = pipeline.draw("Training/Drawn/large.png", 2100, 2000)
    pipeline.ingest()
    pipeline.preprocess(IMAGE_SIZE=64)
    [row] = pyarrow.dataset.dataset(pipeline.table("pixels")).to_table().to_pylist()
    limits = decode.Limits(pixels=10**7, aspect=2.0)
    decoded = decode.decode_rgb(
        images.open_image((pipeline.source / path).read_bytes(), limits), 64
    )
    assert preprocess.SANDBOX_PIXELS < 2100 * 2000
    assert (row["height"], row["width"], row["pixels"]) == (64, 64, decoded.tobytes())


def test_too_many_rejects_stop_the_run_with_both_numbers(photos):
    for path in sorted((photos.source / "Training" / "Limes").iterdir())[:2]:
        path.unlink()
    message = r"2 of 6 photos are rejected, above MAX_REJECT_FRACTION=0.3: 2 unreadable"
    with pytest.raises(TooManyRejectsError, match=message):
        photos.preprocess(MAX_REJECT_FRACTION=0.3)
    assert photos.manifest()["counts"]["rejects"] == {"unreadable": 2}
    with pytest.raises(StaleError, match=f"02_preprocess stopped in .*: {message}"):
        photos.featurize()
    with pytest.raises(ValueError, match="PIXELS must name a result finished"):
        photos.featurize(PIXELS=photos.manifest()["fingerprints"]["pixels"])
    assert photos.preprocess(MAX_REJECT_FRACTION=0.34).counts["pixels"] == 4
    assert photos.featurize().new == 4


def test_all_bad_always_stops_the_run(pipeline):
    (pipeline.source / "Kiwi").mkdir()
    for number in range(3):
        (pipeline.source / "Kiwi" / f"{number}.jpg").write_text("no photo")
    pipeline.ingest()
    with pytest.raises(TooManyRejectsError, match="all 3 photos are rejected: 3 not_an_image"):
        pipeline.preprocess(MAX_REJECT_FRACTION=1.0)


def test_sizes_and_modes_met_are_those_of_the_files(pipeline):
    (pipeline.source / "Kiwi").mkdir()
    Image.new("RGB", (900, 800)).save(pipeline.source / "Kiwi" / "a.jpg")
    Image.new("L", (100, 100)).save(pipeline.source / "Kiwi" / "b.png")
    Image.new("L", (100, 100)).save(pipeline.source / "Kiwi" / "c.png", compress_level=0)
    pipeline.ingest()
    result = pipeline.preprocess()
    met = preprocess.modes_met(result)
    assert met == {"PNG L 100 x 100": 2, "JPEG RGB 900 x 800": 1}
    shown = preprocess.examples(result, 3)
    assert [each.path for each in shown] == ["Kiwi/a.jpg", "Kiwi/b.png", "Kiwi/c.png"]
    assert (shown[0].size, shown[0].before.size, shown[0].after.size) == (
        (900, 800),
        (400, 356),
        (224, 224),
    )


def test_photos_that_were_removed_are_neither_met_nor_shown(pipeline):
    pipeline.draw("Kiwi/a.png", 60, 60)
    pipeline.draw("Kiwi/b.png", 70, 70)
    pipeline.ingest()
    pipeline.preprocess()
    (pipeline.source / "Kiwi" / "a.png").unlink()
    pipeline.ingest()
    result = pipeline.preprocess()
    assert preprocess.modes_met(result) == {"PNG RGB 70 x 70": 1}
    assert [each.path for each in preprocess.examples(result, 9)] == ["Kiwi/b.png"]
    (pipeline.source / "Kiwi" / "b.png").unlink()
    assert preprocess.examples(result, 9) == []


def test_odd_names_go_through(pipeline):
    names = ["a b.png", "50%.png", "Äpfel 🍎.png", "a'\"quote.png", "line\nbreak.png", "[x]*?.png"]
    names.append("ü" * 125 + ".png")  # 254 bytes
    for seed, name in enumerate(names):
        pipeline.draw(f"Training/Früchte %41/{name}", 50, 50, seed)
    pipeline.ingest()
    assert pipeline.preprocess().counts["pixels"] == len(names)
    assert pipeline.featurize().new == len(names)
    analysis = pipeline.analyse(COMPONENTS=1, SPLIT="random")
    listed = pd.read_csv(f"{analysis.snapshot.uri}/pca_features.csv")
    assert {path.partition("%41/")[2] for path in listed["path"]} == set(names)


ODD = Path(__file__).parents[3] / "shared" / "data" / "odd"


@pytest.mark.skipif(not ODD.is_dir(), reason="the collection of odd images is not here")
def test_every_file_of_the_odd_collection_ends_in_pixels_or_rejects(pipeline):
    shutil.copytree(ODD, pipeline.source / "odd")
    catalogue = pipeline.ingest()
    result = pipeline.preprocess()
    assert len(catalogue.images) > 200
    assert result.counts["pixels"] + sum(result.counts["rejects"].values()) == len(result.photos)
    broken = [row for row in result.photos.to_pylist() if "pngsuite/x" in row["path"]]
    passed = [row["path"] for row in broken if row["reason"] is None]
    assert len(broken) > 10
    assert passed == ["odd/pngsuite/xcsn0g01.png"]  # Pillow does not check its pixels' CRC


def _inherited() -> list[str]:
    return [path for path in [os.environ.get("PYTHONPATH")] if path]
