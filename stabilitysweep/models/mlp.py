"""The built-in multilayer perceptron, written as a KerasTuner `build(hp)`.

Notation: D input features, O outputs. Every hidden block is

    Dense(width) -> [BatchNormalization] -> activation -> [Dropout]

with the activation inside the Dense layer where no batch normalization stands between.
Layers have fixed names, so that a variable is called the same in every process.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the uncompiled model under the current dtype policy.

    Args:
        hp: reads `features` (D >= 1), `outputs` (O >= 1), `width` (>= 1), `depth`
            (>= 0; 0 is a linear model), `activation` and `initializer` (Keras names),
            `l1` and `l2` (>= 0, on every kernel, the output's included, on no bias; 0
            means no regularizer at all), `dropout` (0 <= rate < 1) and `batch_norm`.

    Returns:
        A functional model from [B, D] to [B, O]: predictions for a regression, logits for
        a classification. Under a mixed policy the head computes in float32, as Keras
        advises for the last layer; under every other policy in that policy's dtype.
    """
    width = hp.Int("width", 1, 65_536, default=32)
    activation = hp.Choice("activation", [hp.get("activation")])
    initializer = hp.Choice("initializer", [hp.get("initializer")])
    rate = hp.Float("dropout", 0.0, 1.0, default=0.0)
    normalize = hp.Boolean("batch_norm", default=False)
    mixed = keras.config.dtype_policy().name.startswith("mixed_")

    inputs = keras.Input((hp.get("features"),), name="features")
    hidden = inputs
    for index in range(1, hp.Int("depth", 0, 1_024, default=2) + 1):
        hidden = keras.layers.Dense(
            width,
            activation=None if normalize else activation,
            kernel_initializer=initializer,
            kernel_regularizer=_penalty(hp),
            name=f"hidden_{index}",
        )(hidden)
        if normalize:
            hidden = keras.layers.BatchNormalization(name=f"batch_norm_{index}")(hidden)
            hidden = keras.layers.Activation(activation, name=f"activation_{index}")(hidden)
        if rate > 0:
            hidden = keras.layers.Dropout(rate, name=f"dropout_{index}")(hidden)
    outputs = keras.layers.Dense(
        hp.get("outputs"),
        kernel_initializer=initializer,
        kernel_regularizer=_penalty(hp),
        dtype="float32" if mixed else None,
        name="output",
    )(hidden)
    return keras.Model(inputs, outputs, name="mlp")


def _penalty(hp: keras_tuner.HyperParameters) -> keras.Regularizer | None:
    l1, l2 = hp.Float("l1", 0.0, 1e30, default=0.0), hp.Float("l2", 0.0, 1e30, default=0.0)
    return KernelPenalty(l1=l1, l2=l2) if l1 or l2 else None


class KernelPenalty(keras.regularizers.L1L2):
    """Keras' L1L2, its value cast to floatx so that it can be added to the loss.

    Keras sums a penalty in the weight's dtype and the loss in floatx, and its `fit` refuses
    to add the two under the `float16` policy ("Cannot convert a list containing a tensor of
    dtype float16"). The sum stays in the weight's dtype here, float16's overflow included.
    """

    def __call__(self, x: Any) -> Any:
        """Return the penalty of one weight as a scalar in floatx."""
        return keras.ops.cast(super().__call__(x), keras.config.floatx())
