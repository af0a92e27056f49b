"""Ways to convolve each trial's images by its own filters: microseconds a trial, one core.

A 3 x 3 convolution of 16 to 16 channels on 8 x 8 pixels, batch 32, 32 trials, with its gradients
by images and filters: trial by trial; as one grouped convolution, a group a trial, with the images
laid out for it on the way in and out, or laid out already; as a matrix product over patches; each
in the plain graph and under XLA.

    python tests/benchmarks/convolution_ways.py        # about two minutes
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from shared import described, table

TRIALS, BATCH, SIZE, CHANNELS = 32, 32, 8, 16
RUNS = 9


def one_by_one(images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Convolve trial by trial: images [P, B, H, W, C], filters [P, 3, 3, C, F]."""
    own = zip(tf.unstack(images), tf.unstack(filters), strict=True)
    return tf.stack([tf.nn.conv2d(x, w, 1, "SAME") for x, w in own])


def laid_out(images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Convolve in groups: images [B, H, W, P C], filters [3, 3, C, P F]."""
    return tf.nn.conv2d(images, filters, 1, "SAME")


def grouped(images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Lay images and filters out for groups, convolve, and lay the result out again."""
    x = tf.reshape(tf.transpose(images, [1, 2, 3, 0, 4]), [BATCH, SIZE, SIZE, -1])
    w = tf.reshape(tf.transpose(filters, [1, 2, 3, 0, 4]), [3, 3, CHANNELS, -1])
    y = tf.reshape(laid_out(x, w), [BATCH, SIZE, SIZE, TRIALS, CHANNELS])
    return tf.transpose(y, [3, 0, 1, 2, 4])


def patches(images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Multiply the nine shifted images by the filters, trials as the batch of the product."""
    padded = tf.pad(images, [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]])
    places = [(row, column) for row in range(3) for column in range(3)]
    shifted = [padded[:, :, row : row + SIZE, column : column + SIZE] for row, column in places]
    rows = tf.reshape(tf.concat(shifted, -1), [TRIALS, BATCH * SIZE * SIZE, 9 * CHANNELS])
    return tf.matmul(rows, tf.reshape(filters, [TRIALS, 9 * CHANNELS, CHANNELS]))


def seconds(way: Callable[..., tf.Tensor], arguments: Any, *, xla: bool) -> float:
    """Processor seconds of a convolution and its gradients, the median of several."""

    def both(images: tf.Tensor, filters: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((images, filters))
            total = tf.reduce_sum(tf.square(way(images, filters)))
        return tape.gradient(total, (images, filters))

    graph = tf.function(both, autograph=False, jit_compile=xla)
    graph(*arguments)
    spent = []
    for _ in range(RUNS):
        started = time.process_time()
        for gradient in graph(*arguments):
            gradient.numpy()
        spent.append(time.process_time() - started)
    return median(spent)


def main() -> None:
    """Measure, and print a table."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    by_trial = (
        tf.random.normal([TRIALS, BATCH, SIZE, SIZE, CHANNELS]),
        tf.random.normal([TRIALS, 3, 3, CHANNELS, CHANNELS]),
    )
    in_groups = (
        tf.random.normal([BATCH, SIZE, SIZE, TRIALS * CHANNELS]),
        tf.random.normal([3, 3, CHANNELS, TRIALS * CHANNELS]),
    )
    ways: dict[str, tuple[Callable[..., tf.Tensor], Any]] = {
        "trial by trial": (one_by_one, by_trial),
        "grouped": (grouped, by_trial),
        "grouped, laid out already": (laid_out, in_groups),
        "patches": (patches, by_trial),
    }
    rows = []
    for name, (way, arguments) in ways.items():
        found = [seconds(way, arguments, xla=xla) / TRIALS * 1e6 for xla in (False, True)]
        rows.append([name, *(f"{value:,.0f}" for value in found)])
    print(described())
    print(table(["way", "graph, us a trial", "XLA"], rows))


if __name__ == "__main__":
    main()
