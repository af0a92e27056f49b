"""How every cell stands, data set by data set: whether it is safe, what it is worth.

Notation: P panels, each the trials of one data set; N trials a panel; M cells, those that any
panel has; A axes, that of the data set not among them. A cell is *good* in a panel if it is
complete, every seed of it is `stable` and its learning rate is not 0. It is *safe* if it is good,
and so is every cell of its slice (the same settings but for the learning rate) from its learning
rate up to `margin` times that, and the boundary of the slice is at that or above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, find_axis, find_value, held_rows, make_axes
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.metric import Metric
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    RATE,
    STABLE,
    STALLED,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.errors import ResultError

DATASET = "dataset"
_TOLERANCE = 1e-9
"""A learning rate that went through text and back may differ in its last digits."""

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Source:
    """One result, as picks are sought in it.

    Attributes:
        label: what its data set is called, where that is no axis.
        trials: its trials table, in any order.
        axes: name of each axis to the values it has in the result.
        seeds: distinct seeds of a complete cell, at least 1.
        boundaries: as `brackets.boundaries` gives them; None without a learning-rate axis.
        rate: the axis of the learning rate, be there such an axis or not.
    """

    label: str
    trials: pd.DataFrame
    axes: Mapping[str, Sequence[object]]
    seeds: int = 1
    boundaries: pd.DataFrame | None = None
    rate: str = RATE


@dataclass(frozen=True, eq=False)
class Panel:
    """The part of a source that is of one data set.

    Attributes:
        label: what the data set is called.
        dataset: its value on the axis, None where it is none.
        source: which source it is of, by its place.
        held: the one learning rate that is asked for, None for all. The panel has the others
            too: whether a cell is safe shows above it.
    """

    label: str
    dataset: Any
    source: int
    trials: pd.DataFrame
    boundaries: pd.DataFrame | None
    axes: Mapping[str, Axis]
    seeds: int
    held: Any = None


def make_panels(sources: Sequence[Source], where: Mapping[str, object]) -> list[Panel]:
    """Split sources by data set, and hold axes at one value.

    Args:
        sources: at least one.
        where: axes to hold, each with its value or the text of it.

    Returns:
        The panels, in the order of the sources and of the values on their axis.

    Raises:
        ResultError: the sources have different axes, or none is called so.
    """
    panels: list[Panel] = []
    for place, source in enumerate(sources):
        require_columns(source.trials, [*source.axes, "seed", "outcome", "trial_id"])
        axes = make_axes(source.axes)
        values = _values(axes, where)
        held = values.pop(source.rate, None)
        kept, of = source.trials.loc[held_rows(source.trials, axes, values)], source.boundaries
        of = None if of is None else of.loc[held_rows(of, axes, values)]
        several = axes.pop(DATASET, None)
        for name in values:
            if name in axes:
                axes[name] = Axis(name, (values[name],), axes[name].numeric)
        if several is None:
            panels.append(Panel(source.label, None, place, kept, of, axes, source.seeds, held))
            continue
        for value in several.values:
            if DATASET in where and several.index_of(where[DATASET]) != several.index_of(value):
                continue
            trials = kept.loc[kept[DATASET] == value]
            bounds = None if of is None else of.loc[of[DATASET] == value]
            label = str(value) if len(sources) == 1 else f"{source.label}: {value}"
            panels.append(Panel(label, value, place, trials, bounds, axes, source.seeds, held))
    return panels


def _values(axes: Mapping[str, Axis], where: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `where`, as their axes have them."""
    found = {}
    for name, value in where.items():
        axis = find_axis(axes, name, "where")
        found[name] = axis.values[find_value(axis, value, f"where {name}")]
    return found


