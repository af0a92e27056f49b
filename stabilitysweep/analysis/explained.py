"""How much of a sweep's failures each axis explains, from trials beside their twins.

A trial's twins have the same settings and seed but for one axis. A failure that its twins do
not share is laid to that axis. N is the number of trials, G of groups of twins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis
from stabilitysweep.analysis.neighbours import Lattice, safer_direction
from stabilitysweep.analysis.table import RATE
from stabilitysweep.analysis.wording import percent, placed, spoken

_NEARLY = 0.01
"""Shares of failures that differ by no more than this count as equal."""
_LEAST = 0.01
"""An axis that explains a smaller share is left out."""


class ShareKind(StrEnum):
    """What is claimed of an axis and a value."""

    AT_OR_BELOW = "at_or_below"  # at that value and all lower ones, none of the twins failed
    AT_OR_ABOVE = "at_or_above"  # at that value and all higher ones, none of the twins failed
    AT = "at"  # the twin at that value did not fail
    ALONE = "alone"  # the failures are at that value, and no twin at any other failed


@dataclass(frozen=True, slots=True)
class AxisShare:
    """The share of failures that an axis explains.

    Attributes:
        axis: its name.
        value: the value that the claim is about.
        kind: the claim.
        share: of all failures, in [0, 1].
        failures: their number.
        of: the number of all failures.
        last: whether no value of the axis is lower (`at_or_below`) or higher (`at_or_above`).
    """

    axis: str
    value: Any
    kind: ShareKind
    share: float
    failures: int
    of: int
    last: bool = False

    def __str__(self) -> str:
        """Say it: `81 % of failures vanish at learning rate 0.1 and below`."""
        where = placed(self.axis, self.value)
        everything = self.failures == self.of
        if everything:
            subject = "the one failure" if self.of == 1 else f"all {self.of:,} failures"
        else:
            subject = f"{percent(self.failures, self.of)} of failures"
        one = everything and self.of == 1
        if self.kind is ShareKind.ALONE:
            verb, whose = ("is", "its") if one else ("are", "their")
            other = f"none of {whose} twins at another {spoken(self.axis)} fails"
            return f"{subject} {verb} {where} alone: {other}"
        side = {ShareKind.AT_OR_BELOW: " and below", ShareKind.AT_OR_ABOVE: " and above"}
        beyond = "" if self.last else side.get(self.kind, "")
        return f"{subject} {'vanishes' if one else 'vanish'} {where}{beyond}"


@dataclass(frozen=True, eq=False)
class _Groups:
    """One axis of a lattice: its places, and which trials are twins on it.

    Attributes:
        axis: the axis, V values.
        group: int64 [N], number of each trial's group of twins, from 0 to size - 1.
        place: int64 [N], the trial's place on the axis.
        measured: bool [N].
        failed: bool [N].
        size: G.
        preferred: the side that is safer as a rule: -1 for lower values, 1 for higher, or 0.
    """

    axis: Axis
    group: NDArray[np.int64]
    place: NDArray[np.int64]
    measured: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    size: int
    preferred: int

    @property
    def failures(self) -> NDArray[np.int64]:
        """Failures in each group, int64 [G]."""
        return self.count(self.failed)

    def count(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many of `rows`, bool [N], are in each group, int64 [G]."""
        return np.bincount(self.group[rows], minlength=self.size).astype(np.int64)

    def lowest(self, rows: NDArray[np.bool_], place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the lowest `place` among `rows` in each group, int64 [G]; V without one."""
        found = np.full(self.size, len(self.axis), dtype=np.int64)
        np.minimum.at(found, self.group[rows], place[rows])
        return found


def explained(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], rate: str = RATE
) -> list[AxisShare]:
    """Say for each axis which share of the failures it explains.

    On an axis with an order the value is sought for which most failures vanish on one side of
    it: those not on that side themselves, with a twin measured there and none that failed. It
    is the side that is safer as a rule (a lower learning rate, a larger batch), unless the
    other explains more. On any other axis it is the value at which most twins of failures hold,
    and the value that most failures are at alone. Of values that explain nearly the same share,
    within 1 % of the failures, the one that restricts least is taken, and without an order the
    first of the config.

    Crashed trials say nothing. Nor do trials off the grid, but their failures count among all.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        rate: the name of the axis of the learning rate.

    Returns:
        The largest share first; one entry for an axis with an order, up to two for another;
        none below 1 %. Shares of different axes overlap, and need not add up to 1.

    Raises:
        ResultError: the table lacks a column or holds an unknown outcome.
    """
    lattice = Lattice.of(trials, axes, rate)
    if not lattice.failures:
        return []
    found: list[AxisShare] = []
    for name, axis in lattice.axes.items():
        if len(axis) == 1:
            continue
        group = lattice.groups(but=name)
        twins = _Groups(
            axis=axis,
            group=group,
            place=lattice.column(name),
            measured=lattice.measured,
            failed=lattice.failed,
            size=int(group.max()) + 1,
            preferred=safer_direction(name, rate),
        )
        shares = _by_threshold if name in lattice.ordered else _by_value
        found += [
            share
            for share in shares(twins, lattice.failures)
            if share.failures >= _LEAST * share.of
        ]
    # Sorting keeps the order of the axes among equals.
    return sorted(found, key=lambda share: -share.failures)


def _by_threshold(twins: _Groups, failures: int) -> Iterator[AxisShare]:
    """The best threshold of an axis with an order."""
    axis = twins.axis
    last = len(axis) - 1
    below = _vanishing(twins, twins.place)
    above = _vanishing(twins, last - twins.place)[::-1]
    least_below, least_above = (
        _least_restrictive(below, failures),
        last - _least_restrictive(above[::-1], failures),
    )
    upwards, downwards = int(above[least_above]), int(below[least_below])
    margin = twins.preferred * _NEARLY * failures
    if upwards + margin > downwards:
        kind, place, number, end = ShareKind.AT_OR_ABOVE, least_above, upwards, last
    else:
        kind, place, number, end = ShareKind.AT_OR_BELOW, least_below, downwards, 0
    yield AxisShare(
        axis.name, axis.values[place], kind, number / failures, number, failures, place == end
    )


def _vanishing(twins: _Groups, place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the failures that vanish at each place and those before it, int64 [V].

    In a group of twins every failure vanishes at a place that is not before the first measured
    one and before the first failure; none vanishes elsewhere.
    """
    start = twins.lowest(twins.measured, place)
    stop = twins.lowest(twins.failed, place)
    size = len(twins.axis) + 1
    begun = np.bincount(start, weights=twins.failures, minlength=size)
    ended = np.bincount(stop, weights=twins.failures, minlength=size)
    # Weighted counts are float64: exact, since they are whole and far below 2**53.
    return np.cumsum(begun - ended)[:-1].astype(np.int64)


def _least_restrictive(vanishing: NDArray[np.int64], failures: int) -> int:
    """Return the last place at which nearly as many failures vanish as at the best."""
    best = int(vanishing.max())
    return int(np.flatnonzero(vanishing >= max(best - _NEARLY * failures, min(best, 1)))[-1])


def _by_value(twins: _Groups, failures: int) -> Iterator[AxisShare]:
    """The best value of an axis without an order, and the one most failures are at alone."""
    axis = twins.axis
    number = twins.failures
    measured = twins.count(twins.measured)
    vanish, alone = [], []
    for place in range(len(axis)):
        here = twins.place == place
        ran, broke = twins.count(here & twins.measured), twins.count(here & twins.failed)
        vanish.append(int(number[(ran > 0) & (broke == 0)].sum()))
        alone.append(int(number[(broke == number) & (measured > ran)].sum()))
    best, worst = _first_of_best(vanish, failures), _first_of_best(alone, failures)
    # That they are at one value alone says more than that they vanish at one of the others.
    if alone[worst]:
        yield _share(axis, worst, ShareKind.ALONE, alone[worst], failures)
    if vanish[best] > alone[worst] + _NEARLY * failures:
        yield _share(axis, best, ShareKind.AT, vanish[best], failures)


def _first_of_best(counts: list[int], failures: int) -> int:
    """Return the first place, in the order of the config, with nearly the largest count."""
    best = max(counts)
    least = max(best - _NEARLY * failures, min(best, 1))
    return next(place for place, count in enumerate(counts) if count >= least)


def _share(axis: Axis, place: int, kind: ShareKind, number: int, failures: int) -> AxisShare:
    return AxisShare(axis.name, axis.values[place], kind, number / failures, number, failures)
