"""The stacked updates are those of `keras.optimizers`, for each trial by itself.

Notation: P = 3 trials, each with its own hyperparameters, against three Keras optimizers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines import optimizers
from stabilitysweep.engines.optimizers import Hyperparameters
from stabilitysweep.models.builder import precision_scope

SHAPE, STEPS = (3, 4), 6
DTYPES = ("float32", "float64", "float16")
RATES, MOMENTA = (0.1, 0.003, 0.7), (0.9, 0.5, 0.99)
DECAYS, CLIPS = (0.01, 0.3, 0.001), (0.5, 2.0, 1e3)

# name -> (name and switches of ours, Keras class, arguments of each of its three)
CASES: dict[str, tuple[tuple[str, bool, bool], Any, dict[str, Sequence[Any]]]] = {
    "sgd": (("sgd", False, False), keras.optimizers.SGD, {}),
    "momentum": (("sgd", True, False), keras.optimizers.SGD, {"momentum": MOMENTA}),
    "nesterov": (
        ("sgd", True, True),
        keras.optimizers.SGD,
        {"momentum": MOMENTA, "nesterov": (True,) * 3},
    ),
    "adam": (("adam", False, False), keras.optimizers.Adam, {}),
    "adamw": (("adamw", False, False), keras.optimizers.AdamW, {"weight_decay": DECAYS}),
    "rmsprop": (("rmsprop", False, False), keras.optimizers.RMSprop, {}),
    "rmsprop+momentum": (
        ("rmsprop", True, False),
        keras.optimizers.RMSprop,
        {"momentum": MOMENTA},
    ),
    "sgd+decay": (("sgd", False, False), keras.optimizers.SGD, {"weight_decay": DECAYS}),
    "adam+decay": (("adam", False, False), keras.optimizers.Adam, {"weight_decay": DECAYS}),
    "momentum+clip+decay": (
        ("sgd", True, False),
        keras.optimizers.SGD,
        {"momentum": MOMENTA, "clipnorm": CLIPS, "weight_decay": DECAYS},
    ),
    "adam+clip": (("adam", False, False), keras.optimizers.Adam, {"clipnorm": CLIPS}),
}


def draw(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Initial variables [P, ...] and gradients [STEPS, P, ...] of sizes 1e-3 to 10."""
    random = np.random.default_rng(3)
    weights = random.normal(size=(3, *SHAPE))
    sizes = 10 ** random.uniform(-3, 1, size=(STEPS, 3, 1, 1))
    gradients = random.normal(size=(STEPS, 3, *SHAPE)) * sizes
    return weights.astype(dtype), gradients.astype(dtype)


