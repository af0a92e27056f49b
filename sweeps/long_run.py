"""A small regression network whose learning rate can be anything: made to be searched.

    dataset: {function: sweeps.long_run:diabetes}
    model: {build: sweeps.long_run:build}

`whole_way.py` goes from its map to a long run. Notation: B rows in a batch.
"""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes


def diabetes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Disease progression of diabetes patients.

    Returns:
        Features float32 [442, 10] and target float32 [442, 1], each column with mean 0 and standard
        deviation 1.
    """
    x, y = load_diabetes(return_X_y=True)
    table = np.column_stack([x, y])
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    return table[:, :-1].astype("float32"), table[:, -1:].astype("float32")


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a compiled network: [B, 10] to [B, 1]."""
    units = hp.Choice("units", [16, 32, 64])
    activation = hp.Choice("activation", ["relu", "tanh"])
    hidden = [layers.Dense(units, activation=activation) for _ in range(hp.Int("num_layers", 1, 3))]
    model = keras.Sequential([layers.Input((10,)), *hidden, layers.Dense(1)])
    rate = hp.Float("learning_rate", 1e-3, 10, sampling="log", default=1e-2)
    model.compile(optimizer=keras.optimizers.SGD(rate, momentum=0.9), loss="mse")
    return model