@dataclass(frozen=True, eq=False)
class Standing:
    """How every cell stands. Arrays are [M] for a cell, [P, M] for a cell in a panel.

    Attributes:
        panels: the P panels.
        axes: the A axes, of all panels together.
        rate: the name of the axis of the learning rate, None without one.
        metric: what `score` is.
        margin: factor in learning rate.
        places: int64 [M, A], of each cell on each axis; in the order of the grid.
        slices: int64 [M], the same number for cells that differ in learning rate alone.
        rates: the learning rate; NaN without such an axis.
        trials: rows of the cell; so `stable`, `stalled`, `failed` and `crashed` of them.
        seeds: distinct seeds of the rows that could be run.
        complete: whether there are as many seeds as asked for.
        score: the median over the seeds; NaN without one.
        headroom: the least `headroom_bits`; NaN without one.
        steps: the fewest steps run; NaN without one.
        safe_rate: the boundary of the cell's slice, NaN where there is none or it is unknown.
        failing_rate: the smallest failing rate of the slice, NaN where none failed.
        open_ended: whether nothing failed in the slice, up to the top of the grid.
        islands: runs of stable rates above the first failure.
        refined: whether the boundary of the slice was looked for between the grid's rates.
        good: see the top of this file; so `safe`.
        asked: bool [M], whether the cell has the learning rate that is asked for.
        cell_of: the cell of every row, int64 [N] for each panel.
    """

    panels: tuple[Panel, ...]
    axes: Mapping[str, Axis]
    rate: str | None
    metric: Metric
    margin: float
    places: Counts
    slices: Counts
    rates: Numbers
    trials: Counts
    stable: Counts
    stalled: Counts
    failed: Counts
    crashed: Counts
    seeds: Counts
    complete: Flags
    score: Numbers
    headroom: Numbers
    steps: Numbers
    safe_rate: Numbers
    failing_rate: Numbers
    open_ended: Flags
    islands: Counts
    refined: Flags
    good: Flags
    safe: Flags
    asked: Flags
    cell_of: tuple[Counts, ...]

    def rows(self, panel: int, cell: int) -> Counts:
        """Return the rows of a panel's table that are of a cell."""
        return np.flatnonzero(self.cell_of[panel] == cell)

    @cached_property
    def shared(self) -> Flags:
        """Whether every panel has a trial of the cell and it is asked for, bool [M]."""
        return np.asarray((self.trials > 0).all(axis=0) & self.asked, np.bool_)

    @cached_property
    def best(self) -> list[int | None]:
        """The cell with the best score of each panel, be it safe or not; None without any."""
        found: list[int | None] = []
        for panel in range(len(self.panels)):
            score = self.score[panel] * (-1 if self.metric.higher_is_better else 1)
            usable = self.complete[panel] & np.isfinite(score) & self.asked
            # Of equal ones the safest: it costs nothing.
            keys = np.lexsort(
                (~self.good[panel], ~self.safe[panel], np.where(usable, score, np.inf))
            )
            found.append(int(keys[0]) if usable.any() else None)
        return found

    @cached_property
    def costs(self) -> Numbers:
        """By how much each score is worse than the best of its panel, relatively; [P, M]."""
        rows = [
            np.full(len(self.rates), np.inf)
            if best is None
            else self.metric.cost(self.score[panel], float(self.score[panel, best]))
            for panel, best in enumerate(self.best)
        ]
        return np.stack(rows)

    def settings(self, cell: int) -> dict[str, Any]:
        """Return the value of a cell on each axis."""
        columns = enumerate(self.axes.items())
        return {name: axis.values[self.places[cell, column]] for column, (name, axis) in columns}

    def window(self, cell: int) -> Flags:
        """Return the cells of its slice from a cell's learning rate up to the margin, bool [M]."""
        if self.rate is None:
            return np.asarray(np.arange(len(self.rates)) == cell, np.bool_)
        own = self.rates[cell]
        inside = self.rates >= own * (1 - _TOLERANCE)
        inside &= self.rates <= own * self.margin * (1 + _TOLERANCE)
        return np.asarray(inside & (self.slices == self.slices[cell]), np.bool_)


def standing(
    sources: Sequence[Source], metric: Metric, margin: float, panels: Sequence[Panel]
) -> Standing:
    """Find how every cell stands.

    Args:
        sources: whose panels these are; they name the axis of the learning rate.
        metric: what to rank by.
        margin: factor in learning rate, at least 1.
        panels: at least one, all with the same axes.
    """
    axes = _together(panels)
    rate = sources[0].rate
    numeric = rate in axes and axes[rate].numeric
    codes = [
        np.column_stack([encode(panel.trials[name], axis) for name, axis in axes.items()])
        for panel in panels
    ]
    places, of = np.unique(np.concatenate(codes), axis=0, return_inverse=True)
    cell_of = np.split(of.ravel(), np.cumsum([len(code) for code in codes])[:-1])
    if len(places) and places.min() < 0:
        raise ResultError("expected every trial to lie on the axes; some do not")
    column = list(axes).index(rate) if numeric else None
    others = places if column is None else np.delete(places, column, axis=1)
    # Without a learning rate every cell is a slice of its own.
    slices = (
        np.unique(others, axis=0, return_inverse=True)[1].ravel()
        if len(places) and others.shape[1]
        else np.zeros(len(places), np.int64)
    )
    rates = np.full(len(places), np.nan)
    if column is not None:
        rates = axes[rate].numbers[places[:, column]]
    counted = [
        _counted(panel, cells, len(places), metric)
        for panel, cells in zip(panels, cell_of, strict=True)
    ]
    named = list(counted[0])
    columns: dict[str, Any] = {name: np.stack([c[name] for c in counted]) for name in named}
    complete = columns["seeds"] >= np.array([[panel.seeds] for panel in panels])
    good = complete & (columns["stable"] == columns["trials"]) & (columns["trials"] > 0)
    good &= rates != 0  # of which every multiple is 0, so that it keeps no margin
    bounds = [
        _bounds(panel, {n: a for n, a in axes.items() if n != rate or not numeric}, others)
        for panel in panels
    ]
    edges: dict[str, Any] = {name: np.stack([b[name] for b in bounds]) for name in bounds[0]}
    safe = good.copy()
    if column is not None:
        for row in range(len(panels)):
            there = columns["trials"][row] > 0
            safe[row] &= _covered(good[row], there, slices, rates, margin)
        with np.errstate(invalid="ignore"):
            safe &= edges["safe_rate"] >= margin * rates * (1 - _TOLERANCE)
    asked = np.ones(len(places), np.bool_)
    if panels[0].held is not None:
        asked = places[:, list(axes).index(rate)] == axes[rate].index_of(panels[0].held)
    safe &= np.isfinite(columns["score"]) & asked
    return Standing(
        tuple(panels),
        axes,
        rate if numeric else None,
        metric,
        margin,
        places.astype(np.int64),
        slices.astype(np.int64),
        rates,
        complete=complete,
        good=good,
        safe=safe,
        asked=asked,
        cell_of=tuple(cell_of),
        **columns,
        **edges,
    )


