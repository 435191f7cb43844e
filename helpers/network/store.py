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
from helpers.network.spec import KERAS_FILES, OPENVINO_FILES, Network, NetworkSpec
from helpers.parameters import fingerprint
from helpers.run.snapshots import Snapshot, draft_snapshot
from helpers.storage.location import Location, locate

# Files by which the driver and the exporting process talk.
SPEC, ANSWER = "spec.json", "answer.json"
WEIGHTS, CALIBRATION = "weights.h5", "calibration.npz"

_SHA_MARK = "#sha256="


class NetworkError(RuntimeError):
    """The network could not be built; the message is the exporting process's own error."""


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


def build_network(
    table: Location,
    run_id: str,
    spec: NetworkSpec,
    weights: bytes | None,
    calibration: Mapping[str, NDArray[np.uint8]],
) -> Network:
    """Build and export a network in a process of its own, and keep it in ``table``.

    Parameters
    ----------
    run_id
        Name of this execution, for the snapshot.
    weights
        Content of the weights file; None where the spec names no file.
    calibration
        Pictures that int8 is calibrated with, by image_id; empty for other precisions.

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
        if calibration:
            np.savez(folder / CALIBRATION, *calibration.values())
        built = _export(spec, folder)
        names = OPENVINO_FILES if spec.engine == "openvino" else KERAS_FILES
        files = {name: (folder / name).read_bytes() for name in names}
    alpha, digest = built["alpha"], built["weights_sha256"]
    name = fingerprint({**spec.to_json(), "weights_sha256": digest, "alpha": alpha})
    draft = draft_snapshot(table, name, run_id)
    for file, content in files.items():
        (draft.location / file).write(content)
    draft.finish(
        {
            "spec": spec.to_json(),
            "alpha": alpha,
            "weights_sha256": digest,
            "width": built["width"],
            "calibrated": list(calibration),
            "files": {file: _sha256(content) for file, content in files.items()},
        }
    )
    return Network(name, spec, files, built["width"], alpha, digest, tuple(calibration))


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
