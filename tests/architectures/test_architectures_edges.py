"""Models that are nearly the same are told apart, and unusual ones trained as `fit` trains them."""

from __future__ import annotations

import numpy as np
import pytest
from user_sweeps import lay_out, stacks_of, train

from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.verified import VerifiedEngine
from stabilitysweep.models.programs import verdict_key
from stabilitysweep.runner import Sweep
from stabilitysweep.types import TrialResult


def laid_out(build: str, data: str = "columns", **axes: tuple[object, ...]) -> Sweep:
    """A short sweep of a build of `edges`."""
    return lay_out(build, data, module="edges", steps=12, **axes)


def assert_alike(ours: dict[str, TrialResult], own: dict[str, TrialResult]) -> None:
    """The same outcomes, losses and metrics."""
    assert ours.keys() == own.keys()
    for key, result in own.items():
        assert ours[key].outcome == result.outcome
        for name in ("initial_loss", "final_loss", "val_loss", "max_weight_norm"):
            np.testing.assert_allclose(
                getattr(ours[key], name), getattr(result, name), rtol=1e-5, err_msg=name
            )
        assert ours[key].metrics.keys() == result.metrics.keys()
        for name, value in result.metrics.items():
            assert ours[key].metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("build", "axes"),
    [
        ("bound", {"most": (0.2, 50.0), "by_build": (True, False)}),
        ("measured", {"metric": ("mae", "mse")}),
        pytest.param("excluded", {"exclude": (False, True)}, marks=pytest.mark.slow),
        ("half_compiled", {"by_build": (False, True), "clipnorm": (0.01,)}),
        ("added", {"learning_rate": (0.01, 0.1)}),
        ("quantiles", {"learning_rate": (0.01, 0.1)}),
        pytest.param("factored", {"learning_rate": (0.01, 0.1)}, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_trial_is_what_fit_makes_of_it(
    build: str, axes: dict[str, tuple[object, ...]], stacked: VerifiedEngine, fit: FitEngine
) -> None:
    sweep = laid_out(build, **axes)
    assert not sweep.failed
    assert_alike(train(stacked, sweep), train(fit, sweep))


@pytest.mark.slow
def test_a_metric_that_begins_late_is_measured(stacked: VerifiedEngine, fit: FitEngine) -> None:
    sweep = laid_out("late_metric", "signs", learning_rate=(0.1,))
    assert not sweep.failed
    ours, own = train(stacked, sweep), train(fit, sweep)
    assert_alike(ours, own)
    (result,) = own.values()
    assert 0 < result.metrics["auc"] <= 1


def test_bounds_and_metrics_part_programs() -> None:
    for build, axes in (
        ("bound", {"most": (0.2, 50.0), "by_build": (True,)}),
        ("measured", {"metric": ("mae", "mse")}),
    ):
        stacks = stacks_of(laid_out(build, **axes))
        assert len({stack.program.user for _, stack in stacks}) == 2


def test_the_engines_are_compared_once_for_each_way_to_update() -> None:
    stacks = stacks_of(laid_out("excluded", exclude=(False, True)))
    assert len({verdict_key(stack.program) for _, stack in stacks}) == 2
    assert all(stack.verify for _, stack in stacks)


def test_a_model_that_sets_floatx_is_refused_and_the_others_go_on() -> None:
    sweep = laid_out("floating", half=(False, True))
    (reason,) = sweep.failed.values()
    assert "floatx" in reason
    assert "edges:floating" in reason
    assert len(stacks_of(sweep)) == 1
