"""Train the small network, a MobileNetV2 (alpha 0.35, 96 px), by distillation.

    python -m training.train --data DATA --teacher imagenet --out OUT.weights.h5

A pool of random pictures is drawn from the photos of the training classes. The teacher, a
MobileNetV2 (224 px) trained on ImageNet, computes 1280 features of each picture. The student starts
from random weights and learns to predict the principal components of these features through one
linear layer, which is discarded later (feature distillation as in Romero et al. 2015, "FitNets").
It first sees the pictures at 64 px, which is half the work, then at 96 px.

The photos of the held-out classes (`training.photos`) are never opened.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import openvino as ov
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from training.augment import Sources, draw_picture
from training.photos import (
    FRUITS360_HELD_OUT,
    GROCERY_HELD_OUT,
    Photo,
    list_fruits360,
    list_grocery,
)

INPUT_SIZE = 96
ALPHA = 0.35
FEATURES = 1280
TEACHER_SIZE = 224


@dataclass(frozen=True)
class Pool:
    """Random pictures with the teacher's features.

    Attributes
    ----------
    pictures
        RGB, uint8, shape (n, 96, 96, 3).
    features
        float16, shape (n, 1280).
    """

    pictures: NDArray[np.uint8]
    features: NDArray[np.float16]


def build_mobilenet(size: int | None, alpha: float, weights: str | None) -> keras.Model:
    """Build the convolutional part of MobileNetV2 with average pooling; it gives 1280 features.

    Parameters
    ----------
    size
        Height and width of the input in pixels; None for any.
    weights
        A weights file, "imagenet" (Keras downloads its own), or None for random weights.
    """
    model = keras.applications.MobileNetV2(
        input_shape=(size, size, 3),
        alpha=alpha,
        include_top=False,
        pooling="avg",
        weights="imagenet" if weights == "imagenet" else None,
    )
    if weights not in (None, "imagenet"):
        model.load_weights(weights)
    return model


def resize(pictures: tf.Tensor, size: int) -> tf.Tensor:
    """Resize as the pipeline does: bilinear, half-pixel centers, no antialiasing, float32."""
    return tf.image.resize(pictures, (size, size), method="bilinear", antialias=False)


def read_sources(data: Path) -> Sources:
    """Decode the photos of the training classes."""
    fruits = [photo for photo in list_fruits360(data) if photo.label not in FRUITS360_HELD_OUT]
    phone = [photo for photo in list_grocery(data) if photo.label not in GROCERY_HELD_OUT]
    return Sources(fruits=[_decode(photo) for photo in fruits], phone=[_decode(p) for p in phone])


def _decode(photo: Photo) -> Image.Image:
    with Image.open(photo.path) as image:
        return image.convert("RGB")


def compile_teacher(weights: str, alpha: float) -> ov.CompiledModel:
    """Compile the teacher for this processor; its input is float32, 0..255, 1 x 224 x 224 x 3."""
    network = build_mobilenet(TEACHER_SIZE, alpha, weights)
    inputs = keras.Input((TEACHER_SIZE, TEACHER_SIZE, 3))
    model = keras.Model(inputs, network(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "teacher.xml"
        model.export(str(path), format="openvino", verbose=False)
        graph = ov.Core().read_model(path)
        graph.reshape([1, TEACHER_SIZE, TEACHER_SIZE, 3])
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        return ov.Core().compile_model(graph, "CPU", options)


def draw_pool(sources: Sources, teacher: ov.CompiledModel, count: int, seed: int) -> Pool:
    """Draw ``count`` pictures and compute the teacher's features of each.

    Picture i depends on ``seed`` and i alone.
    """
    pool = Pool(
        pictures=np.empty((count, INPUT_SIZE, INPUT_SIZE, 3), np.uint8),
        features=np.empty((count, FEATURES), np.float16),
    )

    def keep(request: ov.InferRequest, index: int) -> None:
        pool.features[index] = request.get_output_tensor(0).data[0]

    queue = ov.AsyncInferQueue(teacher)
    queue.set_callback(keep)
    for index in range(count):
        picture = draw_picture(sources, np.random.default_rng([seed, index]))
        pool.pictures[index] = np.rint(resize(picture, INPUT_SIZE).numpy())
        queue.start_async(resize(picture, TEACHER_SIZE).numpy()[None], index)
        if (index + 1) % 2000 == 0:
            print(f"pool: {index + 1} of {count} pictures", flush=True)
    queue.wait_all()
    return pool


def compute_targets(features: NDArray[np.float16], count: int) -> NDArray[np.float32]:
    """Project features on their first ``count`` principal components, partly whitened.

    A component of variance v is divided by v ** 0.25. So small differences weigh more than in plain
    regression, and noise weighs less than after full whitening. Then all components are divided by
    one number that makes the mean of their variances 1.

    Returns
    -------
    ndarray of float32, shape (n, count)

    Raises
    ------
    ValueError
        If fewer components have a variance above zero.
    """
    centered = features.astype(np.float32)
    centered -= centered.mean(axis=0)
    variances, axes = np.linalg.eigh(centered.T.astype(np.float64) @ centered / len(centered))
    first = np.argsort(variances)[::-1][:count]
    rank = int((variances > 1e-10 * variances.max()).sum())
    if count > rank:
        raise ValueError(f"components must be at most the rank of the features: {count} > {rank}")
    scores = centered @ axes[:, first] / variances[first] ** 0.25
    scores /= np.sqrt(scores.var(axis=0).mean())
    targets: NDArray[np.float32] = scores.astype(np.float32)
    return targets


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Shuffled batches of pictures, scaled to -1..1, with their targets; half are flipped."""

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        targets: NDArray[np.float32],
        batch: int,
        size: int,
        seed: int,
    ) -> None:
        super().__init__(workers=1)
        self.pictures, self.targets = pictures, targets
        self.batch, self.size = batch, size
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.pictures) // self.batch

    def __getitem__(self, index: int) -> tuple[tf.Tensor, NDArray[np.float32]]:
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        pictures, flipped = self.pictures[rows], self.flipped[rows]
        pictures[flipped] = pictures[flipped, :, ::-1]
        inputs = keras.applications.mobilenet_v2.preprocess_input(resize(pictures, self.size))
        return inputs, self.targets[rows]

    def on_epoch_end(self) -> None:
        """Shuffle the pictures, and draw which of them are flipped."""
        self.order = self.rng.permutation(len(self.pictures))
        self.flipped = self.rng.random(len(self.pictures)) < 0.5


