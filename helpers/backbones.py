"""The network that turns pixels into features: built by Keras once, exported, kept.

Keras and TensorFlow are loaded in a subprocess that ends, since TensorFlow keeps 2 GB otherwise.
Enlarging to the network's input and Keras's own preprocessing are part of the exported graph, so
every engine shares them.
"""

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.parameters import Parameters, fingerprint
from helpers.storage import snapshots
from helpers.storage.location import Location, locate

#: rises when features move by more than 1e-5, whatever the precision
FEATURES_VERSION = 2

SAMPLE_WEIGHTS = "mobilenet_v2_0.35_96.weights.h5"
SAMPLE_SHA256 = "f982f85ba9e8a9d711c359096577ec1bb87b1df8c3730a87e53fd990a5c82a5f"
SAMPLE_INPUT = 96
INPUT = 224
#: photos in the network's fixed batch; the tail is padded (measured: 1 is best in float32)
BATCH = {"f32": 1, "bf16": 1, "int8": 8}
CALIBRATION_PHOTOS = 300
#: processor features that decide how bfloat16 and int8 are computed
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

OPENVINO_FILES = ("network.xml", "network.bin")
KERAS_FILES = ("network.weights.h5",)
CALIBRATION = "calibration.npz"

_SHA_MARK = "#sha256="


class NetworkError(RuntimeError):
    """The network could not be built; the message is the builder's own error."""


@dataclass(frozen=True)
class Network:
    """An exported network, as it is broadcast to the executors.

    ``request`` says what was asked for; ``files`` are its bytes by name; ``calibrated`` are the
    image_ids of the photos that int8 was calibrated with.
    """

    fingerprint: str
    request: Mapping[str, Any] = field(compare=False, repr=False)
    files: Mapping[str, bytes] = field(compare=False, repr=False)
    width: int = field(compare=False)
    alpha: float = field(compare=False)
    calibrated: tuple[str, ...] = field(compare=False, repr=False, default=())

    @property
    def input_size(self) -> int:
        return int(self.request["input"])


def input_size(parameters: Parameters) -> int:
    """Height and width of the network's input, in pixels."""
    return SAMPLE_INPUT if parameters.WEIGHTS == "sample" else INPUT


def network(
    parameters: Parameters,
    table: Location,
    run_id: str,
    pixels: str,
    calibration: Callable[[], Mapping[str, NDArray[np.uint8]]],
) -> Network:
    """The network of these parameters: loaded if it is kept in ``table``, else built and kept.

    Parameters
    ----------
    table
        The run's ``networks``.
    run_id
        Name of this execution, for the snapshot.
    pixels
        Fingerprint of the pixels; part of the request for int8.
    calibration
        Gives the pictures that int8 is calibrated with, by image_id; called only where they are
        needed.

    Raises
    ------
    ValueError
        If the weights are not as WEIGHTS says: missing, damaged, or of another network.
    NetworkError
        If Keras fails to build it.
    """
    request, weights = _request(parameters, pixels)
    for name in table.folders():
        kept = snapshots.Snapshot(table / name)
        if kept.is_whole and kept.manifest["request"] == request:
            return _loaded(kept, name.partition("-")[0])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if weights is not None:
            (folder / "weights.h5").write_bytes(weights)
        pictures = calibration() if request["precision"] == "int8" else {}
        if pictures:
            np.savez(folder / CALIBRATION, *pictures.values())
        built = _build(request, folder)
        names = OPENVINO_FILES if request["engine"] == "openvino" else KERAS_FILES
        files = {name: (folder / name).read_bytes() for name in names}
    content = {**request, "weights_sha256": built["weights_sha256"], "alpha": built["alpha"]}
    fingerprinted = fingerprint(content)
    draft = snapshots.draft(table, fingerprinted, run_id)
    for name, blob in files.items():
        (draft.location / name).write(blob)
    draft.finish(
        {
            "request": request,
            "alpha": built["alpha"],
            "weights_sha256": built["weights_sha256"],
            "width": built["width"],
            "calibrated": list(pictures),
            "files": {name: hashlib.sha256(blob).hexdigest() for name, blob in files.items()},
        }
    )
    width, alpha = built["width"], built["alpha"]
    return Network(fingerprinted, request, files, width, alpha, tuple(pictures))


