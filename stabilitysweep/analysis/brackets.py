"""The boundary of every slice: the two learning rates between which it lies.

A *slice* is one combination of the axes but the learning rate; its *points* are the learning
rates of the grid and those trained between them, all seeds of a rate together. A point fails if
any of its trials does. N is the number of trials, P of points, S of slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    RATE,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.errors import ResultError

BRACKET_COLUMNS = (
    "safe", "failing", "status", "refined", "islands", "highest_stable", "steps", "trials",
)  # fmt: skip
"""The columns that follow those of the axes."""


@dataclass(frozen=True, slots=True)
class Points:
    """The learning rates of one slice, increasing; arrays of one length.

    Attributes:
        rates: float64 [P], each once: those of the grid, measured or not, and the measured
            ones between and beside them.
        measured: bool [P], whether a trial of the rate could be run.
        failed: bool [P], whether one of its trials diverged or became non-finite.
        mixed: bool [P], whether some of its trials failed and others did not.
    """

    rates: NDArray[np.float64]
    measured: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    mixed: NDArray[np.bool_]

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Those measured without a failure, bool [P]."""
        return self.measured & ~self.failed

    @property
    def held(self) -> int:
        """How many points from the lowest on are stable, up to the first that is not."""
        return int(np.logical_and.accumulate(self.stable).sum())

    @property
    def safe(self) -> float:
        """The largest rate at and below which nothing failed; NaN if there is none."""
        return float(self.rates[self.held - 1]) if self.held else np.nan

    @property
    def failing(self) -> float:
        """The smallest rate that fails; NaN if none does."""
        places = np.flatnonzero(self.failed)
        return float(self.rates[places[0]]) if places.size else np.nan

    @property
    def highest_stable(self) -> float:
        """The largest rate that does not fail itself, whatever happens below; NaN if none."""
        places = np.flatnonzero(self.stable)
        return float(self.rates[places[-1]]) if places.size else np.nan

    @property
    def status(self) -> BoundaryStatus:
        """What ends the walk up from the lowest rate."""
        held = self.held
        if held == len(self.rates):
            return BoundaryStatus.NO_FAILURE
        if self.failed[held]:
            return BoundaryStatus.FOUND if held else BoundaryStatus.ALL_FAIL
        return BoundaryStatus.GAP if held else BoundaryStatus.UNMEASURED

    @property
    def islands(self) -> int:
        """How many runs of stable rates there are above the first failure."""
        places = np.flatnonzero(self.failed)
        if not places.size:
            return 0
        above = self.stable[places[0] :][self.measured[places[0] :]]
        return int(np.count_nonzero(above[1:] & ~above[:-1]))


