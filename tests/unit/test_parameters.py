"""The table of parameters: which values are refused, and which enter a fingerprint."""

import hashlib
from dataclasses import fields
from typing import Any

import pytest

from helpers.backbones import BACKBONES, Backbone
from helpers.parameters import (
    NOTEBOOKS,
    Parameters,
    check,
    declared,
    fingerprint,
    refuse_unknown,
)


def test_the_defaults_are_accepted() -> None:
    Parameters()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOURCE_URI", " "),
        ("RUN_URI", ""),
        ("LABEL_LEVEL", 0),
        ("LIMIT", -1),
        ("SAMPLE_FRACTION", 0.0),
        ("SAMPLE_FRACTION", 1.01),
        ("SAMPLE_FRACTION", float("nan")),
        ("IMAGE_SIZE", 31),
        ("IMAGE_SIZE", 513),
        ("MAX_BYTES", 0),
        ("MAX_PIXELS", 178_956_971),
        ("MAX_ASPECT", 0.5),
        ("MAX_ASPECT", float("nan")),
        ("MAX_ASPECT", float("inf")),
        ("MAX_REJECT_FRACTION", 1.5),
        ("PIXELS", "newest"),
        ("FEATURES", "0123456789ABCDEF"),
        ("PCA", "0123456789abcde"),
        ("BACKBONE", "alexnet"),
        ("ALPHA", 0.4),
        ("LAYER", "fc1"),
        ("WEIGHTS", "imagenette"),
        ("WEIGHTS", "weights.keras"),
        ("WEIGHTS", "w.h5#sha256="),
        ("WEIGHTS", "w.h5#sha256=abc"),
        ("WEIGHTS", "w.h5#other"),
        ("ENGINE", "onnx"),
        ("PRECISION", "f16"),
        ("SPLIT", "stratified"),
        ("SEED", -1),
        ("COMPONENTS", 0),
        ("COMPONENTS", 1.0),
        ("COMPONENTS", 0.0),
        ("COMPONENTS", float("nan")),
        ("CLASSIFIER", "svm"),
    ],
)
def test_a_value_outside_the_rule_is_refused_by_name_rule_and_value(name: str, value: Any) -> None:
    rule = next(field for field in fields(Parameters) if field.name == name).metadata["rule"]
    with pytest.raises(ValueError, match=f"^{name} must be ") as refused:
        Parameters(**{name: value})
    assert rule.description in str(refused.value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("SOURCE_URI", 3, "str"),
        ("LIMIT", 10.0, "int"),
        ("LIMIT", True, "int"),
        ("LIMIT", "10", "int"),
        ("SAMPLE_FRACTION", "0.5", "float"),
        ("SAMPLE_FRACTION", True, "float"),
        ("RETRY_REJECTS", 1, "bool"),
        ("RETRY_REJECTS", "False", "bool"),
        ("COMPONENTS", "0.9", "int | float"),
        ("COMPONENTS", True, "int | float"),
        ("SPLIT", None, "str"),
    ],
)
def test_a_wrong_type_is_refused_by_name_type_and_value(name: str, value: Any, kind: str) -> None:
    with pytest.raises(TypeError) as refused:
        Parameters(**{name: value})
    assert str(refused.value).startswith(f"{name} must be of type {kind}, got {value!r}")


def test_an_int_becomes_a_float_where_a_float_is_declared() -> None:
    parameters = Parameters(MAX_ASPECT=20)
    assert repr(parameters.MAX_ASPECT) == "20.0"
    assert repr(parameters.fingerprint_inputs("pixels")["MAX_ASPECT"]) == "20.0"


@pytest.mark.parametrize("components", [1, 300, 0.5, 0.999])
def test_components_are_an_int_or_a_share(components: float) -> None:
    accepted = Parameters(COMPONENTS=components).COMPONENTS
    assert (accepted, type(accepted)) == (components, type(components))


