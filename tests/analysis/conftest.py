"""Trials tables made by hand and made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

TableMaker = Callable[..., pd.DataFrame]


@pytest.fixture
def make_table() -> TableMaker:
    """A complete table over a grid, its outcomes drawn around a plausible boundary."""

    def make(axes: Mapping[str, Sequence[object]], seeds: int = 3, rng: int = 0) -> pd.DataFrame:
        random = np.random.default_rng(rng)
        sizes = [*(len(values) for values in axes.values()), seeds]
        places = np.indices(sizes).reshape(len(sizes), -1)
        table = pd.DataFrame(
            {
                name: pd.Series(list(values), dtype=_dtype(values)).to_numpy()[place]
                for (name, values), place in zip(axes.items(), places, strict=False)
            }
        )
        table["seed"] = places[-1]
        over = random.normal(size=len(table))
        if "learning_rate" in axes:
            over = np.log10(table["learning_rate"].to_numpy(dtype=float)) + 1.5 + 0.3 * over
        outcome = np.select(
            [over < -2, over < 0, over < 0.5, random.random(len(table)) < 0.02],
            ["stalled", "stable", "diverged", "crashed"],
            "nonfinite",
        )
        return finish(table, outcome, random.integers(1, 100, len(table)))

    return make


@pytest.fixture
def rows_of() -> TableMaker:
    """A table from rows of (axis values..., outcome, onset step or None)."""

    def make(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
        table = pd.DataFrame([row[:-2] for row in rows], columns=list(names))
        table["seed"] = table.groupby(list(names), dropna=False).cumcount()
        outcome = np.array([row[-2] for row in rows], dtype=object)
        onset = np.array([np.nan if row[-1] is None else row[-1] for row in rows], dtype=float)
        return finish(table, outcome, onset)

    return make


def finish(table: pd.DataFrame, outcome: Any, onset: Any) -> pd.DataFrame:
    """Adds the outcome's columns; only non-finite trials have an onset."""
    broke = outcome == "nonfinite"
    table["outcome"] = outcome
    table["onset_step"] = pd.array(np.where(broke, onset, np.nan)).astype("Int64")
    table["onset_stage"] = pd.Series("gradient", table.index, dtype=object).where(broke, None)
    table["onset_tensor"] = pd.Series("dense/kernel", table.index, dtype=object).where(broke, None)
    table["onset_kind"] = pd.Series("+inf", table.index, dtype=object).where(broke, None)
    table["trial_id"] = [f"t{number:06d}" for number in range(len(table))]
    return table


def _dtype(values: Sequence[object]) -> str | None:
    return None if all(isinstance(value, int | float) for value in values) else "object"
