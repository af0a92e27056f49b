"""What is particular to a result that was recorded from a search: columns, settings, a pick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stabilitysweep.config import SweepConfig
from stabilitysweep.errors import ResultError

OF_SEARCH = "of_search"
"""Beside the axes of a stored trial: what else the search knew of it.

`trial` and `execution` as KerasTuner counts them, `values` of all its `hp`, and of its model the
`optimizer`, `loss` and `precision`.
"""

EXACT = "exact_"
"""Before the name of an axis of bins: the column of the values themselves."""

_OF_MODEL = ("optimizer", "loss", "precision")


def taken_apart(table: pd.DataFrame, config: SweepConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part a table from what only a search knows of its trials.

    Args:
        table: with a column `OF_SEARCH`.
        config: of the search.

    Returns:
        The table without it, and as many rows of `search_trial`, `execution`, `exact_NAME` of
        each axis of bins, each `hp` that is no axis, and of the model `model_optimizer`,
        `model_loss` and `model_precision`. A name that the table has already is left out.
    """
    known = [found or {} for found in table[OF_SEARCH]]
    rest = table.drop(columns=OF_SEARCH)
    values = [found.get("values", {}) for found in known]
    recorded = config.recorded
    exact = () if recorded is None else recorded.exact
    others = {name: None for own in values for name in own if name not in config.grid}
    columns: dict[str, Any] = {
        "search_trial": _objects(found.get("trial") for found in known),
        "execution": pd.array([found.get("execution") for found in known], dtype="Int64"),
        **{EXACT + name: _numbers(own.get(name) for own in values) for name in exact},
        **{name: _objects(own.get(name) for own in values) for name in others},
        **{f"model_{name}": _objects(found.get(name) for found in known) for name in _OF_MODEL},
    }
    kept = {name: column for name, column in columns.items() if name not in rest}
    return rest, pd.DataFrame(kept, index=table.index)


def settings_of(table: pd.DataFrame) -> dict[str, Any]:
    """The settings that causes are judged by, as far as all trials share them."""
    found: dict[str, Any] = {}
    for name in _OF_MODEL:
        column = table.get(f"model_{name}")
        values = [] if column is None else [value for value in column.unique() if value]
        found[name] = values[0] if len(values) == 1 else None
    return found | {"learning_rate": None}  # a column, where it is known at all


def pick_text(table: pd.DataFrame, config: SweepConfig, cell: Mapping[str, Any], said: str) -> str:
    """What to build from: the trial of a picked cell with the lowest learning rate.

    All trials of the cell were stable, and its learning rate is the lower end of a bin, so none
    was tried at less: of the settings that were, this is the one farthest from the boundary.

    Args:
        table: the trials.
        config: of the search.
        cell: the value of each axis.
        said: what is known of the pick, for the comment above.
    """
    kept = np.ones(len(table), dtype=np.bool_)
    for name, value in cell.items():
        column = table[name]
        kept &= (column.isna() if value is None else column == value).to_numpy(dtype=np.bool_)
    rows = table.loc[kept]
    recorded = config.recorded
    if rows.empty or recorded is None:
        raise ResultError("expected a trial of the search in every pick.")
    by = EXACT + recorded.rate if recorded.rate in recorded.exact else recorded.rate
    if by is not None and by in rows:
        rows = rows.sort_values([by, "trial_id"], kind="stable")
    row = rows.iloc[0]
    names = [*config.grid, *_hp_columns(table, config)]
    chosen = {
        name: _plain(row[EXACT + name] if name in recorded.exact else row[name]) for name in names
    }
    content = {
        "search_trial": str(row["search_trial"]),
        "hp": {name: value for name, value in chosen.items() if value is not None},
    }
    return said + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _hp_columns(table: pd.DataFrame, config: SweepConfig) -> list[str]:
    """The columns of `hp` that are no axes: between the exact values and those of the model."""
    columns = list(table.columns)
    start = columns.index("execution") + 1 if "execution" in columns else len(columns)
    return [
        name
        for name in columns[start:]
        if not name.startswith(EXACT)
        and name not in config.grid
        and name not in {f"model_{own}" for own in _OF_MODEL}
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


def _objects(values: Iterable[Any]) -> pd.Series[Any]:
    held = list(values)
    column = np.empty(len(held), object)
    column[:] = held
    return pd.Series(column, dtype=object)


def _numbers(values: Iterable[Any]) -> pd.Series[Any]:
    return pd.Series([np.nan if value is None else value for value in values], dtype=np.float64)
