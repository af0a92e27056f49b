"""A lowered layer computes what Keras' own does, for each trial of a stack by itself."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from stabilitysweep.engines.lowering import lowered
from stabilitysweep.engines.trial_axis import vectorize
from stabilitysweep.models.recorder import recording

TRIALS = 3
ROWS = 2
TOLERANCES = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}

Build = Callable[[str], keras.Model]
Numbers = list[NDArray[Any]]


def _of_inputs(dtype: str) -> str:
    return "float32" if dtype.startswith("mixed") else dtype


def one(layer: Callable[..., Any], shape: tuple[int, ...], **settings: Any) -> Build:
    """A model of one layer, by its dtype."""

    def build(dtype: str) -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input(shape, dtype=_of_inputs(dtype))
        return keras.Model(inputs, layer(dtype=dtype, **settings)(inputs))

    return build


def attention(**call: Any) -> Build:
    def build(dtype: str) -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((5, 6), dtype=_of_inputs(dtype))
        layer = layers.MultiHeadAttention(2, 3, value_dim=4, dtype=dtype)
        return keras.Model(inputs, layer(inputs, inputs, **call))

    return build


CONVOLUTIONS = {
    "same": one(layers.Conv2D, (6, 5, 1), filters=4, kernel_size=3, padding="same"),
    "valid": one(layers.Conv2D, (6, 5, 1), filters=4, kernel_size=(2, 3), activation="tanh"),
    "dilated": one(
        layers.Conv2D, (7, 6, 1), filters=3, kernel_size=2, dilation_rate=2, padding="same"
    ),
    "no_bias": one(
        layers.Conv2D, (6, 6, 1), filters=16, kernel_size=4, padding="same", use_bias=False
    ),
    "one_dimension": one(layers.Conv1D, (9, 1), filters=4, kernel_size=3, padding="same"),
}
POOLINGS = {
    "pool": one(layers.MaxPooling2D, (4, 6, 3), pool_size=2),
    "pool_uneven": one(layers.MaxPooling2D, (6, 4, 2), pool_size=(3, 2), padding="same"),
    "pool_one_dimension": one(layers.MaxPooling1D, (6, 3), pool_size=3),
}
# Written out by Keras too: its loop cannot be vectorised with a gradient by its inputs.
ALL = {"unroll": True, "return_sequences": True, "return_state": True, "go_backwards": True}
GLOROT = {"unroll": True, "recurrent_initializer": "glorot_uniform"}
RECURRENT = {
    "lstm": one(layers.LSTM, (3, 2), units=4, **GLOROT),
    "lstm_all": one(layers.LSTM, (3, 2), units=4, use_bias=False, activation="relu", **ALL),
    "gru": one(layers.GRU, (3, 2), units=4, **GLOROT),
    "gru_all": one(layers.GRU, (3, 2), units=4, use_bias=False, **ALL),
}
ATTENTION = {
    "attention": attention(),
    "masked_attention": attention(
        attention_mask=np.array([[[True, False, True, True, False]] * 5]), use_causal_mask=True
    ),
}
DENSE = {
    "one_unit": one(layers.Dense, (5,), units=1),
    "one_unit_no_bias": one(layers.Dense, (7,), units=1, use_bias=False, activation="tanh"),
}
LOWERED = CONVOLUTIONS | POOLINGS | RECURRENT | ATTENTION | DENSE
LEFT_ALONE = {
    "channels": one(layers.Conv2D, (6, 6, 4), filters=4, kernel_size=3),
    "strides": one(layers.Conv2D, (7, 6, 1), filters=3, kernel_size=3, strides=2, padding="same"),
    "causal": one(layers.Conv1D, (9, 1), filters=4, kernel_size=3, padding="causal"),
    "overlapping": one(layers.MaxPooling2D, (6, 6, 2), pool_size=3, strides=2),
    "cropped": one(layers.MaxPooling2D, (5, 5, 2), pool_size=2),
    "softmax_gates": one(layers.LSTM, (2, 3), unroll=True, units=4, recurrent_activation="softmax"),
    "reset_before": one(layers.GRU, (2, 3), unroll=True, units=4, reset_after=False),
    "several_units": one(layers.Dense, (5,), units=3),
    "one_unit_in_sequences": one(layers.Dense, (4, 5), units=1),
    "subclass": one(type("Own", (layers.Conv2D,), {}), (4, 4, 1), filters=2, kernel_size=3),
}


def data(model: keras.Model) -> tuple[Numbers, NDArray[Any]]:
    """Weights and inputs of every trial; inputs on a coarse grid, so that maxima are tied."""
    random = np.random.default_rng(5)
    weights = [
        0.5 * random.normal(size=(TRIALS, *weight.shape)) for weight in model.trainable_variables
    ]
    x = random.normal(size=(TRIALS, ROWS, *model.inputs[0].shape[1:]))
    return weights, np.round(2 * x) / 2


class Trials:
    """A model's outputs and gradients for every trial, by Keras' layers and by lowered ones.

    Vectorised in float64; trial by trial, which takes less time, in other dtypes.
    """

    def __init__(self, build: Build, dtype: str) -> None:
        self.model = build(dtype)
        self._compute: Callable[..., Any] = self._one_by_one
        if dtype == "float64":
            self._compute = tf.function(self._stack, autograph=False)

    @functools.cached_property
    def sound(self) -> list[tuple[Numbers, Numbers]]:
        """`both` of the numbers of `data`."""
        return self.both(*data(self.model))

    def both(self, weights: Numbers, x: NDArray[Any]) -> list[tuple[Numbers, Numbers]]:
        """Outputs, and gradients by the inputs and the weights: Keras' own, then the lowered."""
        given = tuple(
            tf.constant(value, variable.dtype)
            for value, variable in zip(weights, self.model.trainable_variables, strict=True)
        )
        results = []
        for lower in (False, True):
            groups = self._compute(given, tf.constant(x, self.model.inputs[0].dtype), lower)
            wide = [[tf.cast(each, tf.float64).numpy() for each in group] for group in groups]
            results.append((wide[0], wide[1]))
        return results

    def _stack(self, weights: Any, x: tf.Tensor, lower: bool) -> Any:
        with lowered(self.model) if lower else contextlib.nullcontext():
            return vectorize(self._trial, (weights, x))

    def _one_by_one(self, weights: Any, x: tf.Tensor, lower: bool) -> Any:
        with lowered(self.model) if lower else contextlib.nullcontext():
            found = [
                self._trial(([weight[trial] for weight in weights], x[trial]))
                for trial in range(TRIALS)
            ]
        return tf.nest.map_structure(lambda *each: tf.stack(each), *found)

    def _trial(self, arguments: Any) -> Any:
        weights, x = arguments
        others = [variable.value for variable in self.model.non_trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch((weights, x))
            result, _ = self.model.stateless_call(list(weights), others, x, training=True)
            outputs = tf.nest.flatten(result)
            total = tf.zeros([], outputs[0].dtype)
            for output in outputs:
                share = tf.reshape(tf.range(tf.size(output)) % 5 - 2, tf.shape(output))
                total += tf.reduce_sum(output * tf.cast(share, output.dtype))
        return outputs, tape.gradient(total, [x, *weights])


@functools.cache
def trials(name: str, dtype: str) -> Trials:
    """Traced once for all tests."""
    return Trials(LOWERED[name], dtype)


def close(expected: Numbers, got: Numbers, tolerance: float) -> None:
    for one_expected, one_got in zip(expected, got, strict=True):
        scale = max(1.0, float(np.max(np.abs(one_expected))))
        np.testing.assert_allclose(one_got, one_expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOWERED)
def test_a_lowered_layer_equals_keras_own(name: str, dtype: str) -> None:
    own, ours = trials(name, dtype).sound
    close(own[0] + own[1], ours[0] + ours[1], TOLERANCES[dtype])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("same", "float16"),
        ("valid", "bfloat16"),
        ("pool", "bfloat16"),
        ("lstm", "mixed_float16"),
        ("lstm", "bfloat16"),
        ("gru", "float16"),
        ("masked_attention", "float16"),
    ],
)
def test_half_precision_stays_what_it_is(name: str, dtype: str) -> None:
    own, ours = trials(name, dtype).sound
    close(own[0] + own[1], ours[0] + ours[1], TOLERANCES[dtype.removeprefix("mixed_")])


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_is_the_same_to_the_bit(name: str) -> None:
    pair = trials(name, "float32")
    weights, x = data(pair.model)
    x[0, 0].flat[:5] = [np.nan, np.inf, np.nan, -np.inf, np.nan]
    x[1, 0] = np.nan
    x[1, 1] = -np.inf
    own, ours = pair.both(weights, x)
    for expected, got in zip(own[0] + own[1], ours[0] + ours[1], strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_not_supported_is_keras_own(name: str) -> None:
    model = LEFT_ALONE[name]("float32")
    x = data(model)[1][0].astype("float32")
    expected = model(x)
    with lowered(model):
        np.testing.assert_array_equal(model(x), expected)


# Whether Keras multiplies the padding of a convolution by a kernel that is not finite depends on
# the processor in float32: there float64 has to do.
@pytest.mark.parametrize(
    ("where", "dtype"), [("inputs", "float64"), ("inputs", "float32"), ("kernel", "float64")]
)
@pytest.mark.parametrize("name", LOWERED)
def test_a_broken_number_stays_in_its_trial_and_shows_as_in_keras(
    name: str, where: str, dtype: str
) -> None:
    pair = trials(name, dtype)
    weights, x = data(pair.model)
    if where == "kernel" and not weights:
        pytest.skip("no weights")
    sound = pair.sound[1]
    broken = weights[0] if where == "kernel" else x
    broken[1].flat[0], broken[2].flat[0] = np.nan, np.inf
    own, ours = pair.both(weights, x)
    for before, after in zip(sound[0] + sound[1], ours[0] + ours[1], strict=True):
        np.testing.assert_array_equal(after[0], before[0])
    for expected, got in zip(own[0] + own[1], ours[0] + ours[1], strict=True):
        np.testing.assert_array_equal(kinds(got), kinds(expected))


def kinds(values: NDArray[Any]) -> NDArray[Any]:
    """Each number as NaN, +Inf, -Inf or 0 where it is finite."""
    return np.where(np.isfinite(values), 0.0, values)


def test_padding_makes_no_other_nan_of_an_infinite_gradient_than_in_keras() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3, padding="same")])
    kernel, bias = (tf.constant(weight.numpy()) for weight in model.trainable_variables)
    upstream = np.ones((TRIALS, 1, 4, 4, 2), np.float32)
    upstream[1, 0, 0, 0, 1] = np.inf

    def trial(arguments: Any) -> Any:
        x, upstream = arguments
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            outputs, _ = model.stateless_call([kernel, bias], [], x)
        return tape.gradient(outputs, kernel, upstream)

    def stack(x: tf.Tensor, upstream: tf.Tensor, lower: bool) -> Any:
        with lowered(model) if lower else contextlib.nullcontext():
            return vectorize(trial, (x, upstream))

    x = tf.ones([TRIALS, 1, 4, 4, 1])
    function = tf.function(stack, autograph=False)
    own, ours = (function(x, tf.constant(upstream), lower).numpy() for lower in (False, True))
    np.testing.assert_array_equal(kinds(ours), kinds(own))
    assert not np.isfinite(ours[1, ..., 1]).all()
    assert np.isfinite(ours[[0, 2]]).all()
    np.testing.assert_array_equal(ours[2], ours[0])
    np.testing.assert_array_equal(ours[1, ..., 0], ours[0, ..., 0])


