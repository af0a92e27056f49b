"""Operations over the trial axis: what they compute, and what they do not copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines.trial_axis import expand, select, select_all, vectorize


def test_a_function_of_one_trial_is_applied_to_each_without_copying_its_arguments() -> None:
    def one(arguments: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        matrix, vector = arguments
        return tf.linalg.matvec(matrix, vector)

    graph = tf.function(
        lambda m, v: vectorize(one, (m, v)),
        input_signature=[tf.TensorSpec([None, 2, 3]), tf.TensorSpec([None, 3])],
        autograph=False,
    )
    random = np.random.default_rng(0)
    m, v = random.normal(size=(5, 2, 3)), random.normal(size=(5, 3))
    found = graph(tf.constant(m, tf.float32), tf.constant(v, tf.float32))
    np.testing.assert_allclose(found, np.einsum("pij,pj->pi", m, v), rtol=1e-5)
    concrete = graph.get_concrete_function()
    output = concrete.outputs[0]
    needed, queue = set(), [output.op]
    while queue:
        operation = queue.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            assert operation.type != "GatherV2"
            queue += [tensor.op for tensor in operation.inputs]


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int64])
@pytest.mark.parametrize("inner", [(), (3,), (2, 3)])
def test_whole_trials_are_chosen_bit_by_bit(dtype: tf.DType, inner: tuple[int, ...]) -> None:
    new, old = tf.fill([3, *inner], tf.cast(7, dtype)), tf.fill([3, *inner], tf.cast(-1, dtype))
    chosen = tf.cast(select(tf.constant([True, False, True]), new, old), tf.float64)
    assert [set(row.ravel()) for row in chosen.numpy()] == [{7.0}, {-1.0}, {7.0}]
    if dtype.is_floating:
        bad = tf.fill([3, *inner], tf.cast(np.nan, dtype))
        kept = tf.cast(select(tf.constant([False, False, True]), bad, old), tf.float64).numpy()
        assert np.isnan(kept).reshape(3, -1).all(axis=1).tolist() == [False, False, True]


@pytest.mark.parametrize("taken", [[True, True], [True, False], [False, False]])
def test_every_tensor_of_a_structure_is_chosen_alike(taken: list[bool]) -> None:
    new: tuple[Any, ...] = (tf.constant([1.0, 2.0]), (tf.constant([[3], [4]]),))
    old: tuple[Any, ...] = (tf.constant([-1.0, -2.0]), (tf.constant([[-3], [-4]]),))
    first, (second,) = tf.function(select_all)(tf.constant(taken), new, old)
    signs = [1 if yes else -1 for yes in taken]
    assert first.numpy().tolist() == [signs[0] * 1.0, signs[1] * 2.0]
    assert second.numpy().ravel().tolist() == [signs[0] * 3, signs[1] * 4]
    assert select_all(tf.constant(taken), (), ()) == ()


def test_what_is_laid_out_already_is_left_as_it_is() -> None:
    like = tf.zeros([2, 3, 4], tf.float64)
    once = expand(tf.constant([0.5, 3.0]), like)
    np.testing.assert_array_equal(once, np.broadcast_to([[[0.5]], [[3.0]]], (2, 3, 4)))
    np.testing.assert_array_equal(expand(once, like), once)


@pytest.mark.parametrize("form", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32])
def test_gradients_of_biases_are_added_up_as_by_the_kernel_itself(
    dtype: tf.DType, form: str
) -> None:
    # Partial sums that overflow float16, or are rounded away, and a total that does not.
    rows = np.random.default_rng(1).normal(scale=900, size=(3, 400, 5, 5, 2))
    rows = np.concatenate([np.abs(rows), -np.abs(rows)], axis=1)
    upstream = tf.cast(rows if form == "NHWC" else np.moveaxis(rows, -1, 2), dtype)

    def one(own: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.BiasAddGrad(out_backprop=own, data_format=form)

    found = tf.function(lambda all: vectorize(one, all), autograph=False)(upstream)
    wanted = tf.stack([one(own) for own in upstream])
    scale = np.abs(rows).sum(axis=(1, 2, 3))
    apart = np.abs(tf.cast(found - wanted, tf.float64)) / scale
    assert found.dtype == dtype
    assert np.isfinite(tf.cast(found, tf.float64)).all()
    assert apart.max() < 1e-6, apart.max()
