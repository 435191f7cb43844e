"""The golden features: what the small backbone gave for four photos when its weights were made.

``PYTHONPATH=tests python -m harness.golden`` writes them anew: only when the weights change, or
when ``FEATURES_VERSION`` rises.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.reference import ROOT, SAMPLE
from helpers import backbones
from helpers.network.inference import load_engine
from helpers.network.spec import Network
from helpers.network.store import build_network, specify_network
from helpers.parameters import Parameters
from helpers.photos.decode import Limits, decode_rgb, open_image

FILE = Path(__file__).parents[1] / "spark" / "golden_features.npz"
WEIGHTS = ROOT / "helpers" / "network" / "weights" / backbones.SAMPLE.file
PHOTOS = (
    "Training/Apple Red/0_100.jpg",
    "Training/Avocado/105_100.jpg",
    "Training/Strawberry/157_100.jpg",
    "Test/Watermelon/131_100.jpg",
)
COLUMNS = 64  # the first features of each photo: all of them would be a large file


def decode_photos() -> list[NDArray[np.uint8]]:
    """Decode the four photos as 02 does."""
    limits = Limits(pixels=10**7, aspect=20.0)
    return [decode_rgb(open_image((SAMPLE / path).read_bytes(), limits), 224) for path in PHOTOS]


def compute_features(network: Network) -> NDArray[np.float32]:
    """Compute the first features of each of the four photos: shape (4, 64)."""
    return load_engine(network).compute(decode_photos())[:, :COLUMNS]


if __name__ == "__main__":
    spec, weights = specify_network(Parameters(WEIGHTS="sample"), pixels="")
    network = build_network(spec, weights, {})
    np.savez(FILE, features=compute_features(network), weights=backbones.SAMPLE.sha256)
