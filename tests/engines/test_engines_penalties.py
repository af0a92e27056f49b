"""Penalties with a strength a trial are Keras' L1L2; a strength of zero is no penalty.

Notation: P trials; a weight is [P, ...].
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines import penalties
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.penalties import Strengths
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.models.builder import ModelSpec, build_model
from stabilitysweep.models.mlp import KernelPenalty
from stabilitysweep.types import Outcome

L1, L2 = (0.0, 0.5, 0.0, 1e-3), (0.0, 0.0, 2.0, 0.25)
DTYPES = ("float32", "float64", "float16")


def weight(dtype: str, size: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(4, 3, 5)) * size).astype(dtype)


def strengths(l1: Any = L1, l2: Any = L2) -> Strengths:
    return Strengths(
        *(None if values is None else tf.constant(values, tf.float32) for values in (l1, l2))
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("terms", ["l1", "l2", "both"])
def test_values_are_keras_own(dtype: str, terms: str) -> None:
    w = weight(dtype)
    l1, l2 = (L1 if terms != "l2" else None), (L2 if terms != "l1" else None)
    ours = penalties.value([tf.constant(w)], strengths(l1, l2))
    assert ours is not None and ours.dtype == keras.config.floatx() and ours.shape == (4,)
    # TensorFlow adds up the stack's weights in another order than those of one trial.
    tolerance = {"float32": 1e-6, "float64": 1e-6, "float16": 2e-3}[dtype]
    for trial in range(4):
        own = keras.regularizers.L1L2(l1[trial] if l1 else 0.0, l2[trial] if l2 else 0.0)
        np.testing.assert_allclose(ours[trial], own(tf.constant(w[trial])), rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_keras_own(dtype: str) -> None:
    w, other = weight(dtype), weight(dtype, 0.1)[::-1].copy()
    w[0, 0, 0] = w[1, 0, 0] = 0.0
    slopes = penalties.slopes(tf.constant(w), 3, strengths())
    ours = penalties.add_gradient(tf.constant(other), tf.constant(w), slopes).numpy()
    for trial in range(4):
        x = tf.constant(w[trial])
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = keras.regularizers.L1L2(L1[trial], L2[trial])(x)
        own = tape.gradient(loss, x)
        expected = other[trial] if own is None else (tf.constant(other[trial]) + own).numpy()
        if L1[trial] and L2[trial]:  # three terms, added in another order
            ulp = {"float32": 1e-6, "float64": 1e-6, "float16": 2e-3}[dtype]
            np.testing.assert_allclose(ours[trial], expected, rtol=ulp, atol=ulp)
        elif dtype != "float64":
            np.testing.assert_array_equal(ours[trial], expected)
        else:  # Keras rounds a strength to float32 on its way to float64
            np.testing.assert_allclose(ours[trial], expected, rtol=1e-7)


def test_without_a_term_there_is_no_value() -> None:
    w = tf.constant(weight("float32"))
    assert penalties.value([w], strengths(None, None)) is None
    assert penalties.value([], strengths()) is None


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_strength_of_zero_removes_a_term_whose_sum_overflows(dtype: str) -> None:
    w = weight(dtype, 1e3 if dtype == "float16" else 1e25)
    assert np.isinf(tf.reduce_sum(tf.square(w), axis=[1, 2])).all()
    ours = penalties.value([tf.constant(w)], strengths((0.0, 1e-3, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)))
    assert ours is not None
    value = ours.numpy()
    assert value[0] == value[3] == 0.0
    assert np.isfinite(value[1]) and value[1] > 0
    assert value[2] == np.inf  # as Keras' own
    assert np.isinf(keras.regularizers.L1L2(0.0, 1.0)(tf.constant(w[2])))


def test_a_strength_of_zero_leaves_the_gradient_as_it_was() -> None:
    w = tf.constant(weight("float32", 1e25))
    gradient = tf.constant(weight("float32"))
    slopes = penalties.slopes(w, 3, strengths((0.0,) * 4, (0.0,) * 4))
    np.testing.assert_array_equal(penalties.add_gradient(gradient, w, slopes), gradient)


def test_rows_behind_the_penalized_ones_have_no_slope() -> None:
    w = tf.constant(weight("float32"))
    found = penalties.add_gradient(tf.zeros_like(w), w, penalties.slopes(w, 2, strengths()))
    assert np.count_nonzero(found[3, :2]) == 10 and np.count_nonzero(found[:, 2:]) == 0


def test_the_two_terms_of_one_weight_overflow_together_where_keras_own_do() -> None:
    w = np.full((1, 200, 1), 10.0, np.float16)  # sum |w| = 2,000, sum w^2 = 20,000
    l1, l2 = 20.0, 2.0  # 40,000 each: finite in float16, their sum is not
    own = keras.regularizers.L1L2(l1, l2)(tf.constant(w[0]))
    ours = penalties.value([tf.constant(w)], strengths((l1,), (l2,)))
    assert ours is not None
    assert np.isinf(own) and np.isinf(ours[0])


def test_a_broken_weight_stays_in_its_own_trial() -> None:
    w = weight("float32")
    clean = penalties.value([tf.constant(w)], strengths())
    w[2, 1, 1] = np.nan
    dirty = penalties.value([tf.constant(w)], strengths())
    assert clean is not None and dirty is not None
    for trial in (0, 1, 3):
        assert dirty[trial].numpy().tobytes() == clean[trial].numpy().tobytes()
    assert np.isnan(dirty[2])


@pytest.fixture
def penalised_model(lab: Any) -> keras.Model:
    (trial,) = lab.trials(lab.data(), model={"l2": 0.1, "depth": 1})
    return build_model(ModelSpec(trial.model, 3, 1, "float32"), seed=0)


def test_penalties_are_taken_off_a_model_and_put_back(penalised_model: keras.Model) -> None:
    before = [variable.regularizer for variable in penalised_model.trainable_variables]
    assert penalties.penalized(penalised_model) == [True, False, True, False]
    with penalties.without_penalties(penalised_model):
        assert penalised_model.losses == []
    assert [v.regularizer for v in penalised_model.trainable_variables] == before
    assert len(penalised_model.losses) == 2


def test_penalties_are_put_back_after_an_exception(penalised_model: keras.Model) -> None:
    with pytest.raises(RuntimeError), penalties.without_penalties(penalised_model):
        raise RuntimeError
    assert len(penalised_model.losses) == 2


def test_a_regularizer_of_another_kind_is_refused(penalised_model: keras.Model) -> None:
    variable = penalised_model.trainable_variables[0]
    variable.regularizer = keras.regularizers.OrthogonalRegularizer()
    with pytest.raises(ValueError, match="hidden_1/kernel, got OrthogonalRegularizer"):
        penalties.penalized(penalised_model)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel_penalty_is_keras_l1l2_in_floatx(dtype: str) -> None:
    w = tf.constant(weight(dtype)[0])
    ours = KernelPenalty(l1=0.01, l2=0.1)(w)
    assert ours.dtype == keras.config.floatx()
    own = keras.regularizers.L1L2(l1=0.01, l2=0.1)(w)
    assert float(ours) == float(tf.cast(own, tf.float32))


def test_keras_cannot_fit_float16_with_a_penalty_but_both_engines_can(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    data = lab.data()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1)),
            ]
        )
    finally:
        keras.config.set_dtype_policy(policy)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    with pytest.raises(TypeError, match="containing a tensor of dtype"):
        model.fit(data.x_train, data.y_train, verbose=0)

    trials = lab.trials(data, model={"l2": 0.1}, training={"precision": "float16", "steps": 4})
    for engine in (stacked, fit):
        (result,) = lab.run(engine, trials, data)
        assert result.outcome is Outcome.STABLE


@pytest.mark.parametrize("engine", ["stacked", "fit"])
def test_zeros_of_the_gradient_are_counted_without_the_penalty(
    lab: Any, stacked: StackedEngine, fit: FitEngine, engine: str
) -> None:
    # Inputs of zero: no kernel of the first layer gets a gradient but from its penalty.
    made = lab.data()
    data = dataclasses.replace(made, x_train=np.zeros_like(made.x_train))
    trials = lab.trials(data, l2=[0.0, 0.1], training={"learning_rate": 0.01})
    chosen = {"stacked": stacked, "fit": fit}[engine]
    without, penalized = lab.run(chosen, trials, data)
    kernel = 3 * 4  # of 3 features to 4 units; 4 biases, and 4 weights and a bias of the head
    assert without.zero_gradients >= kernel / 21
    assert penalized.zero_gradients >= kernel / 21
