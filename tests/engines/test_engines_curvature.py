"""The largest curvature at the initial weights, against exact Hessians and full ones of TensorFlow.

Notation: N rows, A the inputs with a column of ones, O outputs, c an L2 strength, M the matrix
that is 1 for kernels and 0 for biases. The Hessian of the mean square error of one Dense layer
is 2 A'A / (N O) for each output, since Keras takes the mean over rows and outputs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.config.names import ACTIVATIONS
from stabilitysweep.data import PreparedData
from stabilitysweep.engines import curvature
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.losses import build_loss

RIGHT = 1e-4


def weights_of(trial: Trial, program: Any) -> list[np.ndarray]:
    spec = ModelSpec(trial.model, program.features, program.outputs, program.precision)
    return [v.numpy() for v in build_model(spec, trial.seed).trainable_variables]


def largest(
    lab: Any, trial: Trial, data: PreparedData, strengths: Sequence[float] = (0.0,)
) -> list[float]:
    program = lab.program([trial], data)
    weights = [w.astype(np.float64) for w in weights_of(trial, program)]
    return Curvatures().largest(program, weights, list(strengths), data)


def linear_hessian(data: PreparedData, strength: float) -> np.ndarray:
    a = np.column_stack([data.x_train, np.ones(data.train_rows)])
    penalized = np.diag([1.0] * data.x_train.shape[1] + [0.0])
    return np.asarray(2 * a.T @ a / data.train_rows + 2 * strength * penalized)


def conditioned(number: float) -> PreparedData:
    """Six columns, A'A / N with eigenvalues from 1 to 1 / `number`, all turned into another."""
    random = np.random.default_rng(3)
    orthogonal = np.linalg.qr(np.column_stack([np.ones(40), random.normal(size=(40, 6))]))[0][:, 1:]
    spread = np.sqrt(np.geomspace(1.0, 1.0 / number, 6))
    x = math.sqrt(40) * orthogonal * spread @ np.linalg.qr(random.normal(size=(6, 6)))[0]
    y = x @ random.normal(size=(6, 1))
    return PreparedData(x, y, x[:0], y[:0], 1, tuple("abcdef"), "conditioned")


@pytest.mark.parametrize("strength", [0.0, 1e-3, 0.5, 20.0])
def test_a_linear_model_has_the_exact_eigenvalue(lab: Any, strength: float) -> None:
    for data in (lab.data(rows=50, features=5), conditioned(1e4)):
        (trial,) = lab.trials(data, model={"depth": 0})
        (found,) = largest(lab, trial, data, [strength])
        exact = np.linalg.eigvalsh(linear_hessian(data, strength))[-1]
        assert found == pytest.approx(exact, rel=RIGHT)


def test_several_outputs_share_the_mean(lab: Any) -> None:
    data = lab.data(rows=30)
    y = np.random.default_rng(0).normal(size=(30, 3))
    three = PreparedData(data.x_train, y, data.x_train[:0], y[:0], 3, data.feature_names, "three")
    (trial,) = lab.trials(three, model={"depth": 0})
    found = largest(lab, trial, three, [0.0, 0.7])
    # The penalty is not divided by the outputs.
    for value, strength in zip(found, (0.0, 0.7), strict=True):
        exact = np.linalg.eigvalsh(linear_hessian(three, 3 * strength) / 3)[-1]
        assert value == pytest.approx(exact, rel=RIGHT)


def full_hessian(trial: Trial, program: Any, data: PreparedData) -> np.ndarray:
    """Every second derivative of Keras' own loss with its own penalties, [n, n]."""
    with precision_scope("float64"):
        spec = ModelSpec(trial.model, program.features, program.outputs, "float64")
        model = build_model(spec, seed=0)
        for variable, weight in zip(
            model.trainable_variables, weights_of(trial, program), strict=True
        ):
            variable.assign(weight)
        loss_of = build_loss(program.loss)
        values = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as outer:
            with tf.GradientTape() as inner:
                loss = loss_of(data.y_train, model(data.x_train, training=True))
                loss = keras.ops.sum([loss, *model.losses])
            gradient = inner.gradient(loss, values)
            flat = tf.concat([tf.reshape(part, [-1]) for part in gradient], axis=0)
        columns = outer.jacobian(flat, values)
    size = flat.shape[0]
    return np.concatenate([column.numpy().reshape(size, -1) for column in columns], axis=1)


