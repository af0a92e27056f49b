"""What to change where no cell is safe: why there is none, and what the table says of a way out.

See `standing` for the notation: P panels, M cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.standing import Standing
from stabilitysweep.analysis.wording import percent, placed, spoken
from stabilitysweep.types import Outcome, Stage

_BELOW_ALL = 1000.0
"""How far below the lowest learning rate to look, where everything fails at that already."""
_BELOW = 32.0
"""How far below the largest safe one to look, over the margin."""
_VALUES = 16
_MORE_STEPS = 10
_MOST_STEPS = 20
_LEAST_MARGIN = 1.05
"""What is narrower is none."""
_CLEARLY = 0.1
"""A value fails less than others if the shares differ by so much."""
_HALF = ("float16", "mixed_float16")


class Change(StrEnum):
    """What is to be changed."""

    FINISH = "finish"  # nothing: the sweep is to be run to its end
    RATES = "rates"  # other learning rates
    STEPS = "steps"  # a longer budget
    VALUES = "values"  # only those values of an axis at which something holds
    PRECISION = "precision"  # another precision beside those there are
    IMPUTATION = "imputation"  # gaps in the inputs filled
    REFINE = "refine"  # nothing: the boundary between two learning rates is to be found
    MARGIN = "margin"  # a narrower margin accepted


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change.

    Attributes:
        change: what.
        text: the same in a sentence.
        axis: the axis or setting it is about, if it is about one.
        values: `RATES`: the lowest and highest learning rate, and how many, evenly in their
            logarithm. `STEPS`: the factor. `VALUES`: those to keep. `PRECISION`, `IMPUTATION`:
            those to add. `MARGIN`: the margin that some cell has.
    """

    change: Change
    text: str
    axis: str | None = None
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """The sentence."""
        return self.text

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "change": str(self.change),
            "axis": self.axis,
            "values": list(self.values),
            "text": self.text,
        }


def advise(stands: Standing, settings: Mapping[str, Any]) -> tuple[str, tuple[Advice, ...]]:
    """Say why no cell is safe, and what to change.

    Args:
        stands: how the cells stand; none is safe in every panel.
        settings: see `picks.recommend`.

    Returns:
        The reason, and the advice, the most promising first.
    """
    kinds = _Kinds.of(stands)
    found: list[Advice] = []
    if kinds.complete.any():
        if (inputs := _inputs(stands, settings)) is not None:
            return _reason(stands, kinds), (inputs,)
        found += _rates(stands, kinds, settings)
        found += _steps(stands, kinds, settings)
        found += _values(stands)
        if (kinds.fails | kinds.stalls).any():
            found += _precision(stands, settings)
        found += _narrower(stands, kinds)
    if (kinds.shared & ~kinds.complete).any():
        text = "run the sweep to its end: cells that lack seeds are no picks"
        if (stands.crashed > 0).any():
            text += "; trials that crashed are tried again"
        found.append(Advice(Change.FINISH, text))
    return _reason(stands, kinds), tuple(found)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Why cells are not safe, bool [M] each: the first of these that is true, over all panels."""

    shared: NDArray[np.bool_]
    complete: NDArray[np.bool_]
    fails: NDArray[np.bool_]
    stalls: NDArray[np.bool_]
    edge: NDArray[np.bool_]

    @classmethod
    def of(cls, stands: Standing) -> _Kinds:
        complete = stands.shared & stands.complete.all(axis=0)
        fails = complete & (stands.failed > 0).any(axis=0)
        stalls = complete & ~fails & (stands.stalled > 0).any(axis=0)
        edge = complete & stands.good.all(axis=0) & ~stands.safe.all(axis=0)
        return cls(stands.shared, complete, fails, stalls, edge)


def _reason(stands: Standing, kinds: _Kinds) -> str:
    cells = int(kinds.shared.sum())
    parts = [
        (int((kinds.shared & ~kinds.complete).sum()), "{} lack{s} trials or ha{ve} crashed ones"),
        (int(kinds.fails.sum()), "{} fail{s} for at least one seed"),
        (int(kinds.stalls.sum()), "{} stall{s}: nothing breaks, nothing is learnt"),
        (
            int(kinds.edge.sum()),
            f"{{}} {{are}} stable, but not known to be up to {stands.margin:,g} times the "
            "learning rate",
        ),
    ]
    said = [
        text.format(
            f"{number:,}",
            s="s" if number == 1 else "",
            ve="s" if number == 1 else "ve",
            are="is" if number == 1 else "are",
        )
        for number, text in parts
        if number
    ]
    sentence = f"no cell is safe. Of {cells:,}, {'; '.join(said)}."
    if len(stands.panels) > 1:
        alone = (
            f"{panel.label} {int(safe.sum()):,}"
            for panel, safe in zip(stands.panels, stands.safe, strict=True)
        )
        sentence += f" Safe in one data set by itself: {', '.join(alone)}."
    return sentence


def _inputs(stands: Standing, settings: Mapping[str, Any]) -> Advice | None:
    """Advise imputation where every trial failed at an input that is not finite."""
    for panel in stands.panels:
        ran = panel.trials.loc[panel.trials["outcome"] != Outcome.CRASHED]
        if ran.empty or "onset_stage" not in ran:
            return None
        if not (ran["onset_stage"] == Stage.INPUT).all():
            return None
    own = "imputation" in stands.axes
    filled = not own and settings.get("imputation") not in (None, "none")
    text = "the inputs hold values that are not finite, so nothing is trained: "
    if own or filled:
        return Advice(
            Change.IMPUTATION, text + "imputation does not fill them; 'check' names the columns"
        )
    text += "fill them, or leave out the columns that 'check' names"
    return Advice(Change.IMPUTATION, text, "imputation", ("mean", "median"))


def _bounds(stands: Standing, kinds: _Kinds) -> tuple[float | None, bool]:
    """The largest learning rate that is safe in all panels in some slice; whether it is the top."""
    shared = np.flatnonzero(kinds.shared)
    safe = stands.safe_rate[:, shared].min(axis=0)  # NaN where one panel has none
    if not np.isfinite(safe).any():
        return None, False
    best = float(np.nanmax(safe))
    at = shared[np.flatnonzero(safe == best)]
    return best, bool(_at_the_top(stands, at).any())


def _at_the_top(stands: Standing, cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether what limits the slices of cells is the top of a grid, bool [cells]."""
    limiting = stands.safe_rate[:, cells] == stands.safe_rate[:, cells].min(axis=0)
    return np.asarray((stands.open_ended[:, cells] | ~limiting).all(axis=0), np.bool_)


