"""The one table of parameters: type, rule, notebooks, and the fingerprints each one enters.

A notebook's parameters cell holds literals; the cell after it calls :func:`check`, so a wrong
type or value is refused wherever the notebook runs: Jupyter, papermill or Amazon EMR. The cells
and the README's table are generated from this table (``make docs``).
"""

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from helpers.backbones import ALPHAS, BACKBONES, LAYERS, POOLED, SAMPLE

NOTEBOOKS = ("01_ingest", "02_preprocess", "03_featurize", "04_pca", "05_classify")

KAGGLE = "kaggle://moltean/fruits"
CURRENT = "current"
PILLOW_LIMIT = 178_956_970  # pixels: Pillow opens nothing larger


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes
    ----------
    description
        In words, as they follow "must be".
    accepts
        Whether a value of the right type is allowed.
    """

    description: str
    accepts: Callable[[Any], bool]


def one_of(*values: Any) -> Rule:
    """Allow these values alone."""
    return Rule("one of " + ", ".join(map(repr, values)), lambda value: value in values)


def between(low: float, high: float) -> Rule:
    """Allow values from ``low`` to ``high``."""
    return Rule(f"from {low:,} to {high:,}", lambda value: low <= value <= high)


def _is_fingerprint(value: str) -> bool:
    return value == CURRENT or re.fullmatch(r"[0-9a-f]{16}", value) is not None


def _is_weights(value: str) -> bool:
    named = value in ("sample", "imagenet", "random")
    return named or re.fullmatch(r"[^#]*\.h5(#sha256=[0-9a-fA-F]{64})?", value) is not None


def _is_component_count(value: float) -> bool:
    return 0 < value < 1 if isinstance(value, float) else value >= 1


A_URI = Rule("a folder or an s3:// or s3a:// URI, not empty", lambda value: value.strip() != "")
A_RESULT = Rule(f"{CURRENT!r} or a fingerprint of 16 hex digits", _is_fingerprint)

#: whether a parameter enters a table's fingerprint, given all parameters
Condition = Callable[["Parameters"], bool]


def always(_parameters: "Parameters") -> bool:
    """Enter the fingerprint in every case."""
    return True


def if_int8(parameters: "Parameters") -> bool:
    """Enter the fingerprint where int8 is calibrated with photos of the training side."""
    return parameters.PRECISION == "int8"


def if_int8_or_random(parameters: "Parameters") -> bool:
    """Enter the fingerprint where calibration photos or weights are drawn at random."""
    return parameters.PRECISION == "int8" or parameters.WEIGHTS == "random"


def _parameter(default: Any, rule: Rule, notebooks: str, meaning: str, **enters: Condition) -> Any:
    """Declare a parameter; ``enters`` maps a table to the condition under which it enters it."""
    names = tuple(name for name in NOTEBOOKS if name[1] in notebooks)
    return field(
        default=default,
        metadata={"rule": rule, "notebooks": names, "enters": enters, "meaning": meaning},
    )


@dataclass(frozen=True)
class Parameters:
    """Checked parameters of one run; names are spelled as in the notebooks.

    Raises
    ------
    ValueError
        If a value breaks its rule, or if two values contradict each other; the message names the
        parameter, the rule and the value received.
    TypeError
        If a value is not of the parameter's type.
    """

    SOURCE_URI: str = _parameter(
        "data_sample",
        A_URI,
        "1",
        f"photos: a folder, a glob, a .zip or .tar, an s3:// prefix, or {KAGGLE}",
        images=always,
    )
    RUN_URI: str = _parameter(
        "runs/sample", A_URI, "12345", "where the results go: a folder or an s3:// prefix"
    )
    LABEL_LEVEL: int = _parameter(
        1,
        between(1, 20),
        "1",
        "label of a photo: 1 is its folder, 2 the folder above",
        images=always,
    )
    LIMIT: int = _parameter(
        0, between(0, 10**9), "1", "most photos per class; 0 takes all", images=always
    )
    SAMPLE_FRACTION: float = _parameter(
        1.0,
        Rule("above 0, at most 1", lambda value: 0 < value <= 1),
        "1",
        "share of each class that is taken",
        images=always,
    )
    IMAGE_SIZE: int = _parameter(
        224,
        between(32, 512),
        "2",
        "largest height and width in pixels; larger photos are reduced",
        pixels=always,
    )
    MAX_BYTES: int = _parameter(
        50_000_000, between(1, 2**31 - 1), "2", "most bytes of a photo's file", pixels=always
    )
    MAX_PIXELS: int = _parameter(
        100_000_000,
        between(1, PILLOW_LIMIT),
        "2",
        "most pixels of a photo: height x width",
        pixels=always,
    )
    MAX_ASPECT: float = _parameter(
        20.0,
        between(1.0, 10_000.0),
        "2",
        "largest ratio of a photo's longer side to its shorter side",
        pixels=always,
    )
    MAX_REJECT_FRACTION: float = _parameter(
        0.05, between(0.0, 1.0), "2", "share of rejected photos above which the run stops"
    )
    RETRY_REJECTS: bool = _parameter(
        False, one_of(False, True), "2", "decode the photos rejected earlier again"
    )
    PIXELS: str = _parameter(
        CURRENT, A_RESULT, "3", "result of 02 to read: the current one or a fingerprint"
    )
    BACKBONE: str = _parameter(
        "mobilenet_v2",
        one_of(*BACKBONES),
        "3",
        "network that turns pixels into features",
        networks=always,
    )
    ALPHA: float = _parameter(
        0.0,
        one_of(0.0, *ALPHAS),
        "3",
        "width of a MobileNet; 0 takes the width of the weights",
        networks=always,
    )
    LAYER: str = _parameter(
        POOLED,
        one_of(*LAYERS),
        "3",
        "layer whose output is the features; fc2 is for vgg16",
        networks=always,
    )
    WEIGHTS: str = _parameter(
        "sample",
        Rule(
            "'sample', 'imagenet', 'random' or a URI ending in .h5 or .h5#sha256=DIGEST",
            _is_weights,
        ),
        "3",
        "weights of the network",
        networks=always,
    )
    ENGINE: str = _parameter(
        "openvino", one_of("openvino", "tensorflow"), "3", "what runs the network", networks=always
    )
    PRECISION: str = _parameter(
        "f32",
        one_of("f32", "bf16", "int8"),
        "3",
        "numbers the network computes with",
        networks=always,
    )
    SPLIT: str = _parameter(
        "blocked",
        one_of("blocked", "folder", "random"),
        "34",
        "how photos are divided into a training and a test side",
        splits=always,
        networks=if_int8,
    )
    SEED: int = _parameter(
        0,
        between(0, 2**31 - 1),
        "345",
        "seed of every random draw",
        splits=always,
        networks=if_int8_or_random,
        classify=always,
    )
    FEATURES: str = _parameter(
        CURRENT, A_RESULT, "4", "result of 03 to read: the current one or a fingerprint"
    )
    COMPONENTS: int | float = _parameter(
        0.9,
        Rule("an int from 1, or a float between 0 and 1", _is_component_count),
        "4",
        "number of components, or the share of variance that they explain",
        pca=always,
    )
    STANDARDIZE: bool = _parameter(
        True,
        one_of(True, False),
        "4",
        "divide each feature by its standard deviation",
        pca=always,
    )
    PCA: str = _parameter(
        CURRENT, A_RESULT, "5", "result of 04 to read: the current one or a fingerprint"
    )
    CLASSIFIER: str = _parameter(
        "logistic_regression",
        one_of("logistic_regression", "random_forest"),
        "5",
        "classifier that is fitted on the scores",
        classify=always,
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = _check_type(declared.name, getattr(self, declared.name), declared.type)
            object.__setattr__(self, declared.name, value)
            rule: Rule = declared.metadata["rule"]
            if not rule.accepts(value):
                raise ValueError(f"{declared.name} must be {rule.description}, got {value!r}")
        self._check_network()

    def _check_network(self) -> None:
        """Refuse combinations that no network has."""
        backbone = BACKBONES[self.BACKBONE]
        if self.WEIGHTS == "sample":
            if SAMPLE.backbone != self.BACKBONE:
                raise ValueError(
                    f"WEIGHTS='sample' is a {SAMPLE.backbone}; BACKBONE={self.BACKBONE!r} needs "
                    "'imagenet', 'random' or the URI of an .h5 file"
                )
            if self.ALPHA not in (0.0, SAMPLE.alpha):
                raise ValueError(
                    f"ALPHA must be {SAMPLE.alpha} with WEIGHTS='sample', got {self.ALPHA!r}"
                )
        if self.ALPHA not in (0.0, *(backbone.alphas or (1.0,))):
            widths = ", ".join(map(str, backbone.alphas)) or "1.0 (it has one width)"
            raise ValueError(
                f"ALPHA of {self.BACKBONE} must be 0.0 or one of {widths}, got {self.ALPHA!r}"
            )
        if self.LAYER not in backbone.layers:
            layers = ", ".join(map(repr, backbone.layers))
            raise ValueError(
                f"LAYER of {self.BACKBONE} must be one of {layers}, got {self.LAYER!r}"
            )
        is_fetched = self.WEIGHTS == "imagenet" and self.ENGINE == "openvino"
        if backbone.has_own_imagenet_graph and not (is_fetched or self.WEIGHTS == "random"):
            raise ValueError(
                f"BACKBONE={self.BACKBONE!r} needs WEIGHTS='imagenet' with ENGINE='openvino': "
                "Keras builds another network for a weights file, got "
                f"WEIGHTS={self.WEIGHTS!r} with ENGINE={self.ENGINE!r}"
            )
        if self.ENGINE == "tensorflow" and self.PRECISION != "f32":
            raise ValueError(
                f"PRECISION must be 'f32' with ENGINE='tensorflow', got {self.PRECISION!r}"
            )

    def fingerprint_inputs(self, table: str) -> dict[str, Any]:
        """Return name and value of each parameter that enters the fingerprint of ``table``."""
        return {
            declared.name: getattr(self, declared.name)
            for declared in fields(self)
            if table in declared.metadata["enters"] and declared.metadata["enters"][table](self)
        }


def declared(notebook: str) -> dict[str, Any]:
    """Return the parameters of one notebook: name to default, in the table's order.

    Raises
    ------
    ValueError
        If there is no such notebook.
    """
    if notebook not in NOTEBOOKS:
        raise ValueError(f"notebook must be one of {', '.join(NOTEBOOKS)}, got {notebook!r}")
    return {
        parameter.name: parameter.default
        for parameter in fields(Parameters)
        if notebook in parameter.metadata["notebooks"]
    }


def check(notebook: str, values: Mapping[str, Any]) -> Parameters:
    """Check the parameters that a notebook declares.

    Parameters
    ----------
    notebook
        Name without ending, such as ``"02_preprocess"``.
    values
        The notebook's variables, as ``globals()`` gives them. Only the declared parameters are
        read.

    Raises
    ------
    ValueError, TypeError
        As :class:`Parameters`, or if a declared parameter is missing.
    """
    missing = [name for name in declared(notebook) if name not in values]
    if missing:
        raise ValueError(f"the parameters cell of {notebook} must set {', '.join(missing)}")
    return Parameters(**{name: values[name] for name in declared(notebook)})


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise if a name is no parameter; the message names the nearest parameter.

    Raises
    ------
    ValueError
        If a name is declared by no notebook.
    """
    known = [parameter.name for parameter in fields(Parameters)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise ValueError(f"no notebook declares the parameter {name!r}; nearest: {near[0]}")


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return 16 hex digits of the SHA-256 of ``content`` as canonical JSON.

    >>> fingerprint({"b": 1, "a": [2.0]}) == fingerprint({"a": [2.0], "b": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _check_type(name: str, value: Any, expected: Any) -> Any:
    """Return ``value`` if it has the type ``expected``; an int becomes a float where one is due."""
    is_bool = isinstance(value, bool)
    if expected is float and isinstance(value, int) and not is_bool:
        return float(value)
    if not isinstance(value, expected) or (is_bool and expected is not bool):
        words = getattr(expected, "__name__", str(expected))
        raise TypeError(f"{name} must be of type {words}, got {value!r} ({type(value).__name__})")
    return value
