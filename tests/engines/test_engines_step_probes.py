"""What a step's probes read is exact, whether or not they look at every entry.

Notation: P trials.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines.lean_loss import lean_loss
from stabilitysweep.engines.packing import Packing
from stabilitysweep.engines.step_probes import StepProbes
from stabilitysweep.engines.subject import BuiltIn
from stabilitysweep.numerics import probes

TRIALS = 4


@pytest.mark.parametrize("compiled_in", ["graph", "eager"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "float64"])
@pytest.mark.parametrize("largest", ["activations", "gradients", "weights", "none"])
def test_headroom_is_that_of_the_largest_entry_wherever_it_is(
    lab: Any, precision: str, largest: str, compiled_in: str
) -> None:
    data = lab.data()
    trials = lab.trials(data, model={"width": 64, "depth": 2}, training={"precision": precision})
    program = lab.program(trials, data)
    model = BuiltIn(program).model
    variables = model.trainable_variables
    shapes, dtypes = [v.shape for v in variables], [v.dtype for v in variables]
    packing = Packing(shapes, dtypes, [False] * len(variables))
    reader = StepProbes(program, model, packing, ())

    random = np.random.default_rng(0)
    wide, narrow = ("float64",) * 2 if precision == "float64" else ("float32", "float32")
    if precision == "mixed_float16":
        narrow = "float16"

    def draw(shape: Any, name: str, dtype: str) -> tf.Tensor:
        size = {"none": 0.0, "activations": 1.0}.get(
            largest, 0.1 if name == "activations" else 1e-3
        )
        values = random.normal(size=(TRIALS, *shape)) * size
        if name == largest:
            values[:, ..., -1] = -9.0  # what a mean would not show
        return tf.constant(values, dtype)

    activations = [draw((8, 64), "activations", narrow), draw((8, 1), "activations", wide)]
    gradients = [draw(shape, "gradients", wide) for shape in shapes]
    weights = [draw(shape, "weights", wide) for shape in shapes]

    def read() -> tuple[tf.Tensor, tf.Tensor]:
        packed = [packing.pack(gradients), packing.pack(weights)]
        of_gradients, of_weights = [(packs, reader.row_squares(packs)) for packs in packed]
        return reader.peaks(activations, of_gradients, of_weights, tf.as_dtype(wide))

    peak, room = (tf.function(read, autograph=False) if compiled_in == "graph" else read)()
    of_activations = np.max([magnitude(tensor) for tensor in activations], axis=0)
    np.testing.assert_array_equal(peak, of_activations)
    computed_in = ["float32" if precision == "mixed_float16" else wide] * len(shapes)
    computed_in[:4] = [narrow] * 4  # the output layer computes in float32
    dtypes_of = [narrow, wide, *computed_in, *dtypes]
    with np.errstate(divide="ignore"):
        rooms = [
            probes.limit_bits(dtype) - np.log2(magnitude(tensor))
            for tensor, dtype in zip([*activations, *gradients, *weights], dtypes_of, strict=True)
        ]
    np.testing.assert_allclose(room, np.min(rooms, axis=0), rtol=1e-6)


def magnitude(tensor: tf.Tensor) -> np.ndarray:
    """The largest of each trial."""
    return np.abs(tensor.numpy().astype(np.float64)).reshape(TRIALS, -1).max(axis=1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_mean_squared_error_is_keras_own_to_the_bit(dtype: str, outputs: int) -> None:
    random = np.random.default_rng(1)
    own = keras.losses.MeanSquaredError(dtype=dtype)
    targets, predictions = (tf.constant(random.normal(size=(7, outputs)), dtype) for _ in range(2))
    found = []
    for loss in (own, lean_loss(own)):
        with tf.GradientTape() as tape:
            tape.watch(predictions)
            value = loss(targets, predictions) * 3  # as loss scaling does
        found.append((value.numpy(), tape.gradient(value, predictions).numpy()))
    (value, gradient), (lean_value, lean_gradient) = found
    assert lean_value == value
    np.testing.assert_array_equal(lean_gradient, gradient)


@pytest.mark.parametrize(
    "loss", [keras.losses.Huber(), keras.losses.MeanSquaredError(reduction="sum")]
)
def test_other_losses_are_left_to_keras(loss: keras.losses.Loss) -> None:
    assert lean_loss(loss) is loss


def test_targets_of_another_shape_are_left_to_keras() -> None:
    own = keras.losses.MeanSquaredError()
    targets, predictions = tf.constant([1.0, 2.0]), tf.constant([[1.0], [4.0]])
    assert lean_loss(own)(targets, predictions) == own(targets, predictions)
