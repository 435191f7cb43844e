"""Networks that are built once and kept in the run's table ``networks``."""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.backbones import SAMPLE
from helpers.network.calibration import Calibration
from helpers.network.spec import KERAS_FILES, OPENVINO_FILES, Network, NetworkSpec
from helpers.parameters import Parameters, fingerprint
from helpers.run.snapshots import Snapshot, draft_snapshot
from helpers.storage.location import Location, locate

# Files by which the driver and the exporting process talk.
SPEC, ANSWER = "spec.json", "answer.json"
WEIGHTS, CALIBRATION = "weights.h5", "calibration.npz"

_SHA_MARK = "#sha256="


class NetworkError(RuntimeError):
    """The network could not be built; the message is the exporting process's own error."""


def specify_network(parameters: Parameters, pixels: str) -> tuple[NetworkSpec, bytes | None]:
    """Specify the network that parameters ask for, and read its weights.

    Parameters
    ----------
    pixels
        Fingerprint of the pixels.

    Returns
    -------
    spec, weights
        The weights are the content of a file; None where the spec names no file.

    Raises
    ------
    ValueError
        If there is no such file, or if it has not the SHA-256 asked for.
    """
    name, weights = read_weights(parameters.WEIGHTS)
    return NetworkSpec.from_parameters(parameters, name, pixels), weights


def read_weights(weights: str) -> tuple[str, bytes | None]:
    """Read what the parameter WEIGHTS names.

    Returns
    -------
    name, content
        ``imagenet``, ``random`` or the file's SHA-256; and the file's bytes, or None.

    Raises
    ------
    ValueError
        If there is no such file, or if it has not the SHA-256 asked for.
    """
    if weights in ("imagenet", "random"):
        return weights, None
    if weights == "sample":
        content = (resources.files("helpers.network.weights") / SAMPLE.file).read_bytes()
        return _check_sha256(content, "WEIGHTS='sample'", SAMPLE.sha256), content
    uri, _, expected = weights.partition(_SHA_MARK)
    if not uri.endswith(".h5"):
        raise ValueError(
            f"WEIGHTS must be 'sample', 'imagenet', 'random' or the URI of an .h5 file, got {uri!r}"
        )
    try:
        content = locate(uri).read()
    except FileNotFoundError as error:
        raise ValueError(f"WEIGHTS must be a file that exists, got {uri!r}") from error
    return _check_sha256(content, f"WEIGHTS={uri!r}", expected), content


def find_network(table: Location, spec: NetworkSpec) -> Network | None:
    """Find a kept network.

    Parameters
    ----------
    table
        The run's ``networks``.

    Raises
    ------
    OSError
        If one of its files is gone or damaged.
    """
    wanted = spec.to_json()
    for name in table.list_folders():
        kept = Snapshot(table / name)
        if kept.is_whole and kept.manifest.get("spec") == wanted:
            return _load(kept, spec)
    return None


def prepare_network(
    table: Location,
    run_id: str,
    spec: NetworkSpec,
    weights: bytes | None,
    calibration: Calibration | None,
) -> Network:
    """Find a network, or build, export and keep it.

    Parameters
    ----------
    table
        The run's ``networks``.
    run_id
        Name of this execution, for the snapshot.
    weights
        Content of the weights file; None where the spec names no file.
    calibration
        Photos to calibrate int8 with; None for other precisions.

    Raises
    ------
    ValueError
        If the weights are damaged or belong to another network.
    NetworkError
        If Keras fails to build it.
    OSError
        If a file of the kept network is gone or damaged.
    """
    network = find_network(table, spec)
    if network is None:
        pictures = calibration.read_pictures() if calibration else {}
        network = build_network(spec, weights, pictures)
        draft = draft_snapshot(table, network.fingerprint, run_id)
        for file, content in network.files.items():
            (draft.location / file).write(content)
        draft.finish(
            {
                "spec": spec.to_json(),
                "alpha": network.alpha,
                "weights_sha256": network.weights_sha256,
                "width": network.width,
                "calibrated": list(network.calibrated),
                "files": {file: _sha256(content) for file, content in network.files.items()},
            }
        )
    return network


def build_network(
    spec: NetworkSpec, weights: bytes | None, pictures: Mapping[str, NDArray[np.uint8]]
) -> Network:
    """Build and export a network in a process of its own.

    Parameters
    ----------
    weights
        Content of the weights file; None where the spec names no file.
    pictures
        RGB arrays that int8 is calibrated with, by image_id; empty for other precisions.

    Raises
    ------
    ValueError
        If the weights are damaged or belong to another network.
    NetworkError
        If Keras fails to build it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if weights is not None:
            (folder / WEIGHTS).write_bytes(weights)
        if pictures:
            np.savez(folder / CALIBRATION, *pictures.values())
        built = _export(spec, folder)
        names = OPENVINO_FILES if spec.engine == "openvino" else KERAS_FILES
        files = {name: (folder / name).read_bytes() for name in names}
    alpha, digest = built["alpha"], built["weights_sha256"]
    return Network(
        fingerprint=fingerprint({**spec.to_json(), "weights_sha256": digest, "alpha": alpha}),
        spec=spec,
        files=files,
        width=built["width"],
        alpha=alpha,
        weights_sha256=digest,
        calibrated=tuple(pictures),
    )


def _load(kept: Snapshot, spec: NetworkSpec) -> Network:
    manifest = kept.manifest
    files = {name: (kept.location / name).read() for name in manifest["files"]}
    for name, content in files.items():
        if _sha256(content) != manifest["files"][name]:
            raise OSError(
                f"damaged: {(kept.location / name).uri} has not the SHA-256 of its manifest; "
                f"delete {kept.location.uri}, and the network is built again"
            )
    width, alpha, digest = (manifest[name] for name in ("width", "alpha", "weights_sha256"))
    return Network(
        kept.fingerprint, spec, files, width, alpha, digest, tuple(manifest["calibrated"])
    )


def _export(spec: NetworkSpec, folder: Path) -> dict[str, Any]:
    """Run the exporting process, which leaves the network's files in ``folder``."""
    (folder / SPEC).write_text(json.dumps(spec.to_json()))
    done = subprocess.run(
        [sys.executable, "-m", "helpers.network.export", str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    answer = folder / ANSWER
    if not answer.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise NetworkError(f"the network {spec} could not be built: {reason}")
    built: dict[str, Any] = json.loads(answer.read_text())
    if "refused" in built:
        raise ValueError(built["refused"])
    return built


def _check_sha256(content: bytes, what: str, expected: str) -> str:
    actual = _sha256(content)
    if expected and actual != expected.lower():
        raise ValueError(f"{what} must have the SHA-256 {expected}, got {actual}")
    return actual


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
