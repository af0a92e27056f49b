"""How the values of an axis are spread, and so how it is best drawn."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis

Spacing = Literal["log", "linear", "category"]

_FEW = 6  # values: up to here each is labelled, and even spacing reads better than true
_EVEN = 3.0  # largest gap over smallest: below this, spacing counts as regular
_LOPSIDED = 25.0  # above this, a linear axis would hide most of its cells
_WIDE = 100.0  # largest value over smallest: from here on, logarithms are natural


def spacing(axis: Axis) -> Spacing:
    """Chooses logarithms, a linear scale, or cells of equal size for an axis."""
    if not axis.numeric or len(axis) < 2:
        return "category"
    values = axis.numbers
    positive = bool(values[0] > 0)
    wide = positive and bool(values[-1] / values[0] >= _WIDE)
    uneven_log = _unevenness(np.log10(values)) if positive else math.inf
    uneven_linear = _unevenness(values)
    if len(axis) <= _FEW:
        return "log" if wide and uneven_log <= _EVEN else "category"
    if wide or (positive and uneven_log < uneven_linear and uneven_log <= _LOPSIDED):
        return "log"
    return "linear" if uneven_linear <= _LOPSIDED else "category"


def _unevenness(drawn: NDArray[np.float64]) -> float:
    gaps = np.diff(drawn)
    return float(gaps.max() / gaps.min())
