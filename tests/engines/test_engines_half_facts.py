"""Where float16 ends: 65,504 and 2^-24, as training meets them.

A chain of width 1 with weights of 1, or a linear model of weights of 0, and one made-up row, so
that every number in a step is known. Half spacings at the ends, which round to even:
65,520 is Inf and what is below it 65,504; 2^-25 is 0 and what is above it 2^-24.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

LARGEST, INFINITE, SMALLEST = 65_504.0, 65_520.0, 2.0**-24
HALF = ("float16", "mixed_float16")
STEPS = 3


@pytest.fixture(
    params=[
        pytest.param(("stacked", Compiled.GRAPH), id="stacked"),
        pytest.param(("stacked", Compiled.XLA), id="xla", marks=pytest.mark.slow),
        pytest.param(("fit", Compiled.GRAPH), id="fit", marks=pytest.mark.slow),
    ],
    scope="module",
)
def way(request: pytest.FixtureRequest) -> tuple[Engine, Compiled]:
    name, compiled = request.param
    return request.getfixturevalue(name), compiled


def train(
    lab: Any,
    way: tuple[Engine, Compiled],
    x: Sequence[float],
    y: float,
    *,
    precision: str,
    rate: float = 1.0,
    steps: int = STEPS,
    **model: Any,
) -> TrialResult:
    """Train on rows x with target y, a row a step."""
    rows = np.array([x, x], float)
    names = tuple(f"x{column}" for column in range(len(x)))
    data = PreparedData(rows, np.full((2, 1), y), rows[:0], np.zeros((0, 1)), 1, names, "made")
    trials = lab.trials(
        data,
        model={"width": 1, "activation": "linear", "initializer": "ones", **model},
        training={"precision": precision, "batch_size": 1, "steps": steps},
        learning_rate=[rate],
    )
    (result,) = lab.run(way[0], trials, data, way[1], places=4)
    assert result.compiled is way[1]
    return result


@pytest.mark.parametrize("precision", HALF)
def test_an_activation_of_65504_is_finite_and_one_of_65520_is_infinite(
    lab: Any, way: tuple[Engine, Compiled], precision: str
) -> None:
    for last in (0.0, 15.0)[way[0].name == "fit" :]:  # 65,519 is rounded down
        result = train(lab, way, [LARGEST, last], LARGEST, precision=precision)
        assert (result.onset, result.outcome) == (None, Outcome.STALLED)  # nothing to learn
        assert result.max_abs_activation == LARGEST
        assert result.final_loss == result.max_grad_norm == 0.0
        assert result.skipped_steps == 0

    result = train(lab, way, [LARGEST, INFINITE - LARGEST], LARGEST, precision=precision)
    assert result.outcome is Outcome.NONFINITE
    assert result.onset == Onset(1, Stage.ACTIVATION, "hidden_1", Kind.POSITIVE_INFINITY)
    assert result.initial_loss == math.inf
    if precision == "mixed_float16":  # every step is skipped, to the end
        assert (result.steps_run, result.skipped_steps) == (STEPS, STEPS)
        assert result.final_loss_scale == 2.0 ** (15 - STEPS)
    else:
        assert result.skipped_steps == 0

    result = train(lab, way, [-LARGEST, LARGEST - INFINITE], LARGEST, precision=precision)
    assert result.onset == Onset(1, Stage.ACTIVATION, "hidden_1", Kind.NEGATIVE_INFINITY)


def gradients(lab: Any, way: tuple[Engine, Compiled], g: float, precision: str) -> np.ndarray:
    """The norm of the gradient at each step, where g reaches the hidden layer.

    The row (1, -1) makes the activation 0 and so the output kernel's gradient: left are the two
    weights of the hidden layer, its bias and the output's bias, g each. At this learning rate
    a step of g at the end of float16 changes nothing.
    """
    result = train(lab, way, [1.0, -1.0], -g / 2, precision=precision, rate=0.5)
    assert result.onset is None and result.skipped_steps == 0
    return result.trace.grad_norm


def test_a_gradient_of_2_to_the_minus_24_survives_and_one_of_2_to_the_minus_25_is_zero(
    lab: Any, way: tuple[Engine, Compiled]
) -> None:
    survived = gradients(lab, way, SMALLEST, "float16")
    assert survived.tolist() == [2 * SMALLEST] * STEPS
    if way[0].name == "stacked":
        above = gradients(lab, way, SMALLEST * 0.501, "float16")
        assert above.tolist() == [2 * SMALLEST] * STEPS  # rounded up
    assert gradients(lab, way, SMALLEST / 2, "float16").tolist() == [0.0] * STEPS


def test_loss_scaling_moves_that_limit_down_by_its_scale(
    lab: Any, way: tuple[Engine, Compiled]
) -> None:
    unit = SMALLEST / 2.0**15
    assert gradients(lab, way, unit, "mixed_float16")[0] == 2 * unit
    # The output layer is float32: its bias still has its gradient, the hidden layer has none.
    assert gradients(lab, way, unit / 2, "mixed_float16")[0] == unit / 2


def test_a_vanished_gradient_is_a_plateau_and_no_onset(
    lab: Any, way: tuple[Engine, Compiled]
) -> None:
    result = train(lab, way, [1.0, -1.0], -SMALLEST / 4, precision="float16", rate=1e4)
    assert (result.outcome, result.onset, result.max_grad_norm) == (Outcome.STALLED, None, 0.0)
    assert result.final_loss == result.initial_loss > 0


def test_gradients_and_weights_end_at_65504(lab: Any, way: tuple[Engine, Compiled]) -> None:
    def linear(x: float, g: float, rate: float = 1.0) -> TrialResult:
        """One step of a linear model whose bias has the gradient -g, its weight -g * x."""
        options = {"precision": "float16", "depth": 0, "initializer": "zeros"}
        return train(lab, way, [x], g / 2, rate=rate, steps=1, **options)

    largest = linear(0.0, LARGEST)
    assert largest.onset is None
    assert largest.max_grad_norm == largest.max_weight_norm == LARGEST
    if way[0].name == "stacked":
        assert linear(0.0, np.nextafter(np.float32(INFINITE), 0)).max_grad_norm == LARGEST

    for sign, kind in ((1, Kind.NEGATIVE_INFINITY), (-1, Kind.POSITIVE_INFINITY)):
        beyond = linear(1.0, sign * INFINITE)
        assert beyond.onset == Onset(1, Stage.GRADIENT, "output/kernel", kind)
        assert beyond.outcome is Outcome.NONFINITE and math.isfinite(beyond.initial_loss)

    # The next float16 above 1 times 65,504 is beyond 65,520.
    stepped = linear(0.0, LARGEST, rate=1 + 2.0**-10)
    assert stepped.onset == Onset(1, Stage.WEIGHT, "output/bias", Kind.POSITIVE_INFINITY)
    assert stepped.max_grad_norm == LARGEST
