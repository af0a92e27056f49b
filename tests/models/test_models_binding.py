"""Columns of the table come to a model's inputs in their shapes, by their names, in their dtypes.

The table is [B, D] of floatx, an entry of row b and column d is 100 b + d.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.blueprint import Block
from stabilitysweep.models.binding import Binding

B = 3
dense = keras.layers.Dense


def table(columns: int) -> tf.Tensor:
    return tf.constant(np.arange(B)[:, None] * 100.0 + np.arange(columns), tf.float32)


def columns(*names: str, whole: bool = False) -> list[Block]:
    return [Block(name, place, place + 1, (), whole) for place, name in enumerate(names)]


def sequential(*layers: Any) -> keras.Model:
    return keras.Sequential(list(layers))


def functional(*inputs: Any, named: bool = False) -> keras.Model:
    flat = [keras.layers.Flatten()(keras.ops.cast(tensor, "float32")) for tensor in inputs]
    joined = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    given = {tensor.name: tensor for tensor in inputs} if named else list(inputs)
    return keras.Model(given, dense(1)(joined))


class Subclassed(keras.Model):
    def __init__(self, *layers: Any) -> None:
        super().__init__()
        self.steps = list(layers)

    def call(self, inputs: Any) -> Any:
        for layer in self.steps:
            inputs = layer(inputs)
        return inputs


def numbers(value: Any) -> np.ndarray:
    return np.asarray(value)


@pytest.mark.parametrize(
    "model",
    [
        sequential(keras.Input((3,)), dense(1)),
        sequential(dense(1)),
        functional(keras.Input((3,))),
        Subclassed(dense(1)),
    ],
    ids=["sequential", "not built", "functional", "subclassed"],
)
def test_columns_come_side_by_side_to_the_one_input(model: keras.Model) -> None:
    binding = Binding(columns("a", "b", "c"), False, model)
    assert (binding.columns, binding.whole) == (3, ())
    found = binding(table(3))
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found, table(3))


@pytest.mark.parametrize("shape", [(2, 3), (6,), (1, 2, 3), (6, 1)])
def test_one_array_comes_in_its_own_shape(shape: tuple[int, ...]) -> None:
    for model in (functional(keras.Input(shape)), sequential(keras.layers.Flatten(), dense(1))):
        found = Binding([Block("x", 0, 6, shape)], False, model)(table(6))
        np.testing.assert_array_equal(found, numbers(table(6)).reshape(B, *shape))


def test_a_single_column_is_a_row_of_one() -> None:
    found = Binding(columns("a"), False, functional(keras.Input((1,))))(table(1))
    np.testing.assert_array_equal(found, table(1))


def test_several_arrays_to_one_input_are_laid_side_by_side() -> None:
    blocks = [Block("image", 0, 4, (2, 2)), Block("age", 4, 5, ())]
    found = Binding(blocks, False, functional(keras.Input((5,))))(table(5))
    np.testing.assert_array_equal(found, table(5))


BLOCKS = [Block("age", 0, 1, ()), Block("image", 1, 7, (2, 3)), Block("code", 7, 9, (2,), True)]


def three_inputs() -> list[Any]:
    return [
        keras.Input((2,), name="code", dtype="int32"),
        keras.Input((1,), name="age"),
        keras.Input((2, 3), name="image"),
    ]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_several_inputs_take_the_columns_of_their_names(order: list[int], named: bool) -> None:
    inputs = [three_inputs()[place] for place in order]
    names = [tensor.name for tensor in inputs]
    model = functional(*inputs, named=named)
    binding = Binding(BLOCKS, named, model)
    found = binding(table(9))
    # By name where the model takes a list, too: `tf.data` would make one tensor of a list.
    assert isinstance(found, dict) and list(found) == names
    rows = numbers(table(9))
    np.testing.assert_array_equal(found["age"], rows[:, :1])
    np.testing.assert_array_equal(found["image"], rows[:, 1:7].reshape(B, 2, 3))
    np.testing.assert_array_equal(found["code"], rows[:, 7:].astype(np.int32))
    assert {name: value.dtype.name for name, value in found.items()} == {
        "age": "float32",
        "image": "float32",
        "code": "int32",
    }
    assert binding.whole == ("code",)
    assert model(found).shape == (B, 1)


def test_in_a_graph_it_is_the_same() -> None:
    binding = Binding(BLOCKS, True, functional(*three_inputs(), named=True))
    graph = tf.function(binding, input_signature=[tf.TensorSpec([None, 9], tf.float32)])
    for name, value in graph(table(9)).items():
        np.testing.assert_array_equal(value, binding(table(9))[name])


def test_a_subclassed_model_gets_a_dict_where_the_data_came_as_one() -> None:
    found = Binding(BLOCKS, True, Subclassed(dense(1)))(table(9))
    assert list(found) == ["age", "image", "code"]
    assert [value.shape.as_list() for value in found.values()] == [[B], [B, 2, 3], [B, 2]]
    assert {value.dtype.name for value in found.values()} == {"float32"}


def embedded(*inputs: Any) -> keras.Model:
    """The first input goes to an Embedding."""
    code, *rest = inputs
    flat = keras.layers.Flatten()(keras.layers.Embedding(400, 2)(code))
    joined = keras.layers.Concatenate()([flat, *rest]) if rest else flat
    return keras.Model(list(inputs), dense(1)(joined))


@pytest.mark.parametrize(
    ("model", "whole"),
    [
        (lambda: functional(keras.Input((2,), dtype="int64")), True),
        (lambda: embedded(keras.Input((2,))), True),
        (lambda: sequential(keras.Input((2,)), keras.layers.Embedding(400, 2)), True),
        (lambda: sequential(keras.layers.Embedding(400, 2), keras.layers.Flatten()), True),
        (lambda: Subclassed(keras.layers.Embedding(400, 2)), True),
        (lambda: functional(keras.Input((2,))), False),
        (lambda: Subclassed(dense(1)), False),
    ],
    ids=["dtype", "functional", "sequential", "not built", "subclassed", "float", "no embedding"],
)
def test_whole_numbers_go_where_they_are_wanted(model: Any, whole: bool) -> None:
    binding = Binding([Block("code", 0, 2, (2,), True)], False, model())
    assert binding.whole == (("code",) if whole else ())
    found = binding(table(2))
    assert found.dtype == (tf.int32 if whole else tf.float32)
    np.testing.assert_array_equal(numbers(found), numbers(table(2)))


def test_only_the_input_of_the_embedding_is_whole() -> None:
    model = embedded(keras.Input((2,), name="code"), keras.Input((1,), name="age"))
    binding = Binding([Block("age", 0, 1, (), True), Block("code", 1, 3, (2,), True)], False, model)
    assert binding.whole == ("code",)
    found = binding(table(3))
    assert {name: value.dtype.name for name, value in found.items()} == {
        "code": "int32",
        "age": "float32",
    }


def test_of_a_dict_for_a_subclassed_model_with_an_embedding_the_whole_arrays_are_whole() -> None:
    model = Subclassed(keras.layers.Embedding(400, 2))
    binding = Binding(BLOCKS, True, model)
    assert binding.whole == ("code",)
    dtypes = {name: value.dtype.name for name, value in binding(table(9)).items()}
    assert dtypes == {"age": "float32", "image": "float32", "code": "int32"}


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            BLOCKS[:2],
            "its input 'code' has no column or array of that name; the data have age, image",
        ),
        (
            [*BLOCKS, Block("size", 9, 10, ())],
            "no input of it takes size; name an input so, or leave the columns out with",
        ),
    ],
    ids=["an input without columns", "columns without an input"],
)
def test_what_does_not_match_is_refused_by_name(blocks: list[Block], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Binding(blocks, True, functional(*three_inputs(), named=True))
    assert message in str(caught.value)
