"""The one table of backbones: the networks that turn pixels into features.

A row is all that a new backbone of ``keras.applications`` needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POOLED = "pooled"
#: height and width of the input, unless the weights say another
INPUT_SIZE = 224


@dataclass(frozen=True)
class Backbone:
    """A convolutional network of ``keras.applications``.

    Attributes
    ----------
    name
        Value of the parameter BACKBONE.
    builder
        Function of ``keras.applications`` that builds it.
    module
        Module of ``keras.applications`` that has its ``preprocess_input``.
    alphas
        Widths that it comes in; empty where there is one alone.
    layers
        Values of the parameter LAYER: ``pooled`` is the average over the last feature map, another
        name is a layer of the whole network.
    options
        Further arguments of the builder.
    has_own_imagenet_graph
        Whether Keras builds another graph where it fetches ImageNet's weights itself, so that a
        weights file would give other features.
    """

    name: str
    builder: str
    module: str
    alphas: tuple[float, ...] = ()
    layers: tuple[str, ...] = (POOLED,)
    options: Mapping[str, Any] = field(default_factory=dict)
    has_own_imagenet_graph: bool = False


_ROWS = (
    Backbone("mobilenet_v2", "MobileNetV2", "mobilenet_v2", alphas=(0.35, 0.5, 0.75, 1.0)),
    Backbone("vgg16", "VGG16", "vgg16", layers=(POOLED, "fc2")),
    Backbone("resnet50", "ResNet50", "resnet"),
    Backbone("efficientnet_b0", "EfficientNetB0", "efficientnet", has_own_imagenet_graph=True),
    Backbone("efficientnet_v2_b0", "EfficientNetV2B0", "efficientnet_v2"),
    Backbone("mobilenet_v3_large", "MobileNetV3Large", "mobilenet_v3", alphas=(0.75, 1.0)),
)

BACKBONES = {backbone.name: backbone for backbone in _ROWS}
ALPHAS = tuple(sorted({alpha for row in _ROWS for alpha in row.alphas}))
LAYERS = tuple(dict.fromkeys(layer for row in _ROWS for layer in row.layers))


@dataclass(frozen=True)
class SampleNetwork:
    """The small network that comes with the project, for the sample photos alone."""

    backbone: str = "mobilenet_v2"
    alpha: float = 0.35
    input_size: int = 96
    file: str = "mobilenet_v2_0.35_96.weights.h5"
    sha256: str = "f982f85ba9e8a9d711c359096577ec1bb87b1df8c3730a87e53fd990a5c82a5f"


SAMPLE = SampleNetwork()
