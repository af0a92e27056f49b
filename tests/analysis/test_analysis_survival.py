"""Shares that survived, their exact intervals, and the table that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stabilitysweep import ResultError
from stabilitysweep.analysis.survival import (
    Survival,
    clopper_pearson,
    distinct_cells,
    of_trials,
    rows_where,
    survival_table,
    survivals,
)

AXES: dict[str, tuple[Any, ...]] = {
    "dataset": ("left", "right"),
    "clipnorm": (None, 1.0),
    "learning_rate": (0.01, 0.1),
}
PAIRS = [(survived, runs) for runs in range(1, 26) for survived in range(runs + 1)]


def row(dataset: str, rate: float, seed: int, outcome: str, **more: Any) -> dict[str, Any]:
    usual = {"clipnorm": 1.0, "onset_step": None, "val_loss": 0.5, "cause": None}
    settings = {"dataset": dataset, "learning_rate": rate, "seed": seed, "outcome": outcome}
    return {"trial_id": f"{dataset}-{rate}-{seed}", **usual, "cause_text": None, **settings, **more}


@pytest.fixture
def trials() -> pd.DataFrame:
    """Two data sets, one clipnorm, two rates, seeds 3 to 8; the rate of 0.1 fails on `right`."""
    rows = [row(name, 0.01, seed, "stable") for name in ("left", "right") for seed in range(3, 9)]
    rows += [row("left", 0.1, seed, "stable", val_loss=seed / 10) for seed in range(3, 7)]
    rows += [row("left", 0.1, 7, "stalled", val_loss=0.9), row("left", 0.1, 8, "crashed")]
    rows += [row("right", 0.1, seed, "stable") for seed in (3, 5)]
    why = {"cause": "learning_rate_too_high", "cause_text": "Too high."}
    rows += [row("right", 0.1, 4, "diverged", **why)]
    rows += [row("right", 0.1, 6, "nonfinite", onset_step=900, **why)]
    rows += [row("right", 0.1, 7, "nonfinite", onset_step=40)]
    rows += [row("right", 0.1, 8, "nonfinite", onset_step=70, **why)]
    table = pd.DataFrame(rows)
    table["onset_step"] = table["onset_step"].astype("Int64")
    return table


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_the_interval_is_that_of_a_binomial_test(level: float) -> None:
    for survived, runs in PAIRS:
        known = stats.binomtest(survived, runs).proportion_ci(level, method="exact")
        assert clopper_pearson(survived, runs, level) == pytest.approx(tuple(known), abs=1e-12)


@pytest.mark.parametrize("runs", [1, 5, 20])
def test_the_interval_covers_every_share_as_often_as_it_says(runs: int) -> None:
    intervals = [clopper_pearson(survived, runs) for survived in range(runs + 1)]
    for share in np.linspace(0, 1, 101):
        chance = stats.binom.pmf(np.arange(runs + 1), runs, share)
        holds = [low <= share <= high for low, high in intervals]
        assert chance[holds].sum() >= 0.95


def test_of_twenty_survivors_and_of_none() -> None:
    assert clopper_pearson(20, 20) == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("arguments", [(-1, 3), (4, 3), (1, 3, 0.0), (1, 3, 1.0)])
def test_an_impossible_share_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        clopper_pearson(*arguments)


def by_cell(found: list[Survival]) -> dict[tuple[str, float], Survival]:
    return {(each.settings["dataset"], each.settings["learning_rate"]): each for each in found}


def test_stalled_runs_survive_and_crashed_ones_do_not_count(trials: pd.DataFrame) -> None:
    found = by_cell(survivals(trials, AXES))
    assert list(found) == [("left", 0.01), ("left", 0.1), ("right", 0.01), ("right", 0.1)]
    left = found["left", 0.1]
    assert (left.runs, left.survived, left.stalled, left.crashed) == (5, 5, 1, 1)
    assert left.share == 1.0
    assert left.failures == ()
    assert (left.low, left.high) == clopper_pearson(5, 5)
    assert left.val_loss == 0.5  # the median of 0.3, 0.4, 0.5, 0.6 and 0.9


def test_failures_come_by_onset_with_their_causes(trials: pd.DataFrame) -> None:
    right = by_cell(survivals(trials, AXES))["right", 0.1]
    assert (right.runs, right.survived) == (6, 2)
    assert [run.seed for run in right.failures] == [7, 8, 6, 4]
    assert [run.outcome for run in right.failures] == ["nonfinite"] * 3 + ["diverged"]
    assert right.onsets == (40, 70, 900)
    assert right.causes == {"learning_rate_too_high": 3, "unknown": 1}
    assert right.failures[1].cause_text == "Too high."
    assert right.failures[0].cause_text is None


def test_the_order_of_the_rows_does_not_matter(trials: pd.DataFrame) -> None:
    shuffled = trials.sample(frac=1, random_state=1)
    assert survivals(shuffled, AXES) == survivals(trials, AXES)


def test_seeds_that_a_cell_was_chosen_by_do_not_count(trials: pd.DataFrame) -> None:
    right = by_cell(survivals(trials, AXES, known=[3, 4, 5]))["right", 0.1]
    assert (right.runs, right.survived) == (3, 0)
    assert survivals(trials, AXES, known=range(3, 9)) == []


def test_the_trials_of_a_cell_say_which_long_runs_are_its(trials: pd.DataFrame) -> None:
    found = survivals(trials, AXES)
    both = of_trials(found, trials, {"left-0.1-3", "right-0.1-3"}, AXES)
    assert [each.settings["dataset"] for each in both] == ["left", "right"]
    assert [each.runs for each in both] == [5, 6]  # with all their seeds
    assert of_trials(found, trials, {"left-0.2-3"}, AXES) == []


def test_values_that_are_not_on_the_axes_come_after_them(trials: pd.DataFrame) -> None:
    cut = pd.concat([trials, pd.DataFrame([row("centre", 0.05, 3, "stable")])], ignore_index=True)
    last = survivals(cut, AXES)[-1]
    assert (last.settings["dataset"], last.settings["learning_rate"]) == ("centre", 0.05)
    assert of_trials(survivals(cut, AXES), cut, {"centre-0.05-3"}, AXES) == [last]


def test_the_loss_is_that_of_the_runs_that_survived() -> None:
    rows = [row("left", 0.1, 3, "stable", val_loss=0.25)]
    rows += [row("left", 0.1, seed, "diverged", val_loss=7.0) for seed in (4, 5)]
    (found,) = survivals(pd.DataFrame(rows), AXES)
    assert found.val_loss == 0.25


def test_an_axis_called_as_a_column_keeps_one_of_its_own(trials: pd.DataFrame) -> None:
    called = trials.rename(columns={"clipnorm": "share"})
    axes = {"share" if name == "clipnorm" else name: values for name, values in AXES.items()}

    def table(trials: pd.DataFrame, axes: Any) -> pd.DataFrame:
        budget = {"steps": 5, "epochs": None}
        return survival_table([(budget, each) for each in survivals(trials, axes)])

    found = table(called, axes).rename(columns={"hp_share": "clipnorm"})
    pd.testing.assert_frame_equal(found, table(trials, AXES))


def test_cells_are_found_by_some_of_their_values(trials: pd.DataFrame) -> None:
    rows = rows_where(trials, AXES, {"learning_rate": "0.1", "dataset": "right"})
    assert len(rows) == 6
    both = rows_where(trials, AXES, {"learning_rate": 0.1})
    assert distinct_cells(both, AXES, ["clipnorm", "learning_rate"]) == [
        {"clipnorm": 1.0, "learning_rate": 0.1}
    ]
    assert len(distinct_cells(trials, AXES, list(AXES))) == 4
    assert distinct_cells(rows_where(trials, AXES, {"clipnorm": "none"}), AXES, list(AXES)) == []
    with pytest.raises(ResultError, match=r"where: expected an axis of the sweep .*'rate'"):
        rows_where(trials, AXES, {"rate": 0.1})


def test_the_table_has_a_row_a_cell_and_counts_without_nan(trials: pd.DataFrame) -> None:
    budget = {"steps": 5000, "epochs": None}
    table = survival_table([(budget, each) for each in survivals(trials, AXES)])
    assert list(table["survived"]) == [6, 5, 6, 2]
    last = table.iloc[-1]
    assert (last["steps"], last["first_onset"], last["median_onset"]) == (5000, 40, 70)
    assert last["causes"] == "learning_rate_too_high: 3, unknown: 1"
    assert table["first_onset"].dtype == table["epochs"].dtype == "Int64"
    assert table["first_onset"].isna().tolist() == [True, True, True, False]
    empty = survival_table([])
    assert set(empty.columns) == set(table.columns) - set(AXES)
    assert empty.dtypes.to_dict() == table.dtypes[empty.columns].to_dict()
