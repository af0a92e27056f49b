"""How much the learning rate matters: the loss a wrong one costs, slice by slice.

The learning-rate sensitivity of Wortsman et al. (arXiv 2309.14322): with l(r) the final loss
at the learning rate r, l0 the initial loss and l* the best final loss over the range,

    mean over r of min(l(r), l0) - l*

A *slice* is a combination of the values of all axes but the learning rate. What the source
leaves open is settled here:

- **Seeds.** l(r) is the mean over a cell's seeds of min(final, initial) loss of each. It needs
  no median: no number is above its own initial loss.
- **Failures.** A trial that became non-finite, or whose final loss is NaN or Inf, counts with
  its initial loss, as one that diverged does. Crashed trials, and those whose initial loss is
  not finite, do not count.
- **The mean over r** is over the logarithm of the rate: each rate weighs as much as its cell
  is wide on a map, from midway to the neighbour below to midway to the neighbour above, the
  outermost as if their neighbour's distance went on. On an evenly spaced grid that is the
  plain mean of the source. Rates of 0 have no logarithm and do not count.
- **The best**, l*, is the lowest l(r) that was reached by learning, so below l0. Where nothing was
  learnt at any rate, there is nothing to be sensitive about: the sensitivity is NaN, not 0.

So 0 means that any rate of the range does as well as the best one; and the sensitivity is at
most l0 - l*. `relative_sensitivity` is its part of that: what share of what the best rate
learns is lost, on average, by a rate picked blindly from the range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes, values_at
from stabilitysweep.analysis.table import (
    CRASHED,
    NONFINITE,
    RATE,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.errors import ResultError

COLUMNS = (
    "sensitivity", "relative_sensitivity", "best_loss_mean", "best_rate", "initial_loss_mean",
    "rates", "rates_missing",
)  # fmt: skip
"""What the table has after the axes."""


def sensitivity(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    rate: str = RATE,
    between: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Returns the learning-rate sensitivity of every slice; see the top of this file.

    Args:
        trials: the trials table, rows in any order.
        axes: name of each axis to the grid's values.
        rate: the name of the axis of the learning rate.
        between: lowest and highest learning rate of the range, both included; None is the
            whole axis.

    Returns:
        One row a slice, in the order of the grid: a column an axis but the learning rate, then
        `sensitivity` (in units of the loss), `relative_sensitivity` (0 to 1),
        `best_loss_mean` (l*), `best_rate` (where), `initial_loss_mean` (l0), `rates` (learning
        rates that count) and `rates_missing` (those of the range that do not, for want of a
        trial).

    Raises:
        ResultError: the learning rate is no axis of numbers, or none of them is in the range.
    """
    made = make_axes(axes)
    if rate not in made or not made[rate].numeric:
        raise ResultError(
            f"sensitivity: expected {rate} as an axis of numbers; the axes are {', '.join(made)}."
        )
    require_columns(trials, [*made, "outcome", "initial_loss", "final_loss"])
    others = [axis for name, axis in made.items() if name != rate]
    rates = made[rate].numbers
    inside = rates > 0
    if between is not None:
        slack = 1e-9  # a number that went through text may differ in its last digits
        inside &= (rates >= between[0] * (1 - slack)) & (rates <= between[1] * (1 + slack))
    if not inside.any():
        raise ResultError(
            f"sensitivity: expected a range with learning rates of the sweep "
            f"({', '.join(made[rate].labels)}), got {between}."
        )
    capped, initial = _cells(trials, made, others, rate)
    capped, initial = capped[:, inside], initial[:, inside]
    return _table(others, rates[inside], capped, initial)


def joined(
    boundaries: pd.DataFrame, sensitivities: pd.DataFrame, axes: Mapping[str, Sequence[object]]
) -> pd.DataFrame:
    """Returns the boundary and the sensitivity of every slice in one table.

    Args:
        boundaries: the table of `brackets.boundaries`.
        sensitivities: the table of `sensitivity`.
        axes: name of each axis but the learning rate to the grid's values.

    Returns:
        The rows of `boundaries`, with the columns of `sensitivity` after theirs; missing where a
        slice has no sensitivity.
    """
    places = [np.zeros(len(table), dtype=np.int64) for table in (boundaries, sensitivities)]
    for axis in make_axes(axes).values() if axes else ():
        for side, table in enumerate((boundaries, sensitivities)):
            places[side] = places[side] * (len(axis) + 1) + encode(table[axis.name], axis) + 1
    added = sensitivities[list(COLUMNS)].set_index(pd.Index(places[1]))
    added = added.reindex(places[0]).set_index(boundaries.index)
    return pd.concat([boundaries, added], axis="columns")


