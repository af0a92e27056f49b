"""The stability map: counts, shares, onsets, the boundary, and the laws they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis import (
    OUTCOMES,
    STATUSES,
    BoundaryStatus,
    StabilityMap,
    caption,
    stability_map,
)
from stabilitysweep.analysis.boundary import find_boundary
from stabilitysweep.errors import ResultError

TableMaker = Callable[..., pd.DataFrame]
GRID: dict[str, list[object]] = {
    "learning_rate": [0.001, 0.01, 0.1, 1.0],
    "batch_size": [16, 32],
    "depth": [1, 2, 4],
    "precision": ["float32", "float16"],
}


def same(one: StabilityMap, other: StabilityMap) -> bool:
    for item in fields(StabilityMap):
        left, right = getattr(one, item.name), getattr(other, item.name)
        if isinstance(left, np.ndarray):
            if not np.array_equal(left, right, equal_nan=left.dtype.kind == "f"):
                return False
        elif left != right:
            return False
    return True


def test_counts_add_up_to_the_rows(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    data = stability_map(trials, GRID)
    assert data.shape == (2, 2, 3, 4)
    assert data.pooled == ()
    assert data.counts.sum() == len(trials)
    assert data.missing == data.off_grid == 0
    for place, outcome in enumerate(OUTCOMES):
        assert data.counts[..., place].sum() == (trials["outcome"] == outcome).sum()
    assert (data.measured + data.counts[..., OUTCOMES.index("crashed")] == data.trials).all()


def test_the_order_of_rows_is_irrelevant(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    shuffled = trials.sample(frac=1, random_state=1)
    assert same(stability_map(trials, GRID), stability_map(shuffled, GRID))


def test_the_order_of_numeric_values_is_irrelevant(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    turned = GRID | {"learning_rate": GRID["learning_rate"][::-1], "depth": [4, 1, 2, 2]}
    assert same(stability_map(trials, GRID), stability_map(trials, turned))


def test_pooling_sums_the_maps_of_each_value(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    pooled = stability_map(trials, GRID, pool=["batch_size"])
    parts = [stability_map(trials, GRID, where={"batch_size": size}) for size in (16, 32)]
    assert pooled.pooled == ("batch_size",)
    assert (pooled.counts == parts[0].counts + parts[1].counts).all()
    earliest = np.fmin(parts[0].onset_earliest, parts[1].onset_earliest)
    np.testing.assert_array_equal(pooled.onset_earliest, earliest)
    assert parts[0].boundary_index is not None and parts[1].boundary_index is not None
    both = np.minimum(parts[0].boundary_index, parts[1].boundary_index)
    np.testing.assert_array_equal(pooled.boundary_index, both)


def test_a_pooled_axis_repeated_under_another_name_changes_no_share(
    make_table: TableMaker,
) -> None:
    trials = make_table(GRID)
    twice = pd.concat([trials.assign(dropout=0.0), trials.assign(dropout=0.5)])
    one = stability_map(trials, GRID, pool=["batch_size"])
    two = stability_map(twice, GRID | {"dropout": [0.0, 0.5]}, pool=["batch_size", "dropout"])
    np.testing.assert_array_equal(two.counts, 2 * one.counts)
    for name in ("stability", "dominant", "onset_earliest", "onset_median", "boundary_index"):
        np.testing.assert_array_equal(getattr(two, name), getattr(one, name))
    assert two.trials_per_cell == 2 * one.trials_per_cell


def test_where_is_the_map_of_those_rows(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    fixed = stability_map(trials, GRID, where={"precision": "float16"})
    rest = {name: values for name, values in GRID.items() if name != "precision"}
    alone = stability_map(trials[trials["precision"] == "float16"], rest)
    np.testing.assert_array_equal(fixed.counts, alone.counts)
    assert fixed.fixed == {"precision": "float16"}


def test_a_cell_by_hand(rows_of: TableMaker) -> None:
    cells = [
        (1.0, "stable", None), (1.0, "stalled", None), (1.0, "crashed", None),
        (2.0, "nonfinite", 3), (2.0, "nonfinite", 8), (2.0, "diverged", None),
        (2.0, "stable", None),
        (3.0, "crashed", None),
        (4.0, "stalled", None), (4.0, "stalled", None), (4.0, "stable", None),
    ]  # fmt: skip
    data = stability_map(rows_of(["lr"], cells), {"lr": [1, 2, 3, 4, 5]})
    np.testing.assert_array_equal(data.stability[0, 0, 0], [1, 0.25, np.nan, 1, np.nan])
    np.testing.assert_array_equal(data.onset_earliest[0, 0, 0], [np.nan, 3, *[np.nan] * 3])
    np.testing.assert_array_equal(data.onset_median[0, 0, 0], [np.nan, 5.5, *[np.nan] * 3])
    names = [OUTCOMES[code].value if code >= 0 else None for code in data.dominant[0, 0, 0]]
    assert names == ["stable", "nonfinite", "crashed", "stalled", None]
    assert data.failures[0, 0, 0].tolist() == [0, 3, 0, 0, 0]
    assert data.seeds == 4 and data.trials_per_cell == 4
    assert data.missing == 1 + 0 + 3 + 1 + 4


def test_half_failing_is_dominated_by_the_failure(rows_of: TableMaker) -> None:
    cells = [(1.0, "stable", None), (1.0, "diverged", None)]
    data = stability_map(rows_of(["lr"], cells), {"lr": [1.0]})
    assert OUTCOMES[int(data.dominant.item())] == "diverged"


@pytest.mark.parametrize(
    ("cells", "index", "status"),
    [
        ("....", 3, "no_failure"),
        ("..xx", 1, "found"),
        ("..x.", 1, "found"),  # an island of stability above changes nothing
        (".x..", 0, "found"),
        ("x...", -1, "all_fail"),
        ("xxxx", -1, "all_fail"),
        ("..?.", 1, "gap"),
        ("..?x", 1, "gap"),
        ("..x?", 1, "found"),
        ("...?", 2, "gap"),
        ("?...", -1, "unmeasured"),
        ("?xxx", -1, "unmeasured"),
        ("????", -1, "unmeasured"),
        (".", 0, "no_failure"),
        ("x", -1, "all_fail"),
    ],
)
def test_boundaries_by_hand(
    rows_of: TableMaker, cells: str, index: int, status: BoundaryStatus
) -> None:
    values = [10.0**power for power in range(len(cells))]
    outcomes = {".": "stable", "x": "nonfinite"}
    rows = [
        (value, outcomes[cell], 1 if cell == "x" else None)
        for value, cell in zip(values, cells, strict=True)
        if cell != "?"
    ]
    trials = rows_of(["lr"], rows) if rows else rows_of(["lr"], [(1e9, "stable", None)])
    found = stability_map(trials, {"lr": values}).boundaries()
    assert [boundary.status for boundary in found] == [status]
    assert found[0].value == (values[index] if index >= 0 else None)


@given(st.lists(st.sampled_from(".x?"), min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_more_failures_never_raise_the_boundary(cells: list[str], data: st.DataObject) -> None:
    failed = np.array([cell == "x" for cell in cells])
    measured = np.array([cell != "?" for cell in cells])
    index, status = find_boundary(failed, measured)
    assert (measured & ~failed)[: index + 1].all()
    assert index < len(cells)
    assert (STATUSES[int(status)] is BoundaryStatus.NO_FAILURE) == (index == len(cells) - 1)
    worse = failed.copy()
    worse[data.draw(st.integers(0, len(cells) - 1))] = True
    assert find_boundary(worse, measured)[0] <= index


def test_boundaries_name_their_panel_and_row(make_table: TableMaker) -> None:
    data = stability_map(make_table(GRID), GRID, pool=["batch_size"])
    named = [(boundary.column, boundary.y) for boundary in data.boundaries()]
    assert named == [(p, d) for p in ("float32", "float16") for d in (1, 2, 4)]
    assert data.boundaries()[0].row is None


def test_a_categorical_x_has_no_boundary(make_table: TableMaker) -> None:
    data = stability_map(make_table(GRID), GRID, x="precision")
    assert data.boundary_index is data.boundary_status is None
    assert data.boundaries() == []


def test_an_incomplete_result_says_what_is_missing(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    half = trials[trials["precision"] == "float32"]
    data = stability_map(half, GRID)
    assert data.missing == len(trials) - len(half)
    assert np.isnan(data.stability[:, 1]).all() and (data.dominant[:, 1] == -1).all()
    assert data.boundary_status is not None
    unmeasured = STATUSES.index(BoundaryStatus.UNMEASURED)
    assert (data.boundary_status[:, 1] == unmeasured).all()
    assert "Incomplete: 72 trials not run yet." in caption(data)


def test_an_empty_table_is_a_map_of_nothing(make_table: TableMaker) -> None:
    data = stability_map(make_table(GRID).iloc[:0], GRID)
    assert data.counts.sum() == 0 and np.isnan(data.stability).all()
    assert "No trial measured yet." in caption(data)


def test_rows_off_the_grid_are_counted_not_placed(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    fewer = GRID | {"learning_rate": [0.001, 0.01, 0.1]}
    data = stability_map(trials, fewer)
    assert data.off_grid == len(trials) // 4
    assert data.counts.sum() + data.off_grid == len(trials)
    assert "off this grid" in caption(data)


def test_the_caption_says_what_is_pooled_and_fixed(make_table: TableMaker) -> None:
    grid = GRID | {"l2": [0.0, 1e-4]}
    data = stability_map(make_table(grid), grid, pool=["batch_size"], where={"l2": "1e-4"})
    words = caption(data)
    assert words.startswith("Each cell: 6 trials, over batch_size and 3 seeds. Fixed: l2 = 0.0001.")


def test_one_value_axes_are_fixed(make_table: TableMaker) -> None:
    grid = GRID | {"l2": [0.0]}
    assert stability_map(make_table(grid), grid).fixed == {"l2": 0.0}


def test_the_arrays_are_read_only(make_table: TableMaker) -> None:
    data = stability_map(make_table(GRID), GRID)
    with pytest.raises(ValueError, match="read-only"):
        data.counts[...] = 0


def test_what_cannot_be_asked_is_refused(make_table: TableMaker) -> None:
    trials = make_table(GRID)
    with pytest.raises(ResultError, match=r"x: expected an axis .* Did you mean 'depth'"):
        stability_map(trials, GRID, x="dept")
    with pytest.raises(ResultError, match=r"where: expected an axis of the sweep \(learning_rate"):
        stability_map(trials, GRID, where={"width": 3})
    with pytest.raises(ResultError, match=r"values of depth \(1, 2, 4\), got '3'"):
        stability_map(trials, GRID, where={"depth": 3})
    with pytest.raises(ResultError, match=r"column\(s\) onset_step"):
        stability_map(trials.drop(columns="onset_step"), GRID)
    with pytest.raises(ResultError, match="got exploded"):
        stability_map(trials.assign(outcome="exploded"), GRID)
