"""Operations between a value a trial and a tensor a trial, at the speed of plain ones.

Notation: P trials; `values` is [P], a tensor is [P, ...] with N entries a trial.

TensorFlow's broadcasting kernels compute an index for every element: on a processor, `w *
rate[:, None, None]` takes up to five times as long as `w * w`, and `where(flag[:, None, None],
new, old)` ten times as long as a copy. Two kernels do the same without that: a matrix product
with a row of ones lays values out to full shape, exactly, since each entry is one product
with 1; and the first version of Select chooses whole rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for.control_flow_ops import pfor
from tensorflow.python.ops.parallel_for.pfor import wrap


def vectorize(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Apply `function`, written for one trial, to every trial of a stack at once.

    What `tf.vectorized_map` does, which cannot be used as it is: where the number of trials
    is left open it allows for arguments that broadcast, and copies every one in every step.

    Args:
        function: from one trial's arguments to its results.
        arguments: a structure of tensors [P, ...].

    Returns:
        The structure that `function` returns, a trial axis in front of every tensor.
    """

    def one(trial: tf.Tensor) -> Any:
        def of_trial(stacked: tf.Tensor) -> tf.Tensor:
            own = tf.gather(stacked, trial)
            # Vectorised, the rows of all trials are the argument itself.
            own.op.pfor_converter = lambda _: wrap(stacked, True)
            return own

        result = function(tf.nest.map_structure(of_trial, arguments))
        _sum_biases()
        return result

    first = tf.nest.flatten(arguments)[0]
    trials = first.shape[0] or tf.shape(first)[0]
    # Nothing of it needs AutoGraph, which under XLA would read all of it from the disk again.
    return pfor(tf.autograph.experimental.do_not_convert(one), trials)


def _sum_biases() -> None:
    """Have the gradients of biases that were just computed added up as TensorFlow's kernel does.

    That adds float16 up in float32 and rounds once (bfloat16 it does not). Vectorised they would
    become a plain sum, which rounds every partial one, and overflows where the whole does not;
    and one of a tensor that is reshaped first, for which five operations look for its shape.
    """
    for operation in tf.compat.v1.get_default_graph().get_operations():
        if operation.type == "BiasAddGrad":
            operation.pfor_converter = _sum_of_bias


def _sum_of_bias(given: Any) -> Any:
    upstream = given.stacked_input(0)
    rank = upstream.shape.rank
    channels = 2 if given.get_attr("data_format") == b"NCHW" else rank - 1
    others = [axis for axis in range(1, rank) if axis != channels]
    dtype = upstream.dtype
    if dtype == tf.float16:
        upstream = tf.cast(upstream, tf.float32)
    return wrap(tf.cast(tf.reduce_sum(upstream, others), dtype), True)


def expand(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Repeat each trial's value over its entries: `values` [P] to the shape of `like`.

    Args:
        values: any float dtype; cast to that of `like` first, as Keras casts. What has been
            laid out already is only cast: values that do not change need it but once.
        like: [P, ...], of known inner shape.
    """
    values = tf.cast(values, like.dtype)
    if values.shape.rank == like.shape.rank > 1:
        return values
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
    dtype = new.dtype
    if dtype in (tf.float16, tf.bfloat16):  # chosen one by one: as bits, ten times faster
        new, old = tf.bitcast(new, tf.int16), tf.bitcast(old, tf.int16)
    chosen = tf.raw_ops.Select(condition=condition, x=new, y=old)
    return chosen if chosen.dtype == dtype else tf.bitcast(chosen, dtype)


def select_all(condition: tf.Tensor, new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
    """Choose between whole trials in every tensor of two equal structures.

    Where every trial takes the new values, as in most steps, nothing is copied.
    """
    if not tf.nest.flatten(new):
        return new

    def choose() -> tuple[Any, ...]:
        chosen: tuple[Any, ...] = tf.nest.map_structure(
            lambda after, before: select(condition, after, before), new, old
        )
        return chosen

    result: tuple[Any, ...] = tf.cond(tf.reduce_all(condition), lambda: new, choose)
    return result
