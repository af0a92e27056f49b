"""A tensor in a few numbers, inside the graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.numerics.moments import Quantity, TensorStats
from stabilitysweep.numerics.probes import widen

FIELDS = 5


def statistics(tensor: tf.Tensor) -> tf.Tensor:
    """Return what `read_statistics` reads, of one tensor of any shape and float dtype.

    Returns:
        float64 [5]: largest and mean magnitude of the finite entries, share of zeros, number
        of NaN and of infinite entries.
    """
    values = tf.cast(widen(tensor), tf.float64)
    finite = tf.math.is_finite(values)
    magnitudes = tf.where(finite, tf.abs(values), tf.zeros_like(values))
    count = tf.reduce_sum(tf.cast(finite, tf.float64))
    largest = tf.reduce_max(magnitudes)
    # Divided before they are added up: a sum of large magnitudes would overflow.
    parts = tf.math.divide_no_nan(magnitudes, largest)
    return tf.stack(
        [
            largest,
            largest * tf.math.divide_no_nan(tf.reduce_sum(parts), count),
            tf.reduce_mean(tf.cast(values == 0, tf.float64)),
            tf.reduce_sum(tf.cast(tf.math.is_nan(values), tf.float64)),
            tf.reduce_sum(tf.cast(tf.math.is_inf(values), tf.float64)),
        ]
    )


def read_statistics(
    quantity: Quantity, tensor: str, dtype: str, size: int, values: NDArray[Any]
) -> TensorStats:
    """Return the record of what `statistics` measured.

    Args:
        quantity: what the tensor is.
        tensor: its name.
        dtype: what it is computed in.
        size: number of entries.
        values: float64 [5].
    """
    largest, mean, zeros, nans, infs = values.tolist()
    return TensorStats(
        quantity, tensor, dtype, size, largest, mean, zeros, nans=int(nans), infs=int(infs)
    )