@pytest.mark.parametrize(
    ("model", "training", "classes"),
    [
        pytest.param({"depth": 2, "activation": "tanh"}, {}, 0, id="tanh"),
        pytest.param(
            {"depth": 1, "activation": "gelu", "l2": 0.3, "l1": 0.1}, {}, 0, id="penalties"
        ),
        pytest.param(
            {"depth": 2, "activation": "relu", "l2": 0.01},
            {"precision": "float16"},
            0,
            id="float16",
        ),
        pytest.param(
            {"depth": 2, "activation": "tanh", "batch_norm": True}, {}, 0, id="batch norm"
        ),
        pytest.param(
            {"depth": 1, "activation": "softplus"},
            {"loss": "huber"},
            0,
            id="huber",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"depth": 1, "activation": "silu"},
            {"loss": "binary_crossentropy"},
            2,
            id="binary",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"depth": 1},
            {"loss": "sparse_categorical_crossentropy", "precision": "float64"},
            3,
            id="classes",
        ),
        pytest.param(
            {"depth": 1, "activation": "tanh", "l2": 50.0},
            {"precision": "mixed_bfloat16"},
            0,
            id="strong",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_network_has_the_eigenvalue_of_its_full_hessian(
    lab: Any, model: dict[str, Any], training: dict[str, Any], classes: int
) -> None:
    data = lab.data(classes=classes)
    (trial,) = lab.trials(data, model=model, training=training)
    hessian = full_hessian(trial, lab.program([trial], data), data)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-9 * np.abs(hessian).max())
    (found,) = largest(lab, trial, data, [trial.model.l2])
    assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=RIGHT)


def test_the_product_is_the_difference_of_gradients(lab: Any) -> None:
    """The same by finite differences, whose step h leaves an error of the order of h^2."""
    data, h = lab.data(), 1e-5
    (trial,) = lab.trials(data, model={"depth": 2, "activation": "tanh"})
    program = lab.program([trial], data)
    with precision_scope("float64"):
        spec = ModelSpec(trial.model, program.features, program.outputs, "float64")
        model = build_model(spec, seed=0)
        weights = [v.numpy() for v in model.trainable_variables]
        random = np.random.default_rng(1)
        along = [random.normal(size=weight.shape) for weight in weights]
        ends = []
        for side in (h, -h):
            for v, weight, step in zip(model.trainable_variables, weights, along, strict=True):
                v.assign(weight + side * step)
            with tf.GradientTape() as tape:
                loss = build_loss("mse")(data.y_train, model(data.x_train))
            gradient = tape.gradient(loss, [v.value for v in model.trainable_variables])
            ends.append(np.concatenate([part.numpy().ravel() for part in gradient]))
    multiply = curvature.hessian_product(program, weights, data)
    found = multiply(np.concatenate([step.ravel() for step in along]))
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