def instruction_set() -> str:
    """The processor features that decide the bits of a bfloat16 or int8 result."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.machine()
    flags = next((line for line in file.read_text().splitlines() if line.startswith("flags")), "")
    has = set(flags.partition(":")[2].split())
    return " ".join([platform.machine(), *(name for name in INSTRUCTIONS if name in has)])


def _request(parameters: Parameters, pixels: str) -> tuple[dict[str, Any], bytes | None]:
    """What to build, in terms that are known before it is built; and the weights' bytes."""
    request: dict[str, Any] = {
        "version": FEATURES_VERSION,
        "backbone": parameters.BACKBONE,
        "alpha": parameters.ALPHA,
        "layer": parameters.LAYER,
        "engine": parameters.ENGINE,
        "precision": parameters.PRECISION,
        "input": input_size(parameters),
        "batch": BATCH[parameters.PRECISION],
    }
    weights = None
    match parameters.WEIGHTS:
        case "sample":
            weights = (resources.files("helpers.weights") / SAMPLE_WEIGHTS).read_bytes()
            request["weights"] = _sha256(weights, "WEIGHTS='sample'", SAMPLE_SHA256)
        case "imagenet":
            request["weights"] = "imagenet"
        case "random":
            request["weights"] = f"random, seed {parameters.SEED}"
            request["seed"] = parameters.SEED
        case uri:
            place, _, expected = uri.partition(_SHA_MARK)
            weights = _fetched(place)
            request["weights"] = _sha256(weights, f"WEIGHTS={place!r}", expected)
    if parameters.PRECISION != "f32":
        request["instructions"] = instruction_set()
    if parameters.PRECISION == "int8":
        request |= {"pixels": pixels, "split": parameters.SPLIT, "seed": parameters.SEED}
    return request, weights


def _fetched(uri: str) -> bytes:
    if not uri.endswith(".h5"):
        raise ValueError(
            f"WEIGHTS must be 'sample', 'imagenet', 'random' or the URI of an .h5 file, got {uri!r}"
        )
    try:
        return locate(uri).read()
    except FileNotFoundError as error:
        raise ValueError(f"WEIGHTS names a file that is not there: {uri!r}") from error


def _sha256(content: bytes, what: str, expected: str) -> str:
    actual = hashlib.sha256(content).hexdigest()
    if expected and actual != expected.lower():
        raise ValueError(f"{what} must have SHA-256 {expected}, got {actual}")
    return actual


def _loaded(kept: snapshots.Snapshot, fingerprinted: str) -> Network:
    """A kept network.

    Raises
    ------
    OSError
        If one of its files is gone or damaged.
    """
    manifest = kept.manifest
    files = {name: (kept.location / name).read() for name in manifest["files"]}
    for name, blob in files.items():
        if hashlib.sha256(blob).hexdigest() != manifest["files"][name]:
            raise OSError(
                f"damaged: {(kept.location / name).uri} has not the SHA-256 of its manifest; "
                f"delete {kept.location.uri} to have it built anew"
            )
    request, width, alpha = (manifest[name] for name in ("request", "width", "alpha"))
    return Network(fingerprinted, request, files, width, alpha, tuple(manifest["calibrated"]))


def _build(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run the builder; it leaves the network's files in ``folder``."""
    (folder / "request.json").write_text(json.dumps(dict(request)))
    done = subprocess.run(
        [sys.executable, "-m", "helpers.builder", str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    answer = folder / "answer.json"
    if not answer.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise NetworkError(f"the network {dict(request)} could not be built: {reason}")
    built: dict[str, Any] = json.loads(answer.read_text())
    if "refused" in built:
        raise ValueError(built["refused"])
    return built
