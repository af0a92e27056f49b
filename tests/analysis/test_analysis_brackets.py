"""The boundary of every slice: between which learning rates it lies, and what is odd about it."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.brackets import BRACKET_COLUMNS, boundaries, lowest_of
from stabilitysweep.errors import ResultError

RATES = [0.1, 1.0, 10.0]
OUTCOMES = {"s": "stable", "l": "stalled", "d": "diverged", "n": "nonfinite", "c": "crashed"}


def rows_of(depth: int, marks: dict[float, str], steps: int = 100) -> list[dict[str, Any]]:
    """A trial for each letter: the seeds of a rate one after another."""
    return [
        {
            "trial_id": f"{depth}-{rate}-{seed}",
            "depth": depth,
            "learning_rate": rate,
            "seed": seed,
            "outcome": OUTCOMES[mark],
            "steps_run": None if mark == "c" else 3 if mark == "n" else steps,
        }
        for rate, own in marks.items()
        for seed, mark in enumerate(own)
    ]


def table_of(*slices: dict[float, str]) -> pd.DataFrame:
    rows = [row for depth, marks in enumerate(slices, start=1) for row in rows_of(depth, marks)]
    return pd.DataFrame(rows).astype({"steps_run": "Int64"})


def found(*slices: dict[float, str], refined: pd.DataFrame | None = None) -> pd.DataFrame:
    axes = {"depth": range(1, len(slices) + 1), "learning_rate": RATES}
    return boundaries(table_of(*slices), {k: list(v) for k, v in axes.items()}, refined=refined)


def grid(marks: str) -> dict[float, str]:
    return dict(zip(RATES, marks.split(), strict=False))


@pytest.mark.parametrize(
    ("marks", "safe", "failing", "status", "islands", "highest", "trials"),
    [
        ("ss sl nn", 1.0, 10.0, "found", 0, 1.0, 6),
        ("ss sn nn", 0.1, 1.0, "found", 0, 0.1, 6),
        ("ss ss ll", 10.0, np.nan, "no_failure", 0, 10.0, 6),
        ("dd nn nn", np.nan, 0.1, "all_fail", 0, np.nan, 6),
        ("dd ss nn", np.nan, 0.1, "all_fail", 1, 1.0, 6),
        ("ss dd ss", 0.1, 1.0, "found", 1, 10.0, 6),
        ("ss cc nn", 0.1, 10.0, "gap", 0, 0.1, 4),
        ("ss sc nn", 0.1, 10.0, "gap", 0, 0.1, 5),
        ("ss s nn", 0.1, 10.0, "gap", 0, 0.1, 5),
        ("s ss nn", np.nan, 10.0, "unmeasured", 0, 1.0, 5),
        ("ss n nn", 0.1, 1.0, "found", 0, 0.1, 5),
        ("ss dd sc", 0.1, 1.0, "found", 0, 0.1, 5),
        ("cc ss nn", np.nan, 10.0, "unmeasured", 0, 1.0, 4),
        ("ss ss", 1.0, np.nan, "gap", 0, 1.0, 4),
    ],
)
def test_what_ends_the_walk_up_the_rates(
    marks: str,
    safe: float,
    failing: float,
    status: str,
    islands: int,
    highest: float,
    trials: int,
) -> None:
    (row,) = found(grid(marks)).to_dict(orient="records")
    assert list(row) == ["depth", *BRACKET_COLUMNS]
    ends = [row["safe"], row["failing"], row["highest_stable"]]
    assert np.array_equal(ends, [safe, failing, highest], equal_nan=True)
    assert (row["status"], row["islands"], row["trials"]) == (status, islands, trials)
    assert row["status"] in set(BoundaryStatus)
    assert row["refined"] is False


def test_refined_rates_narrow_the_bracket_and_follow_the_lowest_failure() -> None:
    refined = table_of({2.0: "ss", 3.0: "sn", 4.0: "ss", 5.0: "ss", 6.0: "cc", 7.0: "dd"})
    row, other = found(grid("ss ss nn"), grid("ss ss nn"), refined=refined).to_dict("records")
    assert (row["safe"], row["failing"], row["status"]) == (2.0, 3.0, "found")
    assert (row["islands"], row["highest_stable"], row["refined"]) == (1, 5.0, True)
    assert row["trials"] == 6 + 10
    assert (other["safe"], other["failing"], other["refined"]) == (1.0, 10.0, False)


def test_a_rate_that_lacks_seeds_may_lower_the_failing_end_alone() -> None:
    def of(refined: dict[float, str]) -> dict[str, Any]:
        (row,) = found(grid("sss sss nnn"), refined=table_of(refined)).to_dict("records")
        return row

    added_later = of({2.0: "ss", 3.0: "sn", 4.0: "ss"})
    assert (added_later["safe"], added_later["failing"]) == (1.0, 3.0)
    assert (added_later["status"], added_later["partial"]) == ("found", 2)
    assert (added_later["islands"], added_later["highest_stable"]) == (0, 1.0)
    assert added_later["refined"]
    crashed = of({2.0: "ssc", 3.0: "ssc"})
    assert (crashed["safe"], crashed["failing"], crashed["status"]) == (1.0, 10.0, "found")
    assert (crashed["partial"], crashed["refined"]) == (2, False)
    made_up_for = of({2.0: "sss", 3.0: "ssc"})
    assert (made_up_for["safe"], made_up_for["partial"]) == (2.0, 1)
    # Seeds of a rate count once, however often they were run.
    twice = table_of({2.0: "sss"}).assign(seed=[0, 1, 1])
    assert found(grid("sss sss nnn"), refined=twice)["safe"].tolist() == [1.0]


def test_the_seeds_a_rate_needs_are_those_of_its_slice() -> None:
    table = found(grid("s s n"), grid("sss sss nnn"), grid("ssc ssc nnn"))
    assert np.array_equal(table["safe"], [1.0, 1.0, np.nan], equal_nan=True)
    assert table["partial"].tolist() == [0, 0, 0]


def test_the_lowest_of_boundaries_at_one_place() -> None:
    table = found(grid("ss nn nn"), grid("ss ss nn"), grid("nn nn nn"), grid("ss ss ss"))
    safe, failing = lowest_of(table, np.array([0, 0, 1, 2]), 4)
    assert safe.tolist() == [0.1, 0, 10.0, np.inf]
    assert failing.tolist() == [1.0, 0.1, np.inf, np.inf]


def test_a_refined_rate_that_crashed_is_no_rate_of_the_slice() -> None:
    refined = table_of({2.0: "cc", 3.0: "ss"})
    (row,) = found(grid("ss ss nn"), refined=refined).to_dict("records")
    assert (row["safe"], row["status"], row["partial"]) == (3.0, "found", 0)


def test_the_order_of_rows_and_repeated_trials_change_nothing() -> None:
    slices = grid("ss sn nn"), grid("ss ss nn")
    refined = table_of({0.3: "ss"}, {3.0: "dd"})
    known = found(*slices, refined=refined)
    axes: dict[str, Any] = {"depth": [1, 2], "learning_rate": RATES}
    shuffled = table_of(*slices).sample(frac=1, random_state=0)
    more = pd.concat([refined, table_of(*slices)]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(boundaries(shuffled, axes, refined=more), known)


def test_the_budget_is_that_of_trials_that_reached_their_end() -> None:
    table = found(grid("ss dd nn"), grid("nn nn nn"))
    assert table["steps"].isna().tolist() == [False, True]
    assert table["steps"][0] == 100
    both = table_of(grid("ss ss nn"))
    both["steps_run"] = both["steps_run"].where(both["learning_rate"] > 0.1, 40)
    assert boundaries(both, {"depth": [1], "learning_rate": RATES})["steps"].tolist() == [100]


def test_slices_are_in_the_order_of_the_grid_and_only_those_with_trials() -> None:
    trials = table_of(grid("ss ss nn"), grid("ss ss nn"), grid("ss ss nn"))
    trials["kind"] = np.where(trials["depth"] == 2, "a", "b")
    axes = {"depth": [3, 2, 1], "kind": ["b", "a"], "learning_rate": RATES}
    table = boundaries(trials, axes)
    assert list(zip(table["depth"], table["kind"], strict=True)) == [(1, "b"), (2, "a"), (3, "b")]
    assert table["depth"].dtype == trials["depth"].dtype


def test_without_other_axes_there_is_one_slice() -> None:
    trials = table_of(grid("ss ss nn")).drop(columns="depth")
    table = boundaries(trials, {"learning_rate": RATES})
    assert list(table.columns) == list(BRACKET_COLUMNS)
    assert table["safe"].tolist() == [1.0]


def test_missing_values_are_values_of_an_axis() -> None:
    trials = table_of(grid("ss ss nn"), grid("ss nn nn"))
    trials["depth"] = pd.Series(
        [None if depth == 1 else 1.0 for depth in trials["depth"]], dtype=object
    )
    table = boundaries(trials, {"depth": [None, 1.0], "learning_rate": RATES})
    assert table["depth"].tolist() == [None, 1.0]
    assert table["safe"].tolist() == [1.0, 0.1]


def test_a_rate_that_went_through_text_is_still_that_of_the_grid() -> None:
    marks = {0.1: "s", float(f"{1 + 1e-12:.17g}"): "s", 10.0: "n"}
    assert found(marks)["safe"].tolist() == [1.0]
    assert found(marks)["status"].tolist() == ["found"]


def test_the_rate_of_a_users_model_has_another_name() -> None:
    trials = table_of(grid("ss ss nn")).rename(columns={"learning_rate": "lr"})
    assert boundaries(trials, {"depth": [1], "lr": RATES}, "lr")["safe"].tolist() == [1.0]
    with pytest.raises(
        ResultError, match=r"expected the learning rate as an axis.*depth, lr\. Put"
    ):
        boundaries(trials, {"depth": [1], "lr": RATES})
    with pytest.raises(ResultError, match="expected 'lr' to be an axis of numbers"):
        boundaries(trials, {"depth": [1], "lr": ["low", "high"]}, "lr")


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from("sdnc"), min_size=3, max_size=3),
    st.dictionaries(st.sampled_from([0.2, 0.5, 2.0, 5.0]), st.sampled_from("sd"), max_size=4),
)
def test_a_bracket_holds_the_lowest_failure_and_nothing_between(
    marks: list[str], between: dict[float, str]
) -> None:
    refined = table_of(between) if between else None
    (row,) = found(dict(zip(RATES, marks, strict=True)), refined=refined).to_dict("records")
    known = {**dict(zip(RATES, marks, strict=True)), **between}
    failures = [rate for rate, mark in known.items() if mark in "dn"]
    stable = [rate for rate, mark in known.items() if mark == "s"]
    assert np.array_equal(row["failing"], min(failures, default=np.nan), equal_nan=True)
    assert np.array_equal(row["highest_stable"], max(stable, default=np.nan), equal_nan=True)
    first = min([rate for rate, mark in known.items() if mark != "s"], default=np.inf)
    below = [rate for rate in stable if rate < first]
    assert np.array_equal(row["safe"], max(below, default=np.nan), equal_nan=True)
    above = [known[rate] for rate in sorted(known) if failures and rate >= min(failures)]
    runs = [mark for mark, _ in itertools.groupby(mark == "s" for mark in above if mark != "c")]
    assert row["islands"] == sum(runs)
