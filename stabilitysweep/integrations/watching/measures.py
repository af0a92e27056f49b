"""Tensors in a few numbers, as cheaply as a step that is looked at now and then allows.

Notation: K tensors of any shape and float dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stabilitysweep.numerics.probes import nonfinite_sum, widen
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


def nonfinite_sums(tensors: Sequence[Any]) -> tf.Tensor:
    """Return for each tensor the sum of what is not finite in it, 0 if all is: float32 [K]."""
    if not tensors:
        return tf.zeros([0])
    flat = [t.values if isinstance(t, tf.IndexedSlices) else t for t in tensors]
    return tf.stack([nonfinite_sum(tensor[None])[0] for tensor in flat])


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
