"""The stacked engine gives the verdicts of `model.fit`, trial by trial.

From learning rates that are safe to absurd ones: the same outcome, the same onset to the
step, stage, tensor and kind, the same skipped steps; and where training is stable, the same
losses up to rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import PreparedData, load, prepare
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

ROUNDING = {
    "float32": 2e-5,
    "float64": 1e-11,
    "mixed_float16": 5e-3,
    "float16": 2e-2,
    "mixed_bfloat16": 5e-2,
}
SAFE, EDGE, ABSURD = 0.02, 1.0, 1e6

CASES: dict[str, dict[str, Any]] = {
    **{precision: {"precision": precision} for precision in ("float64", "mixed_bfloat16")},
    **{
        precision: {"precision": precision, "rates": (SAFE, EDGE, ABSURD)}
        for precision in ("float32", "mixed_float16", "float16")
    },
    "momentum, l1 and l2, mae": {
        "momentum": 0.9,
        "l1": 0.01,
        "l2": 0.1,
        "loss": "mae",
        "rates": (SAFE, 1e4),
    },
    "nesterov, huber, cosine, warm-up": {
        "momentum": 0.9,
        "nesterov": True,
        "loss": "huber",
        "schedule": "cosine",
        "warmup_steps": 3,
    },
    "adam": {"optimizer": "adam", "rates": (SAFE, 1e25)},
    "adam, exponential, mixed_float16": {
        "optimizer": "adam",
        "schedule": "exponential",
        "decay_rate": 0.01,
        "precision": "mixed_float16",
        "initializer": "ones",  # large gradients: the first steps are skipped
        "rates": (SAFE, 1e3),
    },
    "adam, float16": {"optimizer": "adam", "precision": "float16"},
    "adamw, tanh": {"optimizer": "adamw", "weight_decay": 0.1, "activation": "tanh"},
    "rmsprop, momentum": {"optimizer": "rmsprop", "momentum": 0.5},
    "clipnorm, weight decay": {"clipnorm": 0.1, "weight_decay": 0.05, "rates": (EDGE, 1e20)},
    "batch norm": {"batch_norm": True, "rates": (SAFE, 1e20)},
    "dropout, mixed_float16": {"dropout": 0.3, "precision": "mixed_float16"},
    "binary_crossentropy": {"loss": "binary_crossentropy", "data": "breast_cancer"},
    "sparse_categorical_crossentropy": {
        "loss": "sparse_categorical_crossentropy",
        "data": "iris",
        "rates": (SAFE, 1e30),
    },
    "xla, depth 0": {"compiled": Compiled.XLA, "depth": 0, "rates": (SAFE, 1e9)},
}
QUICK = {
    "float32",
    "float64",
    "float16",
    "mixed_float16",
    "momentum, l1 and l2, mae",
    "adam",
    "clipnorm, weight decay",
    "batch norm",
    "sparse_categorical_crossentropy",
    "xla, depth 0",
}
"""Each way to update, to round and to judge; the others combine them anew."""

MODEL = {"batch_norm", "dropout", "l1", "l2", "depth", "activation", "initializer"}


def prepared(lab: Any, name: str | None, loss: str) -> PreparedData:
    if name is None:
        return lab.data()
    settings = DatasetSettings(name=name)
    return prepare(load(settings, Path()), settings, PreprocessingSettings(), loss)


def run_both(
    lab: Any, stacked: StackedEngine, fit: FitEngine, case: dict[str, Any]
) -> list[tuple[TrialResult, TrialResult]]:
    options = dict(case)
    data = prepared(lab, options.pop("data", None), options.get("loss", "mse"))
    rates = options.pop("rates", (SAFE, ABSURD))
    compiled = options.pop("compiled", Compiled.GRAPH)
    model = {name: options.pop(name) for name in MODEL & options.keys()}
    if data.outputs > 1 or "binary" in options.get("loss", ""):
        options["metrics"] = ["accuracy"]
    else:
        options["metrics"] = ["mae", "r2"]
    trials = lab.trials(data, model=model, training=options, learning_rate=rates)
    ours = lab.run(stacked, trials, data, compiled, places=4)
    own = lab.run(fit, trials, data, compiled)
    return list(zip(ours, own, strict=True))


@pytest.mark.parametrize(
    "case",
    [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
)
def test_verdicts_are_those_of_model_fit(
    lab: Any, stacked: StackedEngine, fit: FitEngine, case: str
) -> None:
    options = CASES[case]
    rounding = ROUNDING[options.get("precision", "float32")]
    pairs = run_both(lab, stacked, fit, options)
    for ours, own in pairs:
        assert (ours.engine, own.engine) == ("stacked", "fit")
        for name in (
            "trial_id",
            "outcome",
            "onset",
            "nan_step",
            "skipped_steps",
            "final_loss_scale",
            "steps_run",
            "compiled",
        ):
            assert getattr(ours, name) == getattr(own, name), (name, ours, own)
        np.testing.assert_array_equal(ours.trace.steps, own.trace.steps)
        np.testing.assert_array_equal(ours.trace.loss_scale, own.trace.loss_scale)
        np.testing.assert_allclose(ours.initial_loss, own.initial_loss, rtol=1e-6)
        assert ours.metrics.keys() == own.metrics.keys() and len(ours.metrics) > 0
        if own.outcome in (Outcome.STABLE, Outcome.STALLED):
            for name in (
                "final_loss",
                "best_loss",
                "val_loss",
                "max_abs_activation",
                "max_grad_norm",
                "max_weight_norm",
                "headroom_bits",
            ):
                np.testing.assert_allclose(
                    getattr(ours, name), getattr(own, name), rtol=rounding, err_msg=name
                )
            np.testing.assert_allclose(ours.zero_gradients, own.zero_gradients, atol=5e-3)
            for name in ours.metrics:
                np.testing.assert_allclose(
                    ours.metrics[name], own.metrics[name], rtol=20 * rounding, atol=rounding
                )
            for name in ("loss", "grad_norm", "weight_norm", "max_activation"):
                np.testing.assert_allclose(
                    getattr(ours.trace, name), getattr(own.trace, name), rtol=20 * rounding
                )
    if "initializer" in options:
        assert 0 < pairs[0][1].skipped_steps < 4
    outcomes = {own.outcome for _, own in pairs}
    assert Outcome.NONFINITE in outcomes, "no learning rate of this case is too high"
    assert outcomes != {Outcome.NONFINITE}, "no learning rate of this case is low enough"


def test_the_logarithm_of_a_negative_output_is_seen_in_the_loss(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    options = {"loss": "poisson", "data": "iris", "rates": (SAFE,)}
    ((ours, own),) = run_both(lab, stacked, fit, options)
    assert ours.onset == own.onset == Onset(1, Stage.LOSS, "loss", Kind.NAN)
    assert np.isfinite(ours.max_abs_activation)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"weight_decay": 0.1}, id="sgd"),
        pytest.param({"l2": 0.1}, id="l2", marks=pytest.mark.slow),
        pytest.param({"optimizer": "rmsprop"}, id="rmsprop", marks=pytest.mark.slow),
    ],
)
def test_float64_strengths_are_rounded_where_keras_rounds_them(
    lab: Any, stacked: StackedEngine, fit: FitEngine, options: dict[str, Any]
) -> None:
    # `keras.ops.cast` takes a Python number to float64 by way of float32.
    case = {"precision": "float64", "momentum": 0.9, "rates": (SAFE,), **options}
    ((ours, own),) = run_both(lab, stacked, fit, case)
    np.testing.assert_allclose(ours.final_loss, own.final_loss, rtol=ROUNDING["float64"])


@pytest.mark.xfail(
    reason="the zeros that pad the packed weights become 0 * Inf = NaN where the rate overflows"
)
def test_the_norm_of_infinite_weights_is_infinite(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    data = lab.data(features=1)
    options = {"model": {"depth": 0}, "training": {"precision": "float16"}}
    trials = lab.trials(data, learning_rate=[1e5], **options)
    (ours,), (own,) = lab.run(stacked, trials, data), lab.run(fit, trials, data)
    assert own.trace.weight_norm.tolist() == [np.inf]
    np.testing.assert_array_equal(ours.trace.weight_norm, own.trace.weight_norm)
