"""The exported networks: the numbers of Keras, built once, and every wrong file refused."""

import io
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
from harness import golden
from harness.pipeline import Pipeline
from numpy.typing import NDArray
from PIL import Image

from helpers.backbones import BACKBONES, POOLED, SAMPLE
from helpers.network import export, store
from helpers.network.export import RefusedError, build, draw_weights
from helpers.network.inference import OpenvinoEngine, load_engine
from helpers.network.spec import (
    OPENVINO_FILES,
    Network,
    NetworkSpec,
    choose_input_size,
    read_instruction_set,
)
from helpers.network.store import NetworkError, build_network, find_network, specify_network
from helpers.parameters import Parameters
from helpers.run.results import to_rgb
from helpers.stages.featurize import Featurized
from helpers.stages.stage import StageError
from helpers.storage.location import locate

Photos = Iterable[NDArray[np.uint8]]
Features = NDArray[np.float32]

IMAGENET = Path("weights", "mobilenet_v2_1.0_224_no_top_dequantised.weights.h5")
TOLERANCE = 1e-5  # greatest relative error
SLOW_LAYERS = ("fc2",)  # half a gigabyte of weights

needs_bf16 = pytest.mark.skipif(
    not {"amx_bf16", "avx512_bf16"} & set(read_instruction_set().split()),
    reason="this processor has no bfloat16",
)


def measure_error(found: Features, expected: Features) -> float:
    """Measure the greatest relative error of any photo's features, by the Euclidean norm."""
    assert found.shape == expected.shape
    apart = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    return float((apart / np.linalg.norm(expected, axis=1)).max())


def check_bits_in_any_order(network: Network) -> None:
    """Check that a photo's features are the same from the graph of its own size and of any."""
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (1, 20), (96, 96), (224, 224)]
    photos = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    expected = OpenvinoEngine(network).compute(photos)
    for photo in photos:
        engine = OpenvinoEngine(network)
        engine.compute([photo])
        np.testing.assert_array_equal(engine.compute(photos), expected)


def compute_checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def find_sample_network(sample: Pipeline) -> Network:
    """Find the network that the sample's run keeps."""
    spec, _ = specify_network(sample.make_parameters(), pixels="")
    network = find_network(locate(str(sample.run / "networks")), spec)
    assert network is not None
    return network


def read_pixels(pipeline: Pipeline) -> dict[str, NDArray[np.uint8]]:
    """Read the decoded photos by image_id."""
    rows = pyarrow.dataset.dataset(pipeline.find_table("pixels")).to_table()
    return dict(zip(rows["image_id"].to_pylist(), to_rgb(rows), strict=True))


def read_features(result: Featurized) -> dict[str, Features]:
    """Read the features that 03 wrote, by image_id."""
    rows = pyarrow.dataset.dataset(result.features.location.uri).to_table().to_pylist()
    return {row["image_id"]: np.array(row["features"], np.float32) for row in rows}


def stack_features(*results: Featurized) -> list[Features]:
    """Read the features of several results, in one order of the photos."""
    stored = [read_features(result) for result in results]
    assert all(one.keys() == stored[0].keys() for one in stored)
    return [np.stack([one[image_id] for image_id in sorted(one)]) for one in stored]


def compute_with_keras(tf: Any, model: Any, scale: Any, photos: Photos, size: int) -> Features:
    """Compute features with Keras alone, in this process."""
    enlarged = [tf.image.resize(tf.cast(photo, tf.float32), (size, size)) for photo in photos]
    features: Features = model.predict(scale(np.stack(enlarged)), verbose=0)
    return features


def check_parity(tf: Any, pipeline: Pipeline, result: Featurized, model: Any, scale: Any) -> None:
    """Check that 03 wrote the features that Keras computes."""
    features, pixels = read_features(result), read_pixels(pipeline)
    assert features.keys() == pixels.keys()
    size = result.network.spec.input_size
    expected = compute_with_keras(tf, model, scale, pixels.values(), size)
    found = np.stack([features[image_id] for image_id in pixels])
    assert measure_error(found, expected) < TOLERANCE


@pytest.fixture(scope="module")
def tf() -> Any:
    """TensorFlow, in this process: the reference that every engine is held to."""
    import tensorflow

    return tensorflow


