"""The rate of a rise before a failure, on curves made with a known one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stabilitysweep.analysis.growth import growth
from stabilitysweep.types import Trace


def trace(steps: Any, loss: Any, weights: Any = None) -> Trace:
    steps = np.asarray(steps, np.int32)
    flat = np.ones(len(steps), np.float32)
    norm = flat if weights is None else np.asarray(weights, np.float32)
    return Trace(steps, np.asarray(loss, np.float32), flat, norm, flat, flat)


@pytest.mark.parametrize("rho", [1.1, 1.5, 3.0])
@pytest.mark.parametrize("spacing", [1, 3])
def test_the_rate_of_a_quadratic_loss_is_rho_squared(rho: float, spacing: int) -> None:
    steps = np.arange(1, 31, spacing)
    found = growth(trace(steps, rho ** (2.0 * steps), rho**steps), None)
    assert found is not None
    assert (found.quantity, found.first, found.last) == ("loss", 1, steps[-1])
    assert found.rate == pytest.approx(rho**2, rel=1e-5)
    assert found.total == pytest.approx(rho ** (2.0 * (steps[-1] - 1)), rel=1e-4)


def test_a_rise_begins_at_the_last_minimum() -> None:
    found = growth(trace(range(1, 7), [9, 2, 5, 2, 4, 8]), None)
    assert found is not None
    assert (found.first, found.last, found.start, found.end) == (4, 6, 2.0, 8.0)
    assert found.rate == pytest.approx(2.0)


def test_points_from_the_onset_on_do_not_count() -> None:
    curve = trace(range(1, 6), [1, 2, 4, 1e9, np.inf])
    found = growth(curve, 4)
    assert found is not None
    assert (found.last, found.end) == (3, 4.0)
    later = growth(curve, None)
    assert later is not None
    assert later.last == 4


def test_the_larger_rise_is_told() -> None:
    found = growth(trace(range(1, 5), [1, 1, 1, 2], [1, 10, 100, 1000]), None)
    assert found is not None
    assert found.quantity == "weights"
    assert found.rate == pytest.approx(10.0)


@pytest.mark.parametrize(
    "loss", [[], [3], [3, 2, 1], [1, 1, 1], [np.nan, np.inf, 2], [0, 0, 0], [-3, -2, -1]]
)
def test_no_rise(loss: list[float]) -> None:
    assert growth(trace(range(1, len(loss) + 1), loss), None) is None
