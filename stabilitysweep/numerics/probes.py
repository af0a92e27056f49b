"""What is measured of a tensor inside the graph, for every trial of a stack by itself.

Notation: P trials in the stack; a probed tensor has shape [P, ...] and any float dtype.
No function reduces over the trial axis, so no trial can infect another.

Finite flags come from `is_finite`, never from a maximum or a norm: under XLA the maximum
of [NaN, 1] is 1, and a norm overflows before any of its terms does. The one short cut is
sound in the other direction: a sum of squares that is finite proves that every term was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from stabilitysweep.types import Kind

KINDS: tuple[Kind | None, ...] = (
    None,
    Kind.NAN,
    Kind.POSITIVE_INFINITY,
    Kind.NEGATIVE_INFINITY,
)
"""The `Kind` behind each code that `kind_code` returns; None is finite."""

_ADDED_BY_HALVES, _WHOLE = 1_024, 64
"""Entries below which no sum is cut into halves, and of which all vectors are parts."""


def all_finite(tensor: tf.Tensor) -> tf.Tensor:
    """Tell, for each trial, whether every entry is finite: bool [P]."""
    return _reduce(tf.reduce_all, tf.math.is_finite(tensor))


def proven_finite(totals: Sequence[tf.Tensor]) -> tf.Tensor:
    """Tell cheaply for which trials all that was added up is finite for certain: bool [P].

    A finite sum proves every term finite, since what is not finite stays so whatever is added
    to it. A sum that is not is no proof of the contrary, since it may have overflowed:
    `all_finite` decides then.

    Args:
        totals: sums of entries or of their squares, [P] each, as wide as float32.
    """
    return tf.math.is_finite(tf.add_n([tf.cast(total, totals[0].dtype) for total in totals]))


def nonfinite_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Add up only the entries that are not finite: [P], 0 where there are none.

    The sum of infinities of one sign is that infinity; a NaN, or infinities of both
    signs, make it NaN. So it tells both whether and what is not finite.
    """
    return tf.cast(plain_sum(only_nonfinite(tensor)), tf.float32)


def only_nonfinite(tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` with zero in the place of every finite entry."""
    if not tensor.dtype.is_floating:
        return tf.zeros_like(tensor)
    return tf.where(tf.math.is_finite(tensor), tf.zeros_like(tensor), tensor)


def kind_code(sums: tf.Tensor) -> tf.Tensor:
    """Name what `nonfinite_sum` met, as an index into `KINDS`: int32 [P]."""
    infinite = tf.where(sums > 0, 2, tf.where(sums < 0, 3, 0))
    return tf.where(tf.math.is_nan(sums), 1, infinite)


def row_peaks(tensor: tf.Tensor) -> tf.Tensor:
    """Return the largest magnitude along the last axis, widened: [P, M] of [P, M, N]."""
    tensor = widen(tensor)
    return tf.maximum(tf.reduce_max(tensor, axis=-1), -tf.reduce_min(tensor, axis=-1))


def peak(tensors: Sequence[tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    """Return the largest magnitude of each trial over all tensors: [P] of a wide enough dtype.

    From the largest and the smallest entry: magnitudes are never written to memory. Only
    meaningful where all entries are finite.
    """
    signed = [tensor for tensor in tensors if not _never_negative(tensor)]
    highest = [tf.cast(_reduce(tf.reduce_max, widen(tensor)), dtype) for tensor in tensors]
    lowest = [tf.cast(_reduce(tf.reduce_min, widen(tensor)), dtype) for tensor in signed]
    largest = tf.reduce_max(tf.stack(highest), axis=0)
    return tf.maximum(largest, -tf.reduce_min(tf.stack(lowest), axis=0)) if lowest else largest


def headroom(peaks: tf.Tensor, limits: Sequence[float]) -> tf.Tensor:
    """Return by how many bits the tightest of K magnitudes stays below its limit: [P].

    min over k of (limits[k] - log2(peaks[:, k])): +Inf where all are zero; only meaningful
    where all of them are finite.

    Args:
        peaks: [P, K], >= 0.
        limits: base-2 logarithms of the largest finite numbers, see `limit_bits`.
    """
    bits = tf.constant(limits, peaks.dtype) - tf.math.log(peaks) / tf.cast(math.log(2), peaks.dtype)
    return tf.reduce_min(bits, axis=1)


def limit_bits(dtype: str) -> float:
    """Return the base-2 logarithm of the largest finite number of a dtype."""
    largest_finite = float(tf.as_dtype(dtype).max)
    return math.log2(largest_finite)


def count_nonzero(tensor: tf.Tensor) -> tf.Tensor:
    """Count the entries of each trial that are not zero, NaN among them: float32 [P]."""
    return plain_sum(tf.cast(tensor != 0, tf.float32))


def sum_of_squares(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum of squares of each trial over all tensors: float32 [P], or float64.

    Half-precision entries are widened first. The sum is infinite above 3.4e38, that is
    for norms above 1.8e19; NaN and Inf in any entry make it non-finite.

    Args:
        tensors: [P, ...] each.
    """
    return tf.add_n([_squares(widen(tensor), 1, fused=False) for tensor in tensors])


def squares_of_rows(tensor: tf.Tensor, *, fused: bool = False) -> tf.Tensor:
    """Return the sums of squares along the last axis: [P, M] of [P, M, N].

    Float32, or float64; see `sum_of_squares`.

    Args:
        tensor: [P, M, N].
        fused: take the square of TensorFlow's norm, which reads a tensor once and writes no
            squares to memory. XLA does not know the operation, and fuses by itself.
    """
    return _squares(widen(tensor), len(tensor.shape) - 1, fused)


def _squares(tensor: tf.Tensor, first_axis: int, fused: bool) -> tf.Tensor:
    """Add up the squares over all axes from the first one on."""
    axes = list(range(first_axis, len(tensor.shape)))
    if fused and axes:
        return tf.square(tf.raw_ops.EuclideanNorm(input=tensor, axis=axes))
    return tf.reduce_sum(tf.square(tensor), axis=axes) if axes else tf.square(tensor)


def _never_negative(tensor: tf.Tensor) -> bool:
    """Tell whether the operation that made a tensor cannot give a negative number."""
    return tf.is_symbolic_tensor(tensor) and tensor.op.type in ("Relu", "Relu6", "Sigmoid")


def plain_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Add up the entries of each trial, in their dtype: [P]."""
    return _reduce(tf.reduce_sum, tensor)


def steady_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Add up the entries of each trial to the same bits wherever it stands in its stack: [P].

    TensorFlow adds up thousands of entries by halves, cut at a whole vector counted from the first
    entry of the first trial: trials of other lengths than whole vectors are cut at other entries.
    Zeros make them whole.

    Args:
        tensor: of known shape but for the trials.
    """
    entries = math.prod(tensor.shape[1:])
    if entries >= _ADDED_BY_HALVES and entries % _WHOLE:
        flat = tf.reshape(tensor, [-1, entries])
        tensor = tf.pad(flat, [[0, 0], [0, -entries % _WHOLE]])
    return plain_sum(tensor)


def _reduce(operation: Callable[..., tf.Tensor], tensor: tf.Tensor) -> tf.Tensor:
    """Reduce all axes but the first, in one stage: half precision is rounded but once."""
    rank = len(tensor.shape)
    return operation(tensor, axis=list(range(1, rank))) if rank > 1 else tensor


def widen(tensor: tf.Tensor) -> tf.Tensor:
    """Return half-precision tensors as float32, exactly, and others as they are."""
    return tf.cast(tensor, tf.float32) if tensor.dtype.size < 4 else tensor
