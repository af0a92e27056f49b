"""A sweep in a few numbers: outcomes, causes, the earliest onset, the safe learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes, value_label
from stabilitysweep.analysis.boundary import STATUSES, BoundaryStatus, find_boundary
from stabilitysweep.analysis.explained import AxisShare, explained
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    OUTCOMES,
    RATE,
    STABLE,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.types import Outcome, Stage

_PRECISION = "precision"
_COLUMNS = (
    "trial_id", "seed", "outcome", "onset_step", "onset_stage", "onset_tensor", "onset_kind",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EarliestOnset:
    """The trial whose onset has the lowest step; ties go to the earlier stage, then the id.

    Attributes:
        step: its onset step; 0 for the input.
        trial_id: the trial.
        stage: the probe that met the non-finite value.
        tensor: the layer or variable it was in.
        kind: `nan`, `+inf` or `-inf`.
        settings: the trial's value on each axis, and its seed.
    """

    step: int
    trial_id: str
    stage: str | None
    tensor: str | None
    kind: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How far up the learning rates every trial was stable.

    Attributes:
        value: the largest learning rate of the grid at which, and below which, every
            seed of every cell was stable; None if there is none.
        status: what ends it. `no_failure`: it is the grid's largest.
    """

    value: float | None
    status: BoundaryStatus


