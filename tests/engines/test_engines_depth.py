"""Signals shrink with depth as theory says, and vanish in float16 where they must.

Notation: n the width of square layers, s / n the variance of their weights, q the second moment
of a layer's output. In wide networks q changes by the factor s / 2 a layer under relu, and by
s under tanh while signals are small (arXiv 1611.01232). Glorot has s = 1; Keras' random_normal,
of deviation 0.05, has s = 0.0025 n.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.recorder import recording
from stabilitysweep.types import Outcome

SMALLEST = 2.0**-24  # of float16


def second_moments(
    lab: Any, precision: str, seed: int, size: float = 1.0, **model: Any
) -> np.ndarray:
    """q after each hidden layer, on 32 rows of normal numbers of deviation `size`."""
    (trial,) = lab.trials(lab.data(), model=model)
    width = trial.model.width
    x = size * np.random.default_rng(seed).normal(size=(32, width))
    with precision_scope(precision):
        network = build_model(ModelSpec(trial.model, width, 1, precision), seed)
        with recording(network) as record:
            network(tf.constant(x, tf.float32))
    hidden = record.outputs[: trial.model.depth]
    return np.array([np.mean(np.square(output.numpy().astype(float))) for output in hidden])


@pytest.mark.parametrize("seed", [0, *[pytest.param(s, marks=pytest.mark.slow) for s in (1, 2)]])
def test_under_glorot_and_relu_the_rms_halves_every_two_layers_and_leaves_float16_near_48(
    lab: Any, seed: int
) -> None:
    model = {"width": 128, "depth": 64}
    rms = np.sqrt(second_moments(lab, "float32", seed, **model))
    slope = np.polyfit(np.arange(64), np.log2(rms), 1)[0]
    # The logarithm walks at random by sqrt(5 / 4n) a layer; bounds are three deviations.
    walk = 3 * math.sqrt(5 / (4 * 128)) / math.log(2)
    assert slope == pytest.approx(-0.5, abs=walk * math.sqrt(1.2 / 64))
    assert np.log2(rms[47]) == pytest.approx(-24, abs=1.5)  # float16's smallest
    assert (rms > 0).all()

    half = np.sqrt(second_moments(lab, "float16", seed, **model))
    assert np.polyfit(np.arange(32), np.log2(half[:32]), 1)[0] == pytest.approx(
        -0.5, abs=walk * math.sqrt(1.2 / 32)
    )
    vanished = int(np.argmax(half == 0))  # layers before the first that is all zero
    # A layer is all zero once its largest output is: a few times the rms, so some layers later.
    assert 48 <= vanished <= 62
    assert 0 < half[vanished - 1] < SMALLEST and (half[vanished:] == 0).all()


def test_under_he_and_relu_the_rms_stays_and_float16_is_deep_enough(lab: Any) -> None:
    half = np.sqrt(second_moments(lab, "float16", 0, width=128, depth=64, initializer="he_uniform"))
    assert (half > 0.1).all() and (half < 10).all()


@pytest.mark.slow
def test_under_tanh_the_depth_scale_is_that_of_theory(lab: Any) -> None:
    scales = []
    for seed in range(3):
        model = {"width": 360, "depth": 48, "activation": "tanh", "initializer": "random_normal"}
        q = second_moments(lab, "float32", seed, size=0.1, **model)
        scales.append(-1 / np.polyfit(np.arange(48), np.log(q), 1)[0])
    expected = 1 / math.log(1 / (0.0025 * 360))
    assert expected == pytest.approx(9.5, abs=0.01)
    assert np.mean(scales) == pytest.approx(expected, rel=0.06)


@pytest.mark.slow
def test_a_network_too_deep_for_float16_has_no_gradient_there_and_has_one_in_float32(
    lab: Any, stacked: StackedEngine
) -> None:
    width, rows = 16, 16
    x = np.random.default_rng(0).normal(size=(rows, width))
    # The mean is 0, the output's initial bias, so that this has no gradient either.
    y = np.where(np.arange(rows) % 2, 1.0, -1.0)[:, None]
    names = tuple(f"x{column}" for column in range(width))
    data = PreparedData(x, y, x[:0], y[:0], 1, names, "made")
    results = {
        precision: lab.run(
            stacked,
            lab.trials(
                data,
                seeds=4,
                model={"width": width, "depth": 60},
                training={"steps": 3, "batch_size": "full", "precision": precision},
                learning_rate=[0.1],
            ),
            data,
            places=4,
        )
        for precision in ("float16", "float32")
    }
    for half, single in zip(results["float16"], results["float32"], strict=True):
        assert half.onset is single.onset is None
        # Nothing is wrong with any number, and nothing is learnt: a plateau.
        assert half.outcome is Outcome.STALLED
        assert half.max_grad_norm == 0.0 and half.final_loss == half.initial_loss == 1.0
        assert half.trace.loss.tolist() == [1.0] * 3
        assert (single.trace.grad_norm > 0).all()
