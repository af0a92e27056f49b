"""A user's module with a `build(hp)`, and its map made up: what it asks for is real."""

from __future__ import annotations

from typing import Any

import keras


def build(hp: Any) -> keras.Model:
    """Every kind of hyperparameter, and conditional ones."""
    kind = hp.Choice("kind", ["plain", "wide", "odd"])
    rate = hp.Float("lr", 1e-3, 1.0, sampling="log")
    units = hp.Int("units", 4, 32, step=4)
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
    hp.Boolean("bias")
    with hp.conditional_scope("kind", ["wide"]):
        if kind == "wide":
            hp.Int("factor", 1, 8)
    layers = [keras.layers.Dense(units), keras.layers.Dropout(dropout), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    return model


def broken(hp: Any) -> None:
    """Asks for something, and fails."""
    hp.Float("lr", 1e-3, 1.0)
    raise ValueError("no such thing")
