"""How far up the learning rates nothing fails, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.refined_boundary import RefinedBoundary
from stabilitysweep.analysis.summary import RateLimit, Summary
from stabilitysweep.analysis.wording import spoken

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
