"""How many long runs of a cell survived, and what that says of the share that would.

A run *survived* if it neither diverged nor became non-finite; one that stalled survived, and
is counted as such beside. Crashed runs say nothing.

Of n runs k survived. The interval of Clopper and Pearson (Biometrika 26, 1934) holds every
share p under which neither so many nor so few survivors would be rarer than (1 - level) / 2:

    low   P(X >= k | low)  = (1 - level) / 2, and 0 where k = 0
    high  P(X <= k | high) = (1 - level) / 2, and 1 where k = n

with X binomial of n and p. So it is two-sided, and covers the true share at least as often as
its level says. Of n = k = 20 runs at 95 % it is 83.2 % to 100 %.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.analysis.axes import Axis, encode, held_rows, make_axes
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    STALLED,
    beside,
    numbers,
    outcome_codes,
    require_columns,
)

LEVEL = 0.95
"""The level of the intervals, two-sided."""


def clopper_pearson(survived: int, runs: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share.

    Args:
        survived: k, from 0 to n.
        runs: n, at least 0; of none, every share is possible.
        level: how often the interval covers the true share at least, in (0, 1).

    Returns:
        `(low, high)`, shares in [0, 1].

    Raises:
        ValueError: a number out of range.

    Example:
        >>> low, high = clopper_pearson(20, 20)
        >>> round(low, 3), high
        (0.832, 1.0)
    """
    from scipy.special import betaincinv  # slow to import, and only wanted with long runs

    if not 0 <= survived <= runs:
        raise ValueError(f"survived: expected 0 to {runs}, got {survived}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, got {level}")
    tail = (1 - level) / 2
    low = float(betaincinv(survived, runs - survived + 1, tail)) if survived else 0.0
    high = float(betaincinv(survived + 1, runs - survived, 1 - tail)) if survived < runs else 1.0
    return low, high


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A long run that did not survive.

    Attributes:
        trial_id: of the trial, in the confirmation's own folder.
        seed: its seed.
        outcome: `diverged` or `nonfinite`.
        onset_step: the first bad step; None where it diverged, which has no onset.
        cause: a code of docs/causes.md, None if there is none.
        cause_text: the sentence with the numbers that speak for it.
    """

    trial_id: str
    seed: int
    outcome: str
    onset_step: int | None
    cause: str | None
    cause_text: str | None


@dataclass(frozen=True, slots=True)
class Survival:
    """The long runs of one cell.

    Attributes:
        settings: the cell's value on each axis.
        runs: number of runs that could be made, n.
        survived: number of them that neither diverged nor became non-finite, k.
        stalled: of those that survived, how many learnt nothing.
        crashed: number of runs that could not be made; they are not among `runs`.
        failures: the others, by onset; those without an onset last.
        val_loss: median validation loss of those that survived; None if there is none.
        low: lower end of the interval of the share that survives.
        high: its upper end.
    """

    settings: Mapping[str, Any]
    runs: int
    survived: int
    stalled: int
    crashed: int
    failures: tuple[FailedRun, ...]
    val_loss: float | None
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """The share that survived; None without a run."""
        return self.survived / self.runs if self.runs else None

    @property
    def onsets(self) -> tuple[int, ...]:
        """The onset steps of those that became non-finite, increasing."""
        return tuple(run.onset_step for run in self.failures if run.onset_step is not None)

    @property
    def causes(self) -> dict[str, int]:
        """The causes of the failures, the most frequent first, each with its number."""
        return dict(Counter(run.cause or "unknown" for run in self.failures).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, for `write_json`."""
        return {
            "settings": dict(self.settings),
            "runs": self.runs,
            "survived": self.survived,
            "share": self.share,
            "low": self.low,
            "high": self.high,
            "level": LEVEL,
            "stalled": self.stalled,
            "crashed": self.crashed,
            "val_loss": self.val_loss,
            "failures": [
                {
                    "trial_id": run.trial_id,
                    "seed": run.seed,
                    "outcome": run.outcome,
                    "onset_step": run.onset_step,
                    "cause": run.cause,
                    "cause_text": run.cause_text,
                }
                for run in self.failures
            ],
        }


def survivals(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], known: Collection[int] = ()
) -> list[Survival]:
    """Count the long runs of every cell that has one.

    Args:
        trials: the trials table of a confirmation.
        axes: name of each axis to its values; others that the trials have come after.
        known: seeds that do not count, since the cells were chosen by them.

    Returns:
        One for each cell, in the order of the axes' values, the last axis fastest.

    Raises:
        ResultError: the table lacks a column or holds an unknown outcome.
    """
    require_columns(trials, [*axes, "trial_id", "seed", "outcome", "onset_step", "val_loss"])
    fresh = trials.loc[~trials["seed"].isin(list(known))].reset_index(drop=True)
    made = _axes_with(trials, axes)
    places = np.column_stack([encode(fresh[name], axis) for name, axis in made.items()])
    cells, of = np.unique(places, axis=0, return_inverse=True)
    found = []
    for number, cell in enumerate(cells):
        pairs = zip(made.values(), cell, strict=True)
        settings = {axis.name: axis.values[int(at)] for axis, at in pairs}
        found.append(_survival(settings, fresh.loc[of == number]))
    return found


