"""The limits of the learning rate, against the recurrences that Keras' optimizers follow.

Notation: lambda the curvature, b the momentum, w the weight decay, r the learning rate.
"""

from __future__ import annotations

import doctest
import math

import keras
import numpy as np
import pytest

from stabilitysweep.numerics import critical_rate
from stabilitysweep.numerics.critical_rate import critical_learning_rate

CASES = [
    (curvature, momentum, nesterov, decay)
    for curvature in (0.3, 8.0)
    for momentum in (0.0, 0.5, 0.9, 0.99)
    for nesterov in (False, True)
    for decay in (0.0, 0.05, 2.0)
]


def growth(rate: float, curvature: float, momentum: float, nesterov: bool, decay: float) -> float:
    """How much a step multiplies the weight and its velocity by in the long run.

    The steps themselves are taken, from both axes: their images are the recurrence's matrix.
    """

    def step(x: float, v: float) -> tuple[float, float]:
        gradient = curvature * x
        x -= rate * decay * x
        v = momentum * v - rate * gradient
        return (x + momentum * v - rate * gradient if nesterov else x + v), v

    matrix = np.array([step(1.0, 0.0), step(0.0, 1.0)]).T
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@pytest.mark.parametrize(("curvature", "momentum", "nesterov", "decay"), CASES)
def test_steps_shrink_below_the_limit_and_grow_above_it(
    curvature: float, momentum: float, nesterov: bool, decay: float
) -> None:
    rate = critical_learning_rate(
        curvature, momentum=momentum, nesterov=nesterov, weight_decay=decay
    )
    assert rate is not None
    rest = (curvature, momentum, nesterov, decay)
    assert growth(rate, *rest) == pytest.approx(1.0, abs=1e-9)
    for share in (0.01, 0.3, 0.9, 0.999):
        assert growth(share * rate, *rest) < 1
    for share in (1.001, 1.1, 3.0):
        assert growth(share * rate, *rest) > 1


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_recurrence_is_that_of_keras(momentum: float, nesterov: bool) -> None:
    curvature, decay = 4.0, 0.5
    rate = critical_learning_rate(
        curvature, momentum=momentum, nesterov=nesterov, weight_decay=decay
    )
    assert rate is not None
    for share, grows in ((0.97, False), (1.03, True)):
        weight = keras.Variable(1.0)
        optimizer = keras.optimizers.SGD(
            share * rate, momentum=momentum, nesterov=nesterov, weight_decay=decay
        )
        for _ in range(400):
            optimizer.apply([curvature * weight.value], [weight])
        assert (abs(float(weight.value)) > 1) is grows


def test_without_momentum_both_forms_are_plain_descent() -> None:
    plain = critical_learning_rate(5.0, weight_decay=1.0)
    assert plain == pytest.approx(2 / 6)
    assert plain == critical_learning_rate(5.0, nesterov=True, weight_decay=1.0)


def test_the_published_limits_at_momentum_0_9() -> None:
    assert critical_learning_rate(1.0, momentum=0.9) == pytest.approx(3.8)
    nesterov = critical_learning_rate(1.0, momentum=0.9, nesterov=True)
    assert nesterov == pytest.approx(1.357, abs=5e-4)


@pytest.mark.parametrize("curvature", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e-320])
def test_there_is_no_limit_without_a_positive_finite_curvature(curvature: float) -> None:
    assert critical_learning_rate(curvature) is None


def test_the_example_holds() -> None:
    found = doctest.testmod(critical_rate)
    assert found.attempted == 2 and found.failed == 0
