"""Small models with something planted in them at a given step, and how they are trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

ROWS, BATCH, COLUMNS = 64, 8, 5
STEPS_PER_EPOCH = ROWS // BATCH

Way = tuple[bool, bool, int]
"""jit_compile, run_eagerly, steps_per_execution."""
GRAPH: Way = (False, False, 1)
XLA: Way = (True, False, 1)
EAGER: Way = (False, True, 1)
# XLA takes five times as long to compile a step; one test of it is quick.
WAYS = [
    pytest.param(GRAPH, id="graph"),
    pytest.param(XLA, id="xla", marks=pytest.mark.slow),
    pytest.param(EAGER, id="eager"),
]


def data(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    return x, (x @ rng.normal(size=(COLUMNS, 1))).astype(np.float32)


class Clock:
    """Counts the training steps in which it was asked, in the graph."""

    def __init__(self, at: int, value: float = float("nan")) -> None:
        self.at, self.value = at, value
        self._now = tf.Variable(0, dtype=tf.int64, trainable=False)

    def strikes(self) -> Any:
        return tf.equal(self._now.assign_add(1), self.at)

    def planted(self, tensor: Any) -> Any:
        """`tensor` with the value in it, in that one step."""
        return tf.where(self.strikes(), tf.cast(self.value, tensor.dtype), tensor)


class BadLoss(keras.losses.Loss):
    """A mean squared error that is something else in one step, as are its gradients."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(reduction=None)
        self._clock = clock

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        loss = tf.reduce_mean(tf.square(tf.cast(y_true, y_pred.dtype) - y_pred))
        return self._clock.planted(loss)


class BadGradient(keras.layers.Layer):
    """The identity, whose backward pass breaks in one step."""

    def __init__(self, clock: Clock, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._clock = clock

    def call(self, inputs: Any) -> Any:
        clock = self._clock

        @tf.custom_gradient
        def identity(x: Any) -> Any:
            return tf.identity(x), lambda upstream: clock.planted(upstream)

        return identity(inputs)


class BadUpdate(keras.optimizers.SGD):
    """Descent that writes something else into one weight in one step."""

    def __init__(self, clock: Clock, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._clock = clock

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate)
        if "out/kernel" in (getattr(variable, "path", "") or variable.name):
            variable.assign(self._clock.planted(tf.convert_to_tensor(variable)))


def compiled(
    layers: list[Any],
    way: Way,
    optimizer: Any = None,
    loss: Any = "mse",
    *,
    built: bool = True,
    **kwargs: Any,
) -> keras.Model:
    """A compiled model; an optimizer that is not built has Keras trace its first step twice."""
    jit, eager, execution = way
    model = keras.Sequential([keras.Input((COLUMNS,)), *layers])
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(0.01),
        loss=loss,
        jit_compile=jit,
        run_eagerly=eager,
        steps_per_execution=execution,
        **kwargs,
    )
    if built and model.trainable_variables:
        model.optimizer.build(model.trainable_variables)
    return model


def plain(way: Way = GRAPH, optimizer: Any = None, seed: int = 1, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Dense(6, activation="relu", name="hidden"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.2, name="drop"),
        keras.layers.Dense(1, name="out", dtype=kwargs.pop("head", None)),
    ]
    return compiled(layers, way, optimizer, **kwargs)


def planted(where: str, clock: Clock, way: Way) -> keras.Model:
    """A model in which NaN comes up in the loss, a gradient or a weight."""
    keras.utils.set_random_seed(2)
    layers = [keras.layers.Dense(4, activation="tanh", name="hidden")]
    if where == "gradient":
        layers.append(BadGradient(clock, name="bad"))
    layers.append(keras.layers.Dense(1, name="out"))
    optimizer = BadUpdate(clock, learning_rate=0.01) if where == "weight" else None
    loss = BadLoss(clock) if where == "loss" else "mse"
    return compiled(layers, way, optimizer, loss)


def train(model: keras.Model, *callbacks: Any, epochs: int = 3, **kwargs: Any) -> Any:
    x, y = data()
    return model.fit(
        x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0,
        callbacks=list(callbacks), **kwargs,
    )  # fmt: skip


class Snapshots(keras.callbacks.Callback):
    """All that a model and its optimizer hold after every execution, by steps so far."""

    def __init__(self) -> None:
        super().__init__()
        self.after: dict[int, list[Any]] = {}
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = epoch * STEPS_PER_EPOCH

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after[self._before + batch + 1] = state(self.model)


def state(model: keras.Model) -> list[Any]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(variable.numpy()) for variable in variables]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True)
    )


def finite(values: list[Any]) -> bool:
    return all(np.isfinite(value).all() for value in values)
