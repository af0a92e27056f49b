"""A network for a table: an embedding for each column of categories, and the numbers beside them.

    dataset: {path: data/penguins.csv, target: species, exclude: [year]}
    preprocessing: {imputation: mean, encoding: ordinal}
    model: {build: sweeps.tabular:build}

Each `Input` is named like a column and is fed that column. With `encoding: ordinal` a column of
categories holds the whole numbers 1 to K, and 0 for a category that training does not know.

Notation: B rows in a batch.
"""

from __future__ import annotations

import keras
import keras_tuner
from keras import layers

CATEGORIES = {"island": 3, "sex": 2}
"""Columns of categories, and how many each has, K."""

NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
"""Columns of numbers."""

SPECIES = 3
"""Classes to tell apart."""

MOST_LAYERS = 3


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the compiled model under the current dtype policy.

    Args:
        hp: reads `embedding` (the size of each embedding), `num_layers`, `units_1` to
            `units_3` (of as many layers as there are), `activation`, `dropout` (the rate after
            each layer), `optimizer` and `learning_rate`.

    Returns:
        A functional model with one input [B, 1] for each column, to logits [B, 3].
    """
    size = hp.Int("embedding", 1, 8, default=2)
    activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
    rate = hp.Float("dropout", 0.0, 0.9, default=0.0)

    inputs, parts = [], []
    for column, categories in CATEGORIES.items():
        code = keras.Input((1,), dtype="int32", name=column)
        embedding = layers.Embedding(categories + 1, size, name=f"embed_{column}")(code)
        inputs.append(code)
        parts.append(layers.Flatten(name=f"flatten_{column}")(embedding))
    for column in NUMBERS:
        number = keras.Input((1,), name=column)
        inputs.append(number)
        parts.append(number)
    x = layers.Concatenate(name="columns")(parts)

    for index in range(1, hp.Int("num_layers", 1, MOST_LAYERS, default=2) + 1):
        # The units of a layer count only where that layer exists.
        with hp.conditional_scope("num_layers", list(range(index, MOST_LAYERS + 1))):
            units = hp.Int(f"units_{index}", 4, 64, default=16)
        x = layers.Dense(units, activation=activation, name=f"hidden_{index}")(x)
        if rate > 0:
            x = layers.Dropout(rate, name=f"dropout_{index}")(x)
    # float32 whatever the policy, as Keras advises for the last layer.
    outputs = layers.Dense(SPECIES, dtype="float32", name="logits")(x)
    model = keras.Model(inputs, outputs, name="tabular")

    optimizers = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
    optimizer = optimizers[hp.Choice("optimizer", list(optimizers))]
    learning_rate = hp.Float("learning_rate", 1e-4, 100.0, sampling="log", default=0.1)
    model.compile(
        optimizer=optimizer(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model
