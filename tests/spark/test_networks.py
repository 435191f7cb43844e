"""The exported networks: the numbers of Keras, built once, and every wrong file refused.

``python tests/spark/test_networks.py`` writes ``golden_features.npz`` anew: only when the weights
of the small backbone changed, or when ``FEATURES_VERSION`` rises.
"""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest

from helpers import backbones
from helpers.parameters import Parameters
from helpers.photos import decode
from helpers.stages.stage import StageError
from helpers.storage.location import LocalLocation

ROOT = Path(__file__).parents[2]
SAMPLE_WEIGHTS = ROOT / "helpers" / "weights" / backbones.SAMPLE_WEIGHTS
IMAGENET = ROOT.parent / "shared" / "weights" / "mobilenet_v2_1.0_224_no_top_dequantised.weights.h5"
GOLDEN = Path(__file__).parent / "golden_features.npz"
GOLDEN_PHOTOS = (
    "Training/Apple Red/0_100.jpg",
    "Training/Avocado/105_100.jpg",
    "Training/Strawberry/157_100.jpg",
    "Test/Watermelon/131_100.jpg",
)
GOLDEN_FEATURES = 64
TOLERANCE = 1e-5

HAS_BF16 = "amx_bf16" in backbones.instruction_set() or "avx512_bf16" in backbones.instruction_set()


def relative_error(found, expected):
    """Greatest relative error of any photo's features, by the Euclidean norm."""
    apart = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    return float((apart / np.linalg.norm(expected, axis=1)).max())


def decoded(paths):
    """Pixels of photos of the sample, as 02 stores them."""
    limits = decode.Limits(pixels=10**7, aspect=20.0)
    folder = ROOT / "data_sample"
    return [
        decode.decode_rgb(images.open_image((folder / p).read_bytes(), limits), 224) for p in paths
    ]


def require_same_bits_in_any_order(network):
    """A photo's features must be the same from the graph of its own size and from that of any."""
    random = np.random.default_rng(0)
    sizes = [(40, 60), (1, 20), (96, 96), (224, 224)]
    pixels = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    expected = engines.OpenvinoEngine(network).features(pixels)
    for photo in pixels:
        engine = engines.OpenvinoEngine(network)
        engine.features([photo])
        np.testing.assert_array_equal(engine.features(pixels), expected)


def checksum(path):
    return sha256(path.read_bytes()).hexdigest()


def built(folder, **values):
    """A network of these parameters, kept in ``folder``."""
    table = LocalLocation(str(folder / "networks"))
    return backbones.network(Parameters(**values), table, "run", "pixels", dict)


@pytest.fixture(scope="module")
def tf():
    """TensorFlow, in this process: the reference that every engine is held to."""
    import tensorflow

    return tensorflow


@pytest.fixture
def photos(pipeline):
    """Photos of five sizes, decoded: smaller and larger than an input, upright and broad."""
    pipeline.add("Limes", 2)
    sizes = [(40, 60), (150, 100), (224, 224), (96, 96)]
    for number, (height, width) in enumerate(sizes):
        pipeline.draw(f"Training/Drawn/{number}.png", height, width, seed=number)
    pipeline.ingest()
    pipeline.preprocess()
    return pipeline


def pixels_of(pipeline):
    """The decoded photos by image_id."""
    rows = pyarrow.dataset.dataset(pipeline.table("pixels")).to_table().to_pylist()
    return {
        row["image_id"]: np.frombuffer(row["pixels"], np.uint8).reshape(
            row["height"], row["width"], 3
        )
        for row in rows
    }


def features_of(result):
    """The features that 03 wrote, by image_id."""
    rows = pyarrow.dataset.dataset(result.features.location.uri).to_table().to_pylist()
    return {row["image_id"]: np.array(row["features"], np.float32) for row in rows}


def by_keras(tf, model, preprocess_input, pixels, size):
    """Features by Keras alone, in this process."""
    enlarged = [tf.image.resize(tf.cast(array, tf.float32), (size, size)) for array in pixels]
    return model.predict(preprocess_input(np.stack(enlarged)), verbose=0)


def assert_parity(tf, pipeline, result, model, preprocess_input, size):
    features, pixels = features_of(result), pixels_of(pipeline)
    assert features.keys() == pixels.keys()
    expected = by_keras(tf, model, preprocess_input, pixels.values(), size)
    found = np.stack([features[image_id] for image_id in pixels])
    assert found.shape == expected.shape
    assert relative_error(found, expected) < TOLERANCE


