"""What loss scaling skips is no onset, unless it goes on; and what comes before a NaN is told."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from integrations.guarded_models import (
    BATCH,
    GRAPH,
    BadGradient,
    Clock,
    compiled,
    data,
    finite,
    plain,
    state,
    train,
)

from stabilitysweep.integrations.guard.early import EarlyWarnings
from stabilitysweep.integrations.guard.settings import EarlyRules
from stabilitysweep.integrations.guard.verdict import FitVerdict
from stabilitysweep.integrations.keras import StabilityGuard, StabilityWarning
from stabilitysweep.integrations.watching import Found, Reading
from stabilitysweep.types import Kind, Stage


@pytest.fixture
def mixed() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("mixed")
def test_a_skipped_step_is_counted_and_is_no_onset() -> None:
    keras.utils.set_random_seed(5)
    layers = [
        keras.layers.Dense(4, name="hidden"),
        BadGradient(Clock(5), name="bad"),
        keras.layers.Dense(1, dtype="float32", name="out"),
    ]
    model = compiled(layers, GRAPH, keras.optimizers.SGD(0.01))
    guard = StabilityGuard(1, report=None, quiet=True)
    train(model, guard, epochs=1)
    report = guard.report
    assert report is not None and report.onset is None
    applied = int(model.optimizer.iterations.numpy())
    assert report.curve[4].skipped and report.skipped_steps == 8 - applied < 8
    assert sum(r.skipped for r in report.curve) == report.skipped_steps
    assert report.loss_scale == 2.0**15 / 2**report.skipped_steps


@pytest.mark.usefixtures("mixed")
def test_a_scale_that_collapses_is_warned_of_and_then_an_onset() -> None:
    head = keras.layers.Dense(1, dtype="float32")
    model = compiled([keras.layers.Dense(4), head], GRAPH, keras.optimizers.SGD(0.01))
    x, y = data()
    guard = StabilityGuard(patience=20, report=None, quiet=True)
    with pytest.warns(StabilityWarning, match="halved 10 times within 100 steps") as told:
        model.fit(x * 1e6, y, batch_size=BATCH, epochs=4, verbose=0, callbacks=[guard])
    assert len(told) == 1
    report = guard.report
    assert report is not None and report.onset is not None
    assert report.onset.step == 1 and report.streak == 20 and report.steps_run == 20
    assert report.skipped_steps == 20
    assert "skipped 20 steps in a row" in report.sentence


def reading(step: int, loss: float = 1.0, scale: float = 1.0, bad: bool = False) -> Reading:
    found = Found(Stage.GRADIENT, "kernel", Kind.POSITIVE_INFINITY) if bad else None
    return Reading(step, step, loss, 1.0, scale, skipped=bad, found=found)


@pytest.mark.parametrize(("last", "onset"), [(2, None), (3, 8)])
def test_skipping_up_to_the_end_is_an_onset_where_it_is_more_than_a_hitch(
    last: int, onset: int | None
) -> None:
    verdict = FitVerdict(patience=30)
    for step in range(1, 8):
        verdict.add(reading(step, bad=step in (2, 5)))
    for step in range(8, 8 + last):
        verdict.add(reading(step, bad=True))
    verdict.close()
    assert (verdict.onset.step if verdict.onset else None) == onset


def warned(losses: Any, rules: EarlyRules | None = None) -> list[Any]:
    early = EarlyWarnings(rules or EarlyRules(), {"float32": 128.0})
    return [w for s, loss in enumerate(losses, 1) for w in early.of_step(reading(s, float(loss)))]


@pytest.mark.parametrize("factor", [1.15, 1.5, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_loss_that_grows_geometrically_is_warned_of_while_it_is_finite(
    factor: float, noise: float
) -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(60)
    losses = np.exp(np.maximum(steps - 20, 0) * np.log(factor) + noise * rng.normal(size=60))
    found = warned(losses)
    assert found and found[0].kind == "loss_growth" and 30 <= found[0].step <= 45


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", ["falls", "flat", "spikes", "tiny"])
def test_noise_is_no_growth(seed: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    steps = np.arange(3_000)
    noise = np.exp(0.7 * rng.normal(size=steps.size))
    level = {
        "falls": np.exp(-steps / 500) + 0.01,
        "flat": np.ones(steps.size),
        "spikes": np.where(rng.random(steps.size) < 0.01, 1e3, 1.0),
        "tiny": np.where(steps == 0, 1.0, 1e-9 * np.exp(2 * np.sin(steps / 30))),
    }[shape]
    assert warned(level * noise) == []


def test_headroom_is_that_of_the_dtype_a_weight_is_computed_in() -> None:
    model = plain(optimizer=keras.optimizers.SGD(1e-6))
    model.get_layer("hidden").bias.assign(model.get_layer("hidden").bias + 2.0**40)
    rules = EarlyRules(headroom_bits=90.0, loss_growth=None)
    guard = StabilityGuard(report=None, quiet=True, early=rules)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(model, guard, epochs=1)
    texts = [w.text for w in guard.warnings if w.kind == "headroom"]
    assert told and len(texts) == 1 and "bits below the largest number of float32" in texts[0]


def test_stopping_on_a_warning_leaves_the_weights_as_they_are() -> None:
    model = plain(optimizer=keras.optimizers.SGD(1e-6))
    model.get_layer("hidden").bias.assign(model.get_layer("hidden").bias + 2.0**40)
    rules = EarlyRules(headroom_bits=90.0, loss_growth=None)
    guard = StabilityGuard(report=None, quiet=True, early=rules, stop_on_warning=True)
    with pytest.warns(StabilityWarning):
        train(model, guard)
    assert guard.report is not None and guard.report.steps_run == 1
    assert guard.report.restored_step is None and finite(state(model))
