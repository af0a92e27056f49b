"""Builds at the edges: where two models are nearly the same, or one is unlike the usual."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import numpy as np
from numpy.typing import NDArray

HP = keras_tuner.HyperParameters


def columns() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """32 rows of 3 columns and a number."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 3)).astype("float32")
    return x, x @ np.array([1.0, -2.0, 0.5], np.float32)


def _dense(units: int = 1, **options: Any) -> keras.Sequential:
    hidden = keras.layers.Dense(4, "tanh", **options)
    return keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(units)])


def bound(hp: HP) -> keras.Model:
    """A constraint on a weight, the model compiled or not."""
    model = _dense(kernel_constraint=keras.constraints.MaxNorm(hp.Float("most", 0.1, 100.0)))
    if hp.Boolean("by_build"):
        model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-6, 1.0)), "mse")
    return model


def measured(hp: HP) -> keras.Model:
    """A metric by its name."""
    model = _dense()
    model.compile("sgd", "mse", metrics=[hp.Choice("metric", ["mae", "mse"])])
    return model


def excluded(hp: HP) -> keras.Model:
    """AdamW, with the kernels left out of its decay or not."""
    model = _dense()
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.5)
    if hp.Boolean("exclude"):
        kernels = [weight for weight in model.weights if "kernel" in weight.path]
        optimizer.exclude_from_weight_decay(var_list=kernels)
    model.compile(optimizer, "mse")
    return model


def half_compiled(hp: HP) -> keras.Model:
    """Compiled without clipping, or left to the config."""
    model = _dense()
    if hp.Boolean("by_build"):
        model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


class Added(keras.layers.Layer):
    """Adds the square of its input to the loss."""

    def call(self, x: Any) -> Any:
        self.add_loss(keras.ops.mean(keras.ops.square(x)))
        return x


def added(hp: HP) -> keras.Model:
    """No loss but what a layer adds."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Added()(keras.layers.Dense(2)(inputs)))
    model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-6, 1.0)))
    return model


def quantiles(hp: HP) -> keras.Model:
    """Three outputs against one number, by a loss of one's own."""

    def pinball(y: Any, predicted: Any) -> Any:
        error = y - predicted
        levels = keras.ops.convert_to_tensor([0.1, 0.5, 0.9], predicted.dtype)
        return keras.ops.mean(keras.ops.maximum(levels * error, (levels - 1) * error))

    model = _dense(3)
    model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-6, 1.0)), pinball)
    return model


def factored(hp: HP) -> keras.Model:
    """An optimizer that keeps a whole number among its slots."""
    model = _dense()
    model.compile(keras.optimizers.Adafactor(hp.Float("learning_rate", 1e-6, 1.0)), "mse")
    return model


def late_metric(hp: HP) -> keras.Model:
    """A metric that makes its variables when it is first used."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    rate = hp.Float("learning_rate", 1e-6, 1.0)
    metrics = [keras.metrics.AUC(multi_label=True, num_labels=1)]
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=metrics)
    return model


def signs() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """32 rows of 3 columns and two classes."""
    x, y = columns()
    return x, (y > 0).astype("int64")


def floating(hp: HP) -> keras.Model:
    """Sets floatx, which the precision of the config is to set."""
    keras.config.set_floatx("float16" if hp.Boolean("half") else "float32")
    model = _dense()
    model.compile("sgd", "mse")
    return model