def test_the_small_backbone_equals_keras(tf, photos):
    applications = tf.keras.applications
    model = applications.MobileNetV2((96, 96, 3), 0.35, False, weights=None, pooling="avg")
    model.load_weights(SAMPLE_WEIGHTS)
    scale = applications.mobilenet_v2.preprocess_input
    assert_parity(tf, photos, photos.featurize(), model, scale, 96)


@pytest.mark.skipif(not IMAGENET.is_file(), reason="the ImageNet weights are not here")
def test_mobilenet_v2_at_full_width_equals_keras(tf, photos):
    applications = tf.keras.applications
    model = applications.MobileNetV2((224, 224, 3), 1.0, False, weights=None, pooling="avg")
    model.load_weights(IMAGENET)
    result = photos.featurize(WEIGHTS=str(IMAGENET))
    assert result.network.alpha == 1.0  # as the weights, since ALPHA was left at 0
    scale = applications.mobilenet_v2.preprocess_input
    assert_parity(tf, photos, result, model, scale, 224)


def test_vgg16_equals_keras(tf, photos, tmp_path):
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.applications.VGG16(False, None, input_shape=(224, 224, 3), pooling="avg")
    model.save_weights(tmp_path / "vgg16.weights.h5")
    result = photos.featurize(BACKBONE="vgg16", WEIGHTS=str(tmp_path / "vgg16.weights.h5"))
    assert result.network.width == 512
    scale = tf.keras.applications.vgg16.preprocess_input
    assert_parity(tf, photos, result, model, scale, 224)


@pytest.mark.slow
def test_vgg16_fc2_equals_keras(tf, photos, tmp_path):
    tf.keras.utils.set_random_seed(1)
    whole = tf.keras.applications.VGG16(weights=None)
    model = tf.keras.Model(whole.input, whole.get_layer("fc2").output)
    model.save_weights(tmp_path / "fc2.weights.h5")
    weights = str(tmp_path / "fc2.weights.h5")
    result = photos.featurize(BACKBONE="vgg16", LAYER="fc2", WEIGHTS=weights)
    assert result.network.width == 4096
    scale = tf.keras.applications.vgg16.preprocess_input
    assert_parity(tf, photos, result, model, scale, 224)


def test_the_tensorflow_engine_gives_the_same_features(photos):
    by_openvino = photos.featurize()
    by_tensorflow = photos.featurize(ENGINE="tensorflow")
    assert by_tensorflow.record.lineage["features"] != by_openvino.record.lineage["features"]
    first, second = features_of(by_openvino), features_of(by_tensorflow)
    assert first.keys() == second.keys()
    ids = sorted(first)
    error = relative_error(np.stack([second[i] for i in ids]), np.stack([first[i] for i in ids]))
    assert error < TOLERANCE


def test_the_small_backbone_gives_its_golden_features(sample):
    parameters = sample.parameters()
    network = backbones.network(
        parameters, LocalLocation(str(sample.run / "networks")), "", "", dict
    )
    golden = np.load(GOLDEN)
    assert golden["weights"] == checksum(SAMPLE_WEIGHTS)
    found = engines.engine(network).features(decoded(GOLDEN_PHOTOS))[:, :GOLDEN_FEATURES]
    assert relative_error(found, golden["features"]) < TOLERANCE


def test_a_photo_has_the_same_bits_whatever_its_place_and_company(sample):
    parameters = sample.parameters()
    network = backbones.network(
        parameters, LocalLocation(str(sample.run / "networks")), "", "", dict
    )
    engine = engines.engine(network)
    pixels = decoded(GOLDEN_PHOTOS)
    together = engine.features(pixels)
    np.testing.assert_array_equal(engine.features(pixels[::-1]), together[::-1])
    for photo, row in zip(pixels, together, strict=True):
        np.testing.assert_array_equal(engine.features([photo])[0], row)


