r"""Measure the small network by linear probes on classes that it never saw.

    python -m training.probe --data DATA --weights small.weights.h5 \
        --imagenet-035 alpha_0.35.weights.h5 --imagenet-100 imagenet

A probe is a logistic regression on standardized features. The command prints a Markdown table with
a row per network and a column per probe. It holds the accuracy in percent: the mean, and the
standard deviation over the repeats if there are several.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.photos import (
    FRUITS360_HELD_OUT,
    GROCERY_HELD_OUT,
    Photo,
    list_fruits360,
    list_grocery,
    read_stored,
)
from training.train import ALPHA, INPUT_SIZE, TEACHER_SIZE, build_mobilenet, resize

REPEATS = 5
FOLDS = 5
SHOTS = 5
GAP = 20  # frames: 22 degrees, since a full turn has 328 frames

Rows = NDArray[np.intp]
Splits = list[list[tuple[Rows, Rows]]]


@dataclass(frozen=True)
class Network:
    """A network to measure: a row of the table.

    Attributes
    ----------
    name
        First cell of the row.
    size
        Height and width of the input, in pixels.
    alpha
        Width multiplier of MobileNetV2.
    weights
        A weights file, "imagenet", or None for random weights.
    """

    name: str
    size: int
    alpha: float
    weights: str | None


def extract_features(network: Network, photos: list[Photo]) -> NDArray[np.float32]:
    """Compute the features of each photo as the pipeline does: float32, shape (photos, 1280)."""
    keras.utils.set_random_seed(0)
    model = build_mobilenet(network.size, network.alpha, network.weights)
    features = []
    for start in range(0, len(photos), 64):
        inputs = [
            resize(read_stored(photo), network.size).numpy() for photo in photos[start : start + 64]
        ]
        scaled = keras.applications.mobilenet_v2.preprocess_input(np.stack(inputs))
        features.append(model.predict_on_batch(scaled))
    return np.concatenate(features)


def measure_accuracy(
    features: NDArray[np.float32], labels: NDArray[np.str_], splits: Splits
) -> tuple[float, float]:
    """Measure the share of the test photos whose label a probe predicts.

    Parameters
    ----------
    features
        Shape (photos, features).
    labels
        Class of each photo, shape (photos,).
    splits
        For each repeat, its folds; a fold is (training rows, test rows).

    Returns
    -------
    mean, standard deviation
        Over the repeats.
    """
    results = []
    for folds in splits:
        right = total = 0
        for train, test in folds:
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            probe.fit(features[train], labels[train])
            right += int((probe.predict(features[test]) == labels[test]).sum())
            total += len(test)
        results.append(right / total)
    return float(np.mean(results)), float(np.std(results))


def draw_stratified_splits(labels: NDArray[np.str_]) -> Splits:
    """Draw five folds, shuffled anew in each repeat."""
    rows = np.zeros(len(labels))
    return [
        list(StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(rows, labels))
        for repeat in range(REPEATS)
    ]


def make_blocked_splits(photos: list[Photo]) -> Splits:
    """Make five folds of neighboring frames; frames within GAP of a test frame are left out."""
    turns = list(_group_turns(photos))
    folds = []
    for fold in range(FOLDS):
        train, test = [], []
        for rows, frames in turns:
            first, last = (len(rows) * (fold + step) // FOLDS for step in (0, 1))
            test.append(rows[first:last])
            near = _find_near(frames, frames[first:last])
            train.append(rows[~near])
        folds.append((np.concatenate(train), np.concatenate(test)))
    return [folds]


def draw_few_shot_splits(photos: list[Photo]) -> Splits:
    """Draw five neighboring frames of each class to train on; test on frames far from them.

    Each repeat draws new frames, from either axis of rotation. Frames within GAP of them are left
    out.
    """
    rng = np.random.default_rng(0)
    by_class: dict[str, list[tuple[Rows, Rows]]] = {}
    for rows, frames in _group_turns(photos):
        by_class.setdefault(photos[rows[0]].label, []).append((rows, frames))
    splits = []
    for _ in range(REPEATS * 2):
        train, test = [], []
        for turns in by_class.values():
            chosen = int(rng.integers(len(turns)))
            for index, (rows, frames) in enumerate(turns):
                if index != chosen:
                    test.append(rows)
                    continue
                start = int(rng.integers(len(rows) - SHOTS + 1))
                train.append(rows[start : start + SHOTS])
                test.append(rows[~_find_near(frames, frames[start : start + SHOTS])])
        splits.append([(np.concatenate(train), np.concatenate(test))])
    return splits


def _group_turns(photos: list[Photo]) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows and frame numbers of each class and axis of rotation, sorted by frame."""
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row, photo in enumerate(photos):
        match = re.fullmatch(r"(r_|)(\d+)_100", photo.path.stem)
        if match is None:
            raise ValueError(
                f"a photo must be named <frame>_100.jpg or r_<frame>_100.jpg, got {photo.path}"
            )
        groups.setdefault((photo.label, match[1]), []).append((int(match[2]), row))
    for members in groups.values():
        frames, rows = np.array(sorted(members), dtype=np.intp).T
        yield rows, frames


