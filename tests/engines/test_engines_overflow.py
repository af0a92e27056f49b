"""Sums overflow where Keras' own do: not before, not after."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.data import PreparedData
from stabilitysweep.engines import fit as fit_module
from stabilitysweep.engines import penalties
from stabilitysweep.engines import stacked as stacked_module
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.penalties import Strengths
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.models.builder import build_model
from stabilitysweep.types import Compiled, Kind, Onset, Stage, TrialResult


@pytest.mark.parametrize("xla", [False, True])
def test_a_penalty_is_the_sum_of_those_of_the_kernels_where_their_joint_sum_overflows(
    xla: bool,
) -> None:
    sizes = np.float32([[1.0, 2.0], [1.3e19, 1.4e19], [1.3e19, 1.9e19], [1.3e19, np.nan]])
    weights = [tf.constant(sizes[:, [place]]) for place in range(2)]
    strength = tf.constant([0.1, 1e-3, 1e-3, 0.0])

    def trace(*weights: tf.Tensor) -> tf.Tensor | None:
        squares = tf.add_n([tf.reduce_sum(tf.square(weight), axis=1) for weight in weights])
        return penalties.value(weights, Strengths(None, strength), squares)

    found = tf.function(trace, jit_compile=xla, autograph=False)(*weights).numpy()
    own = [
        sum(float(keras.regularizers.L2(float(l2))(tf.constant([w]))) for w in row)
        for row, l2 in zip(sizes[:3], strength[:3], strict=True)
    ]
    assert math.isfinite(own[1]) and own[2] == math.inf  # the second kernel's own sum
    np.testing.assert_allclose(found[:3], own, rtol=1e-6)
    assert found[3] == 0.0  # a strength of zero, whatever the sum


def run_with_kernels(
    lab: Any,
    patch: pytest.MonkeyPatch,
    engine: StackedEngine | FitEngine,
    kernel: float,
    x: float,
    training: dict[str, Any],
    l2: list[float],
    compiled: Compiled,
) -> list[TrialResult]:
    """Two steps of a chain 1 -> 1 -> 1 of `kernel` on rows of `x`, too short to change it."""

    def build(*args: Any, **kwargs: Any) -> keras.Model:
        model = build_model(*args, **kwargs)
        for variable in model.trainable_variables[::2]:
            variable.assign(np.full(variable.shape, kernel))
        return model

    for module in (stacked_module, fit_module):
        patch.setattr(module, "build_model", build)
    rows, y = np.full((4, 1), x), np.ones((4, 1))
    data = PreparedData(rows, y, rows[:0], y[:0], 1, ("x0",), "made")
    trials = lab.trials(
        data,
        model={"width": 1, "activation": "linear"},
        training={"steps": 2, "batch_size": 2, "learning_rate": 1e-37, **training},
        l2=l2,
    )
    found: list[TrialResult] = lab.run(engine, trials, data, compiled, places=4)
    return found


WAYS = [
    ("stacked", Compiled.GRAPH),
    pytest.param("stacked", Compiled.XLA, marks=pytest.mark.slow),
    ("fit", Compiled.GRAPH),
]


@pytest.mark.parametrize(("name", "compiled"), WAYS)
def test_no_engine_reports_a_penalty_infinite_that_keras_has_finite(
    lab: Any, fit: FitEngine, monkeypatch: pytest.MonkeyPatch, name: str, compiled: Compiled
) -> None:
    engine = fit if name == "fit" else StackedEngine()
    kernel, l2 = 1.5e19, 1e-10  # 2.25e38 each
    (result,) = run_with_kernels(lab, monkeypatch, engine, kernel, 1e-30, {}, [l2], compiled)
    expected = 2 * np.float64(l2) * kernel**2
    assert result.onset is None and result.steps_run == 2
    np.testing.assert_allclose(result.trace.loss, expected, rtol=1e-5)
    np.testing.assert_allclose(result.final_loss, expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "compiled"), WAYS)
def test_a_float16_strength_that_rounds_to_zero_times_an_infinite_sum_is_nan_as_in_keras(
    lab: Any, fit: FitEngine, monkeypatch: pytest.MonkeyPatch, name: str, compiled: Compiled
) -> None:
    engine = fit if name == "fit" else StackedEngine()
    strengths = [0.0, 1e-8] if name == "stacked" else [1e-8]
    kernel = 300.0  # its square is not finite in float16
    half = tf.constant([kernel], tf.float16)
    assert math.isnan(float(keras.regularizers.L2(1e-8)(half)))
    results = run_with_kernels(
        lab, monkeypatch, engine, kernel, 1e-3, {"precision": "float16"}, strengths, compiled
    )
    assert results[-1].onset == Onset(1, Stage.LOSS, "loss", Kind.NAN)
    assert math.isnan(results[-1].initial_loss)
    for unpenalized in results[:-1]:
        assert unpenalized.onset is None


def test_a_float16_strength_that_rounds_to_zero_changes_nothing_while_the_sum_is_finite(
    lab: Any, stacked: StackedEngine
) -> None:
    data = lab.data()
    trials = lab.trials(data, training={"precision": "float16"}, l2=[0.0, 2e-8])
    without, rounded = lab.run(stacked, trials, data)
    # Theory is told of the strength as it was given.
    assert set(lab.differences(without, rounded)) <= {"trial_id", "critical_learning_rate"}


def test_engines_may_differ_only_in_the_kind_where_infinite_products_of_both_signs_are_added(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    # 1e20 * 1e20 - 1e20 * 1e20: a kernel that fuses multiplication and addition never rounds
    # a product to Inf, so its sum is that of the first overflow; another's is Inf - Inf = NaN.
    # TensorFlow has both kinds of kernels, for single matrices and for stacks of them.
    data = lab.data()
    trials = lab.trials(
        data, training={"loss": "mae", "learning_rate": 1e20}, optimizer=["rmsprop", "adam"]
    )
    for ours, own in zip(lab.run(stacked, trials, data), lab.run(fit, trials, data), strict=True):
        assert ours.onset is not None and own.onset is not None
        for onset in (ours.onset, own.onset):
            assert (onset.step, onset.stage, onset.tensor) == (2, Stage.ACTIVATION, "output")
            assert onset.kind in (Kind.NAN, Kind.POSITIVE_INFINITY)


@pytest.mark.parametrize("name", ["stacked", "fit"])
def test_a_moving_variance_that_overflows_is_an_onset(
    lab: Any, stacked: StackedEngine, fit: FitEngine, name: str
) -> None:
    # float16 features in the thousands have a variance beyond 65,504.
    made = lab.data()
    data = dataclasses.replace(made, x_train=made.x_train * 3e3)
    trials = lab.trials(data, model={"batch_norm": True}, training={"precision": "float16"})
    (result,) = lab.run(stacked if name == "stacked" else fit, trials, data)
    assert result.onset is not None
    assert result.onset.tensor == "batch_norm_1/moving_variance"
