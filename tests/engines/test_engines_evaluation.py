"""Evaluation over a split is `model.evaluate` and `model.predict` of Keras.

Notation: P trials, N rows; a chunk has at most 1,024 rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.data import PreparedData
from stabilitysweep.engines import evaluation
from stabilitysweep.engines.evaluation import Evaluation, Evaluator
from stabilitysweep.engines.subject import BuiltIn
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.losses import build_loss

SEEDS = 2
ARRAYS = [name for name in Evaluation._fields if name != "own"]


def evaluated(lab: Any, trials: list[Trial], data: PreparedData) -> tuple[Evaluation, list[Any]]:
    """Ours on all trials at once, and the trials' models with their weights."""
    program = lab.program(trials, data)
    with precision_scope(program.precision):
        models = [
            build_model(
                ModelSpec(trial.model, program.features, program.outputs, program.precision),
                trial.seed,
            )
            for trial in trials
        ]
        loss = build_loss(program.loss)
        for model in models:
            model.compile("sgd", loss, run_eagerly=True)

        def stacked(groups: list[list[Any]]) -> tuple[tf.Tensor, ...]:
            return tuple(
                tf.constant(np.stack([v.numpy() for v in group]))
                for group in zip(*groups, strict=True)
            )

        x, y = cast(data, keras.config.floatx())
        # The template needs a regularizer wherever some trial has one: all share a program.
        template = max(models, key=lambda model: len(model.losses))
        found = Evaluator(program, BuiltIn(program, template))(
            stacked([model.trainable_variables for model in models]),
            stacked([model.non_trainable_variables for model in models]),
            lab.evaluated_with(trials),
            x,
            y,
        )
    return found, models


def cast(data: PreparedData, floatx: str) -> tuple[np.ndarray, np.ndarray]:
    y = data.y_train
    return data.x_train.astype(floatx), y.astype(floatx) if y.dtype.kind == "f" else y


