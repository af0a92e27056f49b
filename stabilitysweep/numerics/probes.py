"""What is measured of a tensor inside the graph, for every trial of a stack by itself.

Notation: P trials in the stack; a probed tensor has shape [P, ...] and any float dtype.
No function reduces over the trial axis, so no trial can infect another.

Finite flags come from `is_finite`, never from a maximum or a norm: under XLA the maximum
of [NaN, 1] is 1, and a norm overflows before any of its terms does. The one short cut is
sound in the other direction: a sum of squares that is finite proves that every term was.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from stabilitysweep.types import Kind

KINDS: tuple[Kind | None, ...] = (
    None,
    Kind.NAN,
    Kind.POSITIVE_INFINITY,
    Kind.NEGATIVE_INFINITY,
)
"""The `Kind` behind each code that `kind_code` returns; None is finite."""


def _inner_axes(tensor: tf.Tensor) -> list[int]:
    return list(range(1, len(tensor.shape)))


def all_finite(tensor: tf.Tensor) -> tf.Tensor:
    """Tell, for each trial, whether every entry is finite: bool [P]."""
    return tf.reduce_all(tf.math.is_finite(tensor), axis=_inner_axes(tensor))


def nonfinite_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Add up only the entries that are not finite: [P], 0 where there are none.

    The sum of infinities of one sign is that infinity; a NaN, or infinities of both
    signs, make it NaN. So it tells both whether and what is not finite.
    """
    finite = tf.math.is_finite(tensor)
    only = tf.where(finite, tf.zeros_like(tensor), tensor)
    total = tf.reduce_sum(only, axis=_inner_axes(tensor)) if len(tensor.shape) > 1 else only
    return tf.cast(total, tf.float32)


def kind_code(sums: tf.Tensor) -> tf.Tensor:
    """Name what `nonfinite_sum` met, as an index into `KINDS`: int32 [P]."""
    infinite = tf.where(sums > 0, 2, tf.where(sums < 0, 3, 0))
    return tf.where(tf.math.is_nan(sums), 1, infinite)


def largest(tensor: tf.Tensor) -> tf.Tensor:
    """Return the largest absolute entry of each trial, in the tensor's dtype: [P].

    Only meaningful where `all_finite` holds.
    """
    return tf.reduce_max(tf.abs(tensor), axis=_inner_axes(tensor))


def sum_of_squares(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum of squares of each trial over all tensors: float32 [P], or float64.

    Half-precision entries are widened first. The sum is infinite above 3.4e38, that is
    for norms above 1.8e19; NaN and Inf in any entry make it non-finite.
    """
    return tf.add_n(
        [tf.reduce_sum(tf.square(_widen(tensor)), axis=_inner_axes(tensor)) for tensor in tensors]
    )


def _widen(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype.size < 4 else tensor