def test_features_do_not_depend_on_the_size_met_first(sample):
    network = backbones.network(
        sample.parameters(), LocalLocation(str(sample.run / "networks")), "", "", dict
    )
    require_same_bits_in_any_order(network)


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bfloat16")
def test_bf16_is_near_float32_and_another_network(photos):
    exact, rough = photos.featurize(), photos.featurize(PRECISION="bf16")
    assert rough.network.request["instructions"] == backbones.instruction_set()
    first, second = features_of(exact), features_of(rough)
    ids = sorted(first)
    error = relative_error(np.stack([second[i] for i in ids]), np.stack([first[i] for i in ids]))
    assert TOLERANCE < error < 0.2
    require_same_bits_in_any_order(rough.network)


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bfloat16")
def test_bf16_computes_the_first_depthwise_layer_in_float32(tmp_path):
    import openvino

    files = built(tmp_path, PRECISION="bf16").files
    core = openvino.Core()
    model = core.read_model(*(io.BytesIO(files[name]) for name in backbones.OPENVINO_FILES))
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
def test_int8_is_near_float32_and_calibrated_once(photos):
    exact, rough = photos.featurize(), photos.featurize(PRECISION="int8")
    assert rough.network.request["batch"] == 8
    first, second = features_of(exact), features_of(rough)
    ids = sorted(first)
    error = relative_error(np.stack([second[i] for i in ids]), np.stack([first[i] for i in ids]))
    assert TOLERANCE < error < 0.5
    require_same_bits_in_any_order(rough.network)
    calibrated = rough.network.calibrated
    assert set() < set(calibrated) <= set(ids)
    assert rough.record.figures["calibration_photos"] == len(calibrated)
    assert rough.record.figures["calibration_photos_elsewhere"] == 0

    [path] = [p for p in photos.source.rglob("*.*") if checksum(p) == calibrated[0]]
    path.unlink()
    photos.add("Kiwi", 2)
    photos.ingest()
    photos.preprocess()
    grown = photos.featurize(PRECISION="int8")
    assert (grown.new, grown.network.fingerprint) == (2, rough.network.fingerprint)
    assert grown.network.calibrated == calibrated
    assert grown.record.figures["calibration_photos_elsewhere"] == 1


def test_features_of_another_kind_of_processor_are_refused(sample):
    parameters = sample.parameters()
    network = backbones.network(
        parameters, LocalLocation(str(sample.run / "networks")), "", "", dict
    )
    foreign = backbones.Network(
        "foreign", {**network.request, "precision": "int8", "instructions": "x86_64 of old"},
        network.files, network.width, network.alpha,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="the driver has x86_64 of old, this one has"):
        engines.engine(foreign)


