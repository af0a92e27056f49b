"""How far up the learning rates nothing fails, a line each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.refined_boundary import RefinedBoundary
from stabilitysweep.analysis.summary import RateLimit, Summary
from stabilitysweep.analysis.wording import counted, spoken

_MOST_LIMITS = 8
_REFINED_DIGITS = 4


def rate_limits(summary: Summary, refined: RefinedBoundary | None = None) -> Iterator[str]:
    """The largest stable learning rates, one a line: of every precision, and of all together.

    Refined ones where there are, each said to be so or to be of the grid. None as long as nothing
    can be said, or if the learning rate is no axis.
    """
    by, overall = summary.stable_rate_by, summary.stable_rate
    if overall is None:
        return
    limits = [overall, *(limit for values in by.values() for limit in values.values())]
    if all(limit.status is BoundaryStatus.UNMEASURED for limit in limits):
        return
    closer = {} if refined is None else refined.by
    shown = [
        axis
        for axis, values in by.items()
        if axis == "precision" or _differ(values, closer.get(axis, {}))
    ]

    def said(limit: RateLimit, own: float | None) -> str:
        return rate_limit(limit) if refined is None else _refined_limit(limit, own)

    for axis in shown:
        for value, limit in by[axis].items():
            # A precision is known by its value, others are not: `none` of what?
            named = value if axis == "precision" else f"{spoken(axis)} {value}"
            yield f"{named}: {said(limit, closer.get(axis, {}).get(value))}"
    if shown != ["precision"] or len(by["precision"]) != 1:
        whole = said(overall, None if refined is None else refined.overall)
        yield ("all: " if shown else "") + whole
    yield "(there and below, no trial fails)"


def rate_limit(limit: RateLimit) -> str:
    """A limit as a number, and what must be known about it."""
    rate = f"learning rate {value_label(limit.value)}"
    return {
        BoundaryStatus.FOUND: rate,
        BoundaryStatus.ALL_FAIL: "no learning rate: trials fail at the lowest",
        BoundaryStatus.NO_FAILURE: f"{rate}, the highest tried: nothing failed",
        BoundaryStatus.GAP: f"{rate} at least: above it, trials are missing",
        BoundaryStatus.UNMEASURED: "unknown: at the lowest learning rate, trials are missing",
    }[limit.status]


def _differ(limits: Mapping[str, RateLimit], refined: Mapping[str, float]) -> bool:
    known = {refined.get(value, limit.value) for value, limit in limits.items()}
    return len(known) > 1 and len(limits) <= _MOST_LIMITS


def _refined_limit(limit: RateLimit, refined: float | None) -> str:
    """A limit of the grid or, where it is known closer, the refined one."""
    if refined is not None:
        return f"learning rate {value_label(refined, _REFINED_DIGITS)}, refined"
    text = rate_limit(limit)
    return text if limit.value is None else f"{text} (of the grid)"


def refined_lines(table: pd.DataFrame) -> list[str]:
    """What there is to say of the slices whose boundary was refined; nothing without any.

    Args:
        table: of all boundaries, see `analysis.brackets.boundaries`.
    """
    own = table.loc[table["refined"]]
    if own.empty:
        return []
    widths = (own["failing"] / own["safe"].where(own["safe"] > 0) - 1).dropna()
    apart = f" within {width_of(widths.max())}" if len(widths) else ""
    lines = [f"the boundary of {counted(len(own), 'slice')}{apart}, for {steps_of(own)}"]
    if len(widths):
        lowest, highest = own["safe"].min(), own["safe"].max()
        span = value_label(lowest, _REFINED_DIGITS)
        if highest > lowest:
            span += f" to {value_label(highest, _REFINED_DIGITS)}"
        lines.append(f"slice by slice, stable up to a learning rate of {span}")
    ragged = int((own["islands"] > 0).sum())
    if ragged:
        lines.append(f"ragged in {counted(ragged, 'slice')}: stable rates above the first failure")
    return lines


def steps_of(table: pd.DataFrame) -> str:
    """For how many steps boundaries hold."""
    known = table["steps"].dropna()
    if known.empty:
        return "the sweep's steps"
    low, high = int(known.min()), int(known.max())
    return counted(high, "step") if low == high else f"{low:,} to {high:,} steps"


def width_of(share: float) -> str:
    """How far apart the ends of a bracket are: `2.5 %`."""
    return "-" if math.isnan(share) else f"{100 * share:.3g} %"
