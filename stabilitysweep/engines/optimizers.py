"""Optimizer updates as pure functions of one stacked variable.

Notation: P trials in the stack; a variable `w`, its gradient `g` and each slot have shape
[P, ...] and the variable's dtype; every hyperparameter is a tensor [P] of its own dtype.

Keras' own optimizers cannot serve here: they assign to variables in place, hold one
hyperparameter for all trials and count one step for all trials, while a trial that skips a
step under loss scaling must not advance. The arithmetic is theirs, operation for operation
and in their order, so that a float32 update equals Keras' to the bit; the tests hold each
of them against `keras.optimizers`.

A hyperparameter that is zero switches its term off exactly: with momentum 0 the slot is the
plain step, with weight decay 0 nothing is subtracted, so trials with and without a term
can share a graph and each has the numbers it would have alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from stabilitysweep.engines.trial_axis import expand
from stabilitysweep.numerics import probes

ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7
RMSPROP_RHO, RMSPROP_EPSILON = 0.9, 1e-7


class Hyperparameters(NamedTuple):
    """The numbers of a step, a tensor [P] each.

    For all but Adam, `learning_rate` and `momentum` may also come laid out over the variable,
    [P, ...], which `trial_axis.expand` then leaves as they are.

    Attributes:
        learning_rate: of this step, after schedule and warm-up; > 0.
        momentum: in [0, 1); 0 is off.
        weight_decay: decoupled, times the learning rate; 0 is off.
        clipnorm: largest L2 norm of each variable's gradient; 0 is off.
        iterations: steps applied so far, int64; skipped ones do not count.
        squares: of the gradient, where they are not simply that; see `slices`.
    """

    learning_rate: tf.Tensor
    momentum: tf.Tensor
    weight_decay: tf.Tensor
    clipnorm: tf.Tensor
    iterations: tf.Tensor
    squares: tf.Tensor | None = None


Slots = tuple[tf.Tensor, ...]
Update = Callable[[tf.Tensor, tf.Tensor, Slots, Hyperparameters], tuple[tf.Tensor, Slots]]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer's slots and update.

    Attributes:
        slots: names of the slot variables, in Keras' order.
        update: from (variable, gradient, slots, hyperparameters) to (variable, slots).
    """

    slots: tuple[str, ...]
    update: Update


def build(name: str, *, momentum: bool, nesterov: bool) -> Optimizer:
    """Choose the update.

    Args:
        name: `sgd`, `adam`, `adamw` or `rmsprop`; `adamw` is `adam` with weight decay.
        momentum: whether any trial of the program has momentum; adds the slot.
        nesterov: Nesterov's form of it (sgd only).

    Raises:
        ValueError: another name.
    """
    if name == "sgd" and not momentum:
        return Optimizer((), _sgd)
    if name == "sgd":
        return Optimizer(("momentum",), _nesterov if nesterov else _heavy_ball)
    if name in ("adam", "adamw"):
        return Optimizer(("momentum", "velocity"), _adam)
    if name == "rmsprop" and not momentum:
        return Optimizer(("velocity",), _rmsprop)
    if name == "rmsprop":
        return Optimizer(("velocity", "momentum"), _rmsprop_momentum)
    raise ValueError(f"expected sgd, adam, adamw or rmsprop, got {name!r}")


def clip_by_norm(gradient: tf.Tensor, clipnorm: tf.Tensor) -> tf.Tensor:
    """Scale each trial's gradient [P, ...] to L2 norm `clipnorm` [P] at most; 0 is off.

    g * c / max(|g|, c), each variable by itself, as Keras' `clipnorm` does it.
    """
    squares = expand(probes.steady_sum(tf.square(gradient)), gradient)
    positive = squares > 0
    length = tf.where(positive, tf.sqrt(tf.where(positive, squares, 1)), squares)
    limit = expand(clipnorm, gradient)
    on = expand(tf.cast(clipnorm > 0, tf.float32), gradient) > 0
    return tf.where(on, gradient * limit / tf.maximum(length, limit), gradient)


def decay_weights(variable: tf.Tensor, hyper: Hyperparameters) -> tf.Tensor:
    """Subtract w * weight_decay * learning_rate, decoupled from the gradient."""
    decay = expand(hyper.weight_decay, variable)
    rate = expand(hyper.learning_rate, variable)
    # Deselected and not subtracted where it is off: 0 times an infinite rate is NaN.
    return tf.where(decay > 0, variable - variable * decay * rate, variable)


def _squared(gradient: tf.Tensor, hyper: Hyperparameters) -> tf.Tensor:
    return tf.square(gradient) if hyper.squares is None else hyper.squares


def _sgd(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    return variable - gradient * expand(hyper.learning_rate, variable), slots


def _heavy_ball(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    (velocity,) = slots
    step = gradient * expand(hyper.learning_rate, variable)
    velocity = velocity * expand(hyper.momentum, variable) - step
    return variable + velocity, (velocity,)


def _nesterov(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    (velocity,) = slots
    momentum = expand(hyper.momentum, variable)
    step = gradient * expand(hyper.learning_rate, variable)
    velocity = velocity * momentum - step
    # Without momentum the velocity may be infinite, and 0 times that is NaN.
    ahead = tf.where(momentum > 0, velocity * momentum, tf.zeros_like(velocity))
    return variable + (ahead - step), (velocity,)


def _adam(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    first, second = slots
    dtype = variable.dtype
    count = tf.cast(hyper.iterations + 1, dtype)
    power_1 = tf.pow(tf.cast(ADAM_BETA_1, dtype), count)
    power_2 = tf.pow(tf.cast(ADAM_BETA_2, dtype), count)
    alpha = tf.cast(hyper.learning_rate, dtype) * tf.sqrt(1 - power_2) / (1 - power_1)
    first = first + (gradient - first) * (1 - ADAM_BETA_1)
    second = second + (_squared(gradient, hyper) - second) * (1 - ADAM_BETA_2)
    step = first * expand(alpha, variable) / (tf.sqrt(second) + ADAM_EPSILON)
    return variable - step, (first, second)


def _rmsprop_step(
    gradient: tf.Tensor, velocity: tf.Tensor, hyper: Hyperparameters
) -> tuple[tf.Tensor, tf.Tensor]:
    velocity = RMSPROP_RHO * velocity + (1 - RMSPROP_RHO) * _squared(gradient, hyper)
    rate = expand(hyper.learning_rate, gradient)
    return rate * gradient / tf.sqrt(velocity + RMSPROP_EPSILON), velocity


def _rmsprop(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    step, velocity = _rmsprop_step(gradient, slots[0], hyper)
    return variable - step, (velocity,)


def _rmsprop_momentum(
    variable: tf.Tensor, gradient: tf.Tensor, slots: Slots, hyper: Hyperparameters
) -> tuple[tf.Tensor, Slots]:
    velocity, average = slots
    step, velocity = _rmsprop_step(gradient, velocity, hyper)
    average = expand(hyper.momentum, variable) * average + step
    return variable - average, (velocity, average)
