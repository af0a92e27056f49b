"""Safe settings out of tables made by hand and made up: what is a pick, in which order, and why."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picked_tables import ALL, RATES, line, rates, source, table

from stabilitysweep.analysis.advice import Change
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.picks import Recommendation, recommend
from stabilitysweep.analysis.standing import Source
from stabilitysweep.errors import ResultError

FAILING = ("diverged", "nonfinite")


@pytest.mark.parametrize(
    ("outcomes", "margin", "safe"),
    [
        ("sssff", 2, [0.002, 0.001]),
        ("sssff", 1, [0.004, 0.002, 0.001]),
        ("sssff", 4, [0.001]),
        ("sssff", 4.1, []),
        ("sssss", 2, [0.008, 0.004, 0.002, 0.001]),  # the top has nothing measured above it
        ("ssfss", 2, [0.001]),  # an island is not safe
        ("fssss", 1, []),
        ("-sssf", 2, [0.004, 0.002]),  # a rate too low to learn at is no pick, and harms none
        ("ss-sf", 2, [0.001]),  # within the margin all have to learn
        ("ssxsf", 2, [0.001]),
        ("ss.sf", 2, [0.001]),
        ("sdfff", 1, [0.001]),
        ("-----", 1, []),
        ("xxxxx", 1, []),
    ],
)
def test_a_pick_and_all_up_to_the_margin_are_stable(
    outcomes: str, margin: float, safe: list[float]
) -> None:
    own = Source(
        "data",
        line(outcomes),
        {"learning_rate": RATES},
        boundaries=boundaries(line(outcomes), {"learning_rate": RATES}),
    )
    found = recommend([own], margin=margin, count=ALL)
    assert rates(found) == safe
    assert (found.reason is None) == bool(safe)
    assert found.safe == len(safe)


def test_a_pick_has_its_evidence() -> None:
    found = recommend([source(line("sssff"))], count=1)
    (pick,) = found.picks
    assert (pick.rate, pick.safe, pick.failing) == (0.002, 0.004, 0.008)
    assert pick.margin_decades == pytest.approx(math.log10(2))
    assert not pick.open_ended
    assert (pick.headroom_bits, pick.seeds, pick.trials, pick.steps) == (9.0, 1, 2, 50)
    assert pick.score == pytest.approx(0.9)
    best = pick.best_anywhere
    assert best.axes == {"learning_rate": 0.004}
    assert (best.trials, best.stable, best.margin) == (1, 1, 1)
    assert pick.safety_cost == pytest.approx(0.9 / 0.8 - 1)
    assert [evidence.dataset for evidence in pick.per_dataset] == ["data"]


def test_nothing_above_the_top_of_the_grid_is_open_ended() -> None:
    (pick,) = recommend([source(line("sssss"))], count=1).picks
    assert pick.open_ended
    assert (pick.safe, pick.failing) == (0.016, None)


def test_the_best_cell_anywhere_may_be_one_that_is_not_safe() -> None:
    # Two of three seeds do well at the edge: the median knows nothing of the third.
    rows = [
        {"learning_rate": rate, "seed": seed, "val_loss": 1 - 100 * rate}
        | ({"outcome": "nonfinite", "val_loss": np.nan} if (rate, seed) == (0.004, 1) else {})
        for rate in (0.001, 0.002, 0.004)
        for seed in range(3)
    ]
    (pick,) = recommend([source(table(rows), seeds=3)]).picks
    assert pick.best_anywhere.axes == {"learning_rate": 0.004}
    assert (pick.best_anywhere.stable, pick.best_anywhere.trials) == (2, 3)
    assert pick.best_anywhere.margin == pytest.approx(0.5)
    assert pick.safety_cost == pytest.approx(0.9 / 0.6 - 1)


def test_a_cell_that_lacks_a_seed_is_no_pick() -> None:
    rows = [
        {"learning_rate": rate, "seed": seed}
        for rate in RATES
        for seed in range(2)
        if (rate, seed) != (0.008, 1)
    ]
    found = recommend([source(table(rows), seeds=2)], count=ALL)
    assert sorted(rates(found)) == [0.001, 0.002]  # nor is the one below it, or any above
    assert (found.cells, found.complete) == (5, 4)
    assert any("1 cells lack seeds" in note for note in found.notes)


def test_picks_are_in_the_order_of_their_loss_whichever_slice_they_are_of() -> None:
    tables = [
        line("ssssf", [0.5, 0.4, 0.3, 0.9, 0.9], depth=1),
        line("ssssf", [0.8, 0.45, 0.6, 0.9, 0.9], depth=2),
    ]
    both = pd.concat(tables, ignore_index=True)
    both["trial_id"] = [f"t{number}" for number in range(len(both))]
    found = recommend([source(both, ["depth", "learning_rate"])], count=4)
    chosen = [(pick.axes["depth"], pick.axes["learning_rate"]) for pick in found.picks]
    assert chosen == [(1, 0.004), (1, 0.002), (2, 0.002), (1, 0.001)]


def test_combinations_that_train_the_same_are_one_pick() -> None:
    both = pd.concat([line("ssf", depth=1), line("ssf", depth=2)], ignore_index=True)
    found = recommend([source(both, ["depth", "learning_rate"])], count=ALL)
    assert [pick.axes["depth"] for pick in found.picks] == [1]


def test_a_metric_of_which_more_is_better_turns_the_order() -> None:
    trials = line("ssssf").assign(val_accuracy=[0.5, 0.9, 0.7, 0.95, 0.99])
    found = recommend([source(trials)], metric="val_accuracy", count=ALL)
    assert found.higher_is_better
    assert rates(found) == [0.002, 0.004, 0.001]
    first = found.picks[0]
    assert first.best_anywhere.score == 0.95  # the last one failed: whatever it says is no score
    assert first.safety_cost == pytest.approx(0.05 / 0.95)


@pytest.mark.parametrize(
    ("column", "asked", "higher"),
    [
        ("val_accuracy", "val_accuracy", True),
        ("val_auc_1", "val_auc_1", True),
        ("val_head_r2", "val_head_r2", True),
        ("val_mae", "val_mae", False),
        ("val_out_loss", "val_out_loss", False),
        ("val_odd", "val_odd:max", True),
        ("val_odd", "val_odd:min", False),
        ("final_loss", "final_loss", False),
    ],
)
def test_the_name_of_a_metric_tells_its_direction(column: str, asked: str, higher: bool) -> None:
    trials = line("sss").assign(**{column: [0.1, 0.2, 0.3]})
    found = recommend([source(trials)], metric=asked)
    assert (found.metric, found.higher_is_better) == (column, higher)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("val_odd", "write val_odd:max or val_odd:min"),
        ("val_accuracy", r"that was measured \(val_loss, final_loss, val_odd\)|that was measured"),
        ("learning_rate", "that was measured"),
        ("val_odd:best", "max or min"),
    ],
)
def test_a_metric_that_cannot_be_ranked_by_is_refused(asked: str, message: str) -> None:
    trials = line("sss").assign(val_odd=[0.1, 0.2, 0.3])
    with pytest.raises(ResultError, match=message):
        recommend([source(trials)], metric=asked)


def test_without_validation_rows_the_final_loss_is_ranked_by_and_said() -> None:
    trials = line("sssf").assign(val_loss=np.nan, final_loss=[0.3, 0.2, 0.1, 9.0])
    for asked in (None, "val_loss"):
        found = recommend([source(trials)], metric=asked)
        assert (found.metric, rates(found)[0]) == ("final_loss", 0.002)
        assert any("no validation rows" in note for note in found.notes)


def test_without_a_learning_rate_the_margin_is_not_known() -> None:
    trials = table(
        [
            {"depth": depth, "val_loss": loss, "outcome": outcome}
            for depth, loss, outcome in [
                (1, 0.5, "stable"), (2, 0.3, "stable"), (4, 0.1, "nonfinite"),
            ]
        ]
    )  # fmt: skip
    found = recommend([source(trials, ["depth"])])
    assert [pick.axes["depth"] for pick in found.picks] == [2, 1]
    pick = found.picks[0]
    assert (found.margin, pick.rate, pick.safe, pick.margin_decades) == (None,) * 4
    assert any("not known" in note for note in found.notes)
    assert pick.trials == 1


def two_datasets(second: str) -> list[Source]:
    """The second has losses a thousand times as large."""
    small = line("ssssf", [0.4, 0.3, 0.25, 0.2, 0.2])
    large = line(second, [300.0, 500.0, 700.0, 800.0, 900.0])
    return [source(small, label="a"), source(large, label="b")]


def test_every_data_set_has_to_hold_and_the_worst_ranks() -> None:
    found = recommend(two_datasets("sssff"), count=ALL)
    # At 0.002 the second costs 2/3, at 0.001 the first costs 1: losses are relative.
    assert rates(found) == [0.002, 0.001]
    pick = found.picks[0]
    assert pick.safety_cost == pytest.approx(500 / 300 - 1)
    assert (pick.score, pick.safe, pick.failing) == (500.0, 0.004, 0.008)
    assert [evidence.cost for evidence in pick.per_dataset] == pytest.approx([0.5, 2 / 3])
    assert recommend(two_datasets("sffff")).picks == ()


def test_several_results_are_what_one_with_an_axis_is() -> None:
    parts = two_datasets("sssff")
    joined = pd.concat(
        [part.trials.assign(dataset=part.label) for part in parts], ignore_index=True
    )
    joined["trial_id"] = [f"t{number}" for number in range(len(joined))]
    one = recommend([source(joined, ["dataset", "learning_rate"])], count=ALL)
    several = recommend(parts, count=ALL)
    assert one.datasets == ("a", "b")
    assert one.to_frame().equals(several.to_frame())
    assert "dataset" not in one.picks[0].axes
    alone = recommend(
        [source(joined, ["dataset", "learning_rate"])], where={"dataset": "a"}, count=ALL
    )
    assert alone.picks[0].axes == {"dataset": "a", "learning_rate": 0.004}


def test_an_axis_is_held_at_a_value() -> None:
    both = pd.concat([line("ssssf", depth=1), line("sssff", depth=2)], ignore_index=True)
    both["trial_id"] = [f"t{number}" for number in range(len(both))]
    own = source(both, ["depth", "learning_rate"])
    found = recommend([own], where={"depth": "2"}, count=ALL)
    assert {pick.axes["depth"] for pick in found.picks} == {2}
    assert rates(found) == [0.002, 0.001]
    for where in ({"width": 1}, {"depth": 9}):
        with pytest.raises(ResultError, match="where"):
            recommend([own], where=where)


def test_data_sets_without_a_cell_in_common_are_refused() -> None:
    other = line("sss").assign(learning_rate=[0.1, 0.2, 0.3])
    with pytest.raises(ResultError, match="of learning_rate, data has 0"):
        recommend([source(line("sss")), source(other, label="other")])
    more = source(line("sss", depth=1), ["depth", "learning_rate"], label="more")
    with pytest.raises(ResultError, match="the same axes"):
        recommend([source(line("sss")), more])
    with pytest.raises(ResultError, match="told apart, got data, data"):
        recommend([source(line("sss")), source(line("sss"))])


@pytest.mark.parametrize("wrong", [{"margin": 0.5}, {"margin": math.nan}, {"count": 0}])
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ResultError, match="expected"):
        recommend([source(line("sss"))], **wrong)


def test_headroom_in_half_precision_is_warned_of() -> None:
    trials = line("ssf", precision="float16").assign(headroom_bits=[0.5, 0.4, 0.1])
    found = recommend([source(trials, ["precision", "learning_rate"])])
    assert any("0.5 bits of overflow" in note for note in found.notes)


def test_a_refined_boundary_is_what_counts() -> None:
    trials = line("ssfff")
    refined = line("s").assign(learning_rate=[0.0035], trial_id=["r1"])
    bounds = boundaries(trials, {"learning_rate": RATES}, refined=refined)
    own = Source("data", trials, {"learning_rate": RATES}, boundaries=bounds)
    found = recommend([own], margin=1.7, count=ALL)
    assert rates(found) == [0.002, 0.001]
    assert found.picks[0].per_dataset[0].refined
    assert rates(recommend([source(trials)], margin=1.7, count=ALL)) == [0.001]


def test_the_frame_and_the_json_say_the_same() -> None:
    found = recommend(two_datasets("sssff"), count=ALL)
    frame = found.to_frame()
    assert frame["pick"].tolist() == [1, 2]
    assert frame["learning_rate"].tolist() == rates(found)
    plain = json.loads(json.dumps(found.to_json()))
    assert [pick["axes"]["learning_rate"] for pick in plain["picks"]] == rates(found)
    assert plain["safe_cells"] == 2
    assert "<table" in found._repr_html_()
    nothing = recommend([source(line("fff"))])
    assert list(nothing.to_frame().columns)[:2] == ["pick", "val_loss"]
    assert "no cell is safe" in nothing._repr_html_()


# Laws over tables made up: the plain reading of what a pick is, and what it does not depend on.

OUTCOMES = st.sampled_from(["stable"] * 6 + ["stalled", "diverged", "nonfinite", "crashed"])
LOSSES = st.floats(0.1, 10, allow_nan=False)
RATES_OF_A_TABLE = (0.0001, *RATES[:4])


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = []
    for depth, rate, seed in itertools.product((1, 2), RATES[:4], range(2)):
        if draw(st.integers(0, 19)):  # a few are not run yet
            outcome, loss = draw(OUTCOMES), draw(LOSSES)
            row = {"depth": depth, "learning_rate": rate, "seed": seed, "outcome": outcome}
            rows.append({**row, "val_loss": loss if outcome in ("stable", "stalled") else np.nan})
    lowest = {"depth": 1, "learning_rate": 0.0001, "val_loss": 20.0}
    rows += [{**lowest, "seed": 0}, {**lowest, "seed": 1}]
    return table(rows)


def found_in(trials: pd.DataFrame, **more: Any) -> Recommendation:
    axes = {"depth": (1, 2), "learning_rate": RATES_OF_A_TABLE}
    own = Source("data", trials, axes, 2, boundaries(trials, axes))
    return recommend([own], **{"count": ALL, **more})


def cells(found: Recommendation) -> list[tuple[int, float]]:
    return [(pick.axes["depth"], pick.axes["learning_rate"]) for pick in found.picks]


def plainly_safe(trials: pd.DataFrame, margin: float) -> set[tuple[int, float]]:
    """The definition, read out cell by cell."""
    held = {
        (depth, rate): trials.loc[(trials["depth"] == depth) & (trials["learning_rate"] == rate)]
        for depth in (1, 2)
        for rate in RATES_OF_A_TABLE
    }

    def good(depth: int, rate: float) -> bool:
        cell = held[depth, rate]
        return len(cell) == 2 and (cell["outcome"] == "stable").all()

    def holds(depth: int, rate: float) -> bool:
        cell = held[depth, rate]
        return len(cell) == 2 and not cell["outcome"].isin([*FAILING, "crashed"]).any()

    found = set()
    for depth, rate in held:
        top = margin * rate
        within = [other for other in RATES_OF_A_TABLE if rate <= other <= top * (1 + 1e-9)]
        # The boundary is at the margin or above: up to a rate there all hold.
        above = [other for other in RATES_OF_A_TABLE if other * (1 + 1e-9) >= top]
        below = [other for other in RATES_OF_A_TABLE if above and other <= above[0]]
        if above and all(good(depth, r) for r in within) and all(holds(depth, r) for r in below):
            found.add((depth, rate))
    return found


@settings(max_examples=30, deadline=None, derandomize=True)
@given(tables(), st.sampled_from([1.0, 2.0, 4.0]))
def test_picks_are_what_the_definition_says(trials: pd.DataFrame, margin: float) -> None:
    assert set(cells(found_in(trials, margin=margin))) == plainly_safe(trials, margin)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(tables(), st.integers(0, 2**16))
def test_the_order_of_the_rows_is_irrelevant(trials: pd.DataFrame, seed: int) -> None:
    shuffled = trials.sample(frac=1, random_state=seed).reset_index(drop=True)
    assert found_in(shuffled).to_json() == found_in(trials).to_json()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(tables())
def test_a_wider_margin_adds_no_pick(trials: pd.DataFrame) -> None:
    narrow, wide = found_in(trials, margin=1.0), found_in(trials, margin=2.0)
    assert set(cells(wide)) <= set(cells(narrow))
    fewer = found_in(trials, margin=1.0, count=2)
    assert cells(fewer) == cells(narrow)[:2]


@settings(max_examples=8, deadline=None, derandomize=True)
@given(tables(), st.data())
def test_a_failure_within_the_margin_removes_the_pick(
    trials: pd.DataFrame, data: st.DataObject
) -> None:
    before = found_in(trials)
    if not before.picks:
        return
    depth, rate = data.draw(st.sampled_from(cells(before)))
    near = trials.loc[
        (trials["depth"] == depth)
        & (trials["learning_rate"] >= rate)
        & (trials["learning_rate"] <= 2.0001 * rate)
    ]
    broken = trials.copy()
    broken.loc[data.draw(st.sampled_from(near.index.tolist())), "outcome"] = "nonfinite"
    after = cells(found_in(broken))
    assert (depth, rate) not in after
    assert set(after) < set(cells(before))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(tables())
def test_worse_cells_beside_them_change_no_pick(trials: pd.DataFrame) -> None:
    before = found_in(trials)
    worse = line("ssss", [100.0] * 4, depth=3)
    worse = pd.concat([worse, worse.assign(seed=1)], ignore_index=True)
    worse["trial_id"] = [f"w{number}" for number in range(len(worse))]
    both = pd.concat([trials, worse], ignore_index=True)
    axes = {"depth": (1, 2, 3), "learning_rate": RATES_OF_A_TABLE}
    own = Source("data", both, axes, 2, boundaries(both, axes))
    after = recommend([own], count=ALL)
    kept = [pick for pick in after.picks if pick.axes["depth"] != 3]
    assert kept == list(before.picks)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(tables())
def test_a_margin_that_is_advised_is_there(trials: pd.DataFrame) -> None:
    found = found_in(trials, margin=5.0)
    for advice in found.advice:
        if advice.change is Change.MARGIN:
            assert found_in(trials, margin=advice.values[0]).picks
