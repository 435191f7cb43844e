"""What a network is asked to be, and the exported network."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from helpers.backbones import BACKBONES, INPUT_SIZE, SAMPLE, Backbone
from helpers.parameters import Parameters

#: rises when features move by more than 1e-5, whatever the precision
FEATURES_VERSION = 3

#: photos in the network's fixed batch; the last batch is padded (measured: 1 is best in float32)
BATCH = {"f32": 1, "bf16": 1, "int8": 8}
#: processor features that decide how bfloat16 and int8 are computed
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

OPENVINO_FILES = ("network.xml", "network.bin")
KERAS_FILES = ("network.weights.h5",)


@dataclass(frozen=True)
class NetworkSpec:
    """All that decides the features of a photo's pixels.

    Attributes
    ----------
    backbone, layer
        As the parameters BACKBONE and LAYER.
    alpha
        Width of the backbone; 0 takes the width of the weights.
    input_size
        Height and width of the network's input, in pixels.
    weights
        ``imagenet``, ``random``, or the SHA-256 of a weights file.
    engine, precision
        As the parameters ENGINE and PRECISION.
    batch
        Photos that the exported graph computes at once.
    seed
        Of random weights, or of the draw of int8's calibration photos; None for neither.
    instructions
        Processor features that the numbers depend on; None in float32.
    pixels, split
        Fingerprint of the pixels, and the parameter SPLIT: they decide which photos int8 is
        calibrated with. None for other precisions.
    version
        ``FEATURES_VERSION``.
    """

    backbone: str
    alpha: float
    layer: str
    input_size: int
    weights: str
    engine: str
    precision: str
    batch: int
    seed: int | None = None
    instructions: str | None = None
    pixels: str | None = None
    split: str | None = None
    version: int = FEATURES_VERSION

    @classmethod
    def from_parameters(cls, parameters: Parameters, weights: str, pixels: str) -> Self:
        """Specify the network that parameters ask for.

        Parameters
        ----------
        weights
            As the attribute.
        pixels
            Fingerprint of the pixels.
        """
        is_int8 = parameters.PRECISION == "int8"
        is_float32 = parameters.PRECISION == "f32"
        return cls(
            backbone=parameters.BACKBONE,
            alpha=parameters.ALPHA,
            layer=parameters.LAYER,
            input_size=choose_input_size(parameters),
            weights=weights,
            engine=parameters.ENGINE,
            precision=parameters.PRECISION,
            batch=BATCH[parameters.PRECISION],
            seed=parameters.SEED if is_int8 or weights == "random" else None,
            instructions=None if is_float32 else read_instruction_set(),
            pixels=pixels if is_int8 else None,
            split=parameters.SPLIT if is_int8 else None,
        )

    @property
    def row(self) -> Backbone:
        """The backbone's row in the table of backbones."""
        return BACKBONES[self.backbone]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Network:
    """An exported network, as it is broadcast to the executors.

    Two networks are equal if their fingerprints are, so a worker that has compiled a network finds
    it again.

    Attributes
    ----------
    fingerprint
        Of the spec, the weights and the width.
    spec
        What it was asked to be.
    files
        Content of its files by name.
    width
        Number of features.
    alpha
        Width of the backbone.
    weights_sha256
        SHA-256 of all weights, in the network's order.
    calibrated
        image_ids of the photos that int8 was calibrated with.
    """

    fingerprint: str
    spec: NetworkSpec
    files: Mapping[str, bytes]
    width: int
    alpha: float
    weights_sha256: str
    calibrated: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def choose_input_size(parameters: Parameters) -> int:
    """Choose the height and width of the network's input, in pixels."""
    return SAMPLE.input_size if parameters.WEIGHTS == "sample" else INPUT_SIZE


def read_instruction_set() -> str:
    """Read the processor features that decide the bits of a bfloat16 or int8 result."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.machine()
    flags = next((line for line in file.read_text().splitlines() if line.startswith("flags")), "")
    present = set(flags.partition(":")[2].split())
    return " ".join([platform.machine(), *(name for name in INSTRUCTIONS if name in present)])
