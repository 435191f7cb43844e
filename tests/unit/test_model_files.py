"""The two files of a saved model: read as written, and refused where they do not fit."""

from pathlib import Path

import numpy as np
import pytest

from helpers.models.files import ARRAYS, load_model, save_model
from helpers.storage.location import locate
from helpers.storage.npz import write_arrays


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = locate(str(tmp_path))
    save_model(folder, {"mean": np.arange(3.0), "count": np.array(5)}, {"seed": 1})
    arrays, description = load_model(folder)
    np.testing.assert_array_equal(arrays["mean"], np.arange(3.0))
    assert description == {"seed": 1, "arrays": {"mean": [3], "count": []}}


def test_arrays_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = locate(str(tmp_path))
    save_model(folder, {"mean": np.arange(3.0)}, {})
    write_arrays(folder / ARRAYS, {"mean": np.arange(4.0)})
    with pytest.raises(OSError, match=r"model.npz holds arrays of shapes {'mean': \[4\]}, not"):
        load_model(folder)
