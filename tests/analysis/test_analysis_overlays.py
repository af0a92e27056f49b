"""What a map has beside its counts: causes, learning, budgets, brackets, picks; and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis import (
    CAUSES,
    LEARNING,
    OUTCOMES,
    CellValue,
    StabilityMap,
    caption,
    stability_map,
)
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.cells import learning
from stabilitysweep.errors import ResultError

TableMaker = Callable[..., pd.DataFrame]
GRID: dict[str, list[Any]] = {
    "learning_rate": [0.001, 0.01, 0.1, 1.0],
    "depth": [1, 2],
    "precision": ["float32", "float16"],
}
LIMITS = {(1, "float32"): 0.5, (2, "float32"): 0.05, (1, "float16"): 0.03, (2, "float16"): 9.0}


def trials_at(rates: Sequence[float], seeds: int = 2, steps: int = 50) -> pd.DataFrame:
    """Every rate for every other setting; it fails above the limit of its setting."""
    rows = [
        {"learning_rate": rate, "depth": depth, "precision": precision, "seed": seed}
        for rate in rates
        for (depth, precision) in LIMITS
        for seed in range(seeds)
    ]
    table = pd.DataFrame(rows)
    limit = np.array([LIMITS[row["depth"], row["precision"]] for row in rows])
    broke = table["learning_rate"].to_numpy() > limit
    table["outcome"] = np.where(broke, "nonfinite", "stable")
    table["onset_step"] = pd.array(np.where(broke, 7.0, np.nan)).astype("Int64")
    table["cause"] = pd.Series(np.where(broke, "learning_rate_too_high", None), dtype=object)
    table["steps_run"] = pd.array(np.where(broke, 8, steps)).astype("Int64")
    table["initial_loss"] = 4.0
    table["final_loss"] = np.where(broke, np.nan, 1.0)
    table["trial_id"] = [
        f"{row['learning_rate']:g}-{row['depth']}-{row['precision']}-{row['seed']}" for row in rows
    ]
    return table


COARSE = trials_at(GRID["learning_rate"])
FINE = trials_at([0.02, 0.025, 0.04, 0.07, 0.3, 0.45, 0.6])


def refined_map(**choice: Any) -> StabilityMap:
    table = boundaries(COARSE, GRID, refined=FINE)
    return stability_map(COARSE, GRID, boundaries=table, **choice)


def test_a_grids_bracket_is_between_neighbouring_cells() -> None:
    data = stability_map(COARSE, GRID)
    assert data.bracket_safe is not None and data.bracket_failing is not None
    assert data.columns is not None and data.columns.values == ("float32", "float16")
    np.testing.assert_array_equal(data.bracket_safe[0], [[0.1, 0.01], [0.01, 1.0]])
    np.testing.assert_array_equal(data.bracket_failing[0], [[1.0, 0.1], [0.1, np.nan]])
    assert data.refined is not None and not data.refined.any()


def test_where_every_rate_fails_or_none_is_measured_there_is_no_safe_end() -> None:
    trials = COARSE.assign(outcome="nonfinite")
    trials = trials[(trials["precision"] == "float16") | (trials["learning_rate"] > 0.001)]
    data = stability_map(trials, GRID, pool=["depth"])
    assert data.bracket_safe is not None and data.bracket_failing is not None
    assert np.isnan(data.bracket_safe).all()
    by_precision = dict(zip(GRID["precision"], data.bracket_failing.ravel(), strict=True))
    assert by_precision["float16"] == 0.001  # fails there
    assert np.isnan(by_precision["float32"])  # not measured there: nothing can be said


def test_a_refined_boundary_takes_the_place_of_the_grids() -> None:
    data = refined_map()
    assert data.refined is not None
    assert data.bracket_safe is not None and data.bracket_failing is not None
    np.testing.assert_array_equal(data.refined[0], [[True, True], [True, False]])
    np.testing.assert_array_equal(data.bracket_safe[0], [[0.45, 0.04], [0.025, 1.0]])
    np.testing.assert_array_equal(data.bracket_failing[0], [[0.6, 0.07], [0.04, np.nan]])


def test_cells_and_counts_know_nothing_of_the_refinement() -> None:
    coarse, fine = stability_map(COARSE, GRID), refined_map()
    for name in ("counts", "stability", "dominant", "boundary_index", "boundary_status"):
        np.testing.assert_array_equal(getattr(coarse, name), getattr(fine, name))
    assert (coarse.missing, coarse.off_grid) == (fine.missing, fine.off_grid)


def test_a_pooled_row_has_the_lowest_of_its_boundaries() -> None:
    data = refined_map(pool=["precision"])
    assert data.bracket_safe is not None and data.bracket_failing is not None
    assert data.y is not None and data.y.values == (1, 2)
    np.testing.assert_array_equal(data.bracket_safe.ravel(), [0.025, 0.04])
    np.testing.assert_array_equal(data.bracket_failing.ravel(), [0.04, 0.07])


@pytest.mark.parametrize(
    ("second", "bracket"),
    [
        ("stable", (3.0, 4.0)),  # measured up to 1.0 and beyond
        ("crashed", (1.0, 4.0)),  # a gap at 1.0: the other slice is pooled there
        ("nonfinite", (0.1, 1.0)),  # fails at 1.0: the grid's own bracket is the lowest
    ],
)
def test_a_pooled_row_is_never_wider_than_the_grids_own(
    second: str, bracket: tuple[float, float]
) -> None:
    def rows(depth: int, outcomes: dict[float, str]) -> list[dict[str, Any]]:
        return [
            {
                "trial_id": f"{depth}-{rate}",
                "depth": depth,
                "learning_rate": rate,
                "seed": 0,
                "outcome": outcome,
                "onset_step": None,
                "steps_run": 5,
                "cause": None,
            }
            for rate, outcome in outcomes.items()
        ]

    axes: dict[str, list[Any]] = {"depth": [1, 2], "learning_rate": [0.1, 1.0, 10.0]}
    one = {0.1: "stable", 1.0: "stable", 10.0: "nonfinite"}
    trials = pd.DataFrame(rows(1, one) + rows(2, {**one, 1.0: second}))
    fine = {3.0: "stable", 4.0: "nonfinite"}
    more = rows(1, fine) + (rows(2, fine) if second == "stable" else [])
    table = boundaries(trials, axes, refined=pd.DataFrame(more))
    data = stability_map(trials, axes, x="learning_rate", pool=["depth"], boundaries=table)
    assert data.bracket_safe is not None and data.bracket_failing is not None
    assert (data.bracket_safe.item(), data.bracket_failing.item()) == bracket
    # A slice that is not measured at its lowest rate has no safe end of its own.
    table.loc[1, "safe"] = np.nan
    data = stability_map(trials, axes, x="learning_rate", pool=["depth"], boundaries=table)
    assert data.bracket_safe is not None
    assert data.bracket_safe.item() == min(bracket[0], 1.0)


def test_held_axes_leave_other_slices_out() -> None:
    data = refined_map(where={"precision": "float16"})
    assert data.bracket_safe is not None and data.refined is not None
    np.testing.assert_array_equal(data.bracket_safe.ravel(), [0.025, 1.0])
    np.testing.assert_array_equal(data.refined.ravel(), [True, False])


def test_a_boundary_is_in_the_learning_rate_alone() -> None:
    data = refined_map(x="depth", y="precision", pool=["learning_rate"])
    assert data.refined is not None and not data.refined.any()
    assert refined_map(x="precision").bracket_safe is None


def test_the_caption_says_for_how_many_steps_and_how_closely() -> None:
    assert "Each cell: 2 trials of 50 steps, over 2 seeds." in caption(stability_map(COARSE, GRID))
    words = caption(refined_map(where={"precision": "float32"}))
    assert "Boundary refined to within 75 %." in words
    assert "Boundary refined in 3 of 4 rows, to within 75 %." in caption(refined_map())
    both = pd.concat([COARSE, trials_at([0.001], steps=60)])
    assert "trials of 50 to 60 steps, over" in caption(stability_map(both, GRID))


def test_only_trials_that_ran_to_the_end_tell_the_budget() -> None:
    assert stability_map(COARSE, GRID).steps == (50, 50)
    assert stability_map(COARSE.assign(outcome="nonfinite"), GRID).steps is None
    assert stability_map(COARSE.drop(columns="steps_run"), GRID).steps is None


def test_the_cause_is_the_most_frequent_of_a_cell(rows_of: TableMaker) -> None:
    axes = {"learning_rate": [1.0, 2.0, 3.0]}
    rows = [(rate, "nonfinite", 3) for rate in (1.0, 1.0, 1.0, 2.0, 2.0)]
    trials = rows_of(["learning_rate"], [*rows, (3.0, "stable", None)])
    first, second = CAUSES[1].value, CAUSES[2].value
    trials["cause"] = pd.Series([second, first, second, second, first, None], dtype=object)
    data = stability_map(trials, axes)
    assert data.cause is not None and data.cause_counts is not None
    assert data.cause.ravel().tolist() == [2, 1, -1]  # a tie goes to the first in the list
    assert data.cause_counts.sum() == 5
    assert stability_map(trials.drop(columns="cause"), axes).cause is None


def test_learning_is_the_final_over_the_initial_loss() -> None:
    rows = [
        ("stable", 4.0, 1.0, 0.25),
        ("diverged", 2.0, 8.0, 4.0),
        ("nonfinite", 4.0, 0.1, np.inf),  # finite at the end or not: it broke
        ("nonfinite", np.nan, np.nan, np.inf),
        ("crashed", 4.0, 1.0, np.nan),
        ("stable", 4.0, 0.0, 0.0),
        ("stable", 0.0, 1.0, np.nan),
        ("stable", -1.0, -2.0, np.nan),  # a loss of a user's own may be negative
    ]
    trials = pd.DataFrame(rows, columns=["outcome", "initial_loss", "final_loss", "expected"])
    np.testing.assert_array_equal(learning(trials), trials["expected"])


def test_a_cell_that_mostly_broke_has_learnt_nothing() -> None:
    data = stability_map(COARSE, GRID, value=CellValue(LEARNING, "median"))
    assert data.value is not None
    broke = data.dominant == OUTCOMES.index("nonfinite")
    assert broke.any() and (data.value[broke] == np.inf).all()
    assert (data.value[~broke] == 0.25).all()


def test_picks_mark_their_cells_the_best_first() -> None:
    picks = [
        {"learning_rate": 0.01, "depth": 1, "precision": "float32"},
        {"learning_rate": 0.01, "depth": 1},  # in both precisions
        {"learning_rate": 0.001, "depth": 2, "precision": "float64"},  # not on the map
    ]
    data = stability_map(COARSE, GRID, picks=picks)
    assert data.picks is not None
    assert np.argwhere(data.picks).tolist() == [[0, 0, 0, 1], [0, 1, 0, 1]]
    assert data.picks[0, :, 0, 1].tolist() == [1, 2]
    assert stability_map(COARSE, GRID).picks is None


def test_a_pick_of_another_panel_is_not_on_a_map_that_holds_an_axis() -> None:
    pick = {"learning_rate": 0.01, "depth": 1, "precision": "float32"}
    held = stability_map(COARSE, GRID, picks=[pick], where={"precision": "float16"})
    pooled = stability_map(COARSE, GRID, picks=[pick], pool=["precision"])
    assert held.picks is not None and not held.picks.any()
    assert pooled.picks is not None and pooled.picks.sum() == 1


def test_a_pick_of_an_axis_that_is_none_is_refused() -> None:
    with pytest.raises(ResultError, match=r"picks: expected an axis of the sweep .*'width'"):
        stability_map(COARSE, GRID, picks=[{"width": 8}])


def test_the_table_of_a_map_holds_all_that_its_figure_shows() -> None:
    pick = {"learning_rate": 0.01, "depth": 2, "precision": "float32"}
    value = CellValue("final_loss", "lowest")
    data = refined_map(picks=[pick], value=value)
    frame = data.to_frame()
    assert len(frame) == data.counts[..., 0].size
    for name in ("learning_rate", "depth", "precision"):
        assert set(frame[name]) == set(GRID[name])
    cell = frame[
        (frame["learning_rate"] == 0.1) & (frame["depth"] == 2) & (frame["precision"] == "float32")
    ].iloc[0]
    assert (cell["trials"], cell["nonfinite"], cell["stable"]) == (2, 2, 0)
    assert (cell["stability"], cell["dominant"], cell["cause"]) == (
        0.0, "nonfinite", "learning_rate_too_high",
    )  # fmt: skip
    assert (cell["boundary_safe"], cell["boundary_failing"]) == (0.04, 0.07)
    assert cell["boundary_refined"] and cell["boundary_status"] == "found"
    assert cell["onset_earliest"] == 7 and np.isnan(cell["lowest_final_loss"])
    assert frame.loc[frame["pick"] > 0, list(GRID)].to_dict("records") == [pick]
    assert frame["trials"].sum() == len(COARSE)
    assert (frame["fewest_steps"] == 50).all() and (frame["most_steps"] == 50).all()


def test_the_table_of_a_map_has_the_axes_held_and_no_empty_place() -> None:
    frame = stability_map(COARSE, GRID, where={"depth": 1}, pool=["precision"]).to_frame()
    assert (frame["depth"] == 1).all() and "precision" not in frame
    assert frame["learning_rate"].tolist() == GRID["learning_rate"]
    assert "pick" not in frame and "critical_learning_rate" not in frame


def test_a_map_in_a_notebook_is_valid_and_escaped() -> None:
    axes = {"learning_rate": [0.1], "dataset": ["<b>&", "x"]}
    rows = [(0.1, name) for name in axes["dataset"]]
    trials = pd.DataFrame(rows, columns=list(axes)).assign(
        seed=0, outcome="stable", onset_step=pd.array([pd.NA, pd.NA], dtype="Int64")
    )
    words = stability_map(trials, axes)._repr_html_()
    assert "&lt;b&gt;&amp;" in words and "<b>&" not in words
    HTMLParser().feed(words)