@pytest.mark.parametrize(
    "weights", ["imagenet", "random", "/a/w.h5", "s3://b/w.weights.h5", f"w.h5#sha256={64 * '0'}"]
)
def test_weights_are_a_name_or_a_uri(weights: str) -> None:
    assert Parameters(WEIGHTS=weights).fingerprint_inputs("networks")["WEIGHTS"] == weights


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"BACKBONE": "vgg16"}, "WEIGHTS"),
        ({"BACKBONE": "resnet50"}, "WEIGHTS"),
        ({"BACKBONE": "vgg16", "WEIGHTS": "random", "ALPHA": 0.5}, "ALPHA"),
        ({"BACKBONE": "mobilenet_v3_large", "WEIGHTS": "random", "ALPHA": 0.5}, "ALPHA"),
        ({"LAYER": "fc2"}, "LAYER"),
        ({"ALPHA": 1.0}, "ALPHA"),
        ({"ENGINE": "tensorflow", "PRECISION": "int8"}, "PRECISION"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Parameters(**values)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=lambda backbone: backbone.name)
def test_every_width_and_layer_of_a_backbone_is_accepted(backbone: Backbone) -> None:
    for alpha in (0.0, *backbone.alphas):
        for layer in backbone.layers:
            Parameters(BACKBONE=backbone.name, ALPHA=alpha, LAYER=layer, WEIGHTS="random")


@pytest.mark.parametrize(
    "values", [{"WEIGHTS": "a.h5"}, {"WEIGHTS": "imagenet", "ENGINE": "tensorflow"}]
)
def test_a_network_that_keras_builds_otherwise_for_imagenet_takes_no_file(
    values: dict[str, Any],
) -> None:
    Parameters(BACKBONE="efficientnet_b0", WEIGHTS="imagenet")
    with pytest.raises(ValueError, match="BACKBONE='efficientnet_b0' needs WEIGHTS='imagenet'"):
        Parameters(BACKBONE="efficientnet_b0", **values)


def test_every_parameter_is_declared_by_a_notebook_and_explained() -> None:
    for field in fields(Parameters):
        assert set(field.metadata["notebooks"]) <= set(NOTEBOOKS)
        assert field.metadata["notebooks"]
        assert field.metadata["meaning"]


def test_check_reads_the_declared_parameters_alone() -> None:
    values = {**declared("02_preprocess"), "IMAGE_SIZE": 64, "SEED": "not this notebook's", "x": 1}
    parameters = check("02_preprocess", values)
    assert parameters.IMAGE_SIZE == 64
    assert parameters.SEED == 0


def test_check_names_a_parameter_that_the_cell_lacks() -> None:
    values = declared("01_ingest")
    del values["LIMIT"]
    with pytest.raises(ValueError, match="parameters cell of 01_ingest must set LIMIT"):
        check("01_ingest", values)


def test_an_unknown_notebook_is_refused() -> None:
    with pytest.raises(ValueError, match="got '06_more'"):
        declared("06_more")


@pytest.mark.parametrize(
    ("mistyped", "nearest"),
    [("IMAGE_SIZ", "IMAGE_SIZE"), ("image_size", "IMAGE_SIZE"), ("RUN_URL", "RUN_URI")],
)
def test_an_unknown_name_is_refused_with_the_nearest(mistyped: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{mistyped!r}; nearest: {nearest}$"):
        refuse_unknown(["SEED", mistyped])


def test_known_names_are_accepted() -> None:
    refuse_unknown(field.name for field in fields(Parameters))


def test_seed_and_split_enter_the_networks_fingerprint_only_where_they_are_used() -> None:
    plain = Parameters().fingerprint_inputs("networks")
    assert not {"SEED", "SPLIT"} & plain.keys()
    assert Parameters(WEIGHTS="random").fingerprint_inputs("networks").keys() - plain.keys() == {
        "SEED"
    }
    int8 = Parameters(PRECISION="int8").fingerprint_inputs("networks")
    assert int8.keys() - plain.keys() == {"SEED", "SPLIT"}


def test_run_uri_enters_no_fingerprint() -> None:
    for table in ("images", "pixels", "networks", "splits", "pca", "classify"):
        assert "RUN_URI" not in Parameters().fingerprint_inputs(table)


def test_a_fingerprint_depends_on_the_content_alone() -> None:
    content = {"b": 1, "a": [2.0, "é"]}
    assert fingerprint(content) == fingerprint({"a": [2.0, "é"], "b": 1})
    canonical = rb'{"a":[2.0,"\u00e9"],"b":1}'
    assert fingerprint(content) == hashlib.sha256(canonical).hexdigest()[:16]
    for other in ({"b": 1.0, "a": [2.0, "é"]}, {"b": 1, "a": [2.0, "e"]}, {"b": 1}):
        assert fingerprint(other) != fingerprint(content)


def test_a_fingerprint_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": float("nan")})