CASES: dict[str, dict[str, Any]] = {
    "mse": {"l1": [0, 0.01], "l2": [0, 0.1]},
    "mae": {},
    "huber": {"l2": [0.1]},
    "poisson": {},
    "binary_crossentropy": {"classes": 2, "l2": [0, 0.1]},
    "sparse_categorical_crossentropy": {"classes": 4},
    "mse float64": {"precision": "float64", "l2": [0.1]},
    "mse mixed_float16": {"precision": "mixed_float16"},
    "mse batch_norm": {"batch_norm": True, "dropout": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_metrics_are_keras_own(lab: Any, case: str) -> None:
    options = dict(CASES[case])
    data = lab.data(classes=options.pop("classes", 0))
    axes = {name: options.pop(name) for name in ("l1", "l2") if name in options}
    training = {"loss": case.split()[0], "precision": options.pop("precision", "float32")}
    trials = lab.trials(data, seeds=SEEDS, model=options, training=training, **axes)
    found, models = evaluated(lab, trials, data)
    assert found.loss.shape == (len(trials),)
    tolerance = {"float64": 1e-12, "mixed_float16": 1e-5}.get(training["precision"], 1e-6)
    if training["precision"] == "float64" and "l2" in axes:
        tolerance = 1e-7  # Keras rounds a strength to float32 on its way to float64
    for place, model in enumerate(models):
        with precision_scope(training["precision"]):
            x, y = cast(data, keras.config.floatx())
            own = model.evaluate(x, y, batch_size=len(x), verbose=0)
            predictions = model.predict(x, batch_size=len(x), verbose=0)
        np.testing.assert_allclose(found.loss[place], own, rtol=tolerance)
        assert found.nonfinite[place] == 0
        if data.outputs > 1:
            hits = predictions.argmax(axis=1) == y
        elif training["loss"] == "binary_crossentropy":
            accuracy = keras.metrics.BinaryAccuracy(threshold=0.0)  # of logits
            hits = np.float64(accuracy(y, predictions))
        else:
            error = predictions.astype(np.float64) - y
            np.testing.assert_allclose(found.absolute[place], np.abs(error).mean(), rtol=1e-5)
            np.testing.assert_allclose(found.square[place], (error**2).mean(), rtol=1e-5)
            hits = np.float64(0)
        np.testing.assert_allclose(found.hits[place], hits.mean(), rtol=1e-6)


def test_metrics_are_read_off_the_evaluation() -> None:
    scores = Evaluation(*(np.array([value, 9.0]) for value in (1.0, 0.0, 0.5, 0.36, 0.75)))
    y = np.array([[0.0], [1.0], [2.0], [3.0]])
    found = evaluation.metrics(["mse", "mae", "rmse", "r2", "accuracy"], scores, 0, y)
    expected = {"mse": 0.36, "mae": 0.5, "rmse": 0.6, "r2": 1 - 0.36 / 1.25, "accuracy": 0.75}
    assert found == pytest.approx(expected)
    assert list(evaluation.metrics(["r2"], scores, 0, y)) == ["r2"]
    assert np.isnan(evaluation.metrics(["r2"], scores, 0, np.ones((3, 1)))["r2"])


@pytest.mark.parametrize("rows", [1_024, 1_025, 2_500])
def test_chunks_are_one_chunk_within_rounding(
    lab: Any, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    data = lab.data(rows=rows)
    trials = lab.trials(data, seeds=2, l2=[0, 0.1])
    chunked, _ = evaluated(lab, trials, data)
    monkeypatch.setattr(evaluation, "_ROWS", rows)
    whole, _ = evaluated(lab, trials, data)
    assert chunked.own == whole.own == {}  # the built-in model is compiled with no metrics
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(chunked, name), getattr(whole, name), rtol=2e-6)


def test_bad_predictions_in_any_chunk_are_named(lab: Any) -> None:
    data = lab.data(rows=2_100)
    x = data.x_train.copy()
    x[2_060, 1] = np.nan
    broken = PreparedData(
        x, data.y_train, data.x_validation, data.y_validation, 1, data.feature_names, "broken"
    )
    found, _ = evaluated(lab, lab.trials(data, seeds=2), broken)
    assert np.isnan(found.nonfinite).all() and np.isnan(found.loss).all()


def test_a_broken_trial_leaves_its_neighbours_alone(lab: Any) -> None:
    data = lab.data()
    trials = lab.trials(data, seeds=3)
    clean, models = evaluated(lab, trials, data)
    program = lab.program(trials, data)
    groups = [[v.numpy() for v in model.trainable_variables] for model in models]
    groups[1][0][:] = np.nan
    weights = tuple(tf.constant(np.stack(group)) for group in zip(*groups, strict=True))
    settings = lab.evaluated_with(trials)
    x, y = cast(data, "float32")
    dirty = Evaluator(program, BuiltIn(program, models[0]))(weights, (), settings, x, y)
    assert np.isnan(dirty.loss[1])
    for place in (0, 2):
        for name in ARRAYS:
            assert getattr(dirty, name)[place] == getattr(clean, name)[place]


@pytest.mark.parametrize("rows", [1_000, 2_100])
def test_the_mean_overflows_where_that_of_one_batch_does(lab: Any, rows: int) -> None:
    # A row's loss is about 2e35: the sum over 1,000 rows is finite, that over 2,100 is not.
    made = lab.data(rows=rows)
    data = dataclasses.replace(made, y_train=np.full((rows, 1), 4.5e17))
    found, (model, _) = evaluated(lab, lab.trials(data, seeds=2), data)
    x, y = cast(data, "float32")
    whole = float(build_loss("mse")(y, model(x, training=False)))
    assert whole == (np.inf if rows > 2_000 else pytest.approx(2.025e35, rel=1e-5))
    np.testing.assert_allclose(found.loss, [whole] * 2, rtol=1e-6)
    np.testing.assert_allclose(found.square, [whole] * 2, rtol=1e-6)
    np.testing.assert_allclose(found.absolute, [4.5e17] * 2, rtol=1e-6)


def test_a_penalty_is_not_summed_over_the_rows(lab: Any) -> None:
    data = lab.data(rows=2_100)
    found, (model,) = evaluated(lab, lab.trials(data, l2=[1e36]), data)
    assert 2_100 * float(sum(model.losses)) > float(np.finfo(np.float32).max)
    np.testing.assert_allclose(found.loss, [float(sum(model.losses))], rtol=1e-6)
