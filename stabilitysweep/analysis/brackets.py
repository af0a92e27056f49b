"""The boundary of every slice: the two learning rates between which it lies.

A *slice* is one combination of the axes but the learning rate; its *points* are the learning
rates of the grid and those trained between them, all seeds of a rate together. A point fails if
any of its trials does; it is stable only if all seeds could be run and none failed, as many as any
rate of the grid has in the slice. N is the number of trials, P of points, S of slices.
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
    "partial",
)  # fmt: skip
"""The columns that follow those of the axes."""


@dataclass(frozen=True, slots=True)
class Points:
    """The learning rates of one slice, increasing; arrays of one length.

    Attributes:
        rates: float64 [P], each once: those of the grid, measured or not, and the measured
            ones between and beside them.
        measured: bool [P], whether all seeds of the rate could be run, or one failed.
        failed: bool [P], whether one of its trials diverged or became non-finite.
        mixed: bool [P], whether some of its trials failed and others did not.
        partial: how many rates that are not the grid's have some of their seeds and no failure:
            they say nothing of the seeds they lack, and are not among the points.
    """

    rates: NDArray[np.float64]
    measured: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    mixed: NDArray[np.bool_]
    partial: int = 0

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
    *,
    scattered: bool = False,
) -> pd.DataFrame:
    """Where each slice stops being stable, as far as it is known.

    The boundary lies above `safe` and at or below `failing`: between them nothing is
    measured, unless `status` is `gap`. A learning rate of the grid that could not be measured
    with all its seeds ends the claim; one between them that lacks seeds may lower `failing` and
    never raises `safe`.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        rate: the name of the axis of the learning rate.
        refined: trials at other learning rates, a table like `trials`; those that are in both
            count once.
        scattered: whether each slice has learning rates of its own, as in a random search: one
            that is not among them is no gap.

    Returns:
        One row for each slice with a trial, in the order of the grid. A column for each of the
        other axes, then `safe` (the largest rate at and below which no trial failed, NaN if
        there is none), `failing` (the smallest rate at which one did, NaN if none did),
        `status` (the value of a `BoundaryStatus`), `refined` (bool, whether other rates than
        the grid's were measured), `islands` (Int64, runs of stable rates above the first
        failure), `highest_stable` (the largest rate without a failure of its own), `steps`
        (Int64, the budget that all this holds for, NA if no trial reached its end), `trials`
        (Int64, those that could be run) and `partial` (Int64, refined learning rates that
        lack seeds and did not fail, and so count for nothing).

    Raises:
        ResultError: the learning rate is no axis of numbers; the table lacks a column or holds
            an unknown outcome.
    """
    table, found = slices_of(trials, axes, rate, refined, scattered=scattered)
    columns: dict[str, Any] = {
        "safe": np.array([points.safe for points in found], dtype=np.float64),
        "failing": np.array([points.failing for points in found], dtype=np.float64),
        "status": np.array([points.status.value for points in found], dtype=object),
        "refined": table.pop("refined"),
        "islands": pd.array([points.islands for points in found], dtype="Int64"),
        "highest_stable": np.array([points.highest_stable for points in found], dtype=np.float64),
        "steps": table.pop("steps"),
        "trials": table.pop("trials"),
        "partial": pd.array([points.partial for points in found], dtype="Int64"),
    }
    return table.assign(**columns)


def slices_of(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    rate: str = RATE,
    refined: pd.DataFrame | None = None,
    *,
    scattered: bool = False,
) -> tuple[pd.DataFrame, list[Points]]:
    """The points of every slice with a trial, in the order of the grid.

    Args:
        trials: see `boundaries`, as for the others.
        axes: see there.
        rate: see there.
        refined: see there.
        scattered: see there.

    Returns:
        A table of S rows: a column for each of the other axes, `refined`, `steps` and `trials`;
        and the points of each.

    Raises:
        ResultError: see there.
    """
    made = _with_rate(axes, rate)
    others = [name for name in made if name != rate]
    needed = [*made, "trial_id", "seed", "outcome", "steps_run"]
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
    seed = np.unique(numbers(rows["seed"]), return_inverse=True)[1].ravel()
    grid = rows["_own"].to_numpy(dtype=np.bool_)
    order = np.lexsort((at, slice_of))
    ends = np.searchsorted(slice_of[order], np.arange(size + 1))
    parts = [order[ends[place] : ends[place + 1]] for place in range(size)]
    points = [
        _points(
            at[own],
            seed[own],
            ran[own],
            broke[own],
            grid[own],
            np.unique(at[own][ran[own]]) if scattered else made[rate].numbers,
        )
        for own in parts
    ]
    table = rows.loc[first, others].reset_index(drop=True)
    table["refined"] = [
        bool(np.isin(at[own][ran[own] & ~grid[own]], each.rates).any())
        for own, each in zip(parts, points, strict=True)
    ]
    whole = np.where(ran & (outcome != NONFINITE), numbers(rows["steps_run"]), np.nan)
    steps = np.full(size, np.nan)
    np.fmax.at(steps, slice_of, whole)
    table["steps"] = pd.array(
        [pd.NA if np.isnan(number) else int(number) for number in steps], dtype="Int64"
    )
    table["trials"] = pd.array(np.bincount(slice_of[ran], minlength=size), dtype="Int64")
    return table, points


def lowest_of(
    table: pd.DataFrame, place: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest of the boundaries that are pooled at one place.

    Args:
        table: see `boundaries`, S rows.
        place: where each row is pooled, int64 [S], from 0.
        size: number of places.

    Returns:
        `(safe, failing)`, float64 [size] each: the largest rate at and below which none fails,
        0 if one has none; and the smallest at which one does. +inf where there is none.
    """
    safe, failing = np.full(size, np.inf), np.full(size, np.inf)
    np.minimum.at(safe, place, np.nan_to_num(numbers(table["safe"]), nan=0.0))
    np.fmin.at(failing, place, numbers(table["failing"]))
    return safe, failing