def train_student(
    pool: Pool,
    phases: Sequence[tuple[int, int]],
    components: int,
    batch: int,
    seed: int,
    out: Path,
) -> None:
    """Train the student from random weights; save its convolutional part after every epoch.

    Parameters
    ----------
    phases
        Pairs of picture size in pixels and number of epochs.
    components
        Principal components of the teacher's features that the student predicts.
    batch
        Pictures per step.
    out
        File of the weights; its name ends in ``.weights.h5``.
    """
    keras.utils.set_random_seed(seed)
    student = build_mobilenet(None, ALPHA, None)
    for layer in student.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.99  # Keras's 0.999 would average over several epochs
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Dense(components)(student(inputs)))
    steps = sum(epochs for _, epochs in phases) * (len(pool.pictures) // batch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, alpha=0.001, warmup_target=2e-3, warmup_steps=max(1, steps // 20)
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss="mse")
    targets = compute_targets(pool.features, components)
    save = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: student.save_weights(out))
    for phase, (size, epochs) in enumerate(phases):
        batches = Batches(pool.pictures, targets, batch, size, seed + phase)
        model.fit(batches, epochs=epochs, verbose=2, shuffle=False, callbacks=[save])


def main(argv: Sequence[str] | None = None) -> None:
    """Train with the options of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--teacher", required=True, help='weights file, or "imagenet"')
    parser.add_argument("--teacher-alpha", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True, help="ends in .weights.h5")
    parser.add_argument("--pictures", type=int, default=28_000, help="size of the pool")
    parser.add_argument("--epochs-64", type=int, default=10, help="epochs at 64 px")
    parser.add_argument("--epochs", type=int, default=4, help="epochs at 96 px")
    parser.add_argument("--components", type=int, default=384)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    tf.config.experimental.enable_op_determinism()
    sources = read_sources(arguments.data)
    print(f"training photos: {len(sources.fruits)} fruits on white, {len(sources.phone)} by phone")
    teacher = compile_teacher(arguments.teacher, arguments.teacher_alpha)
    pool = draw_pool(sources, teacher, arguments.pictures, arguments.seed)
    phases = [(64, arguments.epochs_64), (INPUT_SIZE, arguments.epochs)]
    train_student(
        pool, phases, arguments.components, arguments.batch, arguments.seed, arguments.out
    )


if __name__ == "__main__":
    main()