@pytest.fixture
def photos(pipeline: Pipeline) -> Pipeline:
    """Photos of five sizes, decoded: smaller and larger than an input, upright and broad."""
    pipeline.add_photos("Limes", 2)
    sizes = [(40, 60), (150, 100), (224, 224), (96, 96)]
    for number, (height, width) in enumerate(sizes):
        pipeline.draw_photo(f"Training/Drawn/{number}.png", height, width, seed=number)
    pipeline.ingest()
    pipeline.preprocess()
    return pipeline


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        pytest.param(
            name,
            layer,
            id=f"{name}-{layer}",
            marks=[pytest.mark.slow] if layer in SLOW_LAYERS else [],
        )
        for name, row in BACKBONES.items()
        for layer in row.layers
    ],
)
def test_a_backbone_equals_keras(tf: Any, backbone: str, layer: str) -> None:
    """With random weights of one seed, which are drawn here and in the exporting process."""
    seed = 3
    row = BACKBONES[backbone]
    parameters = Parameters(BACKBONE=backbone, LAYER=layer, WEIGHTS="random", SEED=seed)
    network = build_network(specify_network(parameters, pixels="")[0], None, {})
    build_model = getattr(tf.keras.applications, row.builder)
    if layer == POOLED:
        model = build_model(
            input_shape=(224, 224, 3), include_top=False, weights=None, pooling="avg"
        )
    else:
        whole = build_model(weights=None)
        model = tf.keras.Model(whole.input, whole.get_layer(layer).output)
    draw_weights(model, seed)
    scale = getattr(tf.keras.applications, row.module).preprocess_input
    pixels = golden.decode_photos()
    expected = compute_with_keras(tf, model, scale, pixels, 224)
    found = load_engine(network).compute(pixels)
    assert network.width == found.shape[1]
    assert measure_error(found, expected) < TOLERANCE
    # The numbers depend on the photo, so that they tell a wrong input from a right one.
    assert measure_error(expected[1:], expected[:-1]) > 100 * TOLERANCE


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_says_if_keras_builds_another_graph_for_imagenet(
    tf: Any, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a weights file would give other features: the parameters refuse one."""
    from keras.src.utils import file_utils

    builder = getattr(tf.keras.applications, BACKBONES[backbone].builder)
    options = {"input_shape": (224, 224, 3), "include_top": False, "pooling": "avg"}
    bare = builder(weights=None, **options)
    bare.save_weights(tmp_path / "bare.weights.h5")
    # Keras has no public way to name the file that "imagenet" stands for.
    fetched = str(tmp_path / "bare.weights.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: fetched)
    whole = builder(weights="imagenet", **options)
    same = [type(layer) for layer in whole.layers] == [type(layer) for layer in bare.layers]
    assert same != BACKBONES[backbone].has_own_imagenet_graph


def test_mobilenet_v3_scales_its_input_once(tf: Any) -> None:
    """Keras keeps its scaling to -1 .. 1 inside the network; here it is outside."""
    parameters = Parameters(BACKBONE="mobilenet_v3_large", WEIGHTS="random")
    network = build_network(specify_network(parameters, pixels="")[0], None, {})
    bare = tf.keras.applications.MobileNetV3Large(
        input_shape=(224, 224, 3), include_top=False, weights=None, pooling="avg",
        include_preprocessing=False,
    )  # fmt: skip
    draw_weights(bare, parameters.SEED)
    pixels = golden.decode_photos()
    expected = compute_with_keras(tf, bare, lambda rgb: rgb / 127.5 - 1, pixels, 224)
    assert measure_error(load_engine(network).compute(pixels), expected) < TOLERANCE


def test_the_small_backbone_equals_keras(tf: Any, photos: Pipeline) -> None:
    applications = tf.keras.applications
    model = applications.MobileNetV2((96, 96, 3), 0.35, False, weights=None, pooling="avg")
    model.load_weights(golden.WEIGHTS)
    result = photos.featurize()
    assert result.network.spec.input_size == 96
    check_parity(tf, photos, result, model, applications.mobilenet_v2.preprocess_input)


def test_mobilenet_v2_with_imagenet_weights_equals_keras(
    tf: Any, photos: Pipeline, reference: Path
) -> None:
    applications = tf.keras.applications
    model = applications.MobileNetV2((224, 224, 3), 1.0, False, weights=None, pooling="avg")
    model.load_weights(reference / IMAGENET)
    result = photos.featurize(WEIGHTS=str(reference / IMAGENET))
    assert result.network.alpha == 1.0  # as the weights, since ALPHA was left at 0
    check_parity(tf, photos, result, model, applications.mobilenet_v2.preprocess_input)


def test_vgg16_from_a_weights_file_equals_keras(tf: Any, photos: Pipeline, tmp_path: Path) -> None:
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.applications.VGG16(False, None, input_shape=(224, 224, 3), pooling="avg")
    model.save_weights(tmp_path / "vgg16.weights.h5")
    result = photos.featurize(BACKBONE="vgg16", WEIGHTS=str(tmp_path / "vgg16.weights.h5"))
    assert result.network.width == 512
    check_parity(tf, photos, result, model, tf.keras.applications.vgg16.preprocess_input)


@pytest.mark.slow
def test_fc2_of_vgg16_from_a_weights_file_equals_keras(
    tf: Any, photos: Pipeline, tmp_path: Path
) -> None:
    tf.keras.utils.set_random_seed(1)
    whole = tf.keras.applications.VGG16(weights=None)
    model = tf.keras.Model(whole.input, whole.get_layer("fc2").output)
    model.save_weights(tmp_path / "fc2.weights.h5")
    weights = str(tmp_path / "fc2.weights.h5")
    result = photos.featurize(BACKBONE="vgg16", LAYER="fc2", WEIGHTS=weights)
    assert result.network.width == 4096
    check_parity(tf, photos, result, model, tf.keras.applications.vgg16.preprocess_input)


def test_the_tensorflow_engine_gives_the_same_features(photos: Pipeline) -> None:
    by_openvino = photos.featurize()
    by_tensorflow = photos.featurize(ENGINE="tensorflow")
    assert by_tensorflow.record.lineage["features"] != by_openvino.record.lineage["features"]
    first, second = stack_features(by_openvino, by_tensorflow)
    assert measure_error(second, first) < TOLERANCE


def test_the_small_backbone_gives_its_golden_features(sample: Pipeline) -> None:
    stored = np.load(golden.FILE)
    assert stored["weights"] == SAMPLE.sha256 == compute_checksum(golden.WEIGHTS)
    found = golden.compute_features(find_sample_network(sample))
    assert measure_error(found, stored["features"]) < TOLERANCE


def test_a_photo_has_the_same_bits_whatever_its_place_and_company(sample: Pipeline) -> None:
    engine = load_engine(find_sample_network(sample))
    pixels = golden.decode_photos()
    together = engine.compute(pixels)
    np.testing.assert_array_equal(engine.compute(pixels[::-1]), together[::-1])
    for photo, row in zip(pixels, together, strict=True):
        np.testing.assert_array_equal(engine.compute([photo])[0], row)


def test_features_do_not_depend_on_the_size_met_first(sample: Pipeline) -> None:
    check_bits_in_any_order(find_sample_network(sample))


def test_a_graph_that_cannot_be_compiled_fails_each_time_alike(
    sample: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reused worker meets the same error again, not what the first one left behind."""
    engine = OpenvinoEngine(find_sample_network(sample))
    monkeypatch.setattr(engine, "_files", (b"no graph", b""))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Unable to read the model"):
            engine.compute(golden.decode_photos()[:1])


@needs_bf16
def test_bf16_is_near_float32_and_another_network(photos: Pipeline) -> None:
    exact, rough = photos.featurize(), photos.featurize(PRECISION="bf16")
    assert rough.network.spec.instructions == read_instruction_set()
    first, second = stack_features(exact, rough)
    assert TOLERANCE < measure_error(second, first) < 0.2
    check_bits_in_any_order(rough.network)


@needs_bf16
def test_bf16_computes_the_first_depthwise_layer_in_float32() -> None:
    import openvino

    spec, weights = specify_network(Parameters(PRECISION="bf16"), pixels="")
    files = build_network(spec, weights, {}).files
    core = openvino.Core()
    model = core.read_model(*(io.BytesIO(files[name]) for name in OPENVINO_FILES))
    model.reshape([1, 96, 96, 3])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.bf16})
    layers = [layer.get_rt_info() for layer in compiled.get_runtime_model().get_ordered_ops()]
    convolutions = [
        (layer["runtimePrecision"].astype(str), "_dw_" in layer["primitiveType"].astype(str))
        for layer in layers
        if layer["layerType"].astype(str) == "Convolution"
    ]
    depthwise = [precision for precision, is_depthwise in convolutions if is_depthwise]
    assert depthwise == ["f32"] + 16 * ["bf16"]
    assert sum(precision == "f32" for precision, _ in convolutions) == 1


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nncf") is None, reason="NNCF is not installed")
def test_int8_is_near_float32_and_calibrated_once(photos: Pipeline) -> None:
    exact, rough = photos.featurize(), photos.featurize(PRECISION="int8")
    assert rough.network.spec.batch == 8
    first, second = stack_features(exact, rough)
    assert TOLERANCE < measure_error(second, first) < 0.2
    check_batch_norms_are_not_rounded(rough.network)
    check_bits_in_any_order(rough.network)
    calibrated = rough.network.calibrated
    assert set() < set(calibrated) <= read_pixels(photos).keys()
    assert rough.record.metrics["calibration_photos"] == len(calibrated)
    assert rough.record.metrics["calibration_photos_elsewhere"] == 0

    files = photos.source.rglob("*.*")
    [path] = [file for file in files if compute_checksum(file) == calibrated[0]]
    path.unlink()
    photos.add_photos("Kiwi", 2)
    photos.ingest()
    photos.preprocess()
    grown = photos.featurize(PRECISION="int8")
    assert (grown.new, grown.network.fingerprint) == (2, rough.network.fingerprint)
    assert grown.network.calibrated == calibrated
    assert grown.record.metrics["calibration_photos_elsewhere"] == 1