def _with_rate(axes: Mapping[str, Sequence[object]], rate: str) -> dict[str, Axis]:
    made = make_axes(axes)
    if rate not in made:
        raise ResultError(
            "boundary: expected the learning rate as an axis, to know where it becomes too large; "
            f"the axes are {', '.join(made)}. Put learning_rate into 'grid' and run the sweep "
            "again."
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
    seeds: NDArray[np.int64],
    ran: NDArray[np.bool_],
    broke: NDArray[np.bool_],
    own: NDArray[np.bool_],
    grid: NDArray[np.float64],
) -> Points:
    """The points of the trials of a slice.

    Args:
        rates: of each trial, float64 [N]; the others are as long.
        seeds: int64.
        ran: bool, whether it could be run.
        broke: bool, whether it failed.
        own: bool, whether it is a trial of the grid.
        grid: the rates of the grid.
    """
    most = int(_seeds_at(rates[own], seeds[own], grid).max(initial=0))
    known = np.union1d(rates[ran], grid)
    number = _counts(rates[ran], known)
    failures = _counts(rates[broke], known)
    whole = (number > 0) & (_seeds_at(rates[ran], seeds[ran], known) >= most)
    # Such a rate is left out as one that crashed altogether; one of the grid ends the claim.
    partial = (number > 0) & ~whole & (failures == 0) & ~np.isin(known, grid)
    kept = ~partial
    return Points(
        rates=known[kept],
        measured=(whole | (failures > 0))[kept],
        failed=(failures > 0)[kept],
        mixed=((failures > 0) & (failures < number))[kept],
        partial=int(partial.sum()),
    )


def _seeds_at(
    rates: NDArray[np.float64], seeds: NDArray[np.int64], known: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many distinct seeds there are at each of the known rates."""
    pairs = np.unique(np.column_stack([rates, seeds]), axis=0)
    return _counts(pairs[:, 0], known)


def _counts(rates: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.int64]:
    """How often each of the known rates is among others; those that are not known are left out."""
    inside = rates[np.isin(rates, known)]
    return np.bincount(np.searchsorted(known, inside), minlength=len(known)).astype(np.int64)