def of_trials(
    found: Sequence[Survival],
    trials: pd.DataFrame,
    ids: Collection[str],
    axes: Mapping[str, Sequence[object]],
) -> list[Survival]:
    """Return the long runs of the cells that some trials are of, with all their seeds.

    Args:
        found: see `survivals`, of the same trials and axes.
        trials: the trials table of a confirmation.
        ids: of the trials.
        axes: name of each axis to its values.
    """
    made = _axes_with(trials, axes)
    rows = trials.loc[trials["trial_id"].isin(list(ids))]
    columns = (encode(rows[name], axis).tolist() for name, axis in made.items())
    cells = set(zip(*columns, strict=True))
    return [
        each
        for each in found
        if tuple(axis.index_of(each.settings[name]) for name, axis in made.items()) in cells
    ]


def rows_where(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], where: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the trials that have the values of `where`.

    Args:
        trials: the trials table.
        axes: name of each axis to its values.
        where: axis to value; a text also matches the number that it spells.

    Raises:
        ResultError: an axis or a value that there is not.
    """
    return trials.loc[held_rows(trials, make_axes(axes), where)]


def distinct_cells(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], names: Collection[str]
) -> list[dict[str, Any]]:
    """Return the combinations that trials have on some axes, in the order of the axes' values.

    Args:
        trials: the trials table.
        axes: name of each axis to its values.
        names: the axes that count.
    """
    made = {name: axis for name, axis in make_axes(axes).items() if name in names}
    places = np.column_stack([encode(trials[name], axis) for name, axis in made.items()])
    return [
        {axis.name: axis.values[int(at)] for axis, at in zip(made.values(), row, strict=True)}
        for row in np.unique(places[(places >= 0).all(axis=1)], axis=0)
    ]


def survival_table(rows: Sequence[tuple[Mapping[str, Any], Survival]]) -> pd.DataFrame:
    """Return long runs as a table, one row a cell and budget.

    Args:
        rows: the budget (`steps`, `epochs`, one of them None), and the runs over it.

    Returns:
        A column an axis; `steps`, `epochs` (Int64); `runs`, `survived`, `stalled`, `crashed`
        (Int64); `share`, `low`, `high` (float64, shares); `first_onset`, `median_onset`
        (Int64, Float64); `causes` (text), `val_loss`.
    """
    table = pd.DataFrame(
        [
            beside(
                each.settings,
                {
                    **budget,
                    "runs": each.runs,
                    "survived": each.survived,
                    "share": each.share,
                    "low": each.low,
                    "high": each.high,
                    "stalled": each.stalled,
                    "crashed": each.crashed,
                    "first_onset": min(each.onsets, default=None),
                    "median_onset": statistics.median(each.onsets) if each.onsets else None,
                    "causes": ", ".join(
                        f"{cause}: {count}" for cause, count in each.causes.items()
                    ),
                    "val_loss": each.val_loss,
                },
            )
            for budget, each in rows
        ]
    )
    if table.empty:
        return pd.DataFrame(columns=list(_COLUMNS)).astype(_COLUMNS)
    return table.astype(_COLUMNS)


_COLUMNS: dict[str, Any] = {
    "steps": "Int64",
    "epochs": "Int64",
    "runs": "Int64",
    "survived": "Int64",
    "share": "float64",
    "low": "float64",
    "high": "float64",
    "stalled": "Int64",
    "crashed": "Int64",
    "first_onset": "Int64",
    "median_onset": "Float64",
    "causes": object,
    "val_loss": "float64",
}


def _axes_with(trials: pd.DataFrame, axes: Mapping[str, Sequence[object]]) -> dict[str, Axis]:
    """Axes with the values that trials have on them beside: a batch may be cut to the data."""
    values = {name: trials[name].drop_duplicates().tolist() for name in axes}
    return make_axes({name: [*own, *values[name]] for name, own in axes.items()})


def _survival(settings: Mapping[str, Any], rows: pd.DataFrame) -> Survival:
    codes = outcome_codes(rows)
    ran, failed = codes != CRASHED, (codes == DIVERGED) | (codes == NONFINITE)
    runs, survived = int(ran.sum()), int((ran & ~failed).sum())
    low, high = clopper_pearson(survived, runs)
    losses = numbers(rows["val_loss"])[ran & ~failed]
    losses = losses[np.isfinite(losses)]
    failures = [_failed_run(row) for _, row in rows.loc[failed].iterrows()]
    return Survival(
        settings=settings,
        runs=runs,
        survived=survived,
        stalled=int((codes == STALLED).sum()),
        crashed=int((~ran).sum()),
        failures=tuple(sorted(failures, key=_by_onset)),
        val_loss=statistics.median(losses.tolist()) if len(losses) else None,
        low=low,
        high=high,
    )


def _failed_run(row: pd.Series[Any]) -> FailedRun:
    def said(column: str) -> Any:
        value = row.get(column)
        return None if value is None or pd.isna(value) else value

    step = said("onset_step")
    return FailedRun(
        trial_id=str(row["trial_id"]),
        seed=int(row["seed"]),
        outcome=str(row["outcome"]),
        onset_step=None if step is None else int(step),
        cause=said("cause"),
        cause_text=said("cause_text"),
    )


def _by_onset(run: FailedRun) -> tuple[bool, int, int]:
    return run.onset_step is None, run.onset_step or 0, run.seed
