"""The one table of parameters: type, rule, notebooks, and the fingerprints each one enters.

A notebook's parameters cell holds literals; the cell after it calls :func:`check`, so a wrong
type or value is refused wherever the notebook runs: Jupyter, papermill or Amazon EMR.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

NOTEBOOKS = ("01_ingest", "02_preprocess", "03_featurize", "04_pca", "05_classify")

KAGGLE = "kaggle://moltean/fruits"
CURRENT = "current"
PILLOW_LIMIT = 178_956_970  # pixels: Pillow opens nothing larger
ALPHAS = (0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def one_of(*values: Any) -> Rule:
    return Rule("one of " + ", ".join(map(repr, values)), lambda value: value in values)


def between(low: float, high: float) -> Rule:
    return Rule(f"from {low:,} to {high:,}", lambda value: low <= value <= high)


def _is_result(value: str) -> bool:
    return value == CURRENT or re.fullmatch(r"[0-9a-f]{16}", value) is not None


def _is_weights(value: str) -> bool:
    return value in ("sample", "imagenet", "random") or value.partition("#")[0].endswith(".h5")


def _is_number_of_components(value: float) -> bool:
    return 0 < value < 1 if isinstance(value, float) else value >= 1


A_URI = Rule("a folder or an s3:// or s3a:// URI, not empty", lambda value: value.strip() != "")
A_RESULT = Rule(f"{CURRENT!r} or a fingerprint of 16 hex digits", _is_result)


def _parameter(
    default: Any, rule: Rule, notebooks: str, enters: tuple[str, ...], meaning: str
) -> Any:
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
        If a value breaks its rule or two of them contradict each other; the message names the
        parameter, the rule and the value received.
    TypeError
        If a value is not of the parameter's type.
    """

    SOURCE_URI: str = _parameter(
        "data_sample",
        A_URI,
        "1",
        ("images",),
        f"photos: a folder, a glob, a .zip or .tar, an s3:// prefix, or {KAGGLE}",
    )
    RUN_URI: str = _parameter(
        "runs/sample", A_URI, "12345", (), "where the results go: a folder or an s3:// prefix"
    )
    LABEL_LEVEL: int = _parameter(
        1, between(1, 20), "1", ("images",), "label: 1 is the parent folder, 2 the one above it"
    )
    LIMIT: int = _parameter(
        0, between(0, 10**9), "1", ("images",), "photos a class at most, 0 takes all"
    )
    SAMPLE_FRACTION: float = _parameter(
        1.0,
        Rule("above 0, at most 1", lambda value: 0 < value <= 1),
        "1",
        ("images",),
        "share of each class that is taken",
    )
    IMAGE_SIZE: int = _parameter(
        224, between(32, 512), "2", ("pixels",), "pixels: a larger side is reduced to this"
    )
    MAX_BYTES: int = _parameter(
        50_000_000, between(1, 2**31 - 1), "2", ("pixels",), "bytes a photo's file may have"
    )
    MAX_PIXELS: int = _parameter(
        100_000_000, between(1, PILLOW_LIMIT), "2", ("pixels",), "height x width a photo may have"
    )
    MAX_ASPECT: float = _parameter(
        20.0, between(1.0, 10_000.0), "2", ("pixels",), "longer side over shorter side at most"
    )
    MAX_REJECT_FRACTION: float = _parameter(
        0.05, between(0.0, 1.0), "2", (), "share of rejected photos above which the run stops"
    )
    RETRY_REJECTS: bool = _parameter(
        False, one_of(False, True), "2", (), "try the photos rejected earlier again"
    )
    PIXELS: str = _parameter(CURRENT, A_RESULT, "3", (), "which result of 02 to featurize")
    BACKBONE: str = _parameter(
        "mobilenet_v2",
        one_of("mobilenet_v2", "vgg16"),
        "3",
        ("networks",),
        "network that turns pixels into features",
    )
    ALPHA: float = _parameter(
        0.0,
        one_of(0.0, *ALPHAS),
        "3",
        ("networks",),
        "width of MobileNetV2; 0 is as the weights",
    )
    LAYER: str = _parameter(
        "pooled", one_of("pooled", "fc2"), "3", ("networks",), "features: fc2 is VGG16's alone"
    )
    WEIGHTS: str = _parameter(
        "sample",
        Rule("'sample', 'imagenet', 'random' or a URI ending in .h5", _is_weights),
        "3",
        ("networks",),
        "sample, imagenet, random, or the URI of an .h5 file",
    )
    ENGINE: str = _parameter(
        "openvino", one_of("openvino", "tensorflow"), "3", ("networks",), "what runs the network"
    )
    PRECISION: str = _parameter(
        "f32", one_of("f32", "bf16", "int8"), "3", ("networks",), "numbers the network computes in"
    )
    SPLIT: str = _parameter(
        "blocked",
        one_of("blocked", "folder", "random"),
        "34",
        ("splits", "networks:int8"),
        "how photos are dealt to the training and the test side",
    )
    SEED: int = _parameter(
        0,
        between(0, 2**31 - 1),
        "345",
        ("splits", "networks:int8", "networks:random", "classify"),
        "seed of every random draw",
    )
    FEATURES: str = _parameter(CURRENT, A_RESULT, "4", (), "which result of 03 to analyse")
    COMPONENTS: int | float = _parameter(
        0.9,
        Rule("an int from 1, or a float between 0 and 1", _is_number_of_components),
        "4",
        ("pca",),
        "components: an int is their number, a float below 1 the share of variance",
    )
    STANDARDIZE: bool = _parameter(
        True, one_of(True, False), "4", ("pca",), "divide each feature by its standard deviation"
    )
    PCA: str = _parameter(CURRENT, A_RESULT, "5", (), "which result of 04 to classify")
    CLASSIFIER: str = _parameter(
        "logistic_regression",
        one_of("logistic_regression", "random_forest"),
        "5",
        ("classify",),
        "classifier fitted on the scores",
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = _typed(declared.name, getattr(self, declared.name), declared.type)
            object.__setattr__(self, declared.name, value)
            rule: Rule = declared.metadata["rule"]
            if not rule.holds(value):
                raise ValueError(f"{declared.name} must be {rule.words}, got {value!r}")
        self._check_network()

    def _check_network(self) -> None:
        """Refuse combinations that no network has."""
        if self.BACKBONE == "vgg16":
            if self.WEIGHTS == "sample":
                raise ValueError(
                    "WEIGHTS='sample' is a MobileNetV2; BACKBONE='vgg16' needs 'imagenet', "
                    "'random' or the URI of an .h5 file"
                )
            if self.ALPHA not in (0.0, 1.0):
                raise ValueError(f"ALPHA is for mobilenet_v2, got {self.ALPHA!r} with vgg16")
        elif self.LAYER == "fc2":
            raise ValueError("LAYER='fc2' is a layer of vgg16, got BACKBONE='mobilenet_v2'")
        if self.WEIGHTS == "sample" and self.ALPHA not in (0.0, 0.35):
            raise ValueError(f"ALPHA must be 0.35 with WEIGHTS='sample', got {self.ALPHA!r}")
        if self.ENGINE == "tensorflow" and self.PRECISION != "f32":
            raise ValueError(
                f"PRECISION must be 'f32' with ENGINE='tensorflow', got {self.PRECISION!r}"
            )

    def entering(self, table: str) -> dict[str, Any]:
        """Name and value of each parameter that enters the fingerprint of ``table``."""
        kinds = {table, f"{table}:{self.PRECISION}", f"{table}:{self.WEIGHTS}"}
        return {
            declared.name: getattr(self, declared.name)
            for declared in fields(self)
            if kinds & set(declared.metadata["enters"])
        }


def declared(notebook: str) -> dict[str, Any]:
    """Parameters of one notebook, name to default, in the table's order.

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
        The notebook's variables, as ``globals()`` gives them; others than the declared
        parameters are ignored.

    Raises
    ------
    ValueError, TypeError
        As :class:`Parameters`; and if a declared parameter is missing.
    """
    missing = [name for name in declared(notebook) if name not in values]
    if missing:
        raise ValueError(f"{notebook} declares {', '.join(missing)}, which the cell above lacks")
    return Parameters(**{name: values[name] for name in declared(notebook)})


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise if a name is no parameter, with the nearest declared one.

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
    """16 hex digits of the SHA-256 of ``content`` as canonical JSON.

    >>> fingerprint({"b": 1, "a": [2.0]}) == fingerprint({"a": [2.0], "b": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _typed(name: str, value: Any, expected: Any) -> Any:
    """``value`` if it has the type ``expected``; an int passes for a float and becomes one."""
    is_bool = isinstance(value, bool)
    if expected is float and isinstance(value, int) and not is_bool:
        return float(value)
    if not isinstance(value, expected) or (is_bool and expected is not bool):
        words = getattr(expected, "__name__", str(expected))
        raise TypeError(f"{name} must be of type {words}, got {value!r} ({type(value).__name__})")
    return value
