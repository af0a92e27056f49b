"""The summary: counts, the earliest onset, the safe learning rates, strict JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from stabilitysweep.analysis import summary
from stabilitysweep.errors import ResultError
from stabilitysweep.types import Cause, Outcome

TableMaker = Callable[..., pd.DataFrame]
GRID: dict[str, list[object]] = {
    "learning_rate": [0.001, 0.01, 0.1, 1.0],
    "depth": [1, 2],
    "precision": ["float32", "float16"],
}


@pytest.fixture
def stable(make_table: TableMaker) -> pd.DataFrame:
    """A complete table in which nothing happened."""
    trials = make_table(GRID)
    trials["outcome"] = "stable"
    trials[["onset_step", "onset_stage", "onset_tensor", "onset_kind"]] = pd.NA
    return trials


def fail(trials: pd.DataFrame, rate: float, precision: str) -> pd.DataFrame:
    """One seed of one cell diverges."""
    trials = trials.copy()
    at = (trials["learning_rate"] == rate) & (trials["precision"] == precision)
    trials.loc[trials.index[at][0], "outcome"] = "diverged"
    return trials


def limits(trials: pd.DataFrame) -> tuple[object, ...]:
    found = summary(trials, GRID)
    assert found.stable_rate is not None
    by_precision = found.stable_rate_by["precision"]
    return (
        found.stable_rate.value, str(found.stable_rate.status),
        by_precision["float32"].value, by_precision["float16"].value,
    )  # fmt: skip


def test_all_five_outcomes_are_counted(stable: pd.DataFrame) -> None:
    found = summary(stable, GRID)
    assert found.outcomes == dict.fromkeys(Outcome, 0) | {Outcome.STABLE: len(stable)}
    assert found.cells == found.cells_measured == 16
    assert found.share_stable == 1.0
    assert (found.wanted, found.missing) == (48, 0)
    assert found.earliest_onset is None


def test_safe_learning_rates(stable: pd.DataFrame) -> None:
    assert limits(stable) == (1.0, "no_failure", 1.0, 1.0)
    assert limits(fail(stable, 0.1, "float16")) == (0.01, "found", 1.0, 0.01)
    both = fail(fail(stable, 0.1, "float16"), 1.0, "float32")
    assert limits(both) == (0.01, "found", 0.1, 0.01)
    assert limits(fail(stable, 0.001, "float32")) == (None, "all_fail", None, 1.0)


def test_cells_that_mean_the_same_as_others_are_not_missing(stable: pd.DataFrame) -> None:
    merged = stable[(stable["depth"] == 1) | (stable["precision"] == "float32")]
    found = summary(merged, GRID, wanted=len(merged))
    assert found.stable_rate is not None
    assert (found.stable_rate.value, str(found.stable_rate.status)) == (1.0, "no_failure")
    one_short = summary(merged, GRID, wanted=len(merged) + 1)
    assert one_short.stable_rate is not None
    assert str(one_short.stable_rate.status) == "unmeasured"


def test_learning_rates_by_every_axis_that_is_not_of_numbers(stable: pd.DataFrame) -> None:
    found = summary(fail(stable, 0.1, "float16"), GRID)
    assert set(found.stable_rate_by) == {"precision"}
    renamed = fail(stable, 0.1, "float16").rename(columns={"precision": "scaling"})
    axes = {("scaling" if name == "precision" else name): GRID[name] for name in GRID}
    again = summary(renamed, axes)
    assert again.stable_rate_by == {"scaling": found.stable_rate_by["precision"]}
    rates = again.to_json()["largest_stable_learning_rate"]
    assert rates["by"] == {"scaling": {"float32": 1.0, "float16": 0.01}}
    assert rates["by_precision"] == {}


def test_a_cell_not_yet_trained_ends_the_claim(stable: pd.DataFrame) -> None:
    hole = (stable["learning_rate"] == 0.1) & (stable["depth"] == 2)
    hole &= stable["precision"] == "float16"
    assert limits(stable[~hole]) == (0.01, "gap", 1.0, 0.01)
    # ... but one that was tried and could only crash does not.
    crashed = stable.assign(outcome=stable["outcome"].mask(hole, "crashed"))
    assert limits(crashed) == (1.0, "no_failure", 1.0, 1.0)


def test_a_failure_between_two_grid_values_ends_the_claim_below_it(stable: pd.DataFrame) -> None:
    extra = stable.iloc[:1].assign(learning_rate=0.05, outcome="diverged", trial_id="refined")
    assert limits(pd.concat([stable, extra])) == (0.01, "found", 0.01, 1.0)


def test_the_order_of_rows_is_irrelevant(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    shuffled = trials.sample(frac=1, random_state=3).reset_index(drop=True)
    assert summary(trials, GRID).to_json() == summary(shuffled, GRID).to_json()


def test_the_earliest_onset_and_its_ties(rows_of: TableMaker) -> None:
    rows = [(0.1, "nonfinite", 9), (0.2, "nonfinite", 4), (0.3, "nonfinite", 4)]
    trials = rows_of(["learning_rate"], rows)
    onset = summary(trials, {"learning_rate": [0.1, 0.2, 0.3]}).earliest_onset
    assert onset is not None
    assert (onset.step, onset.trial_id, onset.settings) == (
        4, "t000001", {"learning_rate": 0.2, "seed": 0},
    )  # fmt: skip
    trials.loc[2, "onset_stage"] = "activation"  # an earlier probe of the same step
    onset = summary(trials, {"learning_rate": [0.1, 0.2, 0.3]}).earliest_onset
    assert onset is not None and onset.trial_id == "t000002"


def test_without_a_learning_rate_nothing_is_claimed(rows_of: TableMaker) -> None:
    found = summary(rows_of(["depth"], [(1, "stable", None)]), {"depth": [1, 2]}, wanted=6)
    assert found.stable_rate is None and found.stable_rate_by == {}
    assert (found.cells, found.cells_measured, found.missing) == (2, 1, 5)


def test_json_is_strict(rows_of: TableMaker) -> None:
    rows = [(float("inf"), "nonfinite", 1), (None, "crashed", None)]
    trials = rows_of(["clipnorm"], rows)
    trials.loc[0, "onset_tensor"] = None
    found = summary(trials, {"clipnorm": [None, float("inf")]}).to_json()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert found["earliest_onset"]["settings"] == {"clipnorm": "inf", "seed": 0}
    assert found["share_stable"] == 0.0
    empty = summary(trials.iloc[:0], {"clipnorm": [None]}).to_json()
    assert empty["share_stable"] is None
    json.dumps(empty, allow_nan=False)


def test_failures_are_counted_by_cause_and_laid_to_axes(stable: pd.DataFrame) -> None:
    assert summary(stable, GRID).causes == {} and summary(stable, GRID).explained == ()
    trials = fail(fail(fail(stable, 0.1, "float16"), 1.0, "float16"), 1.0, "float32")
    failed = trials["outcome"] == "diverged"
    assert summary(trials, GRID).causes == {}
    cause = pd.Series(Cause.LEARNING_RATE_TOO_HIGH, trials.index, dtype=object)
    cause[(trials["precision"] == "float16") & (trials["learning_rate"] == 1.0)] = Cause.UNKNOWN
    trials["cause"] = cause.where(failed | (trials.index == 0), None)  # row 0 did not fail
    found = summary(trials, GRID)
    assert found.failures == 3
    assert list(found.causes.items()) == [("learning_rate_too_high", 2), ("unknown", 1)]
    assert list(map(str, found.explained)) == [
        "all 3 failures vanish at learning rate 0.01 and below",
        "all 3 failures vanish at depth 2",
        "33 % of failures are in float16 alone: none of their twins at another precision fails",
    ]
    written = found.to_json()
    json.dumps(written, allow_nan=False)
    assert written["causes"] == {"learning_rate_too_high": 2, "unknown": 1}
    assert written["explained"][0] == {
        "axis": "learning_rate",
        "value": 0.01,
        "kind": "at_or_below",
        "share": 1.0,
        "failures": 3,
        "sentence": "all 3 failures vanish at learning rate 0.01 and below",
    }


def test_a_table_without_its_columns_is_refused(stable: pd.DataFrame) -> None:
    with pytest.raises(ResultError, match=r"column\(s\) trial_id"):
        summary(stable.drop(columns="trial_id"), GRID)
