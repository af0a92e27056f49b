"""Linear regression by gradient descent breaks where the eigenvalues say, and when.

Notation: N rows, A the inputs with a column of ones, H = 2 A'A / N the Hessian of the mean
square error, lambda its largest eigenvalue. One Dense layer, full batch. The formulas are in
FACTS.md: gradient descent is stable under a learning rate of 2 / lambda.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import PreparedData, load, prepare
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.models.builder import ModelSpec, build_model
from stabilitysweep.types import Kind, Onset, Outcome, Stage

STEPS = 1_200
LARGEST = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def diabetes() -> PreparedData:
    settings = DatasetSettings(name="diabetes", validation_fraction=0)
    scaling = PreprocessingSettings(scaling="standard", target_scaling="standard")
    return prepare(load(settings, Path()), settings, scaling, "mse")


@pytest.fixture(scope="module")
def hessian(diabetes: PreparedData) -> np.ndarray:
    a = np.column_stack([diabetes.x_train, np.ones(diabetes.train_rows)])
    return np.asarray(2 * a.T @ a / diabetes.train_rows)


def run(lab: Any, stacked: StackedEngine, data: PreparedData, rates: list[float], **options: Any):
    model = {"depth": 0, **{name: options.pop(name) for name in ("l2",) if name in options}}
    training = {"steps": STEPS, "batch_size": "full", **options}
    trials = lab.trials(data, model=model, training=training, learning_rate=rates)
    return trials, lab.run(stacked, trials, data)


def test_the_limit_is_the_one_tried_with_keras(hessian: np.ndarray) -> None:
    assert 2 / np.linalg.eigvalsh(hessian)[-1] == pytest.approx(0.248496, rel=1e-5)


def test_descent_breaks_beyond_the_limit_and_when_the_formula_says(
    lab: Any, stacked: StackedEngine, diabetes: PreparedData, hessian: np.ndarray
) -> None:
    values, vectors = np.linalg.eigh(hessian)
    limit = 2 / values[-1]
    factors = [0.5, 0.98, 1.02, 1.05, 1.1, 1.3, 1.5]
    trials, results = run(lab, stacked, diabetes, [limit * factor for factor in factors])

    n = diabetes.train_rows
    model = build_model(ModelSpec(trials[0].model, 10, 1, "float32"), seed=0)
    start = np.concatenate([v.numpy().reshape(-1) for v in model.trainable_variables])
    a = np.column_stack([diabetes.x_train, np.ones(n)])
    best = np.linalg.lstsq(a, diabetes.y_train[:, 0], rcond=None)[0]
    top = values[-1] / 2 * ((start - best) @ vectors[:, -1]) ** 2
    for factor, result in zip(factors, results, strict=True):
        if factor < 1:
            assert result.outcome is Outcome.STABLE and result.onset is None
            assert result.steps_run == STEPS
            continue
        growth = abs(1 - 2 * factor)
        # The loss of a step is that of the weights before it.
        expected = 1 + math.log(LARGEST / (n * top)) / (2 * math.log(growth))
        assert result.outcome is Outcome.NONFINITE and result.onset is not None
        assert result.onset == Onset(result.onset.step, Stage.LOSS, "loss", Kind.POSITIVE_INFINITY)
        assert abs(result.onset.step - expected) <= max(1.5, 0.004 * expected)
        # Weights stay finite for about as many steps again; then the loss is NaN.
        if result.steps_run < STEPS:
            assert result.nan_step is None or result.nan_step > 1.8 * result.onset.step
            assert 1.8 < result.steps_run / result.onset.step < 2.2


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"momentum": 0.9}, lambda top: 2 * 1.9 / top),
        ({"momentum": 0.9, "nesterov": True}, lambda top: 3.8 / (2.8 * top)),
        ({"weight_decay": 0.5}, lambda top: 2 / (top + 0.5)),
        ({"l2": 1.0}, None),
    ],
    ids=["heavy ball", "nesterov", "weight decay", "l2"],
)
def test_other_terms_shift_the_limit_as_the_formulas_say(
    lab: Any,
    stacked: StackedEngine,
    diabetes: PreparedData,
    hessian: np.ndarray,
    options: dict[str, Any],
    limit: Any,
) -> None:
    top = np.linalg.eigvalsh(hessian)[-1]
    if limit is None:  # the penalty is on the kernel alone
        kernel = np.diag([1.0] * 10 + [0.0])
        rate = 2 / np.linalg.eigvalsh(hessian + 2 * options["l2"] * kernel)[-1]
        assert rate == pytest.approx(2 / (top + 2 * options["l2"]), rel=1e-9)
    else:
        rate = limit(top)
    assert abs(rate * top / 2 - 1) > 0.05  # another limit than that of plain descent
    _, (below, above) = run(lab, stacked, diabetes, [0.97 * rate, 1.05 * rate], **options)
    assert below.onset is None and below.final_loss < 2 * below.initial_loss
    assert above.onset is not None and above.onset.stage is Stage.LOSS
    assert above.onset.kind is Kind.POSITIVE_INFINITY
