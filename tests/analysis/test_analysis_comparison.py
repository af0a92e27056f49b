"""Sweeps beside each other: agreement, overlap, shifts, fragility, what is safe in all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compared_tables import AXES, RATES, make_member, make_trials

from stabilitysweep.analysis.alignment import Member, split
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.comparison import (
    AGREEMENTS,
    Agreement,
    Comparison,
    agreement_of,
    compare,
)
from stabilitysweep.analysis.shifts import Brackets, shifts
from stabilitysweep.analysis.side_by_side import side_by_side
from stabilitysweep.errors import ResultError


def words(comparison: object, **where: object) -> list[str]:
    frame = comparison.to_frame()  # type: ignore[attr-defined]
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return list(frame["agreement"])


def test_identical_sweeps_overlap_wholly_and_nothing_shifts() -> None:
    found = compare([make_member("a"), make_member("b"), make_member("c")])
    assert [each.overlap for each in found.overlaps] == [1.0] * 3
    assert [(each.decades, each.deviation) for each in found.shifts] == [(0.0, 0.0)] * 3
    assert found.counts[Agreement.SOME] == found.counts[Agreement.UNMEASURED] == 0
    assert found.most_fragile is None
    assert [each.below for each in found.fragilities] == [0.0] * 3
    nowhere = compare([make_member("a", 1e-9), make_member("b", 1e-9)])
    assert nowhere.overlaps[0].overlap == 1.0
    assert nowhere.overlaps[0].either == 0
    assert nowhere.counts[Agreement.NONE] == 15


def test_cells_are_counted_by_where_they_are_stable() -> None:
    found = compare([make_member("a", 0.5), make_member("b", 0.05), make_member("c", 5.0)])
    assert words(found, depth=1) == ["all", "all", "some", "some", "none"]
    assert found.counts == {
        Agreement.ALL: 6,
        Agreement.SOME: 6,
        Agreement.NONE: 3,
        Agreement.UNMEASURED: 0,
    }
    frame = found.to_frame()
    assert list(frame[frame["depth"] == 1]["stable_in"]) == [3, 3, 2, 1, 0]
    assert list(frame[frame["depth"] == 1]["b"]) == ["stable", "stable", *["failed"] * 3]
    pairs = {(each.one, each.other): each.overlap for each in found.overlaps}
    assert pairs == {("a", "b"): 6 / 9, ("a", "c"): 9 / 12, ("b", "c"): 6 / 12}
    assert "6 in all" in repr(found)


def test_the_order_of_members_and_rows_is_of_no_account() -> None:
    one, other = make_member("a", 0.5), make_member("b", lambda row: 5.0 / row["depth"])
    straight, turned = compare([one, other]), compare([other, one])
    assert straight.overlaps[0].overlap == turned.overlaps[0].overlap
    assert straight.shifts[0].decades == -(turned.shifts[0].decades or 0)
    assert straight.shifts[0].low == -(turned.shifts[0].high or 0)
    np.testing.assert_array_equal(straight.agreement, turned.agreement)
    assert [each.name for each in straight.fragilities] == [e.name for e in turned.fragilities]
    assert one.boundaries is not None
    shuffled = Member(
        "a",
        one.trials.sample(frac=1, random_state=0),
        one.axes,
        boundaries=one.boundaries.sample(frac=1, random_state=1),
    )
    again = compare([shuffled, other])
    np.testing.assert_array_equal(again.states, straight.states)
    assert again.shifts == straight.shifts


@pytest.mark.parametrize("decades", [1, 2, -1])
def test_the_shift_of_a_boundary_is_found(decades: int) -> None:
    found = compare([make_member("a", 0.05), make_member("b", 0.05 * 10.0**decades)])
    (shift,) = found.shifts
    assert shift.decades == pytest.approx(decades)
    assert shift.low == pytest.approx(decades - 1)
    assert shift.high == pytest.approx(decades + 1)
    assert shift.deviation == pytest.approx(0)
    assert (shift.slices, shift.open_slices, shift.refined) == (3, 0, False)


def test_the_spread_of_a_shift_is_that_over_the_slices() -> None:
    heights = {1: 5.0, 2: 0.5, 4: 0.05}
    found = compare([make_member("a", 0.5), make_member("b", lambda row: heights[row["depth"]])])
    (shift,) = found.shifts
    assert shift.decades == pytest.approx(0)
    assert shift.smallest == pytest.approx(-1)
    assert shift.largest == pytest.approx(1)
    assert shift.deviation == pytest.approx(math.sqrt(2 / 3))


def test_refined_brackets_narrow_the_shift() -> None:
    def refined(name: str, safe: float, failing: float) -> Member:
        member = make_member(name)
        assert member.boundaries is not None
        table = member.boundaries.assign(safe=safe, failing=failing, refined=True)
        return Member(name, member.trials, member.axes, boundaries=table)

    (shift,) = compare([refined("a", 0.2, 0.21), refined("b", 0.4, 0.42)]).shifts
    assert shift.refined
    assert shift.decades == pytest.approx(math.log10(2))
    assert shift.low == pytest.approx(math.log10(0.4 / 0.21))
    assert shift.high == pytest.approx(math.log10(0.42 / 0.2))
    (mixed,) = compare([refined("a", 0.2, 0.21), make_member("b")]).shifts
    assert not mixed.refined


def test_a_boundary_beyond_the_grid_bounds_a_shift_without_measuring_it() -> None:
    (shift,) = compare([make_member("a", 0.05), make_member("b", 100.0)]).shifts
    assert (shift.decades, shift.slices, shift.open_slices) == (None, 0, 3)
    assert shift.low == pytest.approx(2)  # from below 0.1 to 10 or more
    assert shift.high is None
    (below,) = compare([make_member("a", 0.05), make_member("b", 1e-9)]).shifts
    assert (below.low, below.decades) == (None, None)
    assert below.high == pytest.approx(-1)  # from 0.01 or more to below 0.001
    some = {1: 0.05, 2: 0.5, 4: 100.0}
    (both,) = compare([make_member("a", 0.05), make_member("b", lambda r: some[r["depth"]])]).shifts
    assert (both.slices, both.open_slices) == (2, 1)
    assert both.decades == pytest.approx(0.5)


def test_an_open_slice_does_not_loosen_the_bounds_of_a_closed_one() -> None:
    some = {1: 0.5, 2: 100.0, 4: 100.0}
    (one,) = compare([make_member("a", 0.05), make_member("b", lambda r: some[r["depth"]])]).shifts
    assert (one.slices, one.open_slices) == (1, 2)
    assert one.low == pytest.approx(0)
    assert one.high == pytest.approx(2)


def crashed(name: str, limit: float, rate: float, depth: int) -> Member:
    """A member whose trials of one cell could not be run."""
    trials = make_trials(AXES, lambda _: limit)
    trials.loc[(trials["learning_rate"] == rate) & (trials["depth"] == depth), "outcome"] = (
        "crashed"
    )
    return Member(name, trials, AXES, boundaries=boundaries(trials, AXES))


def test_a_rate_that_was_not_measured_leaves_a_boundary_open() -> None:
    found = compare([make_member("a", 0.5), crashed("b", 0.5, rate=0.1, depth=1)])
    (shift,) = found.shifts
    assert (shift.decades, shift.slices, shift.open_slices) == (0, 2, 1)
    assert found.brackets is not None
    assert found.brackets.width == pytest.approx(1)
    assert list(found.safe_slices()["safe"]) == [0.01, 0.1, 0.1]
    # Nor is anything known where the lowest rate was not measured.
    found = compare([make_member("a", 0.5), crashed("b", 0.5, rate=0.001, depth=1)])
    (shift,) = found.shifts
    assert (shift.decades, shift.slices, shift.open_slices) == (0, 2, 0)
    table = found.safe_slices()
    assert list(table["safe"].fillna(-1)) == [-1, 0.1, 0.1]
    assert list(table["limited_by"]) == [None, "a, b", "a, b"]


@pytest.mark.parametrize(
    ("lowest", "closed"),
    [(0.05, True), (0.5, False)],
    ids=["fails at it", "fails above it"],
)
def test_of_pooled_slices_a_gap_counts_if_it_is_the_lowest(lowest: float, closed: bool) -> None:
    part = crashed("b", 0.5, rate=0.1, depth=1)
    trials = part.trials.copy()
    failed = (trials["depth"] == 2) & (trials["learning_rate"] > lowest)
    trials.loc[failed, "outcome"] = "nonfinite"
    part = Member("b", trials, AXES, boundaries=boundaries(trials, AXES))
    found = compare([make_member("a", 0.5, {"learning_rate": RATES}), part])
    assert found.brackets is not None
    assert found.brackets.closed[1].tolist() == [closed]


def test_pooled_slices_that_never_ran_leave_nothing_known() -> None:
    part = make_member("a", 0.5, keep=lambda table: table["depth"] < 4)
    fixed = make_member("b", 0.5, {"learning_rate": RATES})
    found = compare([part, fixed])
    assert words(found) == ["not measured"] * 3 + ["none"] * 2
    table = found.safe_slices()
    assert table["safe"].isna().all()
    assert list(table["limited_by"]) == [None]
    assert table["safe in a"].isna().all()
    assert list(table["safe in b"]) == [0.1]
    assert found.shifts[0].slices == found.shifts[0].open_slices == 0
    whole = compare([make_member("a", 0.5), fixed])
    assert list(whole.safe_slices()["safe"]) == [0.1]


def test_no_axis_is_named_for_what_is_within_the_width_of_the_brackets() -> None:
    axes = {"depth": [1, 2, 4], "learning_rate": sorted([*RATES, 0.3])}
    finer = make_member("b", lambda row: 0.5 if row["depth"] == 1 else 0.2, axes)
    found = compare([make_member("a", 0.5), finer])
    assert found.brackets is not None
    spread = float(np.ptp(found.brackets.position[1]))
    assert 0.4 < spread < found.brackets.width
    assert [each.along for each in found.fragilities] == [None, None]
    # With brackets as narrow as that it is one.
    narrow = make_member("a", 0.5, axes)
    assert compare([narrow, make_member("b", finer_limit, axes)]).most_fragile is not None
    assert compare([narrow, make_member("b", finer_limit, axes)]).fragilities[0].along == "depth"


def finer_limit(row: Mapping[str, Any]) -> float:
    return 0.5 if row["depth"] == 1 else 0.005


def test_brackets_of_generated_boundaries_hold_the_true_shift() -> None:
    random = np.random.default_rng(3)
    grid = np.geomspace(1e-3, 10, 30)
    true = random.uniform(-2.5, 0.5, (2, 200))
    above = np.searchsorted(np.log10(grid), true)
    found = Brackets(
        safe=grid[above - 1],
        failing=grid[above],
        known=np.ones((2, 200), dtype=bool),
        refined=np.zeros((2, 200), dtype=bool),
        gap=np.zeros((2, 200), dtype=bool),
    )
    (shift,) = shifts(("a", "b"), found)
    apart = float(np.median(true[1] - true[0]))
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low <= apart <= shift.high
    assert shift.decades == pytest.approx(apart, abs=found.width)


def test_the_most_fragile_is_named_with_the_axis_along_which_it_is() -> None:
    deep = make_member("deep", lambda row: 0.005 if row["depth"] == 4 else 0.5)
    low = make_member("low", 0.05)
    found = compare([make_member("a"), deep, low])
    first = found.most_fragile
    assert first is not None
    assert [each.name for each in found.fragilities] == ["low", "deep", "a"]
    # low: 1, 1 and 1 below a; 1, 1 and -1 below deep
    assert first.below == pytest.approx((1 + 1 + 0) / 3)
    of_deep = found.fragilities[1]
    assert (of_deep.along, of_deep.value) == ("depth", 4)
    assert of_deep.below_there == pytest.approx(1.5)
    assert of_deep.share_stable == pytest.approx((3 + 3 + 1) / 15)


def test_what_never_failed_is_not_the_most_fragile_however_little_was_tried() -> None:
    short = {"depth": [1, 2, 4], "learning_rate": [0.001, 0.01]}
    found = compare([make_member("held", 0.5, short), make_member("broke", 0.5)])
    below = {each.name: each.below for each in found.fragilities}
    assert below["held"] is None
    assert found.most_fragile is None
    # What broke, though, breaks below what held higher up.
    found = compare([make_member("held", 100.0), make_member("broke", 0.5)])
    assert found.most_fragile is not None
    assert found.most_fragile.name == "broke"
    # Beside one that fails everywhere, nothing is known of how early the other breaks.
    found = compare([make_member("never", 1e-9), make_member("broke", 0.5)])
    below = {each.name: each.below for each in found.fragilities}
    assert below["broke"] is None
    assert found.most_fragile is not None
    assert found.most_fragile.name == "never"


def test_without_a_learning_rate_fragility_is_that_of_the_cells() -> None:
    axes = {"depth": [1, 2, 4], "l2": [0.0, 0.1]}
    weak = make_member("weak", lambda row: 0.5 if row["depth"] == 4 else 2.0, axes)
    found = compare([make_member("a", 2.0, axes), weak])
    assert found.brackets is None
    assert found.shifts == ()
    assert found.unit == "share of cells"
    first = found.most_fragile
    assert first is not None
    assert (first.name, first.along, first.value) == ("weak", "depth", 4)
    assert first.below == pytest.approx(1 / 3)
    assert first.below_there == pytest.approx(1.0)
    assert found.safe_slices().empty


def test_what_is_safe_in_all_is_limited_by_the_lowest() -> None:
    found = compare(
        [make_member("a", 0.5), make_member("b", lambda row: {1: 5, 2: 0.5, 4: 1e-9}[row["depth"]])]
    )
    table = found.safe_slices()
    assert list(table["depth"]) == [1, 2, 4]
    assert list(table["safe"].fillna(-1)) == [0.1, 0.1, -1]
    assert list(table["limited_by"]) == ["a", "a, b", "b"]
    assert list(table["safe in b"].fillna(-1)) == [1.0, 0.1, -1]
    # A cell is stable in all if its rate is safe in all.
    frame = found.to_frame().merge(table[["depth", "safe"]], on="depth")
    np.testing.assert_array_equal(
        frame["agreement"] == "all", frame["learning_rate"] <= frame["safe"].fillna(0)
    )


def test_a_cell_is_stable_only_if_all_of_it_was_run_and_held() -> None:
    def run(table: pd.DataFrame) -> pd.Series:
        return ~((table["depth"] == 2) & (table["seed"] == 1))

    part = make_member("part", 0.5, keep=run)
    found = compare([make_member("a", 0.5), part])
    assert part.missing == 5
    # One seed is enough to see a failure, and too few to promise that there is none.
    assert words(found, depth=2) == ["not measured"] * 3 + ["none"] * 2
    assert words(found, depth=1) == ["all"] * 3 + ["none"] * 2
    assert found.overlaps[0].measured == 12
    assert found.overlaps[0].overlap == 1.0
    crashed = make_member("crashed", 0.5)
    crashed.trials.loc[crashed.trials["seed"] == 1, "outcome"] = "crashed"
    found = compare([make_member("a", 0.5), crashed])
    assert words(found, depth=1) == ["not measured"] * 3 + ["none"] * 2


def test_seeds_that_are_asked_for_and_not_begun_are_missing() -> None:
    whole = make_member("a", 0.5)
    begun = make_member("b", 0.5, keep=lambda table: table["seed"] == 0, missing=30, seeds=3)
    found = compare([whole, begun])
    assert words(found, depth=1) == ["not measured"] * 3 + ["none"] * 2
    assert side_by_side(found).maps.missing == 30
    axes = {"dataset": ["x", "y"], **AXES}
    parts = split(
        make_member("ab", 0.5, axes, keep=lambda table: table["seed"] == 0, missing=60, seeds=3),
        "dataset",
        complete=False,
    )
    assert [(part.missing, part.seeds) for part in parts] == [(30, 3)] * 2
    assert compare(parts, kind="dataset").counts[Agreement.ALL] == 0


def test_a_sweep_without_trials_is_compared_as_not_measured() -> None:
    empty = make_member("empty", keep=lambda table: table["seed"] < 0)
    found = compare([make_member("a"), empty])
    assert found.counts[Agreement.UNMEASURED] == 15
    assert found.overlaps[0].overlap is None
    assert found.shifts[0].decades is None
    assert found.most_fragile is None
    assert found.safe_slices()["safe"].isna().all()
    json.dumps(found.to_json(), allow_nan=False)


def test_agreement_is_known_as_soon_as_nothing_can_change_it() -> None:
    states = np.array([[1, 1, 0, 1, 0, -1, 1], [1, 0, 0, -1, -1, -1, 0], [1, 1, 0, 1, 0, -1, -1]])
    found = [AGREEMENTS[code].value for code in agreement_of(states.astype(np.int8))]
    unknown = "not measured"
    assert found == ["all", "some", "none", unknown, unknown, unknown, "some"]


def test_settings_that_differ_are_named_and_what_is_compared_is_not() -> None:
    left = {
        "optimizer": "Adam",
        "steps": 100,
        "width": 16,
        "clipnorm": None,
        "dataset": "a",
        "only": 1,
    }
    right = {"optimizer": "adam", "steps": 5_000, "width": 16, "clipnorm": 1.0, "dataset": "b"}
    found = compare([make_member("a", settings=left), make_member("b", settings=right)])
    assert [str(each) for each in found.differences] == [
        "steps: a 100, b 5000",
        "clipnorm: a none, b 1",
    ]
    assert found.to_json()["differences"]["steps"] == {"a": 100, "b": 5_000}


def test_one_sweep_is_taken_apart_along_an_axis() -> None:
    axes = {"dataset": ["x", "y"], **AXES}
    heights = {"x": 0.5, "y": 0.05}
    whole = make_member("whole", lambda row: heights[row["dataset"]], axes)
    parts = split(whole, "dataset")
    assert [(part.name, part.dataset, len(part.trials)) for part in parts] == [
        ("x", "x", 30),
        ("y", "y", 30),
    ]
    found = compare(parts, kind="dataset")
    assert list(found.axes) == list(AXES)
    assert found.differences == ()
    assert found.shifts[0].decades == pytest.approx(-1)
    assert found.most_fragile is not None
    assert found.most_fragile.name == "y"
    apart = compare([make_member("x", heights["x"]), make_member("y", heights["y"])])
    np.testing.assert_array_equal(apart.states, found.states)
    assert apart.shifts == found.shifts


@pytest.mark.parametrize(
    ("axis", "frame"),
    [
        ("agreement", lambda found: found.to_frame()),
        ("stable_in", lambda found: side_by_side(found).to_frame()),
        ("stability", lambda found: side_by_side(found).to_frame()),
        ("limited_by", lambda found: found.safe_slices()),
    ],
)
def test_an_axis_called_as_a_column_keeps_one_of_its_own(
    axis: str, frame: Callable[[Comparison], pd.DataFrame]
) -> None:
    def table(name: str) -> pd.DataFrame:
        axes = {name: [1, 2], "learning_rate": RATES}
        return frame(compare([make_member("a", axes=axes), make_member("b", 0.05, axes)]))

    pd.testing.assert_frame_equal(
        table(axis).rename(columns={f"hp_{axis}": "depth"}), table("depth"), check_like=True
    )


def test_the_record_is_strict_json_and_its_arrays_are_locked() -> None:
    found = compare([make_member("a", 100.0), make_member("b", 1e-9), make_member("c")])
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["axes"] == {"depth": [1, 2, 4], "learning_rate": RATES}
    assert content["fragility"]["most_fragile"] == "b"
    assert len(content["overlaps"]) == len(content["shifts"]) == 3
    assert content["safe_in_all"]["slices"][0]["safe"] is None
    with pytest.raises(ValueError, match="read-only"):
        found.states[0] = 0


def test_a_notebook_shows_every_pair() -> None:
    found = compare([make_member("<a>", 0.05), make_member("b", 0.5)])
    shown = found._repr_html_()
    assert "&lt;a&gt;" in shown
    assert "<td>0.667</td>" in shown
    assert "<td>1.000</td>" in shown


def test_fewer_than_two_or_two_of_a_name_are_refused() -> None:
    with pytest.raises(ResultError, match="at least two"):
        compare([make_member("a")])
    with pytest.raises(ResultError, match="different names"):
        compare([make_member("a"), make_member("a")])
