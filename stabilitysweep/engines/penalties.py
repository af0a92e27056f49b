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


def value(
    weights: Sequence[tf.Tensor], strengths: Strengths, squares: tf.Tensor | None = None
) -> tf.Tensor | None:
    """Return the penalty of each trial over the penalized weights, in floatx: [P].

    Args:
        weights: the penalized ones. Each one's sum is in its own dtype, as Keras takes
            it, and so overflows where Keras' does.
        strengths: of each trial.
        squares: the sum of squares of all of them together, [P], where it is known. Where
            that overflows, each one's sum decides: Keras multiplies them by l2 and then adds.

    Returns:
        None if no term is in the graph.
    """
    terms = []
    if strengths.l2 is not None and squares is not None:
        terms.append(_squared_term(weights, strengths.l2, squares))
    for weight in weights:
        own = []
        if strengths.l1 is not None:
            own.append(_term(strengths.l1, probes.steady_sum(tf.abs(weight))))
        if strengths.l2 is not None and squares is None:
            own.append(_term(strengths.l2, probes.steady_sum(tf.square(weight))))
        if own:
            terms.append(tf.add_n(own))
    floatx = keras.config.floatx()
    return tf.add_n([tf.cast(term, floatx) for term in terms]) if terms else None


def _squared_term(
    weights: Sequence[tf.Tensor], strength: tf.Tensor, squares: tf.Tensor
) -> tf.Tensor:
    """Return `strength` times the sum of squares, taken apart where `squares` overflowed."""
    together = _term(strength, squares)
    finite = tf.math.is_finite(squares)

    def apart() -> tf.Tensor:
        terms = [_term(strength, probes.steady_sum(tf.square(weight))) for weight in weights]
        return tf.where(finite, together, tf.add_n(terms))

    return tf.cond(tf.reduce_all(finite), lambda: together, apart)


def _term(strength: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    # A strength that `total`'s dtype rounds to 0 is on: 0 times an infinite sum is Keras' NaN.
    product = tf.cast(strength, total.dtype) * total
    return tf.where(strength > 0, product, tf.zeros_like(total))


class Slopes(NamedTuple):
    """What multiplies sign(w) and w in the gradient of packed weights: [P, M, 64] or None."""

    l1: tf.Tensor | None
    twice_l2: tf.Tensor | None


def slopes(pack: tf.Tensor, front_rows: int, strengths: Strengths) -> Slopes:
    """Lay the strengths out over packed weights, once for many steps.

    Args:
        pack: weights as `Packing` packs them, the penalized ones in front.
        front_rows: rows that hold penalized weights; the slope of others is 0.
        strengths: of each trial.
    """

    def lay_out(strength: tf.Tensor | None, factor: float) -> tf.Tensor | None:
        if strength is None:
            return None
        full = factor * expand(strength, pack)
        return tf.concat([full[:, :front_rows], tf.zeros_like(full[:, front_rows:])], axis=1)

    return Slopes(lay_out(strengths.l1, 1.0), lay_out(strengths.l2, 2.0))


def add_gradient(gradient: tf.Tensor, weight: tf.Tensor, slope: Slopes) -> tf.Tensor:
    """Add the penalty's gradient to that of the rest of the loss, both packed."""
    if slope.l1 is not None:
        gradient += slope.l1 * tf.sign(weight)
    if slope.twice_l2 is not None:
        gradient += slope.twice_l2 * weight
    return gradient