def by_keras(case: str, weights: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Variables of each trial after each step, [STEPS, P, ...], by an optimizer each."""
    _, kind, arguments = CASES[case]
    columns = []
    # Keras holds learning rates in floatx, which `float64` sets and half precision does not.
    with precision_scope("float64" if weights.dtype == np.float64 else "float32"):
        for trial in range(3):
            own = {name: values[trial] for name, values in arguments.items()}
            optimizer = kind(learning_rate=RATES[trial], **own)
            variable = keras.Variable(weights[trial], dtype=str(weights.dtype))
            column = []
            for gradient in gradients[:, trial]:
                optimizer.apply([tf.constant(gradient)], [variable])
                column.append(variable.numpy())
            columns.append(column)
    return np.stack(columns, axis=1)


def single(values: Sequence[Any], when: bool = True) -> Any:
    """Round as Keras does on the way to float64: `ops.cast` of a Python float goes by float32."""
    return np.float32(values) if when else values


Run = Callable[..., Any]


def step_of(
    build: tuple[str, bool, bool],
    arguments: dict[str, Sequence[Any]],
    floatx: str = "float32",
    rates: Sequence[float] = RATES,
) -> tuple[int, Run]:
    """The stacked update, as the training step puts it together, and its number of slots."""
    name, momentum, nesterov = build
    optimizer = optimizers.build(name, momentum=momentum, nesterov=nesterov)

    def column(values: Sequence[Any]) -> tf.Tensor:
        return tf.constant(np.array(values, floatx))

    def step(
        variable: tf.Tensor, gradient: tf.Tensor, slots: tuple[tf.Tensor, ...], count: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        zeros = [0.0] * len(rates)
        hyper = Hyperparameters(
            column(rates),
            column(single(arguments.get("momentum", zeros), when=name == "sgd")),
            column(single(arguments.get("weight_decay", zeros))),
            column(arguments.get("clipnorm", zeros)),
            count,
        )
        if "clipnorm" in arguments:
            gradient = optimizers.clip_by_norm(gradient, hyper.clipnorm)
        if "weight_decay" in arguments:
            variable = optimizers.decay_weights(variable, hyper)
        return optimizer.update(variable, gradient, slots, hyper)

    return len(optimizer.slots), step


def states_of(slots: int, run: Run, weights: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Variables after each step, [STEPS, P, ...]."""
    variable = tf.constant(weights)
    own = tuple(tf.zeros_like(variable) for _ in range(slots))
    states = []
    for count, gradient in enumerate(gradients):
        iterations = tf.fill([len(weights)], tf.constant(count, tf.int64))
        variable, own = run(variable, tf.constant(gradient), own, iterations)
        states.append(variable.numpy())
    return np.stack(states)


def by_ours(
    build: tuple[str, bool, bool],
    arguments: dict[str, Sequence[Any]],
    weights: np.ndarray,
    gradients: np.ndarray,
    rates: Sequence[float] = RATES,
) -> np.ndarray:
    """The same as `by_keras` by the stacked update."""
    floatx = "float64" if weights.dtype == np.float64 else "float32"
    return states_of(*step_of(build, arguments, floatx, rates), weights, gradients)


@cache
def graph_of(case: str) -> tuple[int, Run]:
    """The update of a case in a graph, traced once for all tests."""
    build, _, arguments = CASES[case]
    slots, step = step_of(build, arguments)
    return slots, tf.function(step, autograph=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_updates_are_keras_own_to_the_bit(case: str, dtype: str) -> None:
    weights, gradients = draw(dtype)
    build, _, arguments = CASES[case]
    ours = by_ours(build, arguments, weights, gradients)
    keras_own = by_keras(case, weights, gradients)
    if "clipnorm" in arguments:
        # Keras sums the squares of one variable, the stack those of three: in another order.
        tolerance = {"float32": 1e-6, "float64": 1e-14, "float16": 4e-3}[dtype]
        np.testing.assert_allclose(
            ours.astype(float), keras_own.astype(float), rtol=tolerance, atol=tolerance
        )
    else:
        np.testing.assert_array_equal(ours, keras_own)
    assert np.abs(np.diff(ours, axis=0)).max() > 0  # something was learnt


@pytest.mark.parametrize("case", CASES)
def test_updates_in_a_graph_are_keras_own_within_some_ulp(case: str) -> None:
    # In a graph TensorFlow turns a division by a square root into a product with its inverse.
    weights, gradients = draw("float32")
    ours = states_of(*graph_of(case), weights, gradients)
    np.testing.assert_allclose(ours, by_keras(case, weights, gradients), rtol=2e-6, atol=1e-6)


OFF: dict[str, tuple[tuple[str, bool, bool], tuple[str, bool, bool], dict[str, Any]]] = {
    "momentum": (("sgd", True, False), ("sgd", False, False), {"momentum": (0.0, 0.9, 0.5)}),
    "nesterov": (("sgd", True, True), ("sgd", False, False), {"momentum": (0.0, 0.9, 0.5)}),
    "rmsprop momentum": (
        ("rmsprop", True, False),
        ("rmsprop", False, False),
        {"momentum": (0.0, 0.9, 0.5)},
    ),
    "weight decay": (
        ("adam", False, False),
        ("adam", False, False),
        {"weight_decay": (0.0, 0.1, 2.0)},
    ),
    "clipnorm": (("sgd", False, False), ("sgd", False, False), {"clipnorm": (0.0, 0.1, 9.0)}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", OFF)
def test_a_term_at_zero_is_a_term_left_out_to_the_bit(case: str, dtype: str) -> None:
    weights, gradients = draw(dtype)
    with_term, without, arguments = OFF[case]
    shared = by_ours(with_term, arguments, weights, gradients)
    alone = by_ours(without, {}, weights, gradients)
    assert shared[:, 0].tobytes() == alone[:, 0].tobytes()
    assert not np.array_equal(shared[:, 1], alone[:, 1])  # the term is there for the others


OVERFLOWS = ["momentum", "nesterov", "rmsprop momentum", "weight decay", "clipnorm"]


@pytest.mark.parametrize("case", OVERFLOWS)
def test_a_term_at_zero_is_left_out_when_the_step_overflows(case: str) -> None:
    # float16: a learning rate of 1e6 is Inf, one of 1,000 times a gradient of 100 as well.
    weights, gradients = draw("float16")
    with_term, without, arguments = OFF[case]
    for rates in ((1e6, 0.1, 0.1), (1e3, 0.1, 0.1)):
        large = (gradients * np.float16(30)).astype(np.float16)
        shared = by_ours(with_term, arguments, weights, large[:1], rates=rates)
        alone = by_ours(without, {}, weights, large[:1], rates=rates)
        np.testing.assert_array_equal(shared[:, 0], alone[:, 0])
        assert np.isfinite(shared[:, 1:]).all() or case == "rmsprop momentum"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("case", CASES)
def test_a_broken_gradient_stays_in_its_own_trial(case: str, bad: float) -> None:
    weights, gradients = draw("float32")
    clean = states_of(*graph_of(case), weights, gradients)
    gradients[2, 1, 0, 0] = bad
    dirty = states_of(*graph_of(case), weights, gradients)
    for neighbour in (0, 2):
        assert dirty[:, neighbour].tobytes() == clean[:, neighbour].tobytes()
    assert not np.isfinite(dirty[2:, 1]).all(axis=(1, 2)).any()


def test_each_trial_counts_its_own_steps() -> None:
    # Adam's bias correction: a trial that skipped steps is corrected for those it applied.
    weights, gradients = draw("float32")
    optimizer = optimizers.build("adam", momentum=False, nesterov=False)
    counts = (0, 7, 999)
    column = tf.constant([0.1, 0.1, 0.1])
    zeros = tf.zeros(3)
    hyper = Hyperparameters(column, zeros, zeros, zeros, tf.constant(counts, tf.int64))
    state = tuple(tf.zeros([3, *SHAPE]) for _ in range(2))
    ours, _ = optimizer.update(tf.constant(weights), tf.constant(gradients[0]), state, hyper)
    for trial, count in enumerate(counts):
        kept = keras.optimizers.Adam(0.1)
        variable = keras.Variable(weights[trial])
        kept.build([variable])
        kept.iterations.assign(count)
        kept.apply([tf.constant(gradients[0, trial])], [variable])
        np.testing.assert_array_equal(ours[trial], variable.numpy())


def test_clipping_keeps_small_gradients_and_the_zero_gradient() -> None:
    gradients = tf.constant([[[3.0, 4.0]], [[0.3, 0.4]], [[0.0, 0.0]]])
    clipped = optimizers.clip_by_norm(gradients, tf.constant([1.0, 1.0, 1.0])).numpy()
    np.testing.assert_allclose(clipped, [[[0.6, 0.8]], [[0.3, 0.4]], [[0, 0]]], rtol=1e-6)


def test_a_clipnorm_below_half_precision_stops_training_as_in_keras() -> None:
    gradient = np.array([1.0, 2.0], np.float16)
    optimizer = keras.optimizers.SGD(1.0, clipnorm=1e-9)
    variable = keras.Variable(np.zeros(2, np.float16), dtype="float16")
    optimizer.apply([tf.constant(gradient)], [variable])
    ours = optimizers.clip_by_norm(tf.constant(gradient[None]), tf.constant([1e-9]))
    np.testing.assert_array_equal(-ours[0], variable.numpy())


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="expected sgd, adam, adamw or rmsprop, got 'lion'"):
        optimizers.build("lion", momentum=False, nesterov=False)
