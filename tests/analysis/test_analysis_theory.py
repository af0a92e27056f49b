"""The theoretical limit on a map: the median of a whole row of cells, and where it has no place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis import stability_map
from stabilitysweep.errors import ResultError

TableMaker = Callable[..., pd.DataFrame]
GRID: dict[str, list[object]] = {
    "learning_rate": [0.001, 0.01, 0.1, 1.0],
    "batch_size": [16, 32],
    "depth": [1, 2, 4],
    "activation": ["relu", "tanh"],
}


@pytest.fixture
def trials(make_table: TableMaker) -> pd.DataFrame:
    table = make_table(GRID)
    random = np.random.default_rng(5)
    limit = table["depth"] + 0.1 * (table["activation"] == "tanh")
    table["critical_learning_rate"] = limit * np.exp(random.normal(size=len(table)) / 9)
    return table


def test_each_row_has_the_median_of_its_trials(trials: pd.DataFrame) -> None:
    data = stability_map(trials, GRID, rows="activation", pool=["batch_size"], theory=True)
    assert data.theory is not None
    assert data.theory.shape == (2, 1, 3)
    for (row, _, y), value in np.ndenumerate(data.theory):
        own = trials[
            (trials["activation"] == GRID["activation"][row]) & (trials["depth"] == [1, 2, 4][y])
        ]
        assert value == np.median(own["critical_learning_rate"])
    with pytest.raises(ValueError, match="read-only"):
        data.theory[0, 0, 0] = 1


def test_what_is_held_is_left_out(trials: pd.DataFrame) -> None:
    held = stability_map(trials, GRID, where={"activation": "tanh"}, theory=True)
    only = trials[trials["activation"] == "tanh"]
    alone = stability_map(only, GRID | {"activation": ["tanh"]}, theory=True)
    np.testing.assert_array_equal(held.theory, alone.theory)


def test_trials_without_a_limit_do_not_count(trials: pd.DataFrame) -> None:
    whole = stability_map(trials, GRID, theory=True).theory
    trials.loc[trials["depth"] == 2, "critical_learning_rate"] = None
    data = stability_map(trials, GRID, theory=True)
    assert data.theory is not None and whole is not None
    missing = np.isnan(data.theory)
    assert missing.any() and not missing.all()
    np.testing.assert_array_equal(data.theory[~missing], whole[~missing])


def test_the_order_of_rows_is_irrelevant(trials: pd.DataFrame) -> None:
    shuffled = trials.sample(frac=1, random_state=1)
    np.testing.assert_array_equal(
        stability_map(trials, GRID, theory=True).theory,
        stability_map(shuffled, GRID, theory=True).theory,
    )


def test_it_is_not_there_unless_asked_for(trials: pd.DataFrame) -> None:
    assert stability_map(trials, GRID).theory is None


def test_a_limit_has_no_place_beside_another_axis(trials: pd.DataFrame) -> None:
    with pytest.raises(ResultError, match=r"expected the learning rate along x.* got 'depth'"):
        stability_map(trials, GRID, x="depth", theory=True)


def test_a_map_without_any_limit_says_who_has_one(trials: pd.DataFrame) -> None:
    nothing = trials.assign(critical_learning_rate=np.nan)
    for table in (nothing, trials.drop(columns="critical_learning_rate")):
        with pytest.raises(ResultError, match=r"none on this map has one\. It is known of sgd"):
            stability_map(table, GRID, theory=True)