def _cells(
    trials: pd.DataFrame, made: Mapping[str, Axis], others: Sequence[Axis], rate: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean capped final loss and the mean initial loss, float64 [slices, rates] each."""
    place = np.zeros(len(trials), dtype=np.int64)
    kept = np.ones(len(trials), dtype=bool)
    for axis in [*others, made[rate]]:
        code = encode(trials[axis.name], axis)
        kept &= code >= 0
        place = place * len(axis) + code
    outcome = outcome_codes(trials)
    initial, final = numbers(trials["initial_loss"]), numbers(trials["final_loss"])
    lost = (outcome == NONFINITE) | ~np.isfinite(final)
    capped = np.where(lost, initial, np.minimum(final, initial))
    kept &= (outcome != CRASHED) & np.isfinite(initial)
    slices = int(np.prod([len(axis) for axis in others], dtype=np.int64))
    shape = slices, len(made[rate])
    number = np.bincount(place[kept], minlength=shape[0] * shape[1])

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(place[kept], weights=values[kept], minlength=len(number))
        averaged = np.full(len(number), np.nan)
        np.divide(total, number, out=averaged, where=number > 0)
        return averaged.reshape(shape)

    return mean(capped), mean(initial)


def _table(
    others: Sequence[Axis],
    rates: NDArray[np.float64],
    capped: NDArray[np.float64],
    initial: NDArray[np.float64],
) -> pd.DataFrame:
    """The table from the cells' losses, float64 [slices, rates] each."""
    places = np.indices([len(axis) for axis in others]).reshape(len(others), len(capped))
    columns: dict[str, Any] = {
        axis.name: values_at(axis.values, place) for axis, place in zip(others, places, strict=True)
    }
    found = [_of_slice(rates, *losses) for losses in zip(capped, initial, strict=True)]
    for name, values in zip(COLUMNS, zip(*found, strict=True), strict=True):
        whole = name.startswith("rates")
        columns[name] = pd.array(values, dtype="Int64") if whole else np.array(values, np.float64)
    return pd.DataFrame(columns)


def _of_slice(
    rates: NDArray[np.float64], capped: NDArray[np.float64], initial: NDArray[np.float64]
) -> tuple[float, float, float, float, float, int, int]:
    """The numbers of one slice, in the order of `COLUMNS`."""
    known = ~np.isnan(capped)
    missing = int((~known).sum())
    rates, capped, initial = rates[known], capped[known], initial[known]
    if not len(rates):
        return math.nan, math.nan, math.nan, math.nan, math.nan, 0, missing
    weights = log_widths(rates)
    mean, start = float(weights @ capped), float(weights @ initial)
    learnt = capped < initial
    if not learnt.any():
        return math.nan, math.nan, math.nan, math.nan, start, len(rates), missing
    best = int(np.argmin(np.where(learnt, capped, np.inf)))
    lowest = float(capped[best])
    lost = max(mean - lowest, 0.0)
    # With seeds missing at some rates, the mean start may lie anywhere.
    relative = lost / (start - lowest) if start > lowest else math.nan
    return lost, relative, lowest, float(rates[best]), start, len(rates), missing


def log_widths(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each rate's share of the range, on a logarithmic axis: float64 [n], in sum 1.

    Args:
        rates: float64 [n], positive and increasing.

    Example:
        >>> log_widths(np.array([1.0, 10.0, 1000.0])).tolist()
        [0.2222222222222222, 0.3333333333333333, 0.4444444444444444]
    """
    if len(rates) == 1:
        return np.ones(1)
    places = np.log10(rates)
    middle = (places[1:] + places[:-1]) / 2
    first, last = 2 * places[0] - middle[0], 2 * places[-1] - middle[-1]
    widths = np.diff(np.concatenate([[first], middle, [last]]))
    return np.asarray(widths / widths.sum())
