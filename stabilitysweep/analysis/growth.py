"""How fast a trial's loss or weights grew before it failed, from its trace.

Notation: K points of the trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.types import Trace


@dataclass(frozen=True, slots=True)
class Growth:
    """A rise from the last minimum of a curve to its last finite point.

    Attributes:
        quantity: `loss` or `weights`.
        first: the step of the minimum, counted from 1.
        last: the step of the last finite point, above `first`.
        start: the value there, above 0.
        end: the last finite value, above `start`.
    """

    quantity: str
    first: int
    last: int
    start: float
    end: float

    @property
    def total(self) -> float:
        """The factor over the whole rise, above 1."""
        return self.end / self.start

    @property
    def rate(self) -> float:
        """The factor a step: the geometric mean over the rise, above 1."""
        return math.exp((math.log(self.end) - math.log(self.start)) / (self.last - self.first))


def growth(trace: Trace, before: int | None) -> Growth | None:
    """Return the larger of the rises of the batch loss and of the norm of the weights.

    Args:
        trace: a trial's curves.
        before: the step of the onset; points from there on do not count. None: all do.

    Returns:
        The rise with the larger total factor; None if neither rose.
    """
    kept = np.ones(len(trace.steps), np.bool_) if before is None else trace.steps < before
    rises = [
        _rise("loss", trace.steps[kept], np.abs(trace.loss[kept])),
        _rise("weights", trace.steps[kept], trace.weight_norm[kept]),
    ]
    found = [rise for rise in rises if rise is not None]
    return max(found, key=lambda rise: math.log(rise.end) - math.log(rise.start), default=None)


def _rise(quantity: str, steps: NDArray[np.int32], values: NDArray[np.float32]) -> Growth | None:
    usable = np.isfinite(values) & (values > 0)
    steps, values = steps[usable], values[usable]
    if len(values) < 2:
        return None
    lowest = len(values) - 1 - int(np.argmin(values[::-1]))
    if lowest == len(values) - 1:
        return None
    start, end = float(values[lowest]), float(values[-1])
    return Growth(quantity, int(steps[lowest]), int(steps[-1]), start, end)