def _rates(stands: Standing, kinds: _Kinds, settings: Mapping[str, Any]) -> Iterator[Advice]:
    name = "learning_rate" if stands.rate is None else stands.rate
    if stands.rate is None:
        known = settings.get("learning_rate")
        if not isinstance(known, int | float) or isinstance(known, bool):
            yield Advice(Change.RATES, "make the learning rate an axis of the grid")
            return
        lowest = highest = float(known)
        low, high = lowest / _BELOW_ALL, highest * (1 if kinds.fails.any() else stands.margin)
        text = f"make the learning rate an axis: it is {value_label(lowest)} throughout"
        yield _ranged(name, low, high, text)
        return
    rates = stands.rates[stands.asked]
    lowest = float(rates[rates > 0].min(initial=np.inf))
    if not math.isfinite(lowest):
        return
    safe, top = _bounds(stands, kinds)
    if safe is None and not _fails_at(stands, lowest):
        yield Advice(Change.FINISH, "more trials: from the lowest learning rate up, there are gaps")
        return
    if safe is None:
        text = (
            f"lower learning rates: something fails at the lowest, {value_label(lowest)}, already"
        )
        yield _ranged(name, lowest / _BELOW_ALL, lowest, text)
        return
    below = safe / stands.margin
    if top:
        text = (
            f"higher learning rates: nothing failed up to {value_label(safe)}, the highest, so the "
            "boundary above is not known"
        )
        yield _ranged(name, below / _BELOW, safe * stands.margin**2, text)
    else:
        text = (
            f"more learning rates from {value_label(below)} down: nothing fails up to "
            f"{value_label(safe)} at best, and a pick keeps a factor of {stands.margin:g} from that"
        )
        yield _ranged(name, below / _BELOW, safe, text)


def _fails_at(stands: Standing, rate: float) -> bool:
    """Whether a trial failed at a learning rate."""
    return bool((stands.failed[:, stands.rates == rate] > 0).any())


def _ranged(axis: str, low: float, high: float, text: str) -> Advice:
    ends = float(f"{low:.3g}"), float(f"{high:.3g}")
    return Advice(Change.RATES, text, axis, (*ends, _VALUES))


