"""The recorder hears every layer of any kind of model, in order, and leaves no trace."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.models.recorder import recording

X = tf.constant(np.random.default_rng(0).normal(size=(2, 3)), tf.float32)


def dense(name: str, units: int = 3) -> keras.layers.Dense:
    return keras.layers.Dense(units, name=name)


def functional() -> keras.Model:
    inputs = keras.Input((3,))
    first = dense("a")(inputs)
    side = dense("b")(inputs)
    joined = keras.layers.Add(name="sum")([first, side])
    return keras.Model(inputs, dense("head")(joined))


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((3,)), dense("a"), keras.layers.ReLU(name="r"), dense("b")]
    )


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        # Made in another order than they are called in.
        self.last, self.first = dense("last"), dense("first")

    def call(self, inputs: Any) -> Any:
        return self.last(keras.ops.relu(self.first(inputs)))


def shared() -> keras.Model:
    inputs = keras.Input((3,))
    layer = dense("twice")
    return keras.Model(inputs, dense("head")(layer(dense("first")(layer(inputs)))))


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((3,)), dense("inner_1"), dense("inner_2")], name="inner")
    inputs = keras.Input((3,))
    return keras.Model(inputs, dense("head")(inner(inputs)))


MODELS = {
    functional: ["a", "b", "sum", "head"],
    sequential: ["a", "r", "b"],
    Subclassed: ["first", "last"],
    shared: ["twice", "first", "twice:2", "head"],
    nested: ["inner_1", "inner_2", "head"],
}


def own_attributes(model: keras.Model) -> dict[str, bool]:
    return {
        layer.name: "call" in layer.__dict__ for layer in model._flatten_layers(include_self=True)
    }


@pytest.mark.parametrize("make", MODELS)
def test_names_and_outputs_stand_in_the_order_of_computation(make: Any) -> None:
    model = make()
    silent = model(X)
    with recording(model) as record:
        loud = model(X)
    assert sorted(record.names) == sorted(MODELS[make])
    # Parallel branches have no order of their own; what feeds a layer comes before it.
    if make is functional:
        assert record.names[2:] == ["sum", "head"]
    else:
        assert record.names == MODELS[make]
    np.testing.assert_array_equal(loud, silent)
    np.testing.assert_array_equal(record.outputs[-1], loud)
    assert len(record.outputs) == len(record.names)


def test_an_output_is_what_the_layer_returned() -> None:
    model = sequential()
    with recording(model) as record:
        model(X)
    hidden = model.get_layer("a")(X)
    np.testing.assert_array_equal(record.outputs[0], hidden)
    np.testing.assert_array_equal(record.outputs[1], tf.nn.relu(hidden))


@pytest.mark.parametrize("make", MODELS)
def test_the_model_is_as_it_was_afterwards(make: Any) -> None:
    model = make()
    model(X)
    before = own_attributes(model)
    with recording(model) as record:
        model(X)
    heard = list(record.names)
    assert own_attributes(model) == before
    model(X)
    assert record.names == heard


def test_the_model_is_as_it_was_after_an_exception() -> None:
    model = functional()
    with pytest.raises(RuntimeError), recording(model):
        raise RuntimeError
    assert not any(own_attributes(model).values())


def test_an_exception_in_a_layer_restores_it_too() -> None:
    model = sequential()
    with pytest.raises(ValueError), recording(model):
        model(tf.ones([2, 5]))
    assert not any(own_attributes(model).values())


def test_a_layer_with_several_outputs_is_numbered_and_integers_are_left_out() -> None:
    class Several(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs, {"count": tf.constant(3), "double": inputs * 2}

    inputs = keras.Input((3,))
    layer = Several(name="several")
    model = keras.Model(inputs, layer(inputs)[0])
    with recording(model) as record:
        model(X)
    assert record.names == ["several", "several:2"]


def test_a_layer_shared_by_two_sub_models_is_heard_once_a_call() -> None:
    layer = dense("both")
    halves = [keras.Sequential([keras.Input((3,)), layer], name=name) for name in ("one", "two")]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, halves[1](halves[0](inputs)))
    with recording(model) as record:
        model(X)
    assert record.names == ["both", "both:2"]
    assert not any(own_attributes(model).values())


def test_recording_works_while_a_graph_is_traced() -> None:
    model = functional()

    @tf.function(autograph=False)
    def peaks(x: tf.Tensor) -> tf.Tensor:
        with recording(model) as record:
            model(x)
        return tf.stack([tf.reduce_max(output) for output in record.outputs])

    assert peaks(X).shape == (4,)
    assert not any(own_attributes(model).values())