def boundaries(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    rate: str = RATE,
    refined: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Where each slice stops being stable, as far as it is known.

    The boundary lies above `safe` and at or below `failing`: between them nothing is
    measured, unless `status` is `gap`. As on a map, a learning rate of the grid that could not
    be measured ends the claim.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        rate: the name of the axis of the learning rate.
        refined: trials at other learning rates, a table like `trials`; those that are in both
            count once.

    Returns:
        One row for each slice with a trial, in the order of the grid. A column for each of the
        other axes, then `safe` (the largest rate at and below which no trial failed, NaN if
        there is none), `failing` (the smallest rate at which one did, NaN if none did),
        `status` (the value of a `BoundaryStatus`), `refined` (bool, whether other rates than
        the grid's were measured), `islands` (Int64, runs of stable rates above the first
        failure), `highest_stable` (the largest rate without a failure of its own), `steps`
        (Int64, the budget that all this holds for, NA if no trial reached its end) and
        `trials` (Int64, those that could be run).

    Raises:
        ResultError: the learning rate is no axis of numbers; the table lacks a column or holds
            an unknown outcome.
    """
    table, found = slices_of(trials, axes, rate, refined)
    columns: dict[str, Any] = {
        "safe": np.array([points.safe for points in found], dtype=np.float64),
        "failing": np.array([points.failing for points in found], dtype=np.float64),
        "status": np.array([points.status.value for points in found], dtype=object),
        "refined": table.pop("refined"),
        "islands": pd.array([points.islands for points in found], dtype="Int64"),
        "highest_stable": np.array([points.highest_stable for points in found], dtype=np.float64),
        "steps": table.pop("steps"),
        "trials": table.pop("trials"),
    }
    return table.assign(**columns)


def slices_of(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    rate: str = RATE,
    refined: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, list[Points]]:
    """The points of every slice with a trial, in the order of the grid.

    Args:
        trials: see `boundaries`, as for the others.
        axes: see there.
        rate: see there.
        refined: see there.

    Returns:
        A table of S rows: a column for each of the other axes, `refined`, `steps` and `trials`;
        and the points of each.

    Raises:
        ResultError: see there.
    """
    made = _with_rate(axes, rate)
    others = [name for name in made if name != rate]
    needed = [*made, "trial_id", "outcome", "steps_run"]
    require_columns(trials, needed)
    rows = trials[needed].assign(_own=True)
    if refined is not None:
        require_columns(refined, needed)
        rows = _joined(rows, refined[needed].assign(_own=False))
    codes = np.column_stack(
        [np.zeros(len(rows), dtype=np.int64), *(encode(rows[name], made[name]) for name in others)]
    )
    kept = (codes >= 0).all(axis=1) & np.isfinite(numbers(rows[rate]))
    rows, codes = rows.loc[kept].reset_index(drop=True), codes[kept]
    _, first, slice_of = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    slice_of, size = slice_of.ravel(), len(first)

    outcome = outcome_codes(rows)
    ran = outcome != CRASHED
    broke = (outcome == DIVERGED) | (outcome == NONFINITE)
    at = _snapped(numbers(rows[rate]), made[rate])
    order = np.lexsort((at, slice_of))
    ends = np.searchsorted(slice_of[order], np.arange(size + 1))
    points = [
        _points(at[own], ran[own], broke[own], made[rate].numbers)
        for own in (order[ends[place] : ends[place + 1]] for place in range(size))
    ]
    table = rows.loc[first, others].reset_index(drop=True)
    added = np.zeros(size, dtype=np.bool_)
    np.logical_or.at(added, slice_of, ran & ~rows["_own"].to_numpy(dtype=np.bool_))
    table["refined"] = added
    whole = np.where(ran & (outcome != NONFINITE), numbers(rows["steps_run"]), np.nan)
    steps = np.full(size, np.nan)
    np.fmax.at(steps, slice_of, whole)
    table["steps"] = pd.array(
        [pd.NA if np.isnan(number) else int(number) for number in steps], dtype="Int64"
    )
    table["trials"] = pd.array(np.bincount(slice_of[ran], minlength=size), dtype="Int64")
    return table, points


def _with_rate(axes: Mapping[str, Sequence[object]], rate: str) -> dict[str, Axis]:
    made = make_axes(axes)
    if rate not in made:
        raise ResultError(
            f"expected the learning rate as an axis, to know where it becomes too large; the axes "
            f"are {', '.join(made)}. Put learning_rate into 'grid' and run the sweep again."
        )
    if not made[rate].numeric:
        raise ResultError(f"expected {rate!r} to be an axis of numbers, got {made[rate].labels}")
    return made


def _joined(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Both tables, a trial that is in both once: as the first has it."""
    new = more.loc[~more["trial_id"].isin(rows["trial_id"])]
    if new.empty:
        return rows
    # A column of one kind here and another there: values stay what they are.
    alike = {
        name: object for name in rows if rows[name].dtype != new[name].dtype and name != "_own"
    }
    return pd.concat([rows.astype(alike), new.astype(alike)], ignore_index=True)


def _snapped(rates: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """The rates, those of the grid exactly as it has them: text and back may cost a digit."""
    own = axis.numbers
    near = np.clip(np.searchsorted(own, rates), 1, max(len(own) - 1, 1))
    for place in (np.minimum(near, len(own) - 1), near - 1):
        rates = np.where(np.isclose(rates, own[place], rtol=1e-9, atol=0), own[place], rates)
    return rates


def _points(
    rates: NDArray[np.float64],
    ran: NDArray[np.bool_],
    broke: NDArray[np.bool_],
    grid: NDArray[np.float64],
) -> Points:
    """The points of the trials of a slice."""
    known = np.union1d(rates[ran], grid)
    place = np.searchsorted(known, rates[ran])
    number = np.bincount(place, minlength=len(known))
    failures = np.bincount(place, weights=broke[ran], minlength=len(known))
    return Points(
        rates=known,
        measured=number > 0,
        failed=failures > 0,
        mixed=(failures > 0) & (failures < number),
    )
