"""The small network: its file, its model card, its training and its measurement."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import helpers.network.weights
from helpers.backbones import SAMPLE
from training import augment, photos, probe, train

ROOT = Path(__file__).parents[2]
FOLDER = Path(helpers.network.weights.__file__).parent
WEIGHTS = FOLDER / SAMPLE.file


def test_the_card_and_the_code_name_the_checksum_of_the_weights() -> None:
    stated = re.search(r"`([0-9a-f]{64})`", (FOLDER / "MODEL_CARD.md").read_text("utf-8"))
    assert stated is not None
    assert stated[1] == SAMPLE.sha256 == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert WEIGHTS.stat().st_size <= 2_200_000


def test_the_weights_load_into_a_new_model() -> None:
    model = train.build_mobilenet(SAMPLE.input_size, SAMPLE.alpha, str(WEIGHTS))
    ramp = np.linspace(-1, 1, 96 * 96 * 3, dtype=np.float32).reshape(1, 96, 96, 3)
    features = model.predict_on_batch(np.concatenate([ramp, -ramp]))
    assert features.shape == (2, 1280)
    assert np.isfinite(features).all()
    assert 0 <= features.min() < features.max() <= 6
    assert not np.allclose(features[0], features[1])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)

    def save(path: Path, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        picture[: size // 4] = 255
        Image.fromarray(picture).save(path)

    for label in ("Banana", "Kiwi", "Mango"):
        for axis in ("", "r_"):
            for frame in range(0, 330, 11):
                side = "Training" if frame % 3 == 0 else "Test"
                save(tmp_path / "fruits360" / side / label / f"{axis}{frame}_100.jpg", 100)
    for label in ("Lemon", "Anjou", "Kiwi"):
        for number in range(5):
            save(tmp_path / "grocery" / label / f"{number}.jpg", 348)
    return tmp_path


def test_training_opens_no_held_out_photo(data: Path) -> None:
    for label in ("Kiwi", "Mango"):
        for path in data.glob(f"fruits360/*/{label}/*.jpg"):
            path.write_bytes(b"not an image")
    for label in ("Anjou", "Kiwi"):
        for path in data.glob(f"grocery/{label}/*.jpg"):
            path.write_bytes(b"not an image")
    sources = train.read_sources(data)
    assert (len(sources.fruits), len(sources.phone)) == (60, 5)


def test_an_empty_data_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grocery"):
        photos.list_grocery(tmp_path)


def test_a_photo_is_reduced_and_never_enlarged(data: Path) -> None:
    assert photos.read_stored(photos.list_grocery(data)[0]).shape == (224, 224, 3)
    assert photos.read_stored(photos.list_fruits360(data)[0]).shape == (100, 100, 3)


def test_a_picture_has_an_allowed_size_and_depends_on_its_seed_alone(data: Path) -> None:
    sources = train.read_sources(data)
    sizes = set()
    for index in range(60):
        picture = augment.draw_picture(sources, np.random.default_rng([0, index]))
        again = augment.draw_picture(sources, np.random.default_rng([0, index]))
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, again)
        assert 64 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= 224
        sizes.add(picture.shape[0])
    assert {100, 224} < sizes


def test_targets_are_uncorrelated_and_partly_whitened() -> None:
    rng = np.random.default_rng(0)
    scales = np.geomspace(10, 1, 20)
    features = (rng.normal(size=(5000, 20)) * scales).astype(np.float16)
    targets = train.compute_targets(features, 8)
    covariance = np.cov(targets.T)
    variances = np.diag(covariance)
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3
    assert variances.mean() == pytest.approx(1, rel=1e-3)
    expected = scales[:8] / scales[:8].mean()  # the square root of the variances
    assert variances == pytest.approx(expected, rel=0.1)


def list_frames(label: str, frames: int) -> list[photos.Photo]:
    return [photos.Photo(Path(label, f"{frame}_100.jpg"), label) for frame in range(frames)]


def test_neighboring_frames_are_never_on_both_sides(data: Path) -> None:
    """A turn is closed: its last frame is beside its first."""
    held_out = photos.FRUITS360_HELD_OUT
    listed = [photo for photo in photos.list_fruits360(data) if photo.label in held_out]

    def parse(row: int) -> tuple[str, str, int]:
        axis, _, frame = listed[row].path.stem.removesuffix("_100").rpartition("_")
        return listed[row].label, axis, int(frame)

    turn = max(frame for _, _, frame in map(parse, range(len(listed)))) + 1
    blocked, few = probe.make_blocked_splits(listed), probe.draw_few_shot_splits(listed)
    assert sorted(row for _, test in blocked[0] for row in test) == list(range(len(listed)))
    for train_rows, test_rows in [fold for folds in blocked + few for fold in folds]:
        for label, axis, frame in map(parse, train_rows):
            for other_label, other_axis, other in map(parse, test_rows):
                if (label, axis) == (other_label, other_axis):
                    distance = abs(frame - other)
                    assert min(distance, turn - distance) > probe.GAP
    assert {len(train_rows) for folds in few for train_rows, _ in folds} == {2 * probe.SHOTS}


def test_a_block_at_the_end_of_a_turn_leaves_out_frames_at_its_beginning() -> None:
    ((first, *_, last),) = probe.make_blocked_splits(list_frames("Kiwi", 328))
    assert first[1].tolist() == list(range(65))
    assert first[0].tolist() == list(range(85, 308))
    assert last[1].tolist() == list(range(262, 328))
    assert last[0].tolist() == list(range(20, 242))


def test_a_probe_finds_a_signal_and_none_in_noise() -> None:
    labels = np.repeat(np.array(["a", "b"]), 50)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(100, 4)).astype(np.float32)
    splits = probe.draw_stratified_splits(labels)
    assert probe.measure_accuracy(noise + 9 * (labels == "a")[:, None], labels, splits) == (
        1.0,
        0.0,
    )
    assert probe.measure_accuracy(noise, labels, splits)[0] < 0.7


@pytest.mark.slow
def test_the_pool_holds_the_features_of_its_pictures(data: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = train.build_mobilenet(224, 0.35, None)
    weights = str(tmp_path / "teacher.weights.h5")
    network.save_weights(weights)
    sources = train.read_sources(data)
    pool = train.draw_pool(sources, train.compile_teacher(weights, 0.35), 4, seed=7)
    for index in range(4):
        picture = augment.draw_picture(sources, np.random.default_rng([7, index]))
        small = train.resize(picture, 96).numpy()
        assert np.abs(pool.pictures[index] - small).max() <= 0.5
        inputs = train.resize(picture, 224).numpy()[None] / 127.5 - 1
        expected = network.predict_on_batch(inputs)[0]
        assert np.allclose(pool.features[index], expected, rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_the_command_trains_and_saves(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.weights.h5"
    teacher = ["--teacher", str(WEIGHTS), "--teacher-alpha", "0.35"]
    sizes = ["--pictures", "32", "--batch", "16", "--components", "4"]
    epochs = ["--epochs-64", "1", "--epochs", "0"]
    train.main(["--data", str(data), "--out", str(out), *teacher, *sizes, *epochs])
    trained = train.build_mobilenet(96, 0.35, str(out)).get_weights()
    assert all(np.isfinite(values).all() for values in trained)
    keras.utils.set_random_seed(0)
    start = train.build_mobilenet(96, 0.35, None).get_weights()
    assert any(not np.array_equal(*pair) for pair in zip(trained, start, strict=True))


def test_too_many_components_are_refused() -> None:
    features = np.repeat(np.arange(9, dtype=np.float16)[:, None], 3, axis=1)
    with pytest.raises(ValueError, match="2 > 1"):
        train.compute_targets(features, 2)


def test_a_photo_whose_name_has_no_frame_number_is_named(tmp_path: Path) -> None:
    photo = photos.Photo(tmp_path / "Kiwi" / "front.jpg", "Kiwi")
    with pytest.raises(ValueError, match=r"front\.jpg"):
        probe.make_blocked_splits([photo])


@pytest.mark.slow
def test_the_table_has_a_row_per_network(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, wide = tmp_path / "small.weights.h5", tmp_path / "wide.weights.h5"
    train.build_mobilenet(96, 0.35, None).save_weights(small)
    train.build_mobilenet(224, 1.0, None).save_weights(wide)
    imagenet = ["--imagenet-035", str(small), "--imagenet-100", str(wide)]
    probe.main(["--data", str(data), "--weights", str(small), *imagenet])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 5
    assert {row.count("|") for row in rows} == {8}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "probe"])
def test_a_command_explains_itself(name: str) -> None:
    command = [sys.executable, "-m", f"training.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m training.{name} --data DATA" in done.stdout
    assert "--data DATA" in done.stdout.partition("options:")[2]
