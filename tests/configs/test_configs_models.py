"""The examples of users' models: they learn, fail where they are to, and `fit` says the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from trained_configs import RunConfig

EXAMPLES: dict[str, dict[str, Any]] = {
    "cnn": {
        "precision": ["float32"],
        "optimizer": ["sgd"],
        "batch_norm": [True],
        "learning_rate": [0.03, 1e4],
    },
    "lstm": {
        "precision": ["float32"],
        "cell": ["gru"],
        "global_clipnorm": [0],
        "learning_rate": [0.05, 30.0],
    },
    "transformer": {
        "precision": ["float32"],
        "norm": ["pre"],
        "warmup_steps": [20],
        "learning_rate": [3e-3, 10.0],
    },
    "tabular": {
        "precision": ["float32"],
        "optimizer": ["adam"],
        "num_layers": [2],
        "learning_rate": [0.01, 100.0],
    },
    "getting_started": {
        "precision": ["float32"],
        "activation": ["tanh"],
        "num_layers": [2],
        "lr": [1e-3, 10.0],
    },
}
RATE = {"getting_started": "lr"}
CLOSE = 2e-3
"""Relative difference of final losses after a hundred steps at a rate that learns."""


QUICK = {"getting_started"}
"""Most others are compiled for long: recurrent layers written out step by step, and attention."""


@pytest.fixture(
    scope="module",
    params=[
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in EXAMPLES
    ],
)
def example(request: pytest.FixtureRequest) -> str:
    """The name of an example."""
    return str(request.param)


@pytest.fixture(scope="module")
def trials(example: str, run_config: RunConfig) -> pd.DataFrame:
    """Its trials, trained in stacks."""
    return run_config(example, **EXAMPLES[example]).trials


@pytest.fixture(scope="module")
def fitted(example: str, run_by_fit: RunConfig) -> pd.DataFrame:
    """The same trials, trained by `model.fit`."""
    return run_by_fit(example, **EXAMPLES[example]).trials


def test_a_small_rate_learns_and_a_huge_one_fails(example: str, trials: pd.DataFrame) -> None:
    rate = trials[RATE.get(example, "learning_rate")]
    low, high = trials[rate == rate.min()], trials[rate == rate.max()]
    assert set(low["outcome"]) == {"stable"}
    assert (low["final_loss"] < 0.8 * low["initial_loss"]).all()
    assert set(high["outcome"]) <= {"diverged", "nonfinite"}


def test_they_are_trained_in_stacks(trials: pd.DataFrame) -> None:
    assert set(trials["engine"]) == {"stacked"}


def test_fit_has_the_same_verdicts(trials: pd.DataFrame, fitted: pd.DataFrame) -> None:
    assert list(trials["trial_id"]) == list(fitted["trial_id"])
    assert list(trials["outcome"]) == list(fitted["outcome"])
    broken = trials["outcome"] == "nonfinite"
    steps = (trials["onset_step"] - fitted["onset_step"])[broken]
    assert (steps.abs() <= 1).all()


def test_fit_starts_and_ends_with_the_same_losses(
    trials: pd.DataFrame, fitted: pd.DataFrame
) -> None:
    np.testing.assert_allclose(trials["initial_loss"], fitted["initial_loss"], rtol=1e-6)
    fine = trials["outcome"] == "stable"
    for column in ("final_loss", "val_loss"):
        np.testing.assert_allclose(trials[column][fine], fitted[column][fine], rtol=CLOSE)
    metrics = [name for name in trials if name.startswith("val_") and name != "val_loss"]
    for column in metrics:
        np.testing.assert_allclose(trials[column][fine], fitted[column][fine], atol=0.02)
