"""L1 and L2 penalties whose strength differs from trial to trial.

Keras adds `l1 * sum(|w|) + l2 * sum(w**2)` of every variable that has a regularizer. While
one trial's function is traced, those regularizers are replaced by one that reads the
strengths from tensors, which `vectorized_map` then gives a trial axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf


class TracedPenalty(keras.Regularizer):
    """Keras' L1L2 with strengths that are scalar tensors, its value cast to floatx.

    A strength of zero removes its term exactly: the sum is not multiplied by zero (0 times
    an overflowed sum is NaN) but deselected, and its gradient is zero for finite weights.
    A strength of None leaves the term out of the graph.
    """

    def __init__(self, l1: tf.Tensor | None, l2: tf.Tensor | None) -> None:
        """Keep the strengths: scalars of any float dtype, cast to each weight's."""
        self.l1 = l1
        self.l2 = l2

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return the penalty of one weight tensor, summed in its dtype: a scalar."""
        x = tf.convert_to_tensor(x)
        total = tf.zeros([], x.dtype)
        for strength, term in ((self.l1, tf.abs), (self.l2, tf.square)):
            if strength is not None:
                factor = tf.cast(strength, x.dtype)
                penalty = factor * tf.reduce_sum(term(x))
                total += tf.where(factor > 0, penalty, tf.zeros_like(penalty))
        return tf.cast(total, keras.config.floatx())


@contextmanager
def traced_penalties(
    model: keras.Model, l1: tf.Tensor | None, l2: tf.Tensor | None
) -> Iterator[None]:
    """Let every regularized variable of `model` be penalised by `l1` and `l2` inside."""
    regularized = [v for v in model.trainable_variables if v.regularizer is not None]
    kept = [v.regularizer for v in regularized]
    penalty = TracedPenalty(l1, l2) if l1 is not None or l2 is not None else None
    for variable in regularized:
        variable.regularizer = penalty
    try:
        yield
    finally:
        for variable, regularizer in zip(regularized, kept, strict=True):
            variable.regularizer = regularizer
