"""Tensors in a few numbers, as cheaply as a step that is looked at now and then allows.

Notation: K tensors of any shape and float dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stabilitysweep.numerics.probes import kind_code, nonfinite_sum, widen
from stabilitysweep.numerics.statistics import FIELDS, statistics


def squares(tensors: Sequence[Any]) -> tf.Tensor:
    """Return the sum of squares over all tensors, or slices: a float64 scalar.

    Half precision is widened. A finite sum proves every entry finite; one that is not may
    have overflowed.
    """
    if not tensors:
        return tf.zeros([], tf.float64)
    values = [t.values if isinstance(t, tf.IndexedSlices) else t for t in tensors]
    halves = [tf.nn.l2_loss(widen(value)) for value in values]
    if len({half.dtype for half in halves}) > 1:
        halves = [tf.cast(half, tf.float64) for half in halves]
    return 2.0 * tf.reduce_sum(tf.cast(tf.stack(halves), tf.float64))


def sums(tensors: Sequence[Any], *, xla: bool) -> list[tf.Tensor]:
    """Return the sum of each tensor, or of its slices: float64 scalars.

    One that is finite proves every entry finite.

    Args:
        tensors: floats of any shape.
        xla: whether this is compiled by XLA, which adds up one number after another: a product
            with ones goes through vectors, and took half the time.
    """
    values = [widen(t.values if isinstance(t, tf.IndexedSlices) else t) for t in tensors]
    if xla:
        values = [_column_sums(value) for value in values]
    return [tf.cast(tf.reduce_sum(value), tf.float64) for value in values]


def _column_sums(tensor: tf.Tensor) -> tf.Tensor:
    """Sum a tensor over all dimensions but the last."""
    if tensor.shape.rank is None or tensor.shape.rank < 2:
        return tensor
    rows = tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])
    return tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]], rows.dtype), rows)


def nonfinite_sums(tensors: Sequence[Any]) -> tf.Tensor:
    """Return for each tensor the sum of what is not finite in it, 0 if all is: float32 [K]."""
    if not tensors:
        return tf.zeros([0])
    flat = [t.values if isinstance(t, tf.IndexedSlices) else t for t in tensors]
    return tf.stack([nonfinite_sum(tensor[None])[0] for tensor in flat])


def first_nonfinite(sums: tf.Tensor, before: tf.Tensor, offset: int) -> tf.Tensor:
    """Name what is first not finite of the loss and the gradients, and of the weights.

    Args:
        sums: `nonfinite_sum` of the loss and the gradients, [1 + G].
        before: the same of the weights, [W].
        offset: places before those of these gradients.

    Returns:
        float64 [4]: place and kind code of the first, place and kind code of the weight; -1
        and 0 if there is none.
    """
    place, kind = _first(sums)
    place = tf.where(place > 0, place + offset, place)
    return tf.cast(tf.stack([place, kind, *_first(before)]), tf.float64)


def _first(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first place that is not finite and its kind code; -1 and 0 if there is none."""
    if sums.shape[0] == 0:  # a model without weights
        return tf.constant(-1), tf.constant(0)
    bad = sums != 0
    found = tf.reduce_any(bad)
    first = tf.argmax(bad, output_type=tf.int32)
    kind = kind_code(tf.gather(sums, first))
    return tf.where(found, first, -1), tf.where(found, kind, 0)


def table(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return `numerics.statistics` of every tensor: float64 [K, 5].

    Where a sum of magnitudes proves that all is finite, nothing is masked.
    """
    if not tensors:
        return tf.zeros([0, FIELDS], tf.float64)
    wide = [widen(tensor) for tensor in tensors]
    sums = [tf.cast(tf.reduce_sum(tf.abs(tensor)), tf.float64) for tensor in wide]

    def plain() -> tf.Tensor:
        return tf.stack([_of_finite(w, total) for w, total in zip(wide, sums, strict=True)])

    def masked() -> tf.Tensor:
        return tf.stack([statistics(tensor) for tensor in tensors])

    return tf.cond(tf.reduce_all(tf.math.is_finite(tf.stack(sums))), plain, masked)


def _of_finite(tensor: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """Statistics of a finite tensor whose magnitudes add up to `total`."""
    size = tf.cast(tf.size(tensor), tf.float64)
    largest = tf.maximum(tf.reduce_max(tensor), -tf.reduce_min(tensor))
    nonzero = tf.reduce_sum(tf.cast(tensor != 0, tf.float32))
    none = tf.zeros([], tf.float64)
    return tf.stack(
        [
            tf.cast(largest, tf.float64),
            total / size,
            1.0 - tf.cast(nonzero, tf.float64) / size,
            none,
            none,
        ]
    )
