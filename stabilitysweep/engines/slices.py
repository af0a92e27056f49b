"""Gradients that come as slices of a weight, one for each row that was looked up.

On TensorFlow Keras hands such a gradient, that of an `Embedding`, to the optimizer as it is.
A row that was looked up twice has two slices. An update that is linear in the gradient does not
care, but what squares it does: Adam and RMSprop square the slices and add them up then, and so
do the norms that `clipnorm` and its like go by. With g_i the slices of a row, that is
sum(g_i^2) where a dense gradient has sum(g_i)^2.

Notation: P trials, n slices, rows of a weight [R, ...].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from stabilitysweep.engines.trial_axis import expand, vectorize
from stabilitysweep.numerics import probes


class Slices(NamedTuple):
    """The gradient of one weight: of one trial, or of all with a trial axis in front.

    Attributes:
        values: [n, ...].
        indices: [n], the rows they belong to.
    """

    values: tf.Tensor
    indices: tf.Tensor


class Kinds(NamedTuple):
    """Which weights of a model have gradients of another kind, by their places.

    Attributes:
        sliced: those whose gradients come as slices.
        unconnected: those on which the loss does not depend: Keras leaves them as they are,
            weight decay included.
    """

    sliced: tuple[int, ...] = ()
    unconnected: tuple[int, ...] = ()


DENSE = Kinds()
"""All gradients are plain tensors."""


def take_apart(
    gradients: Sequence[Any], weights: Sequence[tf.Tensor]
) -> tuple[list[tf.Tensor], tuple[Slices, ...], Kinds]:
    """Return the gradients of one trial as dense tensors, and what they came as.

    Args:
        gradients: as a tape gives them: tensors, slices, or None.
        weights: what they are the gradients of.
    """
    sliced = [place for place, g in enumerate(gradients) if isinstance(g, tf.IndexedSlices)]
    missing = [place for place, g in enumerate(gradients) if g is None]
    dense = [
        tf.zeros_like(weight) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]
    slices = tuple(Slices(gradients[p].values, gradients[p].indices) for p in sliced)
    return dense, slices, Kinds(tuple(sliced), tuple(missing))


def put_together(
    gradients: Sequence[tf.Tensor], slices: Sequence[Slices], kinds: Kinds
) -> list[Any]:
    """Return what `take_apart` was given, from dense gradients of one trial."""
    whole: list[Any] = list(gradients)
    for place, own in zip(kinds.sliced, slices, strict=True):
        shape = tf.shape(whole[place], tf.int64)
        whole[place] = tf.IndexedSlices(own.values, own.indices, shape)
    for place in kinds.unconnected:
        whole[place] = None
    return whole


def unscale(slices: Sequence[Slices], scale: tf.Tensor) -> tuple[Slices, ...]:
    """Divide the slices of each trial by its loss scale [P]."""

    def one(own: Slices) -> Slices:
        # [P, n, ...], n not known: one scale for each slice.
        flat = tf.reshape(scale, [-1, *[1] * (len(own.values.shape) - 1)])
        return own._replace(values=own.values / tf.cast(flat, own.values.dtype))

    return tuple(one(own) for own in slices)


def squares(
    gradients: Sequence[tf.Tensor], slices: Sequence[Slices], kinds: Kinds
) -> list[tf.Tensor]:
    """Return the squares of all gradients [P, ...], those of slices as Keras takes them."""
    found = [tf.square(gradient) for gradient in gradients]
    for place, own in zip(kinds.sliced, slices, strict=True):
        rows = gradients[place].shape[1]

        def added_up(trial: Slices, rows: int = rows) -> tf.Tensor:
            return tf.math.unsorted_segment_sum(tf.square(trial.values), trial.indices, rows)

        found[place] = vectorize(added_up, own)
    return found


def clip(
    gradient: tf.Tensor, squared: tf.Tensor, clipnorm: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scale each trial's gradient to L2 norm `clipnorm` [P] at most; 0 is off.

    Args:
        gradient: [P, ...].
        squared: its squares, see `squares`.
        clipnorm: [P].

    Returns:
        The gradient and its squares after that.
    """
    total = expand(probes.steady_sum(squared), squared)
    positive = total > 0
    length = tf.where(positive, tf.sqrt(tf.where(positive, total, 1)), total)
    limit = expand(clipnorm, gradient)
    on = expand(tf.cast(clipnorm > 0, tf.float32), gradient) > 0
    longest = tf.maximum(length, limit)
    return (
        tf.where(on, gradient * limit / longest, gradient),
        tf.where(on, squared * tf.square(limit / longest), squared),
    )
