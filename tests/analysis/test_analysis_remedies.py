"""The nearest cells that hold, against a plain search of every cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lattices import AXES, FAILED, apart, on_grid, plain, random_table

from stabilitysweep import ResultError
from stabilitysweep.analysis import Remedy, remedies

TableMaker = Callable[..., pd.DataFrame]
Cell = tuple[Any, ...]
RATES = [0.01, 0.1, 1.0, 10.0]


def holding(table: pd.DataFrame) -> dict[Cell, int]:
    """The cells in which something was measured and nothing failed, and how many seeds."""
    outcomes: dict[Cell, list[str]] = {}
    for row in filter(on_grid, plain(table)):
        if row["outcome"] != "crashed":
            outcomes.setdefault(tuple(row[name] for name in AXES), []).append(row["outcome"])
    return {cell: len(seen) for cell, seen in outcomes.items() if not {*seen} & {*FAILED}}


def steps(one: Cell, other: Cell) -> dict[str, int]:
    away = {name: apart(name, *pair) for name, *pair in zip(AXES, one, other, strict=True)}
    return {name: number for name, number in away.items() if number}


def target(own: Cell, remedy: Remedy) -> Cell:
    settings = dict(zip(AXES, own, strict=True))
    for name, (old, new) in remedy.changes.items():
        assert settings[name] == old
        settings[name] = new
    return tuple(settings.values())


@pytest.mark.parametrize("seed", range(6))
def test_remedies_are_those_of_a_plain_search(seed: int) -> None:
    table = random_table(seed, keep=0.2 + 0.15 * seed)
    cells = holding(table)
    rows = [row for row in plain(table) if row["outcome"] in FAILED and on_grid(row)]
    for row in rows[:: max(1, len(rows) // 12)]:
        own = tuple(row[name] for name in AXES)
        away = {cell: steps(own, cell) for cell in cells}
        found = remedies(table, AXES, row["trial_id"], most=99)
        for number in (1, 2):
            nearest: dict[tuple[str, ...], int] = {}
            for changes in away.values():
                if len(changes) == number:
                    total = sum(changes.values())
                    key = tuple(changes)
                    nearest[key] = min(total, nearest.get(key, total))
            if nearest:
                break
        else:
            nearest = {}
        for remedy in found:
            cell = target(own, remedy)
            assert remedy.seeds == cells[cell]
            assert remedy.steps_away == sum(away[cell].values())
        assert [remedy.steps_away for remedy in found] == sorted(
            remedy.steps_away for remedy in found
        )
        if nearest:
            assert {tuple(remedy.changes): remedy.steps_away for remedy in found} == nearest
        else:
            least = min((sum(changes.values()) for changes in away.values()), default=None)
            assert [remedy.steps_away for remedy in found] == ([] if least is None else [least])
        shuffled = table.sample(frac=1, random_state=seed + 50)
        assert remedies(shuffled, AXES, row["trial_id"], most=99) == found
        assert remedies(table, AXES, row["trial_id"], most=1) == found[:1]


def line(rows_of: TableMaker, axis: str, outcomes: dict[Any, str]) -> pd.DataFrame:
    return rows_of([axis], [(value, outcome, None) for value, outcome in outcomes.items()])


@pytest.mark.parametrize(
    ("axis", "values", "safer"),
    [
        ("learning_rate", [0.01, 0.1, 1.0], 0.01),
        ("depth", [1, 2, 4], 1),
        ("width", [8, 16, 32], 8),
        ("momentum", [0.0, 0.5, 0.9], 0.0),
        ("clipnorm", [0.1, 1.0, None], 0.1),
        ("batch_size", [16, 32, 64], 64),
        ("l1", [0, 1e-4, 1e-2], 1e-2),
        ("l2", [0, 1e-4, 1e-2], 1e-2),
        ("dropout", [0.0, 0.2, 0.5], 0.5),
        ("weight_decay", [0.0, 0.01, 0.1], 0.1),
        ("warmup_steps", [0, 10, 20], 20),
        ("precision", ["mixed_float16", "float16", "float32"], "float32"),
        ("precision", ["float32", "float16", "mixed_bfloat16"], "float32"),
    ],
)
def test_of_two_equally_near_the_safer(
    rows_of: TableMaker, axis: str, values: list[Any], safer: Any
) -> None:
    table = line(rows_of, axis, dict(zip(values, ["stable", "diverged", "stalled"], strict=True)))
    assert remedies(table, {axis: values}, "t000001") == [
        Remedy({axis: (values[1], safer)}, seeds=1, steps_away=1)
    ]


def test_the_nearest_on_each_axis_and_the_learning_rate_first(rows_of: TableMaker) -> None:
    axes = {"depth": [1, 2, 4], "precision": ["float32", "float16"], "learning_rate": RATES}
    bad = {(4, "float16", 10.0), (4, "float16", 1.0), (2, "float16", 10.0)}
    rows = [
        (*cell, "nonfinite" if cell in bad else "stable", 3 if cell in bad else None)
        for cell in itertools.product(*axes.values())
    ]
    table = rows_of(list(axes), rows)
    found = remedies(table, axes, table.loc[_at(table, 4, "float16", 10.0), "trial_id"])
    assert list(map(str, found)) == [
        "in float32 instead of float16 the one seed is stable",
        "at learning rate 0.1 instead of 10 the one seed is stable",
        "at depth 1 instead of 4 the one seed is stable",
    ]
    assert [remedy.steps_away for remedy in found] == [1, 2, 2]


def test_the_learning_rate_comes_before_what_is_safer(rows_of: TableMaker) -> None:
    axes = {"depth": [1, 2], "learning_rate": [0.1, 1.0]}
    rows = [(2, 0.1, "diverged", 3), (1, 0.1, "stable", None), (2, 1.0, "stable", None)]
    found = remedies(rows_of(list(axes), rows), axes, "t000000")
    assert [tuple(remedy.changes) for remedy in found] == [("learning_rate",), ("depth",)]


def _at(table: pd.DataFrame, depth: int, precision: str, rate: float) -> Any:
    at = (table["depth"] == depth) & (table["precision"] == precision)
    return table.index[at & (table["learning_rate"] == rate)][0]


def test_one_failed_seed_spoils_a_cell_and_a_crashed_one_says_nothing(rows_of: TableMaker) -> None:
    rows = [(1.0, "diverged", None), (0.1, "stable", None), (0.1, "diverged", None)]
    rows += [(0.01, "stable", None), (0.01, "crashed", None), (0.001, "stable", None)]
    rows += [(10.0, "crashed", None)]
    table = rows_of(["learning_rate"], rows)
    found = remedies(table, {"learning_rate": [0.001, *RATES]}, "t000000")
    assert found == [Remedy({"learning_rate": (1.0, 0.01)}, seeds=1, steps_away=2)]


def test_two_axes_together_where_none_helps_alone(rows_of: TableMaker) -> None:
    axes: dict[str, list[Any]] = {"depth": [1, 2], "clipnorm": [None, 1.0], "l2": [0, 0.1]}
    holds = {(1, 1.0, 0), (2, 1.0, 0.1), (1, None, 0.1)}
    rows = [
        (*cell, "stable" if cell in holds else "diverged", None)
        for cell in itertools.product(*axes.values())
    ]
    table = rows_of(list(axes), rows)
    own = plain(table)
    start = next(row["trial_id"] for row in own if row["depth"] == 2 and row["l2"] == 0)
    assert own[[row["trial_id"] for row in own].index(start)]["clipnorm"] is None
    assert [tuple(remedy.changes) for remedy in remedies(table, axes, start)] == [
        ("depth", "clipnorm"), ("depth", "l2"), ("clipnorm", "l2"),
    ]  # fmt: skip
    assert str(remedies(table, axes, start)[0]) == (
        "at depth 1 instead of 2 and clipnorm 1 instead of none the one seed is stable"
    )
    only = table[table["trial_id"] == start]
    far = rows_of(list(axes), [(1, 1.0, 0.1, "stable", None)]).assign(trial_id="far")
    assert remedies(pd.concat([only, far]), axes, start) == [
        Remedy({"depth": (2, 1), "clipnorm": (None, 1.0), "l2": (0, 0.1)}, 1, 3)
    ]


def test_no_remedy_without_a_failure_or_a_cell_that_holds(rows_of: TableMaker) -> None:
    table = line(rows_of, "depth", {1: "stable", 2: "diverged", 3: "crashed"})
    axes = {"depth": [1, 2, 3]}
    assert remedies(table, axes, "t000000") == []
    assert remedies(table, axes, "t000002") == []
    assert remedies(table.iloc[1:], axes, "t000001") == []
    with pytest.raises(ResultError, match="got 'nobody'"):
        remedies(table, axes, "nobody")
    with pytest.raises(ResultError, match="outcome"):
        remedies(table.drop(columns="outcome"), axes, "t000001")


def test_a_value_between_the_grids_is_a_place_of_its_own(rows_of: TableMaker) -> None:
    table = line(rows_of, "learning_rate", {0.01: "stable", 0.05: "stable", 0.1: "diverged"})
    assert remedies(table, {"learning_rate": [0.1, 0.01]}, "t000002") == [
        Remedy({"learning_rate": (0.1, 0.05)}, seeds=1, steps_away=1)
    ]


def test_remedies_in_words() -> None:
    both = {"precision": ("float16", "float32"), "learning_rate": (0.1, 0.03)}
    assert str(Remedy(both, 3, 2)) == (
        "in float32 instead of float16 and at learning rate 0.03 instead of 0.1 "
        "all 3 seeds are stable"
    )
    close = Remedy({"learning_rate": (0.100002, 0.100001)}, 1, 1)
    assert "0.100001 instead of 0.100002" in str(close)
    loose = Remedy({"activation": ("relu", "tanh"), "clipnorm": (np.float64(1.0), None)}, 2, 2)
    assert str(loose) == (
        "with activation tanh instead of relu and clipnorm none instead of 1 all 2 seeds are stable"
    )
