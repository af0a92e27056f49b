"""Cases of scales, of noise, and of several data sets side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from trained_configs import CONFIGS, RunConfig

from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import load

RATES = [float(rate) for rate in np.geomspace(1e-8, 10, 19)]


@pytest.fixture(scope="module")
def boundaries(run_config: RunConfig) -> dict[tuple[int, str], float]:
    """The largest stable learning rate, by depth and scaling."""
    result = run_config("unscaled_features", learning_rate=RATES)
    chart = result.stability_map(x="learning_rate", y="scaling", rows="depth")
    found = {}
    for boundary in chart.boundaries():
        assert boundary.status is BoundaryStatus.FOUND
        assert boundary.value is not None
        found[boundary.row, boundary.y] = boundary.value
    return found


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "maxabs"])
def test_scaling_moves_the_boundary_by_orders_of_magnitude(
    boundaries: dict[tuple[int, str], float], depth: int, scaling: str
) -> None:
    orders = 5 if depth == 0 else 3
    assert boundaries[depth, scaling] > 10**orders * boundaries[depth, "none"]
    assert boundaries[depth, scaling] > 0.03


def test_a_logarithm_alone_moves_it_less(boundaries: dict[tuple[int, str], float]) -> None:
    assert 10 * boundaries[0, "none"] < boundaries[0, "log1p"] < 0.1 * boundaries[0, "standard"]


@pytest.fixture(scope="module")
def gaps(run_config: RunConfig) -> pd.DataFrame:
    """Trials on noise, with the gap between the loss of the two splits."""
    trials = run_config(
        "noisy_overfit", l2=[0, 0.1, 1], dropout=[0, 0.75], learning_rate=[0.01]
    ).trials
    trials["gap"] = trials["val_loss"] - trials["final_loss"]
    return trials.set_index(["l2", "dropout"]).sort_index()


def test_noise_is_learnt_by_heart_without_regularization(gaps: pd.DataFrame) -> None:
    assert set(gaps["outcome"]) == {"stable"}
    free = gaps.loc[(0, 0)]
    assert free["final_loss"] < 0.01
    assert free["val_loss"] > 1.5  # the mean of the target would give about 1


def test_regularization_narrows_the_gap(gaps: pd.DataFrame) -> None:
    by_l2 = [gaps.loc[(l2, 0), "gap"] for l2 in (0, 0.1, 1)]
    assert all(larger > 1.3 * smaller for larger, smaller in pairwise(by_l2))
    assert by_l2[-1] < 0.2 * by_l2[0]
    assert gaps.loc[(0, 0.75), "gap"] < 0.9 * by_l2[0]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_scaling_moves_the_limit_of_linear_regression_by_the_exact_factor(
    run_config: RunConfig, precision: str
) -> None:
    dataset = {"function": "sweeps.data_cases:unscaled", "target": "y", "validation_fraction": 0}
    raw = load(DatasetSettings.model_validate(dataset), CONFIGS).features
    standardised = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    limits = {"none": exact_limit(raw), "standard": exact_limit(standardised)}
    near = np.outer(list(limits.values()), [0.1, 0.95, 0.98, 0.995, 1.005, 1.02, 1.05])
    config = {
        "name": "ratio",
        "dataset": dataset,
        "model": {"depth": 0},
        "training": {"steps": 400, "batch_size": "full", "precision": precision},
        "grid": {"scaling": list(limits), "learning_rate": np.unique(near).tolist()},
    }
    chart = run_config(config).stability_map(x="learning_rate", y="scaling")
    measured = {boundary.y: boundary.value for boundary in chart.boundaries()}
    exact = limits["none"] / limits["standard"]
    assert exact < 1e-6
    assert measured["none"] / measured["standard"] == pytest.approx(exact, rel=0.02)


def exact_limit(x: NDArray[np.float64]) -> float:
    """2 over the largest eigenvalue of the Hessian of the mean square error."""
    a = np.column_stack([x, np.ones(len(x))])
    return float(len(x) / np.linalg.eigvalsh(a.T @ a)[-1])


def test_one_grid_over_five_data_sets_gives_each_its_own_boundary(run_config: RunConfig) -> None:
    rates = [0.05, 0.1, 0.15, 0.28, 0.5, 1, 2]
    result = run_config("datasets", depth=[0], learning_rate=rates)
    chart = result.stability_map(x="learning_rate", y="dataset")
    found = {boundary.y: boundary.value for boundary in chart.boundaries()}
    assert list(found) == ["diabetes", "cars", "penguins", "friedman1", "heavy_tails"]
    correlated, independent = [found["diabetes"], found["cars"]], found["friedman1"]
    assert max(correlated) < independent
    # Small batches break a linear model below the limit of all rows, or at it.
    limits = result.trials.groupby("dataset")["critical_learning_rate"].median()
    assert all(0.3 * limits[label] < value < limits[label] for label, value in found.items())