def test_a_second_run_loads_the_network_without_tensorflow(photos):
    script = """
        import json, os, sys
        from helpers import featurize, session
        from helpers.parameters import Parameters

        heavy = {"tensorflow", "keras"}

        def loaded(_):
            return os.getpid(), sorted(heavy & set(sys.modules)), "openvino" in sys.modules

        spark = session.start_session({"spark.master": "local[2,4]"})
        result = featurize.featurize(spark, Parameters(RUN_URI=sys.argv[1]))
        workers = spark.sparkContext.parallelize(range(8), 8).map(loaded).collect()
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


def test_a_kept_network_is_not_built_again(photos, monkeypatch):
    monkeypatch.delattr(backbones, "_build")
    assert photos.featurize().new == 6


def test_the_same_weights_by_name_and_by_file_differ_in_their_input(sample, tmp_path):
    copy = shutil.copy(SAMPLE_WEIGHTS, tmp_path / "copy.weights.h5")
    assert backbones.input_size(sample.parameters()) == 96
    assert backbones.input_size(sample.parameters(WEIGHTS=str(copy))) == 224


def test_pixels_smaller_than_the_input_are_refused(pipeline):
    pipeline.add("Limes", 2)
    pipeline.ingest()
    pipeline.preprocess(IMAGE_SIZE=64)
    with pytest.raises(ValueError, match="IMAGE_SIZE must be at least the network's input of 96"):
        pipeline.featurize()


def test_a_missing_weights_file_is_named(photos):
    with pytest.raises(ValueError, match=r"WEIGHTS names a file that is not there: '/no/such.h5'"):
        photos.featurize(WEIGHTS="/no/such.h5")


def test_weights_of_an_unknown_kind_are_refused(photos):
    with pytest.raises(ValueError, match=r"WEIGHTS must be 'sample', .*, got 'best'"):
        photos.featurize(WEIGHTS="best")


def test_a_wrong_checksum_is_refused_with_both(photos):
    wrong, right = "0" * 64, checksum(SAMPLE_WEIGHTS)
    with pytest.raises(ValueError, match=f"must have SHA-256 {wrong}, got {right}"):
        photos.featurize(WEIGHTS=f"{SAMPLE_WEIGHTS}#sha256={wrong}")


def test_a_corrupt_weights_file_is_refused(photos, tmp_path):
    half = tmp_path / "half.weights.h5"
    half.write_bytes(SAMPLE_WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="WEIGHTS must be an HDF5 file that is whole"):
        photos.featurize(WEIGHTS=str(half))
    assert "features" not in photos.manifest()["counts"]
    assert len(list((photos.run / "networks").iterdir())) == 1


def requested(folder, **values):
    """A folder as the builder gets it, with the small backbone's weights in it."""
    request = {
        "backbone": "mobilenet_v2", "alpha": 0.0, "layer": "pooled", "engine": "tensorflow",
        "precision": "f32", "input": 96, "batch": 1, "weights": "",
    }  # fmt: skip
    (folder / "request.json").write_text(json.dumps(request | values))
    shutil.copy(SAMPLE_WEIGHTS, folder / "weights.h5")
    return folder


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_width_are_refused(tmp_path):
    folder = requested(tmp_path, alpha=1.0)
    with pytest.raises(builder.RefusedError, match=r"weights of mobilenet_v2 \(alpha 1.0\), and"):
        builder.build(folder)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_network_are_refused(tmp_path):
    folder = requested(tmp_path, backbone="vgg16")
    with pytest.raises(builder.RefusedError, match=r"weights of vgg16 \(layer pooled\), and"):
        builder.build(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    import h5py

    folder = requested(tmp_path)
    with h5py.File(folder / "weights.h5", "r+") as file:
        file["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
    with pytest.raises(builder.RefusedError, match="WEIGHTS must be finite numbers, and Conv1/"):
        builder.build(folder)


def test_random_weights_follow_the_seed(tmp_path):
    digests = []
    for number, seed in enumerate([1, 1, 2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        requested(folder, weights=f"random, seed {seed}", seed=seed, alpha=0.35)
        (folder / "weights.h5").unlink()
        digests.append(builder.build(folder)["weights_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_a_damaged_network_is_named(photos):
    damaged = photos.table("networks") / "network.bin"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(OSError, match=r"damaged: .*network\.bin has not the SHA-256 of its mani"):
        photos.featurize()


def test_a_builder_that_dies_is_reported(photos, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(backbones.NetworkError, match="could not be built: exit code 1"):
        photos.featurize(WEIGHTS="random")


def test_a_feature_that_is_not_finite_names_the_photo(photos):
    """By a network whose features are the logarithm of the brightness: none of a black photo."""
    logarithm(photos.table("networks"))
    path = "Training/Drawn/black.png"
    photos.draw(path, 50, 50)
    images.Image.new("RGB", (50, 50)).save(photos.source / path)
    photos.ingest()
    photos.preprocess()
    with pytest.raises(StageError, match=f"features must be finite, and those of '{path}' are not"):
        photos.featurize()
    assert "features" not in photos.manifest()["counts"]


def logarithm(kept):
    """Put another graph, under another fingerprint, in the place of a kept network."""
    import openvino
    from openvino import opset13 as ops

    rgb = ops.parameter([1, -1, -1, 3], np.uint8)
    mean = ops.reduce_mean(ops.convert(rgb, "f32"), np.array([1, 2]), keep_dims=False)
    graph = openvino.Model([ops.log(mean)], [rgb])
    manifest = json.loads((kept / "_manifest.json").read_text())
    openvino.save_model(graph, str(kept / "network.xml"))
    names = ("network.xml", "network.bin")
    manifest["files"] = {name: checksum(kept / name) for name in names}
    manifest["width"] = 3
    (kept / "_manifest.json").write_text(json.dumps(manifest))
    kept.rename(kept.with_name("logarithm-run"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        network = built(Path(scratch), WEIGHTS="sample")
    golden_features = engines.engine(network).features(decoded(GOLDEN_PHOTOS))[:, :GOLDEN_FEATURES]
    weights_sha256 = checksum(SAMPLE_WEIGHTS)
    np.savez(GOLDEN, features=golden_features, weights=weights_sha256)
