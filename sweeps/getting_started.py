"""A model that was written for KerasTuner and knows nothing of this tool, as it is.

    dataset: {function: sweeps.getting_started:digits}
    model: {build: sweeps.getting_started:build_model}

`build_model` is the one of KerasTuner's guide "Getting started with KerasTuner"
(<https://keras.io/guides/keras_tuner/getting_started/>), unchanged. It names its learning rate
`lr`, so that is the name of the axis; it has no `Input`, so the data decide its shape; and its loss
takes one column for each class, while the data hold the number of the class.
"""

# ruff: noqa: D103  # the guide's function has no docstring, and is left as it is

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.datasets import load_digits


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Handwritten digits of 8 by 8 pixels.

    Returns:
        Images float32 [1797, 8, 8], from 0 (white) to 1 (black), and their classes int64
        [1797], from 0 to 9.
    """
    data = load_digits()
    return (data.images / 16).astype("float32"), data.target.astype("int64")


def build_model(hp):
    model = keras.Sequential()
    model.add(layers.Flatten())
    # Tune the number of layers.
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            layers.Dense(
                # Tune number of units separately.
                units=hp.Int(f"units_{i}", min_value=32, max_value=512, step=32),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
