"""The hypermodel that `stable_search.py` maps and searches; it knows nothing of either."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

INPUTS = 10


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A network for the diabetes data, with SGD and momentum."""
    depth = hp.Int("depth", 1, 3)
    activation = hp.Choice("activation", ["relu", "tanh"])
    rate = hp.Float("learning_rate", 1e-4, 100, sampling="log")
    hidden: list[Any] = [keras.layers.Dense(32, activation=activation) for _ in range(depth)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(rate, momentum=0.9), loss="mse")
    return model
