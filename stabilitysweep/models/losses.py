"""The losses of the config as Keras' own loss objects; classification takes logits."""

from __future__ import annotations

import keras


def build_loss(name: str) -> keras.losses.Loss:
    """Return the loss by its short name, in Keras' floatx at the time of the call.

    Raises:
        ValueError: an unknown name.
    """
    match name:
        case "mse":
            return keras.losses.MeanSquaredError()
        case "mae":
            return keras.losses.MeanAbsoluteError()
        case "huber":
            return keras.losses.Huber()
        case "poisson":
            return keras.losses.Poisson()
        case "binary_crossentropy":
            return keras.losses.BinaryCrossentropy(from_logits=True)
        case "sparse_categorical_crossentropy":
            return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    raise ValueError(f"unknown loss {name!r}")
