"""A small convolutional network for images: a Keras model of one's own, as KerasTuner builds it.

    dataset: {function: sweeps.cnn:digits}
    model: {build: sweeps.cnn:build}

`build(hp)` asks `hp` for each hyperparameter by name and returns a compiled model. A value of
the grid takes the place of the default given here.

Notation: N images; B images in a batch.
"""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.datasets import load_digits


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Handwritten digits of 8 by 8 pixels.

    Returns:
        Images float32 [1797, 8, 8, 1], from 0 (white) to 1 (black), and their classes int64
        [1797], from 0 to 9.
    """
    data = load_digits()
    return (data.images[..., np.newaxis] / 16).astype("float32"), data.target.astype("int64")


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the compiled model under the current dtype policy.

    Two blocks of

        Conv2D(filters, 3x3) -> [BatchNormalization] -> activation -> MaxPooling2D(2x2)

    and a Dense layer of ten logits.

    Args:
        hp: reads `filters`, `activation`, `batch_norm`, `dropout` (the rate before the logits),
            `l2` (on every kernel; 0 is no regularizer at all), `learning_rate` and `optimizer`
            (`adam`, or `sgd` with a momentum of 0.9).

    Returns:
        A functional model from images [B, 8, 8, 1] to logits [B, 10].
    """
    filters = hp.Int("filters", 4, 64, default=16)
    activation = hp.Choice("activation", ["relu", "elu", "gelu", "tanh"])
    normalize = hp.Boolean("batch_norm", default=False)
    rate = hp.Float("dropout", 0.0, 0.9, default=0.0)
    l2 = hp.Float("l2", 0.0, 1.0, default=0.0)
    penalty = keras.regularizers.L2(l2) if l2 > 0 else None

    inputs = keras.Input((8, 8, 1), name="image")
    x = inputs
    for index in (1, 2):
        x = layers.Conv2D(
            filters, 3, padding="same", kernel_regularizer=penalty, name=f"conv_{index}"
        )(x)
        if normalize:
            # Keras' momentum of 0.99 takes several hundred steps to forget the initial statistics.
            x = layers.BatchNormalization(momentum=0.9, name=f"batch_norm_{index}")(x)
        x = layers.Activation(activation, name=f"activation_{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    if rate > 0:
        x = layers.Dropout(rate, name="dropout")(x)
    # Under a mixed policy the last layer is float32, as Keras advises. Under the others it is like
    # the rest: Keras adds up penalties of one dtype only.
    mixed = keras.config.dtype_policy().name.startswith("mixed_")
    outputs = layers.Dense(
        10, kernel_regularizer=penalty, dtype="float32" if mixed else None, name="logits"
    )(x)
    model = keras.Model(inputs, outputs, name="cnn")

    learning_rate = hp.Float("learning_rate", 1e-5, 10.0, sampling="log", default=1e-3)
    if hp.Choice("optimizer", ["adam", "sgd"]) == "adam":
        optimizer = keras.optimizers.Adam(learning_rate)
    else:
        optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9)
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model
