"""Photos of fruit become CNN features, a principal component analysis and a classifier.

What a user calls; each takes the ``RUN_URI`` of a run::

    from helpers import load_classifier, load_features, load_pca

    features, labels, paths = load_features("runs/sample")
    scores = load_pca("runs/sample").transform(features)
    predicted = load_classifier("runs/sample").predict(scores)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.models.classifier import load_classifier
    from helpers.models.pca import load_pca
    from helpers.run.results import load_features, load_predictions

__version__ = "0.2.0"
__all__ = ["__version__", "load_classifier", "load_features", "load_pca", "load_predictions"]

# Imported at first use: a task imports helpers, and needs neither SciPy nor scikit-learn.
_MODULES = {
    "load_classifier": "helpers.models.classifier",
    "load_features": "helpers.run.results",
    "load_pca": "helpers.models.pca",
    "load_predictions": "helpers.run.results",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
