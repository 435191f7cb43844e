"""The classifiers that the project fits: their common interface, and loading."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from helpers.models.files import DESCRIPTION
from helpers.models.logistic_regression import LogisticRegression
from helpers.models.random_forest import RandomForest
from helpers.parameters import CURRENT
from helpers.run.manifest import CLASSIFY, Run
from helpers.run.snapshots import require_snapshot
from helpers.storage.json_object import read_json
from helpers.storage.location import Location, locate


class Classifier(Protocol):
    """A fitted classifier of scores."""

    NAME: ClassVar[str]
    CONSTANTS: ClassVar[Mapping[str, Any]]

    @property
    def labels(self) -> tuple[str, ...]:
        """The c classes, in the order of the probabilities."""

    def predict_proba(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Compute the probability of each class for scores of shape (n, k): shape (n, c)."""

    def predict(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
        """Predict the most probable class of scores of shape (n, k): shape (n,)."""

    def save(self, folder: Location) -> None:
        """Write ``model.npz`` and ``model.json``."""

    @classmethod
    def load(cls, folder: Location) -> Self:
        """Read a classifier that was saved."""


#: by the value of the parameter CLASSIFIER
CLASSIFIERS: dict[str, type[Classifier]] = {
    kind.NAME: kind for kind in (LogisticRegression, RandomForest)
}


def load_classifier(run_uri: str, fingerprint: str = CURRENT) -> Classifier:
    """Load the classifier of a run.

    Parameters
    ----------
    run_uri
        ``RUN_URI`` of the run: a folder or an ``s3://`` prefix.
    fingerprint
        Of a result of 05, or ``"current"``.

    Raises
    ------
    StaleError
        If 05 has not finished, or not on what the stages before it finished last.
    FileNotFoundError
        If files of the result were deleted.
    OSError
        If a file is damaged.
    ValueError
        If the run has no such result.
    """
    run = Run(locate(run_uri))
    record = run.require(CLASSIFY, fingerprint)
    folder = require_snapshot(run.table("classify"), record.lineage["classify"]).location
    return CLASSIFIERS[read_json(folder / DESCRIPTION)["classifier"]].load(folder)