def test_without_second_derivatives_differences_take_their_place(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lab.data()
    (trial,) = lab.trials(data, model={"depth": 2, "activation": "softsign"})
    (by_differences,) = largest(lab, trial, data)
    monkeypatch.setattr(tf.nn, "softsign", lambda x: x / (1 + tf.abs(x)))
    assert largest(lab, trial, data) == pytest.approx([by_differences], rel=1e-6)


def test_rows_in_chunks_are_the_whole_split(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = lab.data(rows=23)
    (trial,) = lab.trials(data, model={"depth": 1, "activation": "tanh"})
    (whole,) = largest(lab, trial, data)
    monkeypatch.setattr(curvature, "_ROWS", 5)
    assert largest(lab, trial, data) == pytest.approx([whole], rel=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_a_curvature(lab: Any, activation: str) -> None:
    data = lab.data()
    (trial,) = lab.trials(data, model={"activation": activation})
    (found,) = largest(lab, trial, data)
    assert math.isfinite(found) and found > 0


def rates(
    lab: Any, trials: Sequence[Trial], data: PreparedData, known: Curvatures | None = None
) -> list[float | None]:
    program = lab.program(trials, data)
    stack = Stack(program, tuple(trials), 64)
    initial = [weights_of(trial, program) for trial in trials]
    return (known or Curvatures()).critical_learning_rates(stack, initial, data)


def test_a_stack_has_what_each_trial_has_alone(lab: Any) -> None:
    data = lab.data()
    trials = lab.trials(data, seeds=2, l2=[0, 0.01, 3.0], momentum=[0, 0.9], weight_decay=[0, 0.1])
    together, backwards = rates(lab, trials, data), rates(lab, trials[::-1], data)
    assert None not in together
    assert together == backwards[::-1]
    for place in (0, 3, 4, 7, 11):
        assert rates(lab, [trials[place]], data) == [together[place]]
    assert len(set(together)) == len(trials)


def test_what_is_known_is_not_computed_again(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data, known = lab.data(), Curvatures()
    trials = lab.trials(data, seeds=2, l2=[0, 0.01], learning_rate=[0.01, 0.1])
    first = rates(lab, trials, data, known)
    monkeypatch.setattr(curvature, "_Search", None)
    assert rates(lab, trials, data, known) == first
    mixed = lab.trials(
        data,
        seeds=2,
        training={"precision": "mixed_float16"},
        l2=[0, 0.01],
        learning_rate=[0.01, 0.1],
    )
    assert rates(lab, mixed, data, known) == first  # their initial weights are float32's
    assert known.traces == 1


def test_float16_draws_other_weights_and_has_another_limit(lab: Any) -> None:
    data = lab.data()
    single, half = (
        rates(lab, lab.trials(data, training={"precision": precision}), data)
        for precision in ("float32", "float16")
    )
    assert single != half


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {"optimizer": "adam"}),
        ({}, {"optimizer": "adamw"}),
        ({}, {"optimizer": "rmsprop"}),
        ({}, {"clipnorm": 1.0}),
        ({"dropout": 0.2}, {}),
        ({"depth": 0}, {"loss": "mae"}),  # flat but for its corners
    ],
    ids=["adam", "adamw", "rmsprop", "clipnorm", "dropout", "no curvature"],
)
def test_where_theory_has_no_limit_there_is_none(
    lab: Any, model: dict[str, Any], training: dict[str, Any]
) -> None:
    data = lab.data()
    assert rates(lab, lab.trials(data, model=model, training=training), data) == [None]


def test_a_loss_that_is_not_finite_has_none(lab: Any) -> None:
    data = lab.data()
    broken = dataclasses.replace(data, y_train=np.full_like(data.y_train, np.inf))
    huge = dataclasses.replace(data, x_train=np.full_like(data.x_train, 1e200))
    assert rates(lab, lab.trials(data, model={"depth": 0}), huge) == [None]
    assert rates(lab, lab.trials(data, model={"activation": "tanh"}), broken) == [None]


def test_too_large_a_curvature_is_not_sought(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = lab.data()
    trials = lab.trials(data)
    assert rates(lab, trials, data) != [None]
    monkeypatch.setattr(curvature, "MOST_WORK", 1_000)
    assert rates(lab, trials, data) == [None]


@pytest.mark.parametrize("error", [MemoryError, np.linalg.LinAlgError])
def test_a_search_that_cannot_be_made_costs_no_trial_its_result(
    lab: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(curvature._Search, "run", fail)
    data = lab.data()
    assert rates(lab, lab.trials(data, l2=[0, 1.0]), data) == [None, None]


def test_a_search_that_does_not_end_finds_nothing(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lab.data()
    trials = lab.trials(data, l2=[0, 1.0])
    monkeypatch.setattr(curvature, "_MOST_VECTORS", 2)
    assert rates(lab, trials, data) == [None, None]


def test_a_schedule_does_not_change_the_limit_of_its_peak(lab: Any) -> None:
    data = lab.data()
    trials = lab.trials(data, schedule=["constant", "cosine"], warmup_steps=[0, 3])
    assert len(set(rates(lab, trials, data))) == 1


def test_both_engines_report_it(lab: Any, stacked: StackedEngine, fit: FitEngine) -> None:
    data = lab.data()
    trials = lab.trials(data, l2=[0, 0.1], learning_rate=[0.01])
    expected = rates(lab, trials, data)
    for engine in (stacked, fit):
        results = lab.run(engine, trials, data)
        assert [result.critical_learning_rate for result in results] == expected
