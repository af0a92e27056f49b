"""The fit engine's step is that of stock Keras: the same weights to the bit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from stabilitysweep.data import batch_order
from stabilitysweep.engines import fit as fit_module
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.losses import build_loss
from stabilitysweep.types import Outcome

STEPS, ROWS = 7, 8

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    # case: (model section, training section, stock Keras optimizer)
    "float32": (
        {"l2": 0.01, "dropout": 0.4, "activation": "tanh"},
        {"momentum": 0.9, "learning_rate": 0.05},
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
    "mixed_float16": (
        {},
        {"precision": "mixed_float16", "optimizer": "adam", "learning_rate": 0.05},
        lambda: keras.optimizers.Adam(0.05),
    ),
    "mixed_float16 that skips": (
        {"depth": 2},
        {"precision": "mixed_float16", "learning_rate": 1.5},
        lambda: keras.optimizers.SGD(1.5),
    ),
    "batch norm": (
        {"batch_norm": True},
        {"learning_rate": 0.1},
        lambda: keras.optimizers.SGD(0.1),
    ),
    "schedule": (
        {"dropout": 0.4},
        {
            "optimizer": "adamw",
            "clipnorm": 0.5,
            "schedule": "exponential",
            "decay_rate": 0.5,
            "learning_rate": 0.05,
            "weight_decay": 0.1,
        },
        lambda: keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(0.05, STEPS, 0.5),
            weight_decay=0.1,
            clipnorm=0.5,
        ),
    ),
    "float64": (
        {},
        {"precision": "float64", "optimizer": "rmsprop", "momentum": 0.9, "learning_rate": 0.01},
        lambda: keras.optimizers.RMSprop(0.01, momentum=0.9),
    ),
}


def state_of(model: keras.Model) -> list[tuple[str, np.ndarray]]:
    """All of the model's and its optimizer's variables but the rate, which may be a table."""
    variables = [*model.variables, *model.optimizer.variables]
    # Keras counts optimizers: "sgd_1/iteration".
    named = [(variable.path.rpartition("/")[2], variable.numpy()) for variable in variables]
    return [(name, value) for name, value in named if name != "learning_rate"]


@pytest.mark.parametrize("case", CASES)
def test_weights_slots_and_loss_scale_are_keras_own_to_the_bit(
    lab: Any, fit: FitEngine, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    model_section, training, optimizer = CASES[case]
    data = lab.data()
    (trial,) = lab.trials(
        data,
        model=model_section,
        training={**training, "steps": STEPS, "batch_size": ROWS},
    )
    built: list[keras.Model] = []
    monkeypatch.setattr(
        fit_module, "build_model", lambda *args: built.append(build_model(*args)) or built[-1]
    )
    (result,) = lab.run(fit, [trial], data)
    (probed,) = built

    precision = trial.training.precision
    with precision_scope(precision):
        spec = ModelSpec(trial.model, 3, 1, precision)
        stock = build_model(spec, trial.seed)
        stock.compile(optimizer(), build_loss("mse"), jit_compile=False)
        rows = batch_order(trial.seed, ROWS, data.train_rows, STEPS).reshape(-1)
        floatx = keras.config.floatx()
        stock.fit(
            data.x_train[rows].astype(floatx),
            data.y_train[rows].astype(floatx),
            batch_size=ROWS,
            shuffle=False,
            verbose=0,
        )
    ours, own = state_of(probed), state_of(stock)
    assert [name for name, _ in ours] == [name for name, _ in own] and len(own) > 5
    for (name, found), (_, value) in zip(ours, own, strict=True):
        if case in ("schedule", "batch norm"):
            # The table is rounded once, Keras' schedule at each of its operations; and where a
            # gradient has several parts, TensorFlow adds them as their buffers fall free.
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=2e-7, err_msg=name)
        else:
            assert found.tobytes() == value.tobytes(), name
    applied = int(stock.optimizer.iterations.numpy())
    assert result.skipped_steps == STEPS - applied
    if precision == "mixed_float16":
        scale = float(stock.optimizer.dynamic_scale.numpy())
        assert result.final_loss_scale == scale == 2.0**15 / 2.0 ** (STEPS - applied)
    assert (applied < STEPS) == case.endswith("that skips")


def test_an_epoch_of_whole_batches_is_an_epoch_of_keras(lab: Any, fit: FitEngine) -> None:
    # The running mean in Keras' logs is the mean of the losses the engine records.
    data = lab.data()
    trials = lab.trials(data, training={"epochs": 2, "steps": None, "learning_rate": 0.05})
    (result,) = lab.run(fit, trials, data)
    assert result.steps_run == 6 and result.outcome is Outcome.STABLE
    spec = ModelSpec(trials[0].model, 3, 1, "float32")
    with precision_scope("float32"):
        stock = build_model(spec, 0)
        stock.compile(keras.optimizers.SGD(0.05), "mse")
        order = batch_order(0, 8, 24, 6).reshape(2, -1)
        losses = [
            stock.fit(
                data.x_train[rows].astype("float32"),
                data.y_train[rows].astype("float32"),
                batch_size=8,
                shuffle=False,
                verbose=0,
            ).history["loss"][0]
            for rows in order
        ]
    ours = result.trace.loss.reshape(2, 3).mean(axis=1)
    np.testing.assert_allclose(ours, losses, rtol=1e-6)
    assert result.best_loss == result.trace.loss.min()
