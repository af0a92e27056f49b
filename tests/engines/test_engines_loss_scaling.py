"""Dynamic loss scaling against `keras.optimizers.LossScaleOptimizer`, step by step."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.engines import loss_scaling
from stabilitysweep.engines.loss_scaling import LossScale

LAW = settings(derandomize=True, deadline=None, max_examples=12)

advance = tf.function(loss_scaling.advance, autograph=False)


class KerasScale:
    """Keras' own scale and counter, fed with gradients of one variable."""

    def __init__(self, scale: float = 2.0**15, counter: int = 0) -> None:
        self.variable = keras.Variable(np.zeros(2, np.float32))
        self.optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0))
        self.optimizer.build([self.variable])
        self.optimizer.dynamic_scale.assign(scale)
        self.optimizer.step_counter.assign(counter)

        # As in `fit`: in a graph, where subnormal numbers are flushed to zero.
        @tf.function(autograph=False)
        def apply(gradient: tf.Tensor) -> None:
            self.optimizer.apply([gradient], [self.variable])

        self._apply = apply

    def step(self, gradient: float) -> tuple[float, int]:
        self._apply(tf.constant([1.0, gradient]))
        return (
            float(self.optimizer.dynamic_scale.numpy()),
            int(self.optimizer.step_counter.numpy()),
        )


def start(scales: list[float], counters: list[int]) -> LossScale:
    return LossScale(tf.constant(scales, tf.float32), tf.constant(counters, tf.int32))


def test_scales_start_as_keras_does() -> None:
    on = loss_scaling.initial(tf.constant(3), enabled=True)
    assert on.scale.numpy().tolist() == [2.0**15] * 3 and on.counter.numpy().tolist() == [0] * 3
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert (own.initial_scale, own.dynamic_growth_steps) == (
        loss_scaling.INITIAL_SCALE,
        loss_scaling.GROWTH_STEPS,
    )
    off = loss_scaling.initial(tf.constant(2), enabled=False)
    assert off.scale.numpy().tolist() == [1.0, 1.0]


@LAW
@given(
    st.lists(st.sampled_from([1.0, math.nan, math.inf, -math.inf]), max_size=15),
    st.lists(st.sampled_from([1.0, math.nan]), min_size=15, max_size=15),
    st.integers(1_990, 1_999),
)
def test_every_step_is_that_of_keras(
    gradients: list[float], others: list[float], counter: int
) -> None:
    keras_own, neighbour = KerasScale(counter=counter), KerasScale()
    state = start([2.0**15, 2.0**15], [counter, 0])
    for gradient, other in zip(gradients, others, strict=False):
        state = advance(state, tf.constant([math.isfinite(gradient), math.isfinite(other)]))
        expected = keras_own.step(gradient), neighbour.step(other)
        assert list(zip(*(part.numpy().tolist() for part in state), strict=True)) == list(expected)


def test_the_scale_doubles_after_two_thousand_finite_steps_and_counts_anew() -> None:
    keras_own, state = KerasScale(counter=1_997), start([2.0**15], [1_997])
    seen = []
    for _ in range(5):
        state = advance(state, tf.constant([True]))
        seen.append((float(state.scale[0]), int(state.counter[0])))
        assert seen[-1] == keras_own.step(1.0)
    assert seen[1:4] == [(2.0**15, 1_999), (2.0**16, 0), (2.0**16, 1)]


def test_two_thousand_steps_from_the_start() -> None:
    state = start([2.0**15], [0])
    grown = tf.while_loop(
        lambda step, _: step < 2_000,
        lambda step, state: (step + 1, loss_scaling.advance(state, tf.constant([True]))),
        (tf.constant(0), state),
    )[1]
    assert float(grown.scale[0]) == 2.0**16 and int(grown.counter[0]) == 0


def test_there_is_no_floor_and_142_halvings_end_at_zero() -> None:
    keras_own, state = KerasScale(), start([2.0**15], [0])
    scales = []
    for _ in range(146):
        state = advance(state, tf.constant([False]))
        scales.append(float(state.scale[0]))
        assert scales[-1] == keras_own.step(math.nan)[0]
    assert scales[140] == 2.0**-126 and scales[141] == 0.0
    # Zero doubled stays zero.
    finite = start([0.0], [1_999])
    assert float(advance(finite, tf.constant([True])).scale[0]) == 0.0


def test_there_is_no_ceiling() -> None:
    keras_own, state = KerasScale(2.0**127, 1_999), start([2.0**127], [1_999])
    state = advance(state, tf.constant([True]))
    assert float(state.scale[0]) == keras_own.step(1.0)[0] == math.inf