def _together(panels: Sequence[Panel]) -> dict[str, Axis]:
    """The axes of all panels, each with the values of all."""
    names = list(panels[0].axes)
    for panel in panels[1:]:
        if set(panel.axes) != set(names):
            raise ResultError(
                f"expected results with the same axes; {panels[0].label} has "
                f"{', '.join(names)}, {panel.label} has {', '.join(panel.axes)}."
            )
    return make_axes({n: [v for panel in panels for v in panel.axes[n].values] for n in names})


def _counted(panel: Panel, cell: Counts, cells: int, metric: Metric) -> dict[str, Any]:
    """Counts and medians of the cells of one panel, [M] each."""
    trials = panel.trials
    outcome = outcome_codes(trials)

    def count(chosen: Flags) -> Counts:
        return np.bincount(cell[chosen], minlength=cells).astype(np.int64)

    frame = pd.DataFrame({"cell": cell, "seed": trials["seed"].to_numpy()})
    frame["score"] = metric.scores(trials)
    for name, column in (("headroom", "headroom_bits"), ("steps", "steps_run")):
        frame[name] = numbers(trials[column]) if column in trials else np.nan
    ran = frame.loc[outcome != CRASHED].groupby("cell")

    def per_cell(found: Any) -> Numbers:
        return np.asarray(found.reindex(range(cells)), np.float64)

    return {
        "trials": count(np.ones(len(cell), np.bool_)),
        "stable": count(outcome == STABLE),
        "stalled": count(outcome == STALLED),
        "failed": count((outcome == DIVERGED) | (outcome == NONFINITE)),
        "crashed": count(outcome == CRASHED),
        "seeds": np.nan_to_num(per_cell(ran["seed"].nunique())).astype(np.int64),
        "score": per_cell(ran["score"].median()),
        "headroom": per_cell(ran["headroom"].min()),
        "steps": per_cell(ran["steps"].min()),
    }


def _bounds(panel: Panel, axes: Mapping[str, Axis], others: Counts) -> dict[str, Any]:
    """The boundary of each cell's slice, [M] each."""
    cells = len(others)
    safe, failing = np.full(cells, np.nan), np.full(cells, np.nan)
    islands, open_ended = np.zeros(cells, np.int64), np.zeros(cells, np.bool_)
    refined = np.zeros(cells, np.bool_)
    table = panel.boundaries
    if table is not None and len(table):
        own = np.zeros((len(table), 0), np.int64)
        if axes:
            own = np.column_stack([encode(table[name], axis) for name, axis in axes.items()])
        row_of = {tuple(key): row for row, key in enumerate(own.tolist())}
        rows = np.array([row_of.get(tuple(key), -1) for key in others.tolist()], np.int64)
        known = rows >= 0
        held = rows[known]
        lowest = numbers(table["safe"])
        # That a rate of 0 is safe is no boundary.
        safe[known] = np.where(lowest > 0, lowest, np.nan)[held]
        failing[known] = numbers(table["failing"])[held]
        open_ended[known] = (table["status"].astype(str) == BoundaryStatus.NO_FAILURE).to_numpy()[
            held
        ]
        islands[known] = np.nan_to_num(numbers(table["islands"]))[held].astype(np.int64)
        refined[known] = table["refined"].to_numpy(np.bool_)[held]
    return {
        "safe_rate": safe,
        "failing_rate": failing,
        "open_ended": open_ended,
        "islands": islands,
        "refined": refined,
    }


def _covered(good: Flags, there: Flags, slices: Counts, rates: Numbers, margin: float) -> Flags:
    """Whether all cells of a slice from each cell's rate up to the margin are good, bool [M].

    One that is not there has ended the boundary already.

    Args:
        good: bool [M].
        there: bool [M], whether the panel has the cell at all.
        slices: int64 [M].
        rates: float64 [M].
        margin: at least 1.
    """
    covered = np.zeros(len(rates), np.bool_)
    order = np.lexsort((rates, slices))
    for run in np.split(order, np.flatnonzero(np.diff(slices[order])) + 1):
        own = run[there[run]]
        end = np.searchsorted(rates[own], rates[own] * margin * (1 + _TOLERANCE), side="right")
        bad = np.concatenate(([0], np.cumsum(~good[own])))
        covered[own] = bad[end] == bad[:-1]
    return covered