def _steps(stands: Standing, kinds: _Kinds, settings: Mapping[str, Any]) -> Iterator[Advice]:
    """More steps, where learning rates that are safe learn nothing, or lower ones are to learn."""
    budget = settings.get("steps") or settings.get("epochs")
    unit = "steps" if settings.get("steps") or not settings.get("epochs") else "epochs"
    factor, why = _MORE_STEPS, "lower learning rates need them to learn"
    if kinds.stalls.any():
        why = f"{int(kinds.stalls.sum()):,} cells break nothing and learn nothing"
    elif stands.rate is not None and kinds.edge.any() and _bounds(stands, kinds)[1]:
        return  # what is stable at the top of the grid need not learn longer
    safe, _ = _bounds(stands, kinds)
    if safe is None and stands.rate is not None and not kinds.stalls.any():
        rates = stands.rates[stands.asked & (stands.rates > 0)]
        if not _fails_at(stands, float(rates.min(initial=np.inf))):
            return  # trials are missing there, and nothing says that they would not learn
    if safe is not None and kinds.edge.any():
        learns = float(stands.rates[kinds.edge].min())
        wanted = 2 * learns / (safe / stands.margin)
        factor = int(min(max(math.ceil(wanted), 2), _MOST_STEPS))
    if not isinstance(budget, int):
        yield Advice(Change.STEPS, f"{factor} times as many {unit}: {why}", unit, (factor,))
        return
    yield Advice(
        Change.STEPS, f"{budget * factor:,} {unit} instead of {budget:,}: {why}", unit, (factor,)
    )


def _values(stands: Standing) -> Iterator[Advice]:
    """For each axis, the value that fails least, if it clearly does; those that always do go."""
    found = []
    failed = stands.failed.sum(axis=0) * stands.asked
    measured = (stands.trials - stands.crashed).sum(axis=0) * stands.asked
    for column, (name, axis) in enumerate(stands.axes.items()):
        if name == stands.rate or len(axis) < 2:
            continue
        part = np.bincount(stands.places[:, column], failed, len(axis))
        whole = np.bincount(stands.places[:, column], measured, len(axis))
        known = whole > 0
        share = np.divide(part, whole, out=np.full(len(axis), np.nan), where=known)
        if known.sum() < 2:
            continue
        least, most = int(np.nanargmin(share)), int(np.nanargmax(share))
        if share[most] - share[least] < _CLEARLY:
            continue
        said = (
            f"{_named(name, axis.values[least])} fails least, in "
            f"{percent(int(part[least]), int(whole[least]))} of its trials; "
            f"{_named(name, axis.values[most])} in {percent(int(part[most]), int(whole[most]))}"
        )
        # Kept are the values that are no worse than half-way between the two.
        limit = (share[most] + share[least]) / 2
        kept = tuple(v for v, own in zip(axis.values, share, strict=True) if own <= limit)
        found.append((share[most] - share[least], Advice(Change.VALUES, said, name, kept)))
    yield from (advice for _, advice in sorted(found, key=lambda each: -each[0]))


def _named(axis: str, value: object) -> str:
    return value_label(value) if axis == "precision" else f"{spoken(axis)} {value_label(value)}"


def _precision(stands: Standing, settings: Mapping[str, Any]) -> Iterator[Advice]:
    axis = stands.axes.get("precision")
    values = (settings.get("precision"),) if axis is None else axis.values
    if set(values) & set(_HALF) and not {"float32", "float64"} & set(values):
        listed = " and ".join(map(str, values))
        text = f"float32 as well: {listed} overflows and underflows where it does not"
        yield Advice(Change.PRECISION, text, "precision", ("float32",))


def _narrower(stands: Standing, kinds: _Kinds) -> Iterator[Advice]:
    """What some cell has of a margin, and whether refining may show more."""
    if stands.rate is None or not kinds.edge.any():
        return
    edge = np.flatnonzero(kinds.edge)
    safe = stands.safe_rate[:, edge].min(axis=0)
    failing = np.where(
        np.isnan(stands.failing_rate[:, edge]), np.inf, stands.failing_rate[:, edge]
    ).min(axis=0)
    open_ended = _at_the_top(stands, edge)
    wanted = stands.margin * stands.rates[edge]
    if (np.isfinite(safe) & (safe < wanted) & (failing > wanted) & ~open_ended).any():
        text = "refine: the boundary lies between two learning rates, and may be far enough"
        yield Advice(Change.REFINE, text)
    room = np.floor(100 * np.nan_to_num(safe / stands.rates[edge])) / 100
    for place in np.argsort(-room, kind="stable"):
        cell, margin = int(edge[place]), float(room[place])
        if not _LEAST_MARGIN < margin < stands.margin:
            continue
        rates, own = stands.rates, stands.rates[cell]
        within = (stands.slices == stands.slices[cell]) & (rates >= own) & (rates <= margin * own)
        if stands.good[:, within].all():
            at = " ".join(placed(name, value) for name, value in stands.settings(cell).items())
            text = f"a margin of {margin:g}, which is what there is {at}; the risk is yours"
            yield Advice(Change.MARGIN, text, values=(margin,))
            return