@dataclass(frozen=True, slots=True)
class Summary:
    """A sweep in a few numbers.

    Attributes:
        outcomes: trials by outcome, all five, zero included.
        trials: rows of the table.
        wanted: trials the sweep has when it is complete.
        missing: trials that have no row yet.
        cells: cells of the grid.
        cells_measured: cells with a trial that could be run.
        share_stable: of the trials that could be run, the share in [0, 1] that neither
            diverged nor became non-finite; None if none could be run.
        earliest_onset: None if nothing became non-finite.
        stable_rate: over all settings; None if the learning rate is no axis.
        stable_rate_by: the same for each value of each axis that is not of numbers, such as
            precision, data set or scaling, by axis and value; empty if there is none, or if
            the learning rate is no axis.
        causes: failed trials by cause, the most frequent first; empty if the table has none.
        explained: the share of failures that each axis explains, the largest first.
    """

    outcomes: Mapping[Outcome, int]
    trials: int
    wanted: int
    missing: int
    cells: int
    cells_measured: int
    share_stable: float | None
    earliest_onset: EarliestOnset | None
    stable_rate: RateLimit | None
    stable_rate_by: Mapping[str, Mapping[str, RateLimit]]
    causes: Mapping[str, int] = field(default_factory=dict)
    explained: tuple[AxisShare, ...] = ()

    @property
    def failures(self) -> int:
        """Trials that diverged or became non-finite."""
        return self.outcomes[Outcome.DIVERGED] + self.outcomes[Outcome.NONFINITE]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and finite numbers (strict JSON).

        Missing values are null; an infinite setting is the text `inf` or `-inf`.
        """
        onset = self.earliest_onset
        overall = self.stable_rate
        by_precision = self.stable_rate_by.get(_PRECISION, {}).items()
        return {
            "outcomes": {str(outcome): count for outcome, count in self.outcomes.items()},
            "trials": self.trials,
            "wanted": self.wanted,
            "missing": self.missing,
            "cells": self.cells,
            "cells_measured": self.cells_measured,
            "share_stable": self.share_stable,
            "earliest_onset": None
            if onset is None
            else {
                "step": onset.step,
                "trial_id": onset.trial_id,
                "stage": onset.stage,
                "tensor": onset.tensor,
                "kind": onset.kind,
                "settings": {name: _json(value) for name, value in onset.settings.items()},
            },
            "largest_stable_learning_rate": {
                "overall": None if overall is None else overall.value,
                "status": None if overall is None else str(overall.status),
                "by_precision": {name: limit.value for name, limit in by_precision},
                "status_by_precision": {name: str(limit.status) for name, limit in by_precision},
                "by": {
                    axis: {name: limit.value for name, limit in limits.items()}
                    for axis, limits in self.stable_rate_by.items()
                },
            },
            "causes": dict(self.causes),
            "explained": [
                {
                    "axis": found.axis,
                    "value": _json(_python(found.value)),
                    "kind": str(found.kind),
                    "share": found.share,
                    "failures": found.failures,
                    "sentence": str(found),
                }
                for found in self.explained
            ],
        }


def summary(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    wanted: int | None = None,
    rate: str = RATE,
    *,
    scattered: bool = False,
) -> Summary:
    """Sums up the trials table.

    A learning rate is safe when every trial at it and below it was stable or stalled. One
    at which a cell of the grid has no row yet ends the claim; a cell that could only
    crash says nothing and is passed over.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        wanted: trials of the complete sweep; None takes the cells times the seeds seen.
        rate: the name of the axis of the learning rate.
        scattered: whether each setting has learning rates of its own, as in a random search: one
            that is not among them is no gap.

    Raises:
        ResultError: the table lacks a column or holds an unknown outcome.
    """
    made = make_axes(axes)
    require_columns(trials, [*made, *_COLUMNS])
    outcome = outcome_codes(trials)
    counts = np.bincount(outcome, minlength=len(OUTCOMES))
    measured = outcome != CRASHED
    failed = (outcome == DIVERGED) | (outcome == NONFINITE)
    codes = {name: encode(trials[name], axis) for name, axis in made.items()}
    cell = _cell_codes(codes, made)
    cells = math.prod(len(axis) for axis in made.values())
    if wanted is None:
        wanted = cells * int(trials["seed"].nunique())
    complete = len(trials) >= wanted
    overall, by_axis = _rate_limits(
        trials, made, codes, cell, measured, failed, complete, rate, scattered
    )
    return Summary(
        outcomes={kind: int(count) for kind, count in zip(OUTCOMES, counts, strict=True)},
        trials=len(trials),
        wanted=wanted,
        missing=max(wanted - len(trials), 0),
        cells=cells,
        cells_measured=len(np.unique(cell[measured & (cell >= 0)])),
        share_stable=float(1 - failed.sum() / measured.sum()) if measured.any() else None,
        earliest_onset=_earliest_onset(trials, made),
        stable_rate=overall,
        stable_rate_by=by_axis,
        causes=causes_of(trials)[1],
        explained=tuple(explained(trials, axes, rate)),
    )


def causes_of(trials: pd.DataFrame) -> tuple[pd.Series[Any], dict[str, int]]:
    """Why trials failed.

    Args:
        trials: the trials table, N rows in any order; the column `cause` may be missing.

    Returns:
        The cause of each failed trial as text, N rows, missing where a trial did not fail or
        has none; and the failed trials by cause, the most frequent first, ties by name.

    Raises:
        ResultError: the table holds an unknown outcome.
    """
    if "cause" not in trials.columns:
        return pd.Series(pd.NA, trials.index, dtype=object), {}
    outcome = outcome_codes(trials)
    given = trials["cause"].notna() & (outcome != CRASHED) & (outcome != STABLE)
    cause = trials["cause"].astype(object).where(given, None)
    cause = cause.map(str, na_action="ignore")
    counts = cause[given].value_counts().items()
    return cause, {
        str(name): int(count)
        for name, count in sorted(counts, key=lambda item: (-item[1], item[0]))
    }


def _cell_codes(
    codes: Mapping[str, NDArray[np.int64]], axes: Mapping[str, Axis]
) -> NDArray[np.int64]:
    """Number of every row's cell; -1 where a value is not on its axis."""
    cell = np.zeros(len(next(iter(codes.values()))), dtype=np.int64)
    on_grid = np.ones(len(cell), dtype=np.bool_)
    for name, axis in axes.items():
        cell = cell * len(axis) + codes[name]
        on_grid &= codes[name] >= 0
    return np.where(on_grid, cell, -1)


