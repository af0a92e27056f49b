"""A grid limited to some of its cells, and other seeds than the first."""

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import DatasetSettings, parse_config
from stabilitysweep.extension import difference
from stabilitysweep.grid import Grid, Trial

ROWS = {"diabetes": 353, "wine": 142}
AXES: dict[str, list[Any]] = {
    "dataset": ["diabetes", "wine"],
    "batch_size": [16, 142, "full"],
    "depth": [1, 2, 3],
    "learning_rate": [0.1, 0.01],
}


def rows_of(dataset: DatasetSettings) -> int:
    return ROWS[dataset.label]


def grid_of(blueprints: Callable[[Trial], Blueprint] | None = None, **content: Any) -> Grid:
    return Grid(parse_config({"grid": AXES, **content}), rows_of, blueprints)


@st.composite
def selections(draw: st.DrawFn) -> list[dict[str, Any]]:
    cell = st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
            for name, values in AXES.items()
        },
    )
    return draw(st.lists(cell.filter(bool), min_size=1, max_size=3))


lawful = settings(derandomize=True, deadline=None, max_examples=60)


@lawful
@given(cells=selections(), first=st.integers(0, 5), seeds=st.integers(1, 2))
def test_the_trials_are_those_of_the_whole_grid_that_are_selected(
    cells: list[dict[str, Any]], first: int, seeds: int
) -> None:
    chosen = grid_of(cells=cells, seeds={"from": first, "num": seeds})
    selected = [
        dict(zip(AXES, values, strict=True))
        for values in itertools.product(*AXES.values())
        if any(
            all(dict(zip(AXES, values, strict=True))[axis] in own for axis, own in cell.items())
            for cell in cells
        )
    ]
    alone = {
        trial.trial_id
        for values in selected
        for trial in grid_of(
            grid={name: [value] for name, value in values.items()},
            seeds={"from": first, "num": seeds},
        )
    }
    trials = list(chosen)
    assert {trial.trial_id for trial in trials} == alone
    assert len({trial.trial_id for trial in trials}) == len(trials) == len(chosen)
    assert chosen.cells * seeds == len(chosen)
    assert len(chosen) + chosen.merged == len(selected) * seeds
    assert {trial.seed for trial in trials} == set(range(first, first + seeds))
    met = {name: {trial.axes[name] for trial in trials} for name in AXES}
    assert {name: set(values) for name, values in chosen.axes.items()} == met
    # In the order of the whole grid, whatever that of the entries is.
    whole = [trial.trial_id for trial in grid_of(seeds={"from": first, "num": seeds})]
    assert [trial_id for trial_id in whole if trial_id in alone] == [
        trial.trial_id for trial in trials if trial.trial_id in whole
    ]


def test_all_cells_are_the_grid() -> None:
    every = grid_of(cells=[{"depth": [3, 1, 2]}, {"depth": 2}])
    assert list(every) == list(grid_of())
    assert every.axes == grid_of().axes


def test_a_selected_cell_stays_where_the_first_that_means_the_same_is_not() -> None:
    # Of wine's 142 rows, `full` and 142 are the same; only one of each depth is selected.
    cells = [
        {"dataset": "wine", "batch_size": 142, "depth": 1, "learning_rate": 0.1},
        {"dataset": "wine", "batch_size": "full", "depth": 2, "learning_rate": 0.1},
    ]
    assert [trial.axes["depth"] for trial in grid_of(cells=cells)] == [1, 2]
    assert grid_of(cells=cells).merged == 0


def test_cells_and_seeds_extend() -> None:
    def resolved(**content: Any) -> dict[str, Any]:
        return parse_config({"grid": AXES, **content}).resolved()

    one, other = resolved(cells=[{"depth": 1}]), resolved(cells=[{"depth": 2}], seeds=4)
    assert difference(one, other) == difference(other, one) == []
    assert difference(one, resolved()) == []
    assert difference(one, resolved(seeds={"from": 100, "num": 2})) == []


def test_only_the_models_of_selected_cells_are_built() -> None:
    asked: list[dict[str, Any]] = []

    def build(trial: Trial) -> Blueprint:
        asked.append(dict(trial.axes))
        return Blueprint(
            build="models:build", values=trial.model.hp, program=str(trial.axes["depth"])
        )

    content: dict[str, Any] = {
        "dataset": "diabetes",
        "model": {"build": "models:build"},
        "grid": {"depth": [1, 2, 3], "learning_rate": [0.1, 0.01]},
        "cells": [{"depth": 3}, {"depth": 1, "learning_rate": 0.01}],
        "seeds": {"from": 9, "num": 2},
    }
    grid = grid_of(build, **content)
    assert len(grid) == 6 and grid.cells == 3
    assert grid.axes == {"depth": (1, 3), "learning_rate": (0.1, 0.01)}
    assert [(own["depth"], own["learning_rate"]) for own in asked] == [
        (1, 0.01), (3, 0.1), (3, 0.01),
    ]  # fmt: skip
    assert [trial.seed for trial in grid][:2] == [9, 10]