def test_in_half_precision_the_gradient_of_a_bias_is_added_up_as_by_keras() -> None:
    # What cancels in the sum, as before a batch normalisation, is far below the rounding of parts.
    model = one(layers.Conv2D, (6, 6, 1), filters=4, kernel_size=3, padding="same")("float16")
    (layer,) = [own for own in model.layers if own.weights]
    random = np.random.default_rng(0)
    half = random.normal(size=(TRIALS, 200, 6, 6, 4))
    upstream = tf.cast(np.concatenate([half, -half], axis=1), tf.float16)
    images = tf.cast(random.normal(size=(TRIALS, 400, 6, 6, 1)), tf.float16)

    def gradient(argument: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = model(argument[0])
        return tape.gradient(outputs, layer.bias, argument[1])

    keras_own = tf.stack([gradient(pair) for pair in zip(images, upstream, strict=True)])
    with lowered(model):
        stacked = tf.function(lambda *both: vectorize(gradient, both), autograph=False)
        found = stacked(images, upstream)
    np.testing.assert_allclose(found, keras_own, atol=1e-3)
    assert np.abs(keras_own).max() < 1e-3


def test_a_recurrent_layer_that_is_not_lowered_is_written_out_where_it_is_short() -> None:
    def build(dtype: str) -> keras.Model:
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((3, 2), dtype=dtype),
                layers.Masking(mask_value=0.5, dtype=dtype),
                layers.GRU(4, return_sequences=True, dtype=dtype),
                layers.LSTM(3, dtype=dtype),
            ]
        )

    pair = Trials(build, "float64")
    weights, x = data(pair.model)
    x[:, 0, 1] = 0.5
    given = tuple(tf.constant(weight) for weight in weights)
    expected = pair._one_by_one(given, tf.constant(x), False)
    got = tf.function(pair._stack, autograph=False)(given, tf.constant(x), True)
    for wanted, found in zip(expected, got, strict=True):
        close(list(wanted), list(found), 1e-12)
    assert not any(getattr(layer, "unroll", False) for layer in pair.model.layers)


