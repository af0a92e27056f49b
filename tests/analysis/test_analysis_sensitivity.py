"""Learning-rate sensitivity: the source's definition, and what is settled beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis import joined, sensitivity
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.sensitivity import log_widths
from stabilitysweep.errors import ResultError

RATES = [0.001, 0.01, 0.1, 1.0]


def table(
    losses: Mapping[Any, Sequence[Sequence[float]]],
    initial: float = 10.0,
    rates: Sequence[float] = RATES,
) -> pd.DataFrame:
    """For each depth the final losses, a list of seeds for each rate; NaN is a broken trial."""
    rows = [
        (rate, depth, seed, final)
        for depth, cells in losses.items()
        for rate, cell in zip(rates, cells, strict=True)
        for seed, final in enumerate(cell)
    ]
    made = pd.DataFrame(rows, columns=["learning_rate", "depth", "seed", "final_loss"])
    made["initial_loss"] = initial
    final = made["final_loss"]
    made["outcome"] = np.select(
        [~np.isfinite(final), final > initial], ["nonfinite", "diverged"], "stable"
    )
    made["trial_id"] = [f"{rate}-{depth}-{seed}" for rate, depth, seed, _ in rows]
    made["steps_run"] = 5
    return made


def of(losses: Mapping[Any, Sequence[Sequence[float]]], **choice: Any) -> pd.DataFrame:
    axes = {"learning_rate": choice.pop("rates", RATES), "depth": list(losses)}
    trials = table(losses, rates=axes["learning_rate"], initial=choice.pop("initial", 10.0))
    return sensitivity(trials, axes, **choice)


def test_on_an_even_grid_it_is_the_definition_of_the_source() -> None:
    finals = [8.0, 2.0, 5.0, np.nan]
    found = of({1: [[final] for final in finals]}).iloc[0]
    capped = np.fmin(np.nan_to_num(finals, nan=np.inf), 10.0)
    assert found["sensitivity"] == pytest.approx(capped.mean() - capped.min())
    assert found["relative_sensitivity"] == pytest.approx((capped.mean() - 2.0) / 8.0)
    assert (found["best_loss_mean"], found["best_rate"]) == (2.0, 0.01)
    assert (found["initial_loss_mean"], found["rates"], found["rates_missing"]) == (10.0, 4, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, 11.0])
def test_however_a_trial_fails_it_counts_with_its_initial_loss(bad: float) -> None:
    found = of({1: [[8.0], [2.0], [5.0], [bad]]})
    pd.testing.assert_frame_equal(found, of({1: [[8.0], [2.0], [5.0], [np.inf]]}))
    assert found["sensitivity"].iloc[0] == pytest.approx((8 + 2 + 5 + 10) / 4 - 2)


def test_a_trial_that_broke_has_learnt_nothing_whatever_its_last_loss() -> None:
    trials = table({1: [[8.0], [2.0], [5.0], [1.0]]})
    trials.loc[trials["learning_rate"] == 1.0, "outcome"] = "nonfinite"
    found = sensitivity(trials, {"learning_rate": RATES, "depth": [1]}).iloc[0]
    assert (found["best_loss_mean"], found["best_rate"]) == (2.0, 0.01)


def test_seeds_are_averaged_before_the_best_is_chosen() -> None:
    found = of({1: [[8.0, 8.0], [1.0, 9.0], [4.0, 4.0], [np.nan, 6.0]]}).iloc[0]
    assert (found["best_loss_mean"], found["best_rate"]) == (4.0, 0.1)
    assert found["sensitivity"] == pytest.approx((8 + 5 + 4 + 8) / 4 - 4)


def test_a_rate_weighs_as_much_as_its_cell_is_wide() -> None:
    assert log_widths(np.array(RATES)).tolist() == pytest.approx([0.25] * 4)
    assert log_widths(np.array([1.0, 10.0, 1000.0])).tolist() == pytest.approx(
        [1 / 4.5, 1.5 / 4.5, 2 / 4.5]
    )
    assert log_widths(np.array([0.3])).tolist() == [1.0]


def test_more_rates_where_nothing_changes_change_nothing() -> None:
    coarse = of({1: [[4.0], [4.0], [8.0], [8.0]]})
    # The step from 4 to 8 stays midway between 0.01 and 0.1, and so do the ends of the range.
    rates = [0.001, 0.01, 0.1, 10**-0.75, 10**-0.25, 1.0]
    widths = log_widths(np.array(rates))
    fine = of({1: [[4.0], [4.0], [8.0], [8.0], [8.0], [8.0]]}, rates=rates)
    assert widths[:2].sum() == pytest.approx(2 / 3.625)
    assert fine["sensitivity"].iloc[0] == pytest.approx(4 * (1 - widths[:2].sum()))
    assert coarse["sensitivity"].iloc[0] == pytest.approx(2.0)
    assert abs(fine["sensitivity"].iloc[0] - 2.0) < abs(np.mean([0, 0, 4, 4, 4, 4]) - 2.0)


def test_where_nothing_was_learnt_it_is_not_zero_but_unknown() -> None:
    found = of({1: [[np.nan]] * 4, 2: [[12.0]] * 4, 3: [[10.0]] * 4, 4: [[3.0]] * 4})
    assert found["sensitivity"].isna().tolist() == [True, True, True, False]
    assert found["sensitivity"].iloc[3] == 0
    assert found["rates"].tolist() == [4] * 4


def test_an_incomplete_slice_says_how_many_rates_are_missing() -> None:
    trials = table({1: [[8.0], [2.0], [5.0], [9.0]], 2: [[8.0]] * 4})
    trials.loc[(trials["depth"] == 1) & (trials["learning_rate"] == 0.1), "outcome"] = "crashed"
    trials = trials[trials["depth"] == 1]
    found = sensitivity(trials, {"learning_rate": RATES, "depth": [1, 2]})
    assert found["rates"].tolist() == [3, 0] and found["rates_missing"].tolist() == [1, 4]
    assert found["sensitivity"].isna().tolist() == [False, True]


def test_a_trial_whose_initial_loss_is_not_finite_does_not_count() -> None:
    trials = table({1: [[8.0], [2.0], [5.0], [9.0]]})
    trials.loc[trials["learning_rate"] == 1.0, "initial_loss"] = np.inf
    found = sensitivity(trials, {"learning_rate": RATES, "depth": [1]}).iloc[0]
    assert found["rates"] == 3 and found["sensitivity"] == pytest.approx(3.0)


def test_the_range_may_be_part_of_the_axis() -> None:
    losses = {1: [[8.0], [2.0], [5.0], [np.nan]]}
    part = of(losses, between=(0.01, 0.1)).iloc[0]
    assert part["sensitivity"] == pytest.approx(1.5) and part["rates"] == 2
    with pytest.raises(ResultError, match="expected a range with learning rates"):
        of(losses, between=(2.0, 3.0))


def test_without_a_learning_rate_there_is_none() -> None:
    trials = table({1: [[8.0], [2.0], [5.0], [9.0]]})
    with pytest.raises(ResultError, match="expected learning_rate as an axis of numbers"):
        sensitivity(trials, {"depth": [1]})


losses_of_a_slice = st.lists(
    st.lists(st.one_of(st.floats(0, 30), st.just(np.nan)), min_size=2, max_size=2),
    min_size=4,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(losses_of_a_slice, st.randoms(use_true_random=False))
def test_it_lies_between_none_and_all_that_was_learnt_in_any_order(
    losses: list[list[float]], random: Any
) -> None:
    trials = table({1: losses})
    axes = {"learning_rate": RATES, "depth": [1]}
    found = sensitivity(trials, axes).iloc[0]
    shuffled = trials.sample(frac=1, random_state=random.randint(0, 99))
    pd.testing.assert_series_equal(found, sensitivity(shuffled, axes).iloc[0])
    if pd.isna(found["sensitivity"]):
        assert all(not loss < 10 for cell in losses for loss in cell)
        return
    assert 0 <= found["relative_sensitivity"] <= 1 + 1e-12
    span = found["initial_loss_mean"] - found["best_loss_mean"]
    assert found["sensitivity"] == pytest.approx(found["relative_sensitivity"] * span, abs=1e-9)


def test_boundary_and_sensitivity_stand_in_one_table() -> None:
    trials = table({2: [[8.0], [2.0], [5.0], [np.nan]], 1: [[8.0], [2.0], [np.nan], [np.nan]]})
    trials = trials.sample(frac=1, random_state=0)
    axes = {"learning_rate": RATES, "depth": [2, 1]}
    limits = boundaries(trials, axes)
    both = joined(limits, sensitivity(trials, axes), {"depth": [2, 1]})
    pd.testing.assert_frame_equal(both[list(limits.columns)], limits)
    by_depth = both.set_index("depth")
    assert by_depth["safe"].to_dict() == {2: 0.1, 1: 0.01}
    assert by_depth.loc[2, "sensitivity"] == pytest.approx(6.25 - 2)
    assert by_depth.loc[1, "sensitivity"] == pytest.approx(7.5 - 2)


def test_a_result_of_the_learning_rate_alone_has_one_slice() -> None:
    trials = table({1: [[8.0], [2.0], [5.0], [np.nan]]}).drop(columns="depth")
    axes = {"learning_rate": RATES}
    both = joined(boundaries(trials, axes), sensitivity(trials, axes), {})
    assert len(both) == 1
    assert (both["safe"].iloc[0], both["sensitivity"].iloc[0]) == (0.1, pytest.approx(4.25))