def _find_near(frames: Rows, block: Rows) -> NDArray[np.bool_]:
    """Find the frames of a turn that are in a block or within GAP frames of it.

    A turn is closed: its last frame is beside its first. Both arrays are sorted. The first and the
    last photo bound the turn, so a turn whose ends have no photo leaves out a few frames more.
    """
    turn = frames[-1] - frames[0] + 1
    near: NDArray[np.bool_] = (frames - block[0] + GAP) % turn <= block[-1] - block[0] + 2 * GAP
    return near


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the networks that a command line names, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--weights", required=True, help="weights of the small network")
    parser.add_argument("--imagenet-035", required=True, help='weights file, or "imagenet"')
    parser.add_argument("--imagenet-100", required=True, help='weights file, or "imagenet"')
    arguments = parser.parse_args(argv)

    networks = [
        Network("random weights", INPUT_SIZE, ALPHA, None),
        Network("**this network**", INPUT_SIZE, ALPHA, arguments.weights),
        Network("ImageNet", INPUT_SIZE, ALPHA, arguments.imagenet_035),
        Network("ImageNet", TEACHER_SIZE, ALPHA, arguments.imagenet_035),
        Network("ImageNet (the teacher)", TEACHER_SIZE, 1.0, arguments.imagenet_100),
    ]
    fruits = [p for p in list_fruits360(arguments.data) if p.label in FRUITS360_HELD_OUT]
    grocery = list_grocery(arguments.data)
    unseen = [p for p in grocery if p.label in GROCERY_HELD_OUT]
    probes = {
        f"{SHOTS} frames per class": (fruits, draw_few_shot_splits(fruits)),
        "fruits, blocked": (fruits, make_blocked_splits(fruits)),
        "phone, unseen": (unseen, draw_stratified_splits(_collect_labels(unseen))),
        "phone, all": (grocery, draw_stratified_splits(_collect_labels(grocery))),
    }
    photos = fruits + grocery
    print(f"photos: {len(fruits)} fruits held out, {len(unseen)} of {len(grocery)} by phone")
    print(f"| network | alpha | input | {' | '.join(probes)} |")
    print("|---|---|---|" + "---|" * len(probes))
    for network in networks:
        features = dict(zip(photos, extract_features(network, photos), strict=True))
        cells = []
        for subset, splits in probes.values():
            rows = np.stack([features[photo] for photo in subset])
            mean, deviation = measure_accuracy(rows, _collect_labels(subset), splits)
            spread = f" ± {100 * deviation:.1f}" if len(splits) > 1 else ""
            cells.append(f"{100 * mean:.1f}{spread}")
        size = f"{network.size} px"
        print(f"| {network.name} | {network.alpha} | {size} | {' | '.join(cells)} |", flush=True)


def _collect_labels(photos: list[Photo]) -> NDArray[np.str_]:
    return np.array([photo.label for photo in photos])


if __name__ == "__main__":
    main()
