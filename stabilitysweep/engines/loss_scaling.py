"""Dynamic loss scaling as Keras' `LossScaleOptimizer` does it, for each trial by itself.

Start at 2^15; on a gradient that is not finite halve the scale and skip the step; after
2,000 finite steps in a row double it; a user's own `LossScaleOptimizer` may have other numbers.
There is no floor. The scale is used in the step before it is changed: gradients are divided by
the scale their loss was multiplied with.

Notation: P trials; every tensor here has shape [P].
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2_000


class LossScale(NamedTuple):
    """The scale, float32 [P], and the finite steps since it last changed, int32 [P]."""

    scale: tf.Tensor
    counter: tf.Tensor


def initial(trials: tf.Tensor, *, enabled: bool, start: float = INITIAL_SCALE) -> LossScale:
    """Start `trials` (a scalar int32) scales: at `start` each, or 1 where scaling is off."""
    value = start if enabled else 1.0
    return LossScale(tf.fill([trials], tf.constant(value)), tf.zeros([trials], tf.int32))


def advance(state: LossScale, finite: tf.Tensor, growth_steps: int = GROWTH_STEPS) -> LossScale:
    """Update the scale after a step whose scaled gradients were `finite`, bool [P]."""
    grows = state.counter == growth_steps - 1
    grown = tf.where(grows, state.scale * 2.0, state.scale)
    counted = tf.where(grows, 0, state.counter + 1)
    return LossScale(tf.where(finite, grown, state.scale * 0.5), tf.where(finite, counted, 0))