def test_lowered_layers_can_be_listened_to_and_are_put_back() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Reshape((4, 2)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(2, name="gru"),
        ]
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 6, 1)), tf.float32)
    expected = model(x)
    with lowered(model), recording(model) as record:
        model(x)
    assert record.names == ["conv", "pool", "reshape", "bidirectional", "gru"]
    np.testing.assert_allclose(record.outputs[-1], expected, rtol=1e-5, atol=1e-6)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    with pytest.raises(ZeroDivisionError), lowered(model):
        raise ZeroDivisionError
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True)),
        lambda: keras.layers.SimpleRNN(
            3, return_sequences=True, go_backwards=True, zero_output_for_mask=True
        ),
        lambda: keras.layers.RNN(keras.layers.LSTMCell(3)),
        lambda: keras.layers.LSTM(
            3, zero_output_for_mask=True, return_state=True, return_sequences=True
        ),
    ],
    ids=["bidirectional gru", "simple rnn backwards", "rnn of cells", "lstm with states"],
)
def test_masked_sequences_are_what_they_are_in_keras(
    make: Callable[[], keras.layers.Layer],
) -> None:
    """Keras' own loop and its unrolled form treat masked outputs differently."""
    keras.utils.set_random_seed(0)
    words = np.random.default_rng(0).integers(0, 5, (4, 7))
    assert (words == 0).any()
    inputs = keras.Input((7,))
    outputs = make()(keras.layers.Embedding(5, 4, mask_zero=True)(inputs))
    model = keras.Model(inputs, outputs)
    expected = tf.nest.flatten(model(words))
    with lowered(model):
        found = tf.nest.flatten(model(words))
    for own, keras_own in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, keras_own, rtol=1e-6, atol=1e-7)
