"""Reports: of which fit they are, that none takes the place of another, and what they admit."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from integrations.guarded_models import BATCH, EAGER, GRAPH, Clock, data, plain, planted, train

from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.integrations.guard.verdict import FitVerdict
from stabilitysweep.integrations.keras import NonFiniteError, StabilityGuard
from stabilitysweep.integrations.watching import Found, Reading
from stabilitysweep.types import Kind, Stage


def test_a_report_tells_its_fit_and_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    first = StabilityGuard(report=folder, quiet=True)
    model = planted("loss", Clock(5), GRAPH)
    train(model, first)
    assert first.written == folder / "report.txt"
    kept = (folder / "report.txt").read_bytes(), (folder / "report.json").read_bytes()
    found = json.loads(kept[1])
    assert found["model"] == model.name and found["finished"] is True
    assert found["began"] <= found["written"] and found["written"].endswith("+00:00")
    assert set(found["versions"]) == {"python", "tensorflow", "keras", "stabilitysweep"}
    assert found["versions"]["keras"] == keras.__version__ in kept[0].decode()

    healthy = StabilityGuard(report=folder, quiet=True)
    train(plain(), healthy, epochs=1)
    assert healthy.written is None
    second = StabilityGuard(report=folder, quiet=True, on_nonfinite="warn", early=False)
    with pytest.warns(UserWarning, match="At step 3 loss became NaN"):
        train(planted("loss", Clock(3), GRAPH), second, epochs=1)
    assert second.written == folder / "report-2.txt"
    assert sorted(path.name for path in folder.iterdir()) == [
        "report-2.json", "report-2.txt", "report.json", "report.txt",
    ]  # fmt: skip
    assert kept == ((folder / "report.txt").read_bytes(), (folder / "report.json").read_bytes())
    assert json.loads((folder / "report-2.json").read_text())["steps_run"] == 8


def test_a_folder_that_cannot_be_written_is_to_be_chosen_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StabilitySweepError, match=r"Choose another with report=\."):
        train(plain(), StabilityGuard(report=tmp_path / "file"))


class Trouble(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_fit_has_a_report_and_its_copies_go_with_the_next() -> None:
    model, guard = plain(), StabilityGuard(1, report=None, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train(model, Trouble(), guard)  # before the guard has read the step
    report = guard.report
    assert report is not None and report.steps_run == 3 and not report.finished
    assert report.sentence == "Nothing became non-finite in 3 steps so far."
    state = guard._watching.state  # type: ignore[union-attr]
    assert state.kept
    model.train_on_batch(*(rows[:BATCH] for rows in data()))
    assert not state.kept
    assert guard.report is not None and guard.report.steps_run == 3
    train(model, guard, epochs=1)
    assert guard.report.finished and guard.report.steps_run == 8


def test_a_guard_that_sees_nothing_says_so_and_judges_nothing() -> None:
    class Elsewhere(keras.callbacks.Callback):
        """Trains without the probes."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.model.make_train_function(force=True)

    x, y = data()
    guard = StabilityGuard(report=None, quiet=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain().fit(
            x, y, verbose=0, validation_data=(x * np.nan, y), callbacks=[guard, Elsewhere()]
        )
    assert [warning.kind for warning in guard.warnings] == ["blind"]
    assert guard.report is not None
    assert guard.report.sentence.startswith("The guard saw no step of this fit")


def test_what_cannot_be_put_back_is_said() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=EAGER[1])
    x, y = data()
    guard = StabilityGuard(report=None, quiet=True, on_nonfinite="raise")
    with pytest.raises(NonFiniteError, match=r"At step 1 .*; nothing could be put back"):
        model.fit(x * np.nan, y, batch_size=BATCH, verbose=0, callbacks=[guard])


def skipped(step: int, scale: float, stage: Stage = Stage.GRADIENT, iteration: int = 0) -> Reading:
    found = Found(stage, "kernel", Kind.POSITIVE_INFINITY)
    return Reading(step, iteration, 1.0, 1.0, scale, skipped=True, found=found)


@pytest.mark.parametrize(
    ("scale", "stage", "iteration", "met"),
    [
        (2.0**15, Stage.GRADIENT, 0, False),  # it settles
        (1.0, Stage.GRADIENT, 0, True),  # it fell below 1
        (2.0**15, Stage.LOSS, 0, True),  # no scale mends that
        (2.0**15, Stage.GRADIENT, 9, True),  # it had settled before
    ],
)
def test_a_loss_scale_that_settles_in_a_short_fit_is_no_onset(
    scale: float, stage: Stage, iteration: int, met: bool
) -> None:
    verdict = FitVerdict(patience=30)
    for step in range(1, 5):
        verdict.add(skipped(step, scale / 2.0 ** (step - 1), stage, iteration))
    verdict.close()
    assert (verdict.onset is not None) == met


def test_a_healthy_short_fit_in_half_precision_does_not_raise() -> None:
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(8, activation="relu", dtype="mixed_float16")
    out = keras.layers.Dense(1, dtype="float32")
    model = keras.Sequential([keras.Input((5,)), hidden, out])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-4)), loss="mse")
    x, y = data()
    guard = StabilityGuard(report=None, quiet=True, on_nonfinite="raise")
    model.fit(
        x[:24] * 10, y[:24] * 300, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[guard]
    )
    assert guard.report is not None and guard.report.onset is None
    assert guard.report.skipped_steps == 3 and "skipped all of them" in guard.report.sentence
