"""The axes of a search: a column for each `hp`, its values or the bins they fall into.

A random search draws another value in every trial, and a map of as many columns as trials shows
nothing. So the range of an `hp` with many values is cut into bins, and a bin is called by its
*lower end*: every claim about a bin (nothing failed up to it, something fails from it on) then
holds for the values that were tried in it, which lie at or above.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from stabilitysweep.analysis.axes import is_number
from stabilitysweep.config.axes import SECTIONS
from stabilitysweep.config.hp import name_problem
from stabilitysweep.result.searched import EXACT, OF_SEARCH

BINS = 12
"""Bins of a range, unless told otherwise."""

_DIGITS = 3
_SLACK = 1e-9
_LONGEST_NAME = 100
_OWN_OF_KERAS_TUNER = "tuner/"
_TAKEN = frozenset({"dataset", "name", "build", "search_trial", "execution", OF_SEARCH})
_MODEL = "model_"


@dataclass(frozen=True, slots=True)
class SearchAxis:
    """One `hp` as an axis.

    Attributes:
        hp: its name in the search.
        column: its name in the table: `hp_NAME` where that is one of ours.
        values: the values of the axis; None comes last, if the `hp` is not always active.
        binned: whether the numbers among these are the lower ends of bins.
    """

    hp: str
    column: str
    values: tuple[Any, ...]
    binned: bool

    def place(self, value: Any) -> Any:
        """Return the value of the axis that stands for a value of the `hp`."""
        if not (self.binned and is_number(value)):
            return value
        ends = [end for end in self.values if end is not None]
        at = bisect.bisect_right(ends, value) - 1
        # Below the declared range, as a default may be, the bin is one of its own.
        return ends[at] if at >= 0 else _rounded_down(value, whole=isinstance(value, int))


def axes_of(
    space: Iterable[Any],
    *,
    bins: int | Mapping[str, Sequence[float]] = BINS,
    every: bool = False,
    names: Sequence[str] = (),
) -> tuple[SearchAxis, ...]:
    """Return the axes of a search space, in its order.

    Args:
        space: the `hp` that were asked for so far.
        bins: how many bins an `hp` with more values than that gets, at least 2; or the lower ends
            of the bins of some, by name.
        every: whether the search goes through the same few values of each `hp`, as a grid search
            does: these are kept, up to 50.
        names: the `hp` that are to be axes; none given means all of them.
    """
    found: dict[str, list[Any]] = {}
    for hp in space:
        if not hp.name.startswith(_OWN_OF_KERAS_TUNER) and (not names or hp.name in names):
            found.setdefault(hp.name, []).append(hp)
    ends = bins if isinstance(bins, Mapping) else {}
    number = bins if isinstance(bins, int) else BINS
    return tuple(_axis(name, own, number, every, ends.get(name)) for name, own in found.items())


def values_of(hp: keras_tuner.HyperParameters, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a trial by column; an `hp` that is not active has none.

    Args:
        hp: of the trial.
        columns: the column of each name.
    """
    active = {own.name for own in hp.space if hp.is_active(own)}
    return {
        columns[name]: _plain(value)
        for name, value in hp.values.items()
        if name in columns and name in active
    }


def column_of(name: str) -> str:
    """Return the column of an `hp`: its name, unless that is taken."""
    name = name[:_LONGEST_NAME]
    taken = (
        name in _TAKEN
        or name.startswith((EXACT, _MODEL))
        or name in SECTIONS
        or name_problem(name, (), axis=True) is not None
    )
    return f"hp_{name}"[:_LONGEST_NAME] if taken else name


def _axis(
    name: str, own: Sequence[Any], bins: int, every: bool, given: Sequence[float] | None
) -> SearchAxis:
    """The axis of one name, of which there may be several `hp` under different conditions."""
    conditional = all(hp.conditions for hp in own)
    end = (None,) if conditional else ()
    if given is not None:
        return SearchAxis(name, column_of(name), (*given, *end), binned=True)
    most = max(bins, 50) if every else bins
    lists = [_listed(hp, most, every) for hp in own]
    if all(values is not None for values in lists):
        values = _different(value for listed in lists for value in listed or ())
        return SearchAxis(name, column_of(name), (*values, *end), binned=False)
    ranges = [hp for hp in own if isinstance(hp, kinds.Float | kinds.Int)]
    low, high = min(hp.min_value for hp in ranges), max(hp.max_value for hp in ranges)
    log = all(hp.sampling == "log" for hp in ranges)
    whole = all(isinstance(hp, kinds.Int) for hp in ranges)
    ends = _lower_ends(low, high, bins, log=log, whole=whole)
    return SearchAxis(name, column_of(name), (*ends, *end), binned=True)


def _listed(hp: Any, most: int, every: bool) -> list[Any] | None:
    """The values an `hp` can have; None if they are too many."""
    match hp:
        case kinds.Choice() | kinds.Boolean() | kinds.Fixed():
            values = [hp.value] if isinstance(hp, kinds.Fixed) else list(hp.values)
            return [_plain(value) for value in values]
        case kinds.Float() | kinds.Int() if hp.step is not None or every:
            values = sorted({_plain(value) for value in (*hp.values, hp.default)})
        case kinds.Int():
            if hp.max_value - hp.min_value >= most:
                return None
            values = list(range(hp.min_value, hp.max_value + 1))
        case _:
            return None
    return values if len(values) <= most else None


def _lower_ends(low: float, high: float, bins: int, *, log: bool, whole: bool) -> list[Any]:
    if not low < high:
        return [_rounded_down(low, whole=whole)]
    parts = [place / bins for place in range(bins)]
    if log:
        ends = [low * math.exp(part * math.log(high / low)) for part in parts]
    else:
        ends = [low + part * (high - low) for part in parts]
    return _different(_rounded_down(end, whole=whole) for end in ends)


def _rounded_down(value: float, *, whole: bool) -> Any:
    """A number with few digits, at or below another (but for the last of its digits)."""
    if whole:
        return math.floor(value + _SLACK)
    near = value + abs(value) * _SLACK
    if near == 0:
        return 0.0
    unit = Decimal(1).scaleb(Decimal(near).adjusted() - _DIGITS + 1)
    return float(Decimal(near).quantize(unit, rounding=ROUND_FLOOR))


def _different(values: Iterable[Any]) -> list[Any]:
    return list({(isinstance(value, bool), value): value for value in values}.values())


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str) else str(value)
