"""What is seen of a step is what the step computed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.numerics.moments import Moment, Quantity, TensorStats
from stabilitysweep.numerics.statistics import read_statistics, statistics
from stabilitysweep.types import Compiled, Outcome, Stage, TrialResult

CASES: dict[str, dict[str, Any]] = {
    "float32": {"learning_rate": 30.0},
    "float64, momentum": {"precision": "float64", "momentum": 0.9, "learning_rate": 1e30},
    "mixed_float16": {"precision": "mixed_float16", "learning_rate": 1e4},
    "float16, adam": {"precision": "float16", "optimizer": "adam", "learning_rate": 1e4},
    "batch norm, l2": {"batch_norm": True, "l2": 0.1, "learning_rate": 1e20},
}
MODEL = {"batch_norm", "l2", "depth", "dropout"}


def stack_of_one(lab: Any, compiled: Compiled = Compiled.GRAPH, **options: Any) -> Any:
    data = lab.data()
    settings = dict(options)
    rate = settings.pop("learning_rate")
    model = {name: settings.pop(name) for name in MODEL & settings.keys()}
    trials = lab.trials(data, model=model, training=settings, learning_rate=[rate])
    program = lab.program(trials, data, compiled)
    return Stack(program, tuple(trials), 16), data


def look(engine: Any, stack: Stack, data: Any, steps: int = 3) -> tuple[TrialResult, list[Moment]]:
    (result,) = engine.run(stack, data)
    last = result.onset.step if result.onset else result.steps_run
    return result, engine.inspect(stack, data, max(1, last - steps + 1), last, predictions=False)


@pytest.mark.parametrize("name", ["stacked", "fit"])
@pytest.mark.parametrize(
    "case",
    [
        "float32",
        "mixed_float16",
        "batch norm, l2",
        pytest.param("float64, momentum", marks=pytest.mark.slow),
        pytest.param("float16, adam", marks=pytest.mark.slow),
    ],
)
def test_the_steps_seen_are_those_of_the_run(
    lab: Any, request: pytest.FixtureRequest, name: str, case: str
) -> None:
    stack, data = stack_of_one(lab, **CASES[case])
    result, moments = look(request.getfixturevalue(name), stack, data)
    assert result.outcome is Outcome.NONFINITE and result.onset is not None
    assert [moment.step for moment in moments] == list(
        range(moments[0].step, result.onset.step + 1)
    )
    place = {int(step): index for index, step in enumerate(result.trace.steps)}
    for moment in moments:
        index = place[moment.step]
        with np.errstate(over="ignore"):  # a float64 loss beyond 3.4e38 is Inf in the trace
            loss = np.float32(moment.loss)
        np.testing.assert_array_equal(loss, result.trace.loss[index])
        assert moment.loss_scale == result.trace.loss_scale[index]
        if np.isfinite(result.trace.max_activation[index]):
            largest = max(
                stats.largest for stats in moment.tensors if stats.quantity is Quantity.ACTIVATION
            )
            np.testing.assert_array_equal(np.float32(largest), result.trace.max_activation[index])
    for moment in moments[:-1]:
        assert moment.skipped or all(stats.finite for stats in moment.tensors)
    bad = moments[-1].first_bad()
    assert bad is not None
    assert (bad.quantity.value, bad.tensor) == (result.onset.stage.value, result.onset.tensor)


@pytest.mark.parametrize("case", ["float32", "batch norm, l2", "mixed_float16"])
def test_both_engines_see_the_same(
    lab: Any, stacked: StackedEngine, fit: FitEngine, case: str
) -> None:
    stack, data = stack_of_one(lab, **CASES[case] | {"learning_rate": 0.01})
    _, ours = look(stacked, stack, data)
    _, own = look(fit, stack, data)
    assert len(ours) == len(own)
    for a, b in zip(ours, own, strict=True):
        assert [(s.quantity, s.tensor, s.dtype, s.size) for s in a.tensors] == [
            (s.quantity, s.tensor, s.dtype, s.size) for s in b.tensors
        ]
    # Before rounding has grown with the rest. Behind a normalisation the gradient of a bias is
    # 0 in exact arithmetic, and all rounding.
    noise = ("hidden_1/bias",) if "batch_norm" in CASES[case] else ()
    for s, t in zip(ours[0].tensors, own[0].tensors, strict=True):
        if s.tensor in noise:
            continue
        np.testing.assert_allclose(
            (s.largest, s.mean, s.zeros, s.nans, s.infs),
            (t.largest, t.mean, t.zeros, t.nans, t.infs),
            rtol=0.02,
            err_msg=f"{s.quantity} {s.tensor}",
        )


def test_a_linear_step_is_that_of_the_textbook(lab: Any, stacked: StackedEngine) -> None:
    stack, data = stack_of_one(lab, depth=0, learning_rate=0.01, batch_size="full", steps=4)
    _, moments = look(stacked, stack, data, steps=1)
    x = np.c_[data.x_train, np.ones(len(data.x_train))]
    y = data.y_train
    model_weights = stacked._initial(stack.trials[0], stack.program)[0]
    w = np.vstack([model_weights[0], model_weights[1][None]]).astype(np.float64)
    for _ in range(4):
        output = x @ w
        gradient = 2 * x.T @ (output - y) / len(x)
        before, w = w, w - 0.01 * gradient
    expected = {
        (Quantity.ACTIVATION, "output"): output,
        (Quantity.LOSS, "loss"): np.mean((output - y) ** 2),
        (Quantity.GRADIENT, "output/kernel"): gradient[:-1],
        (Quantity.GRADIENT, "output/bias"): gradient[-1],
        (Quantity.UPDATE, "output/kernel"): (w - before)[:-1],
        (Quantity.WEIGHT, "output/kernel"): w[:-1],
    }
    seen = {(stats.quantity, stats.tensor): stats for stats in moments[0].tensors}
    for key, values in expected.items():
        stats, magnitudes = seen[key], np.abs(values)
        np.testing.assert_allclose(
            (stats.largest, stats.mean), (magnitudes.max(), magnitudes.mean()), rtol=1e-4
        )
        assert (stats.zeros, stats.nans, stats.infs, stats.size) == (0, 0, 0, magnitudes.size)


@pytest.mark.slow
def test_under_xla_a_step_alone_is_that_of_the_run(lab: Any, stacked: StackedEngine) -> None:
    stack, data = stack_of_one(lab, Compiled.XLA, learning_rate=30.0)
    result, moments = look(stacked, stack, data)
    assert result.onset is not None
    bad = moments[-1].first_bad()
    assert bad is not None
    assert (bad.quantity.value, bad.tensor) == (result.onset.stage.value, result.onset.tensor)


def test_a_slot_that_only_other_trials_have_is_not_shown(lab: Any, stacked: StackedEngine) -> None:
    data = lab.data()
    trials = lab.trials(data, momentum=[0.0, 0.9])
    program = lab.program(trials, data)
    shown = [
        any(stats.quantity is Quantity.OPTIMIZER for stats in moment.tensors)
        for trial in trials
        for moment in stacked.inspect(Stack(program, (trial,), 16), data, 2, 2, predictions=False)
    ]
    assert shown == [False, True]


@pytest.mark.parametrize("name", ["stacked", "fit"])
def test_predictions_are_looked_at_layer_by_layer(
    lab: Any, request: pytest.FixtureRequest, name: str
) -> None:
    data = lab.data()
    held_out = data.x_validation.copy()
    held_out[1, 0] = np.nan
    broken = dataclasses.replace(data, x_validation=held_out)
    trials = lab.trials(broken, learning_rate=[0.01])
    stack = Stack(lab.program(trials, broken), tuple(trials), 16)
    engine = request.getfixturevalue(name)
    (result,) = engine.run(stack, broken)
    assert result.onset is not None and result.onset.stage is Stage.PREDICTION
    *steps, last = engine.inspect(stack, broken, 7, 8, predictions=True)
    assert [moment.step for moment in steps] == [7, 8]
    assert last.loss is None
    first, *layers = last.tensors
    assert (first.tensor, first.nans) == ("features", 1)
    assert layers[-1].tensor == result.onset.tensor and layers[-1].nans == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_statistics_of_a_tensor(dtype: str) -> None:
    values = np.array([[0, -3, np.nan], [np.inf, 1, -np.inf]])
    tensor = tf.cast(tf.constant(values), dtype)
    found = read_statistics(Quantity.LOSS, "a", dtype, 6, statistics(tensor).numpy())
    assert found == TensorStats(
        Quantity.LOSS, "a", dtype, 6, largest=3, mean=4 / 3, zeros=1 / 6, nans=1, infs=2
    )
    assert not found.finite


def test_the_mean_of_large_magnitudes_does_not_overflow() -> None:
    large = tf.fill([100], np.float64(1e308))
    found = read_statistics(Quantity.LOSS, "a", "float64", 100, statistics(large).numpy())
    np.testing.assert_allclose((found.largest, found.mean), 1e308)
    nothing = read_statistics(
        Quantity.LOSS, "a", "float32", 2, statistics(tf.fill([2], np.nan)).numpy()
    )
    assert (nothing.largest, nothing.mean, nothing.zeros) == (0, 0, 0)
