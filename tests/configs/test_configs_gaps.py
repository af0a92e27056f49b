"""Cases of values that are missing, and of categories that training never saw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trained_configs import RunConfig


@pytest.fixture(scope="module")
def penguins(run_config: RunConfig) -> pd.DataFrame:
    rates = [0.01, 0.1]
    return run_config("missing_values", precision=["float32"], learning_rate=rates).trials


@pytest.fixture(scope="module")
def cars(run_config: RunConfig) -> pd.DataFrame:
    return run_config("unseen_categories", learning_rate=[1e-4, 1e-3]).trials


def test_missing_values_fail_at_the_input_unless_they_are_imputed(penguins: pd.DataFrame) -> None:
    broken = penguins[penguins["imputation"] == "none"]
    assert set(broken["outcome"]) == {"nonfinite"}
    assert set(broken["onset_stage"]) == {"input"}
    assert set(broken["onset_step"]) == {0}
    assert set(broken["cause"]) == {"input_not_finite"}
    assert len(broken) == 2


@pytest.mark.parametrize("way", ["mean", "median", "most_frequent", "knn", "constant"])
def test_every_imputation_trains(penguins: pd.DataFrame, way: str) -> None:
    filled = penguins[penguins["imputation"] == way]
    assert set(filled["outcome"]) == {"stable"}
    assert filled["val_accuracy"].max() > 0.95


def test_a_make_that_training_never_saw_is_nan_where_it_counts_as_missing(
    cars: pd.DataFrame,
) -> None:
    left = (cars["unknown_categories"] == "missing") & (cars["imputation"] == "none")
    broken = cars[left]
    assert set(broken["outcome"]) == {"nonfinite"}
    assert set(broken["onset_stage"]) == {"prediction"}
    assert set(broken["onset_kind"]) == {"nan"}
    # Training was as healthy as ever.
    assert np.isfinite(broken["final_loss"]).all()
    assert (broken["final_loss"] < 0.99 * broken["initial_loss"]).all()
    assert set(broken["encoding"]) == {"one_hot", "ordinal"}


def test_a_make_that_training_never_saw_is_harmless_where_it_is_encoded_or_imputed(
    cars: pd.DataFrame,
) -> None:
    held = cars[(cars["unknown_categories"] == "encode") | (cars["imputation"] != "none")]
    assert len(held) == 2 * 2 * 2 * 3 - 4
    assert set(held["outcome"]) == {"stable"}
    assert np.isfinite(held["val_loss"]).all()
