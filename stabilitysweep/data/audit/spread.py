"""What scaling learns of a column of numbers, and how far its values lie once scaled.

Notation: N rows. The formulas are scikit-learn's, with what they do where float64 overflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Quartiles = tuple[float, float, float]

UNKNOWN: Quartiles = (math.nan, math.nan, math.nan)

OUTLIER_Z = 10.0
"""Robust z-score of an outlier. The largest of 1,000,000 normal values is near 5, and one
beyond 10 has a probability of 1e-17."""

IQR_OF_NORMAL = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""

_EPS = 2.0**-52


@dataclass(frozen=True, slots=True)
class Spread:
    """Ends and statistics of the finite values of a column.

    Attributes:
        rows: training rows that have a value, at least 1.
        low: least value of all rows.
        high: largest of all rows.
        train_low: least of the training rows.
        train_high: largest of the training rows.
        mean: of the training rows, as are the next two.
        std: standard deviation, divided by their number.
        quartiles: 25 %, 50 % and 75 %; NaN if it is known without them that there is no outlier.
    """

    rows: int
    low: float
    high: float
    train_low: float
    train_high: float
    mean: float
    std: float
    quartiles: Quartiles = UNKNOWN

    @classmethod
    def of(cls, values: Floats, train: Floats) -> Spread:
        """Measure finite values: those of all rows, and of them those trained on."""
        with np.errstate(all="ignore"):
            mean, std = moments(train)
            return cls(
                len(train),
                float(values.min()),
                float(values.max()),
                float(train.min()),
                float(train.max()),
                mean,
                std,
                find_quartiles(train),
            )

    def scaled(self, values: Floats, scaling: str) -> Floats:
        """Scale finite values as preprocessing does; what log1p cannot take becomes 0."""
        with np.errstate(all="ignore"):
            match scaling:
                case "log1p":
                    return np.log1p(np.where(values > -1, values, 0.0))
                case "standard":
                    return (values - self.mean) / self._deviation()
                case "robust":
                    low, middle, high = self.quartiles
                    return (values - middle) / _or_one(high - low)
                case "maxabs":
                    return values / _or_one(max(abs(self.train_low), abs(self.train_high)))
                case "minmax":
                    factor = 1.0 / np.float64(_or_one(self.train_high - self.train_low))
                    return values * factor - self.train_low * factor
            return values

    def largest_after(self, scaling: str) -> float:
        """Largest magnitude once scaled; infinity if any value would be NaN.

        Args:
            scaling: a value of the setting.
        """
        if scaling == "robust" and math.isnan(self.quartiles[0]):
            return OUTLIER_Z / IQR_OF_NORMAL  # without outliers none is farther
        ends = self.scaled(np.array([self.low, self.high]), scaling)
        largest = float(np.abs(ends).max())
        return math.inf if math.isnan(largest) else largest

    def _deviation(self) -> float:
        """What scikit-learn divides by: 1 for what it takes for constant.

        Where the variance overflows, roundoff decides whether that is NaN or 1; here it is NaN.
        """
        if not math.isfinite(self.std):
            return math.nan
        variance, roundoff = self.std**2, self.rows * _EPS
        constant = variance <= roundoff * variance + (roundoff * self.mean) ** 2
        return 1.0 if constant else self.std


def _or_one(size: float) -> float:
    return 1.0 if size < 10 * _EPS else size


def moments(train: Floats) -> tuple[float, float]:
    """Mean and standard deviation of n >= 1 values; NaN or Inf where float64 overflows."""
    mean = float(train.mean())
    deviations = train - mean
    return mean, math.sqrt(float(deviations @ deviations) / len(train))


def find_quartiles(values: Floats) -> Quartiles:
    """A quarter, half and three quarters of n >= 1 values, between rows as NumPy interpolates."""
    places = [(len(values) - 1) * quarter / 4 for quarter in (1, 2, 3)]
    rows = sorted({row for place in places for row in (math.floor(place), math.ceil(place))})
    ordered = np.partition(values, rows)
    low, middle, high = (
        _between(float(ordered[math.floor(place)]), float(ordered[math.ceil(place)]), place % 1)
        for place in places
    )
    return low, middle, high


def _between(one: float, other: float, share: float) -> float:
    return one if one == other else one + (other - one) * share
