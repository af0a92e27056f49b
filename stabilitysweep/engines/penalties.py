"""L1 and L2 penalties whose strength differs from trial to trial, in closed form.

Keras adds `l1 * sum(|w|) + l2 * sum(w**2)` of every variable that has a regularizer to the
loss. Their gradients are `l1 * sign(w)` and `2 * l2 * w`. Written out, strengths can differ
between the trials of a stack, and the loss keeps finite gradients where a sum overflows.

Notation: P trials in the stack; a weight is [P, ...]; strengths are [P] and >= 0. A strength
of zero removes its term exactly: the sum is deselected, not multiplied by zero, since zero
times an overflowed sum is NaN, and the gradient adds zero to finite weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import keras
import tensorflow as tf

from stabilitysweep.engines.trial_axis import expand
from stabilitysweep.numerics import probes


class Strengths(NamedTuple):
    """Penalty strengths [P] each; None leaves the term out of the graph."""

    l1: tf.Tensor | None
    l2: tf.Tensor | None


@contextmanager
def without_penalties(model: keras.Model) -> Iterator[None]:
    """Let `model` report no regularization losses inside."""
    variables = [v for v in model.trainable_variables if v.regularizer is not None]
    kept = [variable.regularizer for variable in variables]
    for variable in variables:
        variable.regularizer = None
    try:
        yield
    finally:
        for variable, regularizer in zip(variables, kept, strict=True):
            variable.regularizer = regularizer


def penalized(model: keras.Model) -> list[bool]:
    """Tell which trainable variables have an L1 or L2 regularizer, in the model's order.

    Raises:
        ValueError: a variable has a regularizer of another kind.
    """
    for variable in model.trainable_variables:
        if not isinstance(variable.regularizer, keras.regularizers.L1L2 | None):
            raise ValueError(
                f"expected an L1L2 regularizer or none on {variable.path},"
                f" got {type(variable.regularizer).__name__}"
            )
    return [variable.regularizer is not None for variable in model.trainable_variables]


def value(weights: Sequence[tf.Tensor], strengths: Strengths) -> tf.Tensor | None:
    """Return the penalty of each trial over the penalized weights, in floatx: [P].

    Each weight's sum is in the weight's own dtype, as Keras takes it, and so overflows
    where Keras' does. None if no term is in the graph.
    """
    total = None
    for weight in weights:
        for strength, entry in ((strengths.l1, tf.abs), (strengths.l2, tf.square)):
            if strength is None:
                continue
            factor = tf.cast(strength, weight.dtype)
            term = factor * probes.plain_sum(entry(weight))
            term = tf.cast(tf.where(factor > 0, term, tf.zeros_like(term)), keras.config.floatx())
            total = term if total is None else total + term
    return total


class Slopes(NamedTuple):
    """What multiplies sign(w) and w in the gradient of one weight: [P, ...] or None."""

    l1: tf.Tensor | None
    twice_l2: tf.Tensor | None


def slopes(weight: tf.Tensor, strengths: Strengths) -> Slopes:
    """Lay the strengths out to the shape of `weight`, once for many steps."""
    l1, l2 = (None if strength is None else expand(strength, weight) for strength in strengths)
    return Slopes(l1, None if l2 is None else 2.0 * l2)


def add_gradient(gradient: tf.Tensor, weight: tf.Tensor, slope: Slopes) -> tf.Tensor:
    """Add the penalty's gradient to that of the rest of the loss, both [P, ...]."""
    if slope.l1 is not None:
        gradient += slope.l1 * tf.sign(weight)
    if slope.twice_l2 is not None:
        gradient += slope.twice_l2 * weight
    return gradient
