"""The learning-rate tables against `keras.optimizers.schedules`.

Notation: T steps, w of them warm-up, peak p.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.config import TrainingSettings, parse_config
from stabilitysweep.engines.fit import TableSchedule
from stabilitysweep.engines.schedules import learning_rates
from stabilitysweep.engines.subject import UserModels
from stabilitysweep.runner import load_sweep

LAW = settings(derandomize=True, deadline=None, max_examples=15)
PEAKS = st.floats(1e-6, 1e3)


def by_keras(schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(steps)])


def table(steps: int, **settings: object) -> np.ndarray:
    return learning_rates(TrainingSettings(steps=steps, **settings), steps)


@LAW
@given(PEAKS, st.integers(2, 25), st.data())
def test_cosine_with_and_without_warmup_is_keras_own(
    peak: float, steps: int, data: st.DataObject
) -> None:
    warmup = data.draw(st.integers(0, steps - 1))
    schedules = keras.optimizers.schedules
    if warmup:
        own = schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)
    else:
        own = schedules.CosineDecay(peak, steps)
    rates = table(steps, schedule="cosine", learning_rate=peak, warmup_steps=warmup)
    # Keras computes in float32; near the end 1 + cos cancels.
    np.testing.assert_allclose(rates, by_keras(own, steps), rtol=1e-5, atol=2e-7 * peak)


@LAW
@given(PEAKS, st.integers(1, 25), st.floats(1e-3, 1.0))
def test_exponential_is_keras_own(peak: float, steps: int, rate: float) -> None:
    own = keras.optimizers.schedules.ExponentialDecay(peak, steps, rate)
    rates = table(steps, schedule="exponential", learning_rate=peak, decay_rate=rate)
    np.testing.assert_allclose(rates, by_keras(own, steps), rtol=1e-5)


@LAW
@given(PEAKS, st.integers(2, 40), st.sampled_from(["constant", "cosine", "exponential"]), st.data())
def test_warmup_rises_from_zero_to_the_peak_and_then_the_schedule_starts_anew(
    peak: float, steps: int, schedule: str, data: st.DataObject
) -> None:
    warmup = data.draw(st.integers(1, steps - 1))
    rates = table(steps, schedule=schedule, learning_rate=peak, warmup_steps=warmup)
    np.testing.assert_allclose(rates[:warmup], peak * np.arange(warmup) / warmup)
    after = table(steps - warmup, schedule=schedule, learning_rate=peak)
    np.testing.assert_allclose(rates[warmup:], after)


def test_the_table_is_float64_and_of_one_entry_a_step() -> None:
    rates = table(7, learning_rate=0.1)
    assert rates.dtype == np.float64 and rates.tolist() == [0.1] * 7


@pytest.mark.parametrize("step", [0, 1, 2, 3, 50])
def test_the_fit_engine_reads_the_table_by_steps_applied(step: int) -> None:
    schedule = TableSchedule(np.array([0.3, 0.2, 0.1]))
    assert float(schedule(step)) == np.float32([0.3, 0.2, 0.1][min(step, 2)])


OWN = """
import keras

def build(hp):
    rate = hp.Float("learning_rate", 1e-4, 10.0, sampling="log")
    model = keras.Sequential([keras.layers.Dense(1)])
    {more}
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, 20)), "mse")
    return model
"""


@pytest.mark.parametrize("more", ["", 'assert model.layers[0].name == "dense"'])
def test_a_schedule_of_the_users_own_leaves_compiled_graphs_as_they_are_if_it_can(
    more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scheduled.py").write_text(OWN.format(more=more))
    content = {
        "name": "scheduled",
        "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
        "model": {"build": "scheduled:build"},
        "training": {"steps": 20, "batch_size": 8},
        "grid": {"learning_rate": [0.01, 0.1]},
    }
    sweep = load_sweep(parse_config(content, base_folder=tmp_path))
    seeded: list[int] = []
    monkeypatch.setattr(tf.random, "set_seed", seeded.append)
    models = UserModels()
    for trial in sweep.grid:
        assert trial.blueprint is not None
        found = models.rates(trial.blueprint, 20)
        own = keras.optimizers.schedules.CosineDecay(trial.training.learning_rate, 20)
        np.testing.assert_allclose(found, by_keras(own, 20), rtol=1e-5)
    models.close()
    # To seed TensorFlow has every graph optimized anew. Names that begin anew come with it.
    assert len(seeded) <= (2 if more else 0)
    assert bool(seeded) == bool(more)