def _rate_limits(
    trials: pd.DataFrame,
    axes: Mapping[str, Axis],
    codes: Mapping[str, NDArray[np.int64]],
    cell: NDArray[np.int64],
    measured: NDArray[np.bool_],
    failed: NDArray[np.bool_],
    complete: bool,
    rate_name: str,
    scattered: bool,
) -> tuple[RateLimit | None, dict[str, dict[str, RateLimit]]]:
    rate_axis = axes.get(rate_name)
    if rate_axis is None or not rate_axis.numeric:
        return None, {}
    # A learning rate between the grid's, as `refine` adds, counts for the next above it:
    # what failed there must end the claim.
    rates = rate_axis.numbers
    rate = numbers(trials[rate_name])
    nearest = np.searchsorted(rates * (1 - 1e-9), rate, side="left")
    place = np.where(codes[rate_name] >= 0, codes[rate_name], nearest)
    others = np.ones(len(trials), dtype=np.bool_)
    for name, code in codes.items():
        others &= (code >= 0) | (name == rate_name)
    inside = others & (place < len(rates)) & ~np.isnan(rate)
    cells_per_rate = math.prod(len(axis) for name, axis in axes.items() if name != rate_name)

    def limit(selected: NDArray[np.bool_], cells: int) -> RateLimit:
        chosen = selected & inside
        bad = np.bincount(place[chosen & failed], minlength=len(rates)) > 0
        on_grid = chosen & (cell >= 0)
        ran = np.bincount(place[on_grid & measured], minlength=len(rates)) > 0
        _, first = np.unique(cell[on_grid], return_index=True)
        present = np.bincount(place[on_grid][first], minlength=len(rates))
        # Combinations that mean the same are one cell: a complete grid may have fewer.
        whole = present == cells if not complete else present > 0
        known = (ran & whole) | bad
        kept = known if scattered and known.any() else np.ones_like(known)
        index, status = find_boundary(bad[kept], known[kept])
        value = float(rates[kept][index]) if index >= 0 else None
        return RateLimit(value, STATUSES[int(status)])

    overall = limit(np.ones(len(trials), dtype=np.bool_), cells_per_rate)
    return overall, {
        name: {
            value_label(value): limit(codes[name] == code, cells_per_rate // len(axis))
            for code, value in enumerate(axis.values)
        }
        for name, axis in axes.items()
        if not axis.numeric
    }


def earliest_onset_row(trials: pd.DataFrame) -> int | None:
    """Return the row whose onset has the lowest step; ties by stage, then id. None without one.

    Args:
        trials: the trials table, N rows in any order.

    Raises:
        ResultError: the table lacks a column.
    """
    require_columns(trials, ["trial_id", "onset_step", "onset_stage"])
    steps = numbers(trials["onset_step"])
    if np.isnan(steps).all():
        return None
    stages = {str(stage): place for place, stage in enumerate(Stage)}
    rows = np.flatnonzero(steps == np.nanmin(steps))
    first = trials.iloc[rows]
    ordered = sorted(
        zip(first["onset_stage"], first["trial_id"], rows, strict=True),
        key=lambda item: (stages.get(str(item[0]), len(stages)), str(item[1])),
    )
    return int(ordered[0][2])


def _earliest_onset(trials: pd.DataFrame, axes: Mapping[str, Axis]) -> EarliestOnset | None:
    place = earliest_onset_row(trials)
    if place is None:
        return None
    row = trials.iloc[place]
    return EarliestOnset(
        step=int(row["onset_step"]),
        trial_id=str(row["trial_id"]),
        stage=_text(row["onset_stage"]),
        tensor=_text(row["onset_tensor"]),
        kind=_text(row["onset_kind"]),
        settings={name: _python(row[name]) for name in (*axes, "seed")},
    )


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _python(value: Any) -> Any:
    """A table's value as Python's own type; None where it is missing."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_python(item) for item in value]
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else value_label(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
