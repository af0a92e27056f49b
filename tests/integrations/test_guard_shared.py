"""Several that watch one `fit` share its probes: each sees all, and the model is given back."""

from __future__ import annotations

import contextlib
import gc
import json
import warnings
import weakref
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from integrations.guarded_models import (
    GRAPH,
    WAYS,
    XLA,
    Clock,
    Way,
    compiled,
    data,
    plain,
    planted,
    same,
    state,
    train,
)
from integrations.recorded_searches import BAD_STEP, planned, search, tuner

from stabilitysweep import open_result
from stabilitysweep.integrations.keras import StabilityGuard, StabilityWarning
from stabilitysweep.integrations.keras_tuner import record
from stabilitysweep.integrations.watching import Watching


def guard(every: int = 3, **settings: Any) -> StabilityGuard:
    return StabilityGuard(every, report=None, quiet=True, **settings)


class Trouble(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("way", WAYS)
def test_two_guards_both_see_all_and_leave_the_model_as_it_was(way: Way) -> None:
    model = plain(way)
    model.make_train_function()
    before = model.train_function
    guards = guard(2), guard(5)
    train(model, *guards, epochs=1)
    assert model.train_function is before
    for one in guards:
        assert one.report is not None and one.report.steps_run == 8 and not one.warnings
        assert [r.step for r in one.report.curve] == list(range(1, 9))
    alone = plain(way)
    train(alone, epochs=1)
    if way != XLA:  # there to rounding
        assert same(state(alone), state(model))
    train(model, epochs=1)
    assert model.train_function is before


def test_two_guards_tell_the_same_step() -> None:
    model, guards = planted("gradient", Clock(6), GRAPH), (guard(1), guard(4))
    train(model, *guards)
    for one in guards:
        assert one.report is not None and one.report.onset is not None
        assert one.report.onset.step == 6
        looked_at = {moment.step for moment in one.report.moments}
        assert {1, 2, 4, 6} <= looked_at


def test_a_guard_that_is_given_twice_is_one() -> None:
    model, one = planted("gradient", Clock(6), GRAPH), guard()
    train(model, one, one)
    assert one.report is not None and one.report.onset is not None
    assert one.report.onset.step == 6 and not one.warnings
    train(model, epochs=1)


@pytest.mark.slow
def test_a_train_function_that_was_replaced_meanwhile_is_left_alone() -> None:
    model, calls = plain(), []

    class Around(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            inner = self.model.train_function

            def counted(iterator: Any) -> Any:
                calls.append(1)
                return inner(iterator)

            self.model.train_function = counted

    one = guard()
    train(model, one, Around(), epochs=1)
    assert one.report is not None and one.report.steps_run == 8 == len(calls)
    train(model, epochs=1)  # through the other's, which calls the guard's
    assert len(calls) == 16


@pytest.mark.slow
def test_the_probes_of_an_interrupted_fit_hinder_no_other() -> None:
    model, old = plain(), guard()
    with pytest.raises(KeyboardInterrupt):
        train(model, old, Trouble())
    guards = guard(), guard()
    train(model, *guards, epochs=1)
    assert [one.report and one.report.steps_run for one in guards] == [8, 8]
    function = model.train_function
    train(model, epochs=1)
    assert model.train_function is function


def test_one_that_was_left_before_its_first_step_hinders_no_other() -> None:
    model = plain()
    model.make_train_function()
    before = model.train_function
    left, next_one = Watching(model), guard()
    left.attach()
    train(model, next_one, epochs=1)
    assert next_one.report is not None and next_one.report.steps_run == 8
    assert model.train_function is before and not left.attached


def test_an_interrupted_guard_that_nobody_keeps_gives_model_and_copies_back() -> None:
    model, one = plain(), guard()
    model.make_train_function()
    before = model.train_function
    with contextlib.suppress(KeyboardInterrupt):  # `raises` would keep its frames
        train(model, one, Trouble())
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None and model.train_function is before


@pytest.mark.filterwarnings("ignore:The model does not have any trainable:UserWarning")
@pytest.mark.parametrize("way", WAYS)
def test_a_model_without_weights_is_watched(way: Way) -> None:
    x, y = data()
    x = x.copy()
    x[10] = float("nan")
    model = compiled([keras.layers.Lambda(lambda t: t[:, :1])], way)
    one = guard()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[one])
    assert one.report is not None and one.report.onset is not None
    assert (one.report.onset.step, one.report.onset.tensor) == (2, "loss")


@pytest.mark.parametrize("action", ["stop", pytest.param("raise", marks=pytest.mark.slow)])
def test_a_guard_and_a_recording_of_one_search_both_see_all(action: str, tmp_path: Path) -> None:
    made = tuner(keras_tuner.GridSearch, planned("on"), tmp_path)
    record(made, out=tmp_path / "out")
    watcher = StabilityGuard(1, on_nonfinite=action, report=tmp_path / "guard", quiet=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        search(made, epochs=2, callbacks=[watcher])
    assert not [one for one in told if issubclass(one.category, StabilityWarning)]
    table = open_result(tmp_path / "out").trials
    assert sorted(table["outcome"]) == ["nonfinite", "stable"]
    assert table.set_index("outcome").loc["nonfinite", "onset_step"] == BAD_STEP
    assert table.set_index("outcome")["steps_run"].to_dict() == {
        "stable": 10,
        "nonfinite": BAD_STEP,
    }
    assert [path.name for path in (tmp_path / "guard").glob("*.json")] == ["report.json"]
    found = json.loads((tmp_path / "guard" / "report.json").read_text())
    assert found["onset"]["step"] == BAD_STEP == found["steps_run"]
