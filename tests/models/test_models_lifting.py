"""A regularizer whose numbers are replaced adds what Keras' own with these numbers adds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.models.builder import precision_scope
from stabilitysweep.models.lifting import Lifted, all_layers, lifted_numbers, numbers_replaced

REG = keras.regularizers
X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)

# How it is built, the numbers it is built with, and those put in their place: none of them
# a number that float16 or float32 has exactly.
CASES: dict[str, tuple[Any, tuple[float, ...], tuple[float, ...]]] = {
    "l1": (REG.L1, (0.7,), (0.0123,)),
    "l2": (REG.L2, (0.7,), (0.037,)),
    "l1l2": (REG.L1L2, (0.7, 0.3), (0.0123, 0.037)),
    "l1 of l1l2": (lambda l1: REG.L1L2(l1=l1), (0.7,), (0.0123,)),
    "l2 of l1l2": (lambda l2: REG.L1L2(l2=l2), (0.7,), (0.037,)),
    "orthogonal": (lambda factor: REG.OrthogonalRegularizer(factor), (0.7,), (0.0123,)),
    "orthogonal columns": (
        lambda factor: REG.OrthogonalRegularizer(factor, mode="columns"),
        (0.7,),
        (0.0123,),
    ),
}
PRECISIONS = ["float32", "float16", "mixed_float16", "float64"]


def model_with(place: str, regularizer: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, activation="tanh", name="a", **{place: regularizer}),
            keras.layers.Dense(1, name="b"),
        ]
    )


def added(model: keras.Model) -> list[np.ndarray]:
    """What the layers add to the loss, and its gradient by every weight."""
    with tf.GradientTape() as tape:
        model(X, training=True)
        total = keras.ops.sum([keras.ops.cast(loss, "float64") for loss in model.losses])
    gradients = tape.gradient(total, model.trainable_variables)
    return [total.numpy(), *(None if g is None else g.numpy() for g in gradients)]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for ours, own in zip(found, expected, strict=True):
        if own is None:
            assert ours is None
        else:
            assert ours.dtype == own.dtype and np.isfinite(own).all()
            np.testing.assert_array_equal(ours, own)


# Keras' own orthogonal one multiplies float32 with whatever it is given: see the test below.
WAYS = [
    (case, place, precision)
    for case in CASES
    for place in ("kernel_regularizer", "activity_regularizer")
    for precision in PRECISIONS
    if "orthogonal" not in case
    or precision == "float32"
    or (precision, place) == ("mixed_float16", "kernel_regularizer")
]


@pytest.mark.parametrize(("case", "place", "precision"), WAYS)
def test_value_and_gradient_are_keras_own_to_the_bit(case: str, place: str, precision: str) -> None:
    make, built_with, put = CASES[case]
    with precision_scope(precision):
        model, own = (model_with(place, make(*numbers)) for numbers in (built_with, put))
        before = added(model)
        lifted = lifted_numbers(model)
        np.testing.assert_allclose([number.value for number in lifted], built_with, rtol=1e-6)
        values = [tf.constant(np.float32(value), keras.config.floatx()) for value in put]
        with numbers_replaced(lifted, values):
            found = added(model)
        assert_same(found, added(own))
        assert_same(added(model), before)
        assert any(np.any(a != b) for a, b in zip(found, before, strict=True) if a is not None)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_keras_own_orthogonal_one_takes_float32_alone(dtype: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="was expected to be a float tensor"):
        REG.OrthogonalRegularizer(0.5)(tf.ones([3, 3], dtype))


@pytest.mark.parametrize("case", CASES)
def test_in_a_graph_the_numbers_are_inputs_of_it(case: str) -> None:
    make, built_with, put = CASES[case]
    model = model_with("kernel_regularizer", make(*built_with))
    lifted = lifted_numbers(model)
    traces = []

    @tf.function(autograph=False)
    def total(values: tf.Tensor) -> tf.Tensor:
        traces.append(values)
        with numbers_replaced(lifted, tf.unstack(values)):
            model(X)
            return keras.ops.sum(model.losses)

    for numbers in (put, built_with, [0.0] * len(put)):
        own = added(model_with("kernel_regularizer", make(*numbers)))[0] if any(numbers) else 0
        np.testing.assert_allclose(total(tf.constant(numbers, tf.float32)), own, rtol=1e-6)
    assert len(traces) == 1


def test_zero_and_not_zero_of_l1l2_are_two_graphs_and_of_the_others_one() -> None:
    def named(regularizer: Any) -> list[tuple[str, float]]:
        model = model_with("kernel_regularizer", regularizer)
        return [(number.name, round(number.value, 6)) for number in lifted_numbers(model)]

    assert named(REG.L1L2(0.0, 0.5)) == [("l2", 0.5)]
    assert named(REG.L1L2(0.5, 0.0)) == [("l1", 0.5)]
    assert named(REG.L1L2(0.0, 0.0)) == []
    assert named(REG.L1L2(0.25, 0.5)) == [("l1", 0.25), ("l2", 0.5)]
    assert named(REG.L1(0.0)) == [("l1", 0.0)]
    assert named(REG.L2(0.0)) == [("l2", 0.0)]
    assert named(REG.OrthogonalRegularizer(0.0)) == [("factor", 0.0)]


def test_the_term_that_l1l2_leaves_out_stays_out() -> None:
    # 0 times the sum of squares of 1e30, an overflow, would be NaN.
    model = model_with("kernel_regularizer", REG.L1L2(l1=0.5))
    kernel = model.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, 1e30, np.float32))
    (number,) = lifted_numbers(model)
    with numbers_replaced([number], [tf.constant(0.25)]):
        model(X)
        np.testing.assert_allclose(keras.ops.sum(model.losses), 0.25 * 12 * 1e30, rtol=1e-6)


class Own(REG.L2):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) + self.l2


@pytest.mark.parametrize("regularizer", [None, Own(0.1), lambda x: keras.ops.sum(x)])
def test_only_exactly_keras_own_are_lifted(regularizer: Any) -> None:
    assert lifted_numbers(model_with("kernel_regularizer", regularizer)) == []


class Nested(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.parts = [
            keras.layers.Dense(2, kernel_regularizer=REG.L2(0.25), bias_regularizer=REG.L1(0.5)),
            keras.Sequential([keras.layers.Dense(1, activity_regularizer=REG.L1(0.75))]),
        ]

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def test_numbers_come_in_one_order_from_wherever_they_are_held() -> None:
    for _ in range(2):
        model = Nested()
        model(X)
        found = [(number.place, number.name, number.value) for number in lifted_numbers(model)]
        assert found == [
            ("regularizer", "l2", 0.25),
            ("regularizer", "l1", 0.5),
            ("activity_regularizer", "l1", 0.75),
        ]
        layers = all_layers(model)
        assert layers[0] is model
        assert len({id(layer) for layer in layers}) == len(layers)
        assert sum(isinstance(layer, keras.layers.Dense) for layer in layers) == 2


def test_a_regularizer_that_is_shared_is_replaced_for_each_owner_by_itself() -> None:
    shared = REG.L2(0.5)
    model = keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(3, kernel_regularizer=shared) for _ in range(2))]
    )
    lifted = lifted_numbers(model)
    assert len(lifted) == 2
    with numbers_replaced(lifted, [tf.constant(0.0), tf.constant(1.0)]):
        first, second = (float(loss) for loss in model.losses)
    squares = [float(np.sum(v.numpy() ** 2)) for v in model.trainable_variables[::2]]
    np.testing.assert_allclose([first, second], [0.0, squares[1]], rtol=1e-6)
    np.testing.assert_allclose(sum(map(float, model.losses)), 0.5 * sum(squares), rtol=1e-6)


def state_of(model: keras.Model, lifted: list[Lifted]) -> list[Any]:
    owners = [getattr(number.owner, number.place) for number in lifted]
    return [*owners, *(sorted(map(str, vars(layer))) for layer in all_layers(model))]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("place", ["kernel_regularizer", "activity_regularizer"])
@pytest.mark.parametrize("case", CASES)
def test_the_model_is_afterwards_what_it_was(case: str, place: str, fails: bool) -> None:
    make, built_with, put = CASES[case]
    model = model_with(place, make(*built_with))
    lifted = lifted_numbers(model)
    before, config = state_of(model, lifted), model.get_config()
    numbers = [float(getattr(getattr(n.owner, n.place), n.name)) for n in lifted]
    try:
        with numbers_replaced(lifted, [tf.constant(value) for value in put]):
            replaced = [getattr(number.owner, number.place) for number in lifted]
            assert all(a is not b for a, b in zip(replaced, before, strict=False))
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    after = state_of(model, lifted)
    assert all(a is b for a, b in zip(after[: len(lifted)], before, strict=False))
    assert after[len(lifted) :] == before[len(lifted) :]
    assert model.get_config() == config
    assert numbers == [float(getattr(getattr(n.owner, n.place), n.name)) for n in lifted]


def test_as_many_values_as_numbers_are_expected() -> None:
    model = model_with("kernel_regularizer", REG.L1L2(0.5, 0.25))
    lifted = lifted_numbers(model)
    with pytest.raises(ValueError, match="zip"), numbers_replaced(lifted, [tf.constant(1.0)]):
        pass
    assert type(lifted[0].owner.regularizer) is REG.L1L2
