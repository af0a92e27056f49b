"""What cannot be used is refused at once, with what was expected and what came."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from integrations.guarded_models import plain, train

import stabilitysweep
from stabilitysweep.errors import UserError
from stabilitysweep.integrations.guard.settings import EarlyRules
from stabilitysweep.integrations.keras import StabilityGuard


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"every": 0}, "every: expected a whole number of at least 1, got 0"),
        ({"every": 2.5}, "every: expected a whole number of at least 1, got 2.5"),
        ({"every": True}, "every: expected a whole number of at least 1, got True"),
        ({"patience": -1}, "patience: expected a whole number"),
        (
            {"on_nonfinite": "halt"},
            "on_nonfinite: expected 'stop' or 'raise' or 'warn', got 'halt'",
        ),
        ({"restore": "weights"}, "restore: expected True, False or 'model', got 'weights'"),
        ({"report": 3}, "report: expected a folder, or None for no files, got 3"),
        ({"early": "yes"}, "early: expected True, False or EarlyRules"),
        ({"early": EarlyRules(loss_growth=0.5)}, "loss_growth: expected a number above 1"),
        ({"quiet": "no"}, "quiet: expected True or False, got 'no'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        StabilityGuard(**settings)


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    model = plain()
    before = model.get_weights()
    with pytest.raises(UserError, match="file"):
        train(model, StabilityGuard(report=tmp_path / "file" / "report"))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_it_is_there_under_its_short_name_too() -> None:
    assert stabilitysweep.StabilityGuard is StabilityGuard


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match="expected Keras to run on TensorFlow, it runs on 'jax'"):
        StabilityGuard()


DISTRIBUTED = """
import numpy as np
import tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from integrations.guarded_models import BadGradient, Clock
from stabilitysweep.integrations.keras import StabilityGuard

x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
y = x.sum(axis=1, keepdims=True)
bad = y.copy()
bad[44] = float("nan")  # in the sixth batch, of the second replica


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def trained(targets, *callbacks):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((5,)), *layers])
        model.compile(keras.optimizers.Adam(0.01), loss="mse")
    seen = []
    take = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.get_weights())
    )
    model.fit(x, targets, batch_size=8, epochs=2, shuffle=False, verbose=0,
              callbacks=[take, *callbacks])
    return model, seen


alone, losses = trained(y)
guard = StabilityGuard(2, report=None, quiet=True)
guarded, _ = trained(y, guard)
assert guard.report.onset is None and guard.report.steps_run == 16, guard.report
for one, other in zip(alone.get_weights(), guarded.get_weights()):
    np.testing.assert_array_equal(one, other)
guard = StabilityGuard(2, report=None, quiet=True)
model, seen = trained(bad, guard)
print(guard.report.sentence)
assert guard.report.onset.step == 6 and guard.report.onset.stage == "loss", guard.report
assert guard.report.restored_step == 4
for one, other in zip(seen[3], model.get_weights()):
    np.testing.assert_array_equal(one, other)
print("done")
"""


@pytest.mark.slow
def test_replicas_of_a_mirrored_strategy_agree() -> None:
    tests = Path(__file__).parents[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr
