"""What is particular to a result that was recorded from a search: columns, settings, a pick."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stabilitysweep.analysis.axes import make_axes
from stabilitysweep.analysis.layout import choose_layout
from stabilitysweep.config import SweepConfig
from stabilitysweep.errors import ResultError

OF_SEARCH = "of_search"
"""Beside the axes of a stored trial: what else the search knew of it.

`trial` and `execution` as KerasTuner counts them, `values` of all its `hp`, and of its model the
`optimizer`, `loss` and `precision`.
"""

EXACT = "exact_"
"""Before the name of an axis of bins: the column of the values themselves."""

_FILLED = 0.5
"""Share of its cells that must have a trial, or a map has no panels."""

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


def scattered(
    table: pd.DataFrame, axes: Mapping[str, Sequence[Any]], rate: str, where: Mapping[str, Any]
) -> list[str]:
    """The axes that a map of a search is to pool over, since it would be mostly empty otherwise.

    Args:
        table: the trials.
        axes: the values of each axis.
        rate: the axis of the learning rate.
        where: axes that are held at one value.
    """
    made = make_axes(axes)
    fixed = {name: 0 for name in where if name in made}
    usual = choose_layout(
        made, x=None, y=None, rows=None, columns=None, fixed=fixed, pool=(), rate=rate
    )
    shown = [name for name in (usual.x, usual.y, usual.rows, usual.columns) if name]
    cells = math.prod(len(made[name]) for name in shown)
    tried = len(table[shown].astype(str).drop_duplicates())
    if tried >= _FILLED * cells:
        return []
    kept = {usual.x, usual.y, *fixed}
    return [name for name, axis in made.items() if name not in kept and len(axis) > 1]


def settings_of(table: pd.DataFrame) -> dict[str, Any]:
    """The settings that causes are judged by, as far as all trials share them."""
    found: dict[str, Any] = {}
    for name in _OF_MODEL:
        column = table.get(f"model_{name}")
        values = [] if column is None else [value for value in column.unique() if value]
        found[name] = values[0] if len(values) == 1 else None
    return found | {"learning_rate": None}  # a column, where it is known at all


def pick_text(
    table: pd.DataFrame,
    config: SweepConfig,
    cell: Mapping[str, Any],
    said: str,
    best: tuple[str, bool],
    limit: float | None,
) -> str:
    """What to build from: the best trial of a picked cell that keeps the margin.

    The learning rate of the cell is the lower end of a bin. Of its trials, all of which were
    stable, those count whose own learning rate keeps the margin; if none does, the lowest is it.

    Args:
        table: the trials.
        config: of the search.
        cell: the value of each axis.
        said: what is known of the pick, for the comment above.
        best: what the trials are ranked by, and whether more is better.
        limit: the largest learning rate that keeps the margin; None if that is not known.
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
        within = rows if limit is None else rows.loc[rows[by] <= limit * (1 + 1e-9)]
        rows = within if len(within) else rows.iloc[:1]
    metric, higher = best
    row = rows.sort_values(metric, ascending=not higher, kind="stable").iloc[0]
    others = [name for name in hp_columns(table, config) if not name.startswith(EXACT)]
    names = [*config.grid, *others]
    chosen = {
        name: _plain(row[EXACT + name] if name in recorded.exact else row[name]) for name in names
    }
    content = {
        "search_trial": str(row["search_trial"]),
        metric: _plain(row[metric]),
        "hp": {name: value for name, value in chosen.items() if value is not None},
    }
    return said + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def hp_columns(table: pd.DataFrame, config: SweepConfig) -> list[str]:
    """The columns of a search with `hp` values that are no axes: exact ones, then others."""
    if config.recorded is None:
        return []
    columns = list(table.columns)
    own = columns[columns.index("execution") + 1 :] if "execution" in columns else []
    return [name for name in own if name not in {f"model_{of}" for of in _OF_MODEL}]


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
