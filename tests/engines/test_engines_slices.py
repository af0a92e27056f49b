"""Gradients of embeddings: each trial of a stack is updated as Keras updates it from slices.

Rows are looked up several times in a batch: there Keras squares before it adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines import optimizers
from stabilitysweep.engines.keras_update import KerasUpdate
from stabilitysweep.engines.optimizers import Hyperparameters
from stabilitysweep.engines.slices import Slices, clip, squares, take_apart
from stabilitysweep.engines.trial_axis import vectorize

TRIALS, ROWS, WIDTH, STEPS = 3, 5, 4, 6
RATES = np.array([0.01, 0.1, 0.5], np.float32)
INDICES = np.array([[0, 0, 3, 1, 0], [2, 2, 2, 2, 2], [4, 1, 4, 0, 3]])
ALMOST = 2e-6
"""Relative to the largest weight: a few roundings of float32."""


def table_and_lookups() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The weights of each trial, and what its loss multiplies each row by that is looked up."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(TRIALS, ROWS, WIDTH)).astype(np.float32)
    return table, generator.normal(size=(TRIALS, STEPS, 5, WIDTH)).astype(np.float32)


def by_keras(make: Callable[[float], keras.optimizers.Optimizer]) -> np.ndarray[Any, Any]:
    """Train each trial alone, with Keras' optimizer fed by the tape's own slices."""
    tables, factors = table_and_lookups()
    trained = []
    for place in range(TRIALS):
        variable = keras.Variable(tables[place], name="table")
        optimizer = make(float(RATES[place]))
        for step in range(STEPS):
            with tf.GradientTape() as tape:
                rows = tf.gather(variable.value, INDICES[place])
                loss = tf.reduce_sum(rows * factors[place, step] + rows**2)
            gradient = tape.gradient(loss, variable.value)
            assert isinstance(gradient, tf.IndexedSlices)
            optimizer.apply_gradients([(gradient, variable)])
        trained.append(variable.numpy())
    return np.stack(trained)


def gradients_of(table: tf.Tensor, step: int) -> tuple[Any, Any, Any]:
    """The gradients of all trials, dense and as slices."""
    _, factors = table_and_lookups()
    kinds: list[Any] = []

    def one_trial(arguments: Any) -> Any:
        own, indices, factor = arguments
        with tf.GradientTape() as tape:
            tape.watch(own)
            rows = tf.gather(own, indices)
            loss = tf.reduce_sum(rows * factor + rows**2)
        dense, slices, found = take_apart(tape.gradient(loss, [own]), [own])
        kinds.append(found)
        return tuple(dense), slices

    arguments = (table, tf.constant(INDICES), tf.constant(factors[:, step]))
    dense, slices = tf.function(lambda: vectorize(one_trial, arguments), autograph=False)()
    return dense, tuple(Slices(*own) for own in slices), kinds[0]


def squared_of(gradient: tf.Tensor, slices: Any, kinds: Any) -> Any:
    """The squares of all trials."""
    return tf.function(lambda: squares([gradient], slices, kinds), autograph=False)()


@pytest.mark.parametrize("clipnorm", [None, 1.0])
@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_written_out_updates_are_those_of_keras(name: str, clipnorm: float | None) -> None:
    kind = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }[name]
    expected = by_keras(lambda rate: kind(rate, clipnorm=clipnorm))

    rule = optimizers.build(name, momentum=False, nesterov=False)
    table = tf.constant(table_and_lookups()[0])
    slots = tuple(tf.zeros_like(table) for _ in rule.slots)
    none = tf.zeros([TRIALS])
    limits = tf.fill([TRIALS], np.float32(clipnorm or 0.0))
    for step in range(STEPS):
        (gradient,), slices, kinds = gradients_of(table, step)
        assert kinds.sliced == (0,)
        (squared,) = squared_of(gradient, slices, kinds)
        if clipnorm:
            gradient, squared = clip(gradient, squared, limits)
        count = tf.fill([TRIALS], np.int64(step))
        hyper = Hyperparameters(tf.constant(RATES), none, none, none, count, squared)
        table, slots = rule.update(table, gradient, slots, hyper)
    scale = np.abs(expected).max()
    assert np.abs(table.numpy() - expected).max() < ALMOST * scale


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: keras.optimizers.Nadam(rate),
        lambda rate: keras.optimizers.Adam(rate, amsgrad=True),
    ],
    ids=["nadam", "amsgrad"],
)
def test_any_optimizer_is_given_the_slices(make: Any) -> None:
    expected = by_keras(make)
    variable = keras.Variable(np.zeros((ROWS, WIDTH), np.float32), name="table")
    update = KerasUpdate(make(0.1), [variable])
    table = tf.constant(table_and_lookups()[0])
    slots = update.initial(tf.constant(TRIALS))
    for step in range(STEPS):
        dense, slices, kinds = gradients_of(table, step)
        count = tf.fill([TRIALS], np.int64(step))
        (table,), slots = update((table,), dense, slots, tf.constant(RATES), count, slices, kinds)
    scale = np.abs(expected).max()
    assert np.abs(table.numpy() - expected).max() < ALMOST * scale


def test_without_the_slices_the_update_would_be_another() -> None:
    """The rows of this test are met often enough for the difference to show."""
    (gradient,), slices, kinds = gradients_of(tf.constant(table_and_lookups()[0]), 0)
    (squared,) = squared_of(gradient, slices, kinds)
    assert np.abs(squared - gradient**2).max() > 0.1


def test_a_weight_without_a_gradient_is_named() -> None:
    weights = [tf.constant([1.0]), tf.constant([2.0, 3.0])]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = tf.reduce_sum(weights[1])
    dense, slices, kinds = take_apart(tape.gradient(loss, weights), weights)
    assert (kinds.sliced, kinds.unconnected, slices) == ((), (0,), ())
    assert dense[0].numpy().tolist() == [0.0]
