"""From settings and a seed to a built Keras model with its initial weights."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import keras_tuner

from stabilitysweep.config import ModelSettings
from stabilitysweep.models import mlp


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model is built from, its seed apart.

    Attributes:
        settings: the `model` section with the trial's axis values in place.
        features: input columns D.
        outputs: units of the head.
        precision: the dtype policy by the name `training.precision` gives it.
    """

    settings: ModelSettings
    features: int
    outputs: int
    precision: str


@contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Set Keras' dtype policy (and floatx for float64), and put back what was there.

    float64 sets floatx as well: Keras computes losses and learning rates in floatx.
    """
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    try:
        keras.config.set_floatx("float64" if precision == "float64" else "float32")
        keras.config.set_dtype_policy(precision)
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def build_model(spec: ModelSpec, seed: int) -> keras.Model:
    """Build the model of `spec` with the initial weights that belong to `seed`.

    The weights are those that Keras' own initializers draw after
    `keras.utils.set_random_seed(seed)`; equal arguments give equal weights in every
    process. Must run inside `precision_scope(spec.precision)` where the caller goes on
    to use the model, since Keras reads floatx when a loss or optimizer is made.
    """
    # Of what that function sets, Keras' initializers and dropout draw their seeds from this alone.
    # TensorFlow's own seed would not only be set: every graph that runs would be optimized anew.
    random.seed(seed)
    values = spec.settings.model_dump(exclude={"name"})
    hp = keras_tuner.HyperParameters()
    hp.values.update(values | {"features": spec.features, "outputs": spec.outputs})
    with precision_scope(spec.precision):
        return mlp.build(hp)
