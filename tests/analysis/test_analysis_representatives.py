"""The few failed trials that stand for all, against a plain search."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from lattices import AXES, FAILED, apart, on_grid, order, plain, random_table

from stabilitysweep import ResultError
from stabilitysweep.analysis import (
    Representative,
    nearest_failed,
    representatives,
    summary,
)
from stabilitysweep.types import Cause

TableMaker = Callable[..., pd.DataFrame]
Row = dict[str, Any]


def failed_of(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["outcome"] in FAILED]


def late(row: Row) -> float:
    return math.inf if row["onset_step"] is None else row["onset_step"]


def typical(rows: list[Row]) -> str:
    median = statistics.median_low([late(row) for row in rows])
    return min(row["trial_id"] for row in rows if late(row) == median)


def places_from_a_cell_that_holds(row: Row, rows: list[Row]) -> float:
    same = [name for name in AXES if name != "learning_rate"]
    line = [other for other in rows if all(other[name] == row[name] for name in same)]
    outcomes: dict[Any, set[str]] = {rate: set() for rate in order("learning_rate")}
    for other in line:
        outcomes[other["learning_rate"]] |= {other["outcome"]} - {"crashed"}
    holds = [rate for rate, seen in outcomes.items() if seen and not seen & {*FAILED}]
    own = row["learning_rate"]
    return min((apart("learning_rate", own, rate) for rate in holds), default=math.inf)


@pytest.mark.parametrize("seed", range(6))
def test_representatives_are_those_of_a_plain_search(seed: int) -> None:
    table = random_table(seed, keep=0.4 + 0.1 * seed)
    rows = plain(table)
    found = representatives(table, AXES)
    by_reason = {
        reason: one.trial_id for one in found for reason in one.reason.split("; ")
    }  # fmt: skip
    assert len({one.trial_id for one in found}) == len(found)
    earliest = summary(table, AXES).earliest_onset
    assert earliest is not None
    expected = {"earliest onset": earliest.trial_id}
    counts = Counter(row["cause"] for row in failed_of(rows))
    for cause, number in counts.items():
        own = [row for row in failed_of(rows) if row["cause"] == cause]
        expected[f"one of {number} with {cause}"] = typical(own)
    sound = list(filter(on_grid, rows))
    edges = [
        (places_from_a_cell_that_holds(row, sound), -(row["onset_step"] or -1), row["trial_id"])
        for row in failed_of(sound)
    ]
    assert min(edges)[0] < math.inf
    expected["nearest to the boundary"] = min(edges)[2]
    assert by_reason == expected
    again = table.sample(frac=1, random_state=seed + 50)
    assert representatives(again, AXES) == found


def test_reasons_of_one_trial_are_merged_and_causes_go_by_frequency(rows_of: TableMaker) -> None:
    rows = [(0.1, "stable", None), (1.0, "nonfinite", 9), (2.0, "nonfinite", 5)]
    rows += [(3.0, "nonfinite", 2), (4.0, "nonfinite", 7)]
    table = rows_of(["learning_rate"], rows)
    table["cause"] = [None, *[Cause.UNKNOWN] * 3, Cause.FLOAT16_OVERFLOW]
    assert representatives(table, {"learning_rate": [0.1, 1.0, 2.0, 3.0, 4.0]}) == [
        Representative("t000003", "earliest onset"),
        Representative("t000002", "one of 3 with unknown"),
        Representative("t000004", "the only one with float16_overflow"),
        Representative("t000001", "nearest to the boundary"),
    ]
    few = table.iloc[:2]
    assert representatives(few, {"learning_rate": [0.1, 1.0]}) == [
        Representative(
            "t000001", "earliest onset; the only one with unknown; nearest to the boundary"
        )
    ]
    assert representatives(few.drop(columns="cause"), {"learning_rate": [0.1, 1.0]}) == [
        Representative("t000001", "earliest onset; nearest to the boundary")
    ]


def test_nearest_to_the_boundary_is_the_latest_and_one_with_an_onset(rows_of: TableMaker) -> None:
    rows = [("a", 1, "stable", None), ("a", 2, "nonfinite", 3), ("b", 1, "stable", None)]
    rows += [("b", 2, "nonfinite", 8), ("c", 1, "stable", None), ("c", 2, "diverged", None)]
    rows += [("d", 1, "crashed", None), ("d", 2, "nonfinite", 99)]
    table = rows_of(["data", "depth"], rows)  # no learning rate: any axis of numbers
    axes = {"data": ["a", "b", "c", "d"], "depth": [1, 2]}
    assert representatives(table, axes)[-1] == Representative("t000003", "nearest to the boundary")
    diverged = table[table["outcome"] != "nonfinite"]
    assert representatives(diverged, axes) == [Representative("t000005", "nearest to the boundary")]


def test_where_nothing_failed_nobody_is_picked(rows_of: TableMaker) -> None:
    table = rows_of(["depth"], [(1, "stable", None), (2, "crashed", None)])
    axes = {"depth": [1, 2]}
    for some in (table, table.iloc[:0], table.assign(cause=None)):
        assert representatives(some, axes) == []
    assert nearest_failed(table, axes, "t000000") is None
    with pytest.raises(ResultError, match="trial_id"):
        representatives(table.drop(columns="trial_id"), axes)
    with pytest.raises(ResultError, match="got 'nobody'"):
        nearest_failed(table, axes, "nobody")


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_failed_trial_is_that_of_a_plain_search(seed: int) -> None:
    table = random_table(seed)
    sound = list(filter(on_grid, plain(table)))
    for row in [row for row in sound if row["outcome"] not in FAILED][::9]:
        ranked = [
            (
                sum(apart(name, row[name], other[name]) for name in AXES),
                other["seed"] != row["seed"],
                other["trial_id"],
            )
            for other in failed_of(sound)
        ]
        assert nearest_failed(table, AXES, row["trial_id"]) == min(ranked)[2]


def test_a_trial_off_the_grid_has_a_nearest_failed_one_too(rows_of: TableMaker) -> None:
    rows = [("float32", "deep", "stable", None), ("float32", 3, "diverged", None)]
    rows += [("float16", 1, "diverged", None)]
    table = rows_of(["precision", "depth"], rows)
    axes = {"precision": ["float32", "float16"], "depth": [1, 2, 3]}
    assert nearest_failed(table, axes, "t000000") == "t000001"
