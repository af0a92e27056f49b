"""What makes a cell safe: its seeds, the rates above it, and what is held or 0."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from picked_tables import ALL, RATES, line, rates, seeds_of, source

from stabilitysweep.analysis.advice import Change
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.picks import recommend
from stabilitysweep.analysis.standing import Source


def test_a_rate_above_that_lacks_seeds_is_no_margin() -> None:
    trials = seeds_of({0.001: "sss", 0.002: "s", 0.004: "fff"})
    assert not recommend([source(trials, seeds=3)], margin=1.5).picks
    whole = seeds_of({0.001: "sss", 0.002: "sss", 0.004: "fff"})
    assert rates(recommend([source(whole, seeds=3)], margin=1.5)) == [0.001]


def test_refined_rates_that_lack_seeds_are_no_margin_and_are_named() -> None:
    trials = seeds_of({0.001: "sss", 0.002: "sss", 0.016: "fff"})
    for letters, expected in (("ss", []), ("ssx", []), ("sss", [0.002])):
        refined = seeds_of({0.004: letters, 0.008: letters})
        refined["trial_id"] = "r" + refined["trial_id"]
        bounds = boundaries(trials, {"learning_rate": RATES[:2] + RATES[4:]}, refined=refined)
        found = recommend(
            [Source("data", trials, {"learning_rate": (0.001, 0.002, 0.016)}, 3, bounds)],
            margin=3,
            count=ALL,
        )
        assert rates(found) == (expected and [0.001, *expected])
        note = "2 refined learning rates lack seeds and count for nothing: run refine again"
        assert (note in found.notes) == (not expected)


def test_seeds_that_are_run_twice_are_one() -> None:
    trials = seeds_of({0.001: "ss", 0.002: "ss", 0.004: "ff"})
    twice = trials.assign(seed=0)
    assert rates(recommend([source(trials, seeds=2)])) == [0.001]
    assert not recommend([source(twice, seeds=2)]).picks


@pytest.mark.parametrize(
    "outcomes", ["ss-sf", "ssxsf", "ss.sf", "sssff", "sssss", "fssss", "sdfff"]
)
@pytest.mark.parametrize("margin", [1.0, 2.0, 4.0])
def test_a_held_learning_rate_is_as_safe_as_among_all(outcomes: str, margin: float) -> None:
    trials = line(outcomes)
    bounds = boundaries(trials, {"learning_rate": RATES})
    own = Source("data", trials, {"learning_rate": RATES}, boundaries=bounds)
    among = recommend([own], margin=margin, count=ALL)
    for rate in RATES:
        if rate not in trials["learning_rate"].tolist():
            continue
        held = recommend([own], margin=margin, count=ALL, where={"learning_rate": f"{rate}"})
        assert rates(held) == [rate] * (rate in rates(among))
        assert held.cells == 1 and held.safe == len(held.picks)
        for pick in held.picks:
            (same,) = [other for other in among.picks if other.rate == rate]
            assert (pick.safe, pick.failing, pick.trials) == (same.safe, same.failing, same.trials)
            assert pick.safety_cost == 0 and pick.best_anywhere.axes == pick.axes


def test_a_margin_is_kept_by_rates_that_went_through_text() -> None:
    near = line("sssff")
    low = near["learning_rate"] == 0.002
    near.loc[low, "learning_rate"] = 0.002 * (1 + 1e-12)
    assert rates(recommend([source(near)], margin=2, count=ALL)) == [0.002 * (1 + 1e-12), 0.001]
    near.loc[low, ["learning_rate", "outcome"]] = [0.002 * (1 + 1e-12), "stalled"]
    assert rates(recommend([source(near)], margin=2, count=ALL)) == []


def test_of_equal_cells_the_safest_is_the_best_anywhere() -> None:
    (pick,) = recommend([source(line("sssff", [1, 1, 1, 9, 9]))], margin=4).picks
    assert pick.best_anywhere.axes == {"learning_rate": 0.001}
    high_first = line("sssff", [1, 1, 1, 9, 9]).iloc[::-1]
    (pick,) = recommend([source(high_first)], margin=4).picks
    assert pick.best_anywhere.axes == {"learning_rate": 0.001}
    # The lowest rate stalls: the next is as good, and safe.
    stalling = recommend([source(line("-sssf", [1] * 5))], margin=2).picks
    assert {pick.best_anywhere.axes["learning_rate"] for pick in stalling} == {0.002}
    # Of a failing one and a stable one with the same score, the stable.
    both = pd.concat([line("ff", [1, 1], depth=1), line("sss", [1, 1, 1], depth=2)])
    both["trial_id"] = [f"t{number}" for number in range(len(both))]
    found = recommend([source(both.assign(headroom_bits=2.0), ["depth", "learning_rate"])])
    assert found.picks[0].best_anywhere.axes["depth"] == 2


def test_of_equal_picks_the_widest_margin_comes_first() -> None:
    assert rates(recommend([source(line("sssff", [1] * 5))], margin=1)) == [0.001, 0.002, 0.004]
    down = line("sssff", [1] * 5)
    axes = {"learning_rate": RATES[::-1]}
    own = Source("data", down, axes, boundaries=boundaries(down, axes))
    assert rates(recommend([own], margin=1)) == [0.001, 0.002, 0.004]


@pytest.mark.parametrize(
    "outcomes", ["ssff", "sssf", "-ssf", "ffff", "sfff", "-fff", "ssss", "----"]
)
def test_a_rate_of_0_is_no_pick_and_has_no_margin(outcomes: str) -> None:
    trials = line(outcomes, [1, 2, 3, 4]).replace({"learning_rate": {0.001: 0.0}})
    without = trials.loc[trials["learning_rate"] > 0]
    found = recommend([source(trials)], count=ALL)
    assert rates(found) == rates(recommend([source(without)], count=ALL))
    assert (found.reason is None) == bool(found.picks)
    json.dumps(found.to_json(), allow_nan=False)
    for advice in found.advice:
        if advice.change is Change.RATES:
            assert 0 < advice.values[0] < advice.values[1]
    for pick in found.picks:
        assert pick.best_anywhere.margin is None or pick.best_anywhere.axes["learning_rate"] > 0
