"""Graphs that compute the same have one digest, whatever their names; all others have another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.models.graph_digest import captured_values, captured_variables, graph_digest

SPEC = tf.TensorSpec([None, 3], tf.float32)


def traced(function: Callable[..., Any], *specs: tf.TensorSpec) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(*(specs or (SPEC, SPEC)))


def digest(function: Callable[..., Any], *specs: tf.TensorSpec) -> str:
    return graph_digest(traced(function, *specs))


def base(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.tanh(x - y) * 2.0


def other_names(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    with tf.name_scope("elsewhere"):
        difference = tf.subtract(first, second, name="difference")
        return tf.multiply(tf.tanh(difference, name="t"), tf.constant(2.0, name="two"), name="out")


def nested(x: tf.Tensor, y: tf.Tensor) -> Any:
    return [{"a": base(x, y)}, None]


def with_gradient(rule: Callable[[Any], Any]) -> Callable[..., Any]:
    @tf.custom_gradient
    def through(x: tf.Tensor) -> Any:
        return tf.identity(x), rule

    def function(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(through(x) * y)
        return tape.gradient(value, x)

    return function


def closing_over(value: Any) -> Callable[..., Any]:
    return lambda x, y: x * value + y


def branching(factor: float, *, calls: bool = False) -> Callable[..., Any]:
    """The factor is inside of a function of the graph: of a branch, or of a call."""
    inner = tf.function(lambda x: x * factor, autograph=False)

    def function(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        if calls:
            return inner(x) + y
        return tf.cond(tf.reduce_sum(y) > 0, lambda: x * factor, lambda: x + y)

    return function


def looping(times: int, factor: float = 2.0) -> Callable[..., Any]:
    def function(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        _, x = tf.while_loop(
            lambda i, x: i < times, lambda i, x: (i + 1, x * factor), (tf.constant(0), x)
        )
        return x + y

    return function


def swapped_arguments(inner: Callable[..., Any]) -> Callable[..., Any]:
    own = tf.function(inner, autograph=False)
    return lambda x, y: own(x, y)


EQUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "other names": (base, other_names),
    "another structure of the outputs": (base, nested),
    "a closure that is made anew": (closing_over(2.0), closing_over(2.0)),
    "branches with other names": (branching(2.0), branching(2.0)),
    "calls of functions with other numbers": (
        branching(2.0, calls=True),
        branching(2.0, calls=True),
    ),
    "loops": (looping(3), looping(3)),
    "a custom gradient that is made anew": (
        with_gradient(lambda up: up * 2.0),
        with_gradient(lambda up: up * 2.0),
    ),
}
OTHER: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "a constant": (base, lambda x, y: tf.tanh(x - y) * 3.0),
    "a constant in its last bit": (
        closing_over(1.0),
        closing_over(float(np.nextafter(np.float32(1), np.float32(2)))),
    ),
    "an activation": (base, lambda x, y: tf.sin(x - y) * 2.0),
    "an attribute": (
        lambda x, y: tf.reduce_sum(x * y, axis=1, keepdims=True),
        lambda x, y: tf.reduce_sum(x * y, axis=1),
    ),
    "the order of the arguments": (base, lambda x, y: tf.tanh(y - x) * 2.0),
    "the order of operations": (
        lambda x, y: [tf.sin(x), tf.cos(y)],
        lambda x, y: [tf.cos(y), tf.sin(x)][::-1],
    ),
    "the order of the outputs": (
        lambda x, y: (a := x * 2.0, x + y, a)[:2],
        lambda x, y: (a := x * 2.0, x + y, a)[1:],
    ),
    "a constant in a branch": (branching(2.0), branching(3.0)),
    "a constant in a called function": (branching(2.0, calls=True), branching(3.0, calls=True)),
    "the bound of a loop": (looping(3), looping(4)),
    "a constant in a loop": (looping(3), looping(3, 2.5)),
    "the arguments inside a called function": (
        swapped_arguments(lambda x, y: x - y),
        swapped_arguments(lambda x, y: y - x),
    ),
    "a custom gradient": (with_gradient(lambda up: up * 2.0), with_gradient(lambda up: up * 3.0)),
    "a stopped gradient": (
        with_gradient(lambda up: up),
        with_gradient(lambda up: tf.stop_gradient(up)),
    ),
    "a captured tensor": (
        closing_over(tf.ones([3])),
        closing_over(tf.constant([1.0, 1.0, 2.0])),
    ),
}


@pytest.mark.parametrize("case", EQUAL)
def test_graphs_that_compute_the_same_have_one_digest(case: str) -> None:
    first, second = (digest(function) for function in EQUAL[case])
    assert first == second
    assert len(first) == 32 and int(first, 16) >= 0


@pytest.mark.parametrize("case", OTHER)
def test_graphs_that_differ_have_two(case: str) -> None:
    first, second = (digest(function) for function in OTHER[case])
    assert first != second


def test_tracing_twice_and_after_others_changes_nothing() -> None:
    first = digest(branching(2.0, calls=True))
    for factor in (3.0, 4.0):
        digest(branching(factor, calls=True))
    assert digest(branching(2.0, calls=True)) == first


@pytest.mark.parametrize(
    "specs",
    [
        (tf.TensorSpec([None, 4], tf.float32),) * 2,
        (tf.TensorSpec([2, 3], tf.float32),) * 2,
        (tf.TensorSpec([None, 3], tf.float64),) * 2,
    ],
    ids=["columns", "rows", "dtype"],
)
def test_shapes_and_dtypes_of_the_inputs_count(specs: tuple[tf.TensorSpec, ...]) -> None:
    def double(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return x + y

    assert digest(double) != digest(double, *specs)


def large(value: float) -> tf.Tensor:
    """Too large to become a constant of the graph: it is captured."""
    return tf.fill([300, 3], value)


def test_the_values_of_captured_tensors_count() -> None:
    def function(held: tf.Tensor) -> Callable[..., Any]:
        return lambda x, y: x + tf.reduce_sum(held) * y

    again, other = digest(function(large(1.0))), digest(function(large(2.0)))
    assert digest(function(large(1.0))) == again != other
    concrete = traced(function(large(3.0)))
    (held,) = captured_values(concrete)
    np.testing.assert_array_equal(held, np.full((300, 3), 3.0))
    assert captured_variables(concrete) == []


def test_captured_variables_are_named_and_their_values_do_not_count() -> None:
    kernel, count = tf.Variable(tf.ones([3]), name="kernel"), tf.Variable(0, name="count")

    def function(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        count.assign_add(1)
        return x * kernel + y

    concrete = traced(function)
    assert sorted(captured_variables(concrete)) == ["count:0", "kernel:0"]
    assert captured_values(concrete) == []
    before = graph_digest(concrete)
    kernel.assign(tf.zeros([3]))
    assert graph_digest(concrete) == before
    assert captured_variables(traced(base)) == []


def test_a_variable_of_keras_is_named_as_well() -> None:
    held = keras.Variable(np.ones(3, np.float32), name="held")
    (name,) = captured_variables(traced(lambda x, y: x * held + y))
    assert "held" in name


def test_a_resource_that_is_no_variable_is_called_one() -> None:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2]), tf.constant([3, 4])), 0
    )
    spec = tf.TensorSpec([None], tf.int32)
    assert captured_variables(traced(table.lookup, spec)) == ["a resource"]


def of_model(**changed: Any) -> str:
    """The digest of a training step of a model: loss and gradients by its weights."""
    options = {"activation": "relu", "width": 4, "rate": 0.5, "scale": 2.0, **changed}
    layers = [
        keras.layers.Dense(options["width"], activation=options["activation"]),
        keras.layers.Lambda(lambda x: x * options["scale"]),
        keras.layers.Dropout(options["rate"], seed=0),
        keras.layers.Dense(1),
    ]
    if options.get("swapped"):
        layers[1], layers[2] = layers[2], layers[1]
    model = keras.Sequential([keras.Input((3,)), *layers])
    weights = [tf.TensorSpec(v.shape, v.dtype) for v in model.trainable_variables]
    others = [tf.constant(v.numpy()) for v in model.non_trainable_variables]

    def step(x: tf.Tensor, *own: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(own)
            predictions, _ = model.stateless_call(own, others, x, training=True)
            loss = tf.reduce_mean(predictions**2)
        return loss, tape.gradient(loss, own)

    return digest(step, SPEC, *weights)


def test_models_built_anew_have_one_digest_and_changed_ones_another() -> None:
    found = [
        of_model(),
        *(
            of_model(**{name: value})
            for name, value in (
                ("activation", "tanh"),
                ("width", 5),
                ("rate", 0.25),
                ("scale", 3.0),
                ("swapped", True),
            )
        ),
    ]
    assert of_model() == found[0]
    assert len(set(found)) == len(found)
