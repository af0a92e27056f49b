"""Operations between a value a trial and a tensor a trial, at the speed of plain ones.

Notation: P trials; `values` is [P], a tensor is [P, ...] with N entries a trial.

TensorFlow's broadcasting kernels compute an index for every element: on a processor, `w *
rate[:, None, None]` takes five times as long as `w * w`, and `where(flag[:, None, None], new,
old)` ten times as long as a copy. Two kernels do the same without that: a matrix product
with a row of ones lays values out to full shape, exactly, since each entry is one product
with 1; and the first version of Select chooses whole rows.
"""

from __future__ import annotations

import tensorflow as tf


def expand(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Repeat each trial's value over its entries: `values` [P] to the shape of `like`.

    Args:
        values: any float dtype; cast to that of `like` first, as Keras casts.
        like: [P, ...], of known inner shape.
    """
    values = tf.cast(values, like.dtype)
    inner = like.shape[1:]
    entries = inner.num_elements()
    if entries == 1:
        return tf.reshape(values, [-1, *inner])
    # float16 products are slow on a processor; a value times 1 is exact in either.
    wide = tf.cast(values, tf.float32) if like.dtype.size < 4 else values
    full = tf.matmul(wide[:, None], tf.ones([1, entries], wide.dtype))
    return tf.cast(tf.reshape(full, [-1, *inner]), like.dtype)


def select(condition: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Choose between whole trials: bool [P] between two tensors [P, ...]."""
    return tf.raw_ops.Select(condition=condition, x=new, y=old)