def check_batch_norms_are_not_rounded(network: Network) -> None:
    """Each of MobileNetV2's 52 convolutions and 10 sums is rounded once, and so are few others."""
    import openvino

    files = (io.BytesIO(network.files[name]) for name in OPENVINO_FILES)
    layers = [layer.get_type_name() for layer in openvino.Core().read_model(*files).get_ops()]
    assert layers.count("FakeQuantize") < 70


def test_features_of_another_kind_of_processor_are_refused(sample: Pipeline) -> None:
    network = find_sample_network(sample)
    spec = replace(network.spec, precision="int8", instructions="x86_64 of old")
    foreign = replace(network, fingerprint="foreign", spec=spec)
    with pytest.raises(RuntimeError, match="the driver has x86_64 of old, this one has"):
        load_engine(foreign)


def test_a_second_run_loads_the_network_without_tensorflow(photos: Pipeline) -> None:
    script = """
        import json, os, sys
        from helpers.parameters import Parameters
        from helpers.spark import session
        from helpers.stages import featurize

        heavy = {"tensorflow", "keras"}

        def look(_):
            return os.getpid(), sorted(heavy & set(sys.modules)), "openvino" in sys.modules

        spark = session.start_session({"spark.master": "local[2,4]"})
        result = featurize.featurize(spark, Parameters(RUN_URI=sys.argv[1]))
        workers = spark.sparkContext.parallelize(range(8), 8).map(look).collect()
        print(json.dumps([result.new, sorted(heavy & set(sys.modules)), os.getpid(), workers]))
        spark.stop()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), photos.run], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    new, in_driver, driver, workers = json.loads(done.stdout.splitlines()[-1])
    assert new == 6
    assert in_driver == []
    assert [heavy for _, heavy, _ in workers] == [[]] * 8
    assert any(openvino for _, _, openvino in workers)  # asked were those that did the work
    assert driver not in {pid for pid, _, _ in workers}
    assert len(list((photos.run / "networks").iterdir())) == 1


def test_a_kept_network_is_not_built_again(
    photos: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(store, "build_network")
    assert photos.featurize().new == 6


def test_the_same_weights_by_name_and_by_file_differ_in_their_input(
    sample: Pipeline, tmp_path: Path
) -> None:
    copy = shutil.copy(golden.WEIGHTS, tmp_path / "copy.weights.h5")
    assert choose_input_size(sample.make_parameters()) == 96
    assert choose_input_size(sample.make_parameters(WEIGHTS=str(copy))) == 224


def test_pixels_smaller_than_the_input_are_refused(pipeline: Pipeline) -> None:
    pipeline.add_photos("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess(IMAGE_SIZE=64)
    with pytest.raises(ValueError, match="IMAGE_SIZE must be at least the network's input of 96"):
        pipeline.featurize()


def test_a_missing_weights_file_is_named(photos: Pipeline) -> None:
    with pytest.raises(ValueError, match=r"WEIGHTS must be a file that exists, got '/no/such.h5'"):
        photos.featurize(WEIGHTS="/no/such.h5")


def test_weights_of_an_unknown_kind_are_refused(photos: Pipeline) -> None:
    with pytest.raises(ValueError, match=r"WEIGHTS must be 'sample', .*, got 'best'"):
        photos.featurize(WEIGHTS="best")


def test_a_wrong_checksum_is_refused_with_both(photos: Pipeline) -> None:
    wrong = "0" * 64
    with pytest.raises(ValueError, match=f"must have the SHA-256 {wrong}, got {SAMPLE.sha256}"):
        photos.featurize(WEIGHTS=f"{golden.WEIGHTS}#sha256={wrong}")


def test_a_corrupt_weights_file_is_refused(photos: Pipeline, tmp_path: Path) -> None:
    half = tmp_path / "half.weights.h5"
    half.write_bytes(golden.WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="WEIGHTS must be a whole HDF5 file"):
        photos.featurize(WEIGHTS=str(half))
    assert "features" not in photos.read_manifest()["counts"]
    assert len(list((photos.run / "networks").iterdir())) == 1


def write_spec(folder: Path, file: Path | None = golden.WEIGHTS, **values: Any) -> Path:
    """Write what the exporting process reads: the spec of a network, and its weights."""
    fields: Mapping[str, Any] = {
        "backbone": "mobilenet_v2", "alpha": 0.0, "layer": POOLED, "input_size": 96,
        "weights": SAMPLE.sha256, "engine": "tensorflow", "precision": "f32", "batch": 1,
    }  # fmt: skip
    spec = NetworkSpec(**{**fields, **values})
    folder.mkdir(exist_ok=True)
    (folder / store.SPEC).write_text(json.dumps(spec.to_json()))
    if file is not None:
        shutil.copy(file, folder / store.WEIGHTS)
    return folder


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    folder = write_spec(tmp_path, alpha=1.0)
    with pytest.raises(RefusedError, match=r"weights of mobilenet_v2 \(alpha 1.0\), and"):
        build(folder)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = write_spec(tmp_path, backbone="vgg16")
    with pytest.raises(RefusedError, match=r"weights of vgg16 \(layer pooled\), and"):
        build(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    import h5py

    folder = write_spec(tmp_path)
    with h5py.File(folder / store.WEIGHTS, "r+") as file:
        file["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
    with pytest.raises(RefusedError, match="WEIGHTS must be finite numbers, and Conv1/"):
        build(folder)


def test_an_engine_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = specify_network(Parameters(ENGINE="tensorflow"), pixels="")
    (tmp_path / store.SPEC).write_text(json.dumps(spec.to_json()))
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(RefusedError, match="ENGINE='tensorflow' needs TensorFlow: run `pip"):
        build(tmp_path)


def test_random_weights_follow_the_seed(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate([1, 1, 2]):
        folder = write_spec(tmp_path / str(number), None, weights="random", seed=seed, alpha=0.35)
        digests.append(build(folder)["weights_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_a_network_for_openvino_is_exported_without_tensorflow(tmp_path: Path) -> None:
    folder = write_spec(tmp_path, engine="openvino")
    code = """
        import sys
        from pathlib import Path

        sys.modules["tensorflow"] = None  # importing it fails

        from helpers.network import export

        export.main(Path(sys.argv[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads((folder / store.ANSWER).read_text())
    assert (answer["alpha"], answer["width"]) == (0.35, 1280)
    assert all((folder / name).is_file() for name in OPENVINO_FILES)


def test_a_damaged_network_is_named(photos: Pipeline) -> None:
    damaged = photos.find_table("networks") / "network.bin"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(OSError, match=r"damaged: .*network\.bin has not the SHA-256 of its mani"):
        photos.featurize()


def test_an_exporting_process_that_dies_is_reported(
    photos: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(NetworkError, match="could not be built: exit code 1"):
        photos.featurize(WEIGHTS="random")


def test_a_feature_that_is_not_finite_names_the_photo(photos: Pipeline) -> None:
    """By a network whose features are the logarithm of the brightness: none of a black photo."""
    replace_by_logarithm(photos.find_table("networks"))
    path = "Training/Drawn/black.png"
    Image.new("RGB", (50, 50)).save(photos.source / path)
    photos.ingest()
    photos.preprocess()
    with pytest.raises(StageError, match=f"features must be finite, and those of '{path}' are not"):
        photos.featurize()
    assert "features" not in photos.read_manifest()["counts"]


def replace_by_logarithm(kept: Path) -> None:
    """Put another graph, under another fingerprint, in the place of a kept network."""
    import openvino
    from openvino import opset13 as ops

    rgb = ops.parameter([1, -1, -1, 3], np.uint8)
    mean = ops.reduce_mean(ops.convert(rgb, "f32"), np.array([1, 2]), keep_dims=False)
    graph = openvino.Model([ops.log(mean)], [rgb])
    manifest = json.loads((kept / "_manifest.json").read_text())
    openvino.save_model(graph, str(kept / "network.xml"))
    manifest["files"] = {name: compute_checksum(kept / name) for name in OPENVINO_FILES}
    manifest["width"] = 3
    (kept / "_manifest.json").write_text(json.dumps(manifest))
    kept.rename(kept.with_name("logarithm-run"))
