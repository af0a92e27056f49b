"""A recorded search is the same search, and what is recorded of it is what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from recorded_searches import (
    BAD_STEP,
    BATCH,
    by_rate,
    comparable,
    model,
    planned,
    rows,
    scores,
    search,
    tuner,
)

from stabilitysweep import open_result
from stabilitysweep.integrations.keras_tuner import record
from stabilitysweep.types import Outcome

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*currentThread|.*getName:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def recorded(kind: Any, build: Any, folder: Path, **more: Any) -> tuple[Any, Any]:
    """A search with a record, and what it left; losses are those of batches, to be quick."""
    made = tuner(kind, build, folder, **more)
    with record(made, out=folder / "out", loss_rows=0) as recording:
        search(made, validation_data=None)
    return made, recording.result


@pytest.mark.slow
def test_the_same_trials_have_the_same_scores_with_and_without(tmp_path: Path) -> None:
    def build(hp: Any) -> Any:
        return model(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log"), eager=False)

    plain = tuner(keras_tuner.RandomSearch, build, tmp_path / "plain", max_trials=3)
    search(plain, epochs=2, shuffle=True)
    watched = tuner(keras_tuner.RandomSearch, build, tmp_path / "watched", max_trials=3)
    record(watched, out=tmp_path / "out")
    search(watched, epochs=2, shuffle=True)

    assert scores(watched) == scores(plain)
    table = open_result(tmp_path / "out").trials
    assert sorted(table["search_trial"]) == ["0", "1", "2"]
    assert (table["steps_run"] == 10).all() and (table["outcome"] == "stable").all()


@pytest.mark.parametrize("eager", [True, False])
def test_the_step_of_a_planted_nan_is_exact(tmp_path: Path, eager: bool) -> None:
    def build(hp: Any) -> Any:
        return model(0.01, broken=hp.Boolean("broken"), eager=eager)

    _, result = recorded(keras_tuner.GridSearch, build, tmp_path)
    table = result.trials.set_index("broken")
    assert table["outcome"].to_dict() == {False: "stable", True: "nonfinite"}
    failed = table.loc[True]
    assert (failed["onset_step"], failed["onset_stage"], failed["onset_kind"]) == (
        BAD_STEP,
        "loss",
        "nan",
    )
    assert failed["nan_step"] == BAD_STEP and failed["steps_run"] == BAD_STEP
    assert pd.isna(table.loc[False, "onset_step"]) and table.loc[False, "steps_run"] == 5


def test_without_stop_a_training_goes_on_to_its_end(tmp_path: Path) -> None:
    made = tuner(keras_tuner.GridSearch, planned("n"), tmp_path)
    record(made, out=tmp_path / "out", stop=False)
    search(made, epochs=2)
    (row,) = open_result(tmp_path / "out").trials.to_dict("records")
    assert (row["onset_step"], row["steps_run"]) == (BAD_STEP, 10)


def test_weights_that_overflow_are_laid_to_the_step_that_moved_them(tmp_path: Path) -> None:
    def build(hp: Any) -> Any:
        return model(hp.Choice("learning_rate", [3e38]))

    _, result = recorded(keras_tuner.GridSearch, build, tmp_path)
    (row,) = result.trials.to_dict("records")
    assert (row["onset_step"], row["onset_stage"]) == (1, "weight")
    assert row["steps_run"] == 2, "the step after shows it"


def test_losses_and_steps_are_those_of_a_loop_by_hand(tmp_path: Path) -> None:
    made = tuner(
        keras_tuner.RandomSearch, lambda hp: model(hp.Choice("learning_rate", [0.05])), tmp_path
    )
    record(made, out=tmp_path / "out")
    search(made, epochs=2)

    x, y = rows()
    own = model(0.05)
    norms, losses = [], []

    def whole() -> float:
        return float(tf.reduce_mean((own(x) - y) ** 2))

    before = whole()
    for start in [*range(0, len(x), BATCH)] * 2:
        with tf.GradientTape() as tape:
            found = own(x[start : start + BATCH], training=True)
            loss = tf.reduce_mean((found - y[start : start + BATCH]) ** 2)
        gradients = tape.gradient(loss, own.trainable_variables)
        own.optimizer.apply_gradients(zip(gradients, own.trainable_variables, strict=True))
        losses.append(float(loss))
        norms.append(float(tf.linalg.global_norm(gradients)))

    result = open_result(tmp_path / "out")
    (row,) = result.trials.to_dict("records")
    trace = result.trial(row["trial_id"]).result.trace
    assert trace is not None
    assert trace.steps.tolist() == [*range(1, 11)]
    np.testing.assert_allclose(trace.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(trace.grad_norm, norms, rtol=1e-5)
    np.testing.assert_allclose(row["initial_loss"], before, rtol=1e-5)
    np.testing.assert_allclose(row["final_loss"], whole(), rtol=1e-5)
    np.testing.assert_allclose(row["best_loss"], min(losses), rtol=1e-5)
    np.testing.assert_allclose(row["max_grad_norm"], max(norms), rtol=1e-5)
    x_val, y_val = rows(1)
    np.testing.assert_allclose(
        row["val_loss"], float(tf.reduce_mean((own(x_val) - y_val) ** 2)), rtol=1e-5
    )


def test_data_that_are_no_arrays_give_the_losses_of_batches(tmp_path: Path) -> None:
    x, y = rows()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    record(made, out=tmp_path / "out")
    made.search(batches, epochs=2, verbose=0, shuffle=False)
    result = open_result(tmp_path / "out")
    (row,) = result.trials.to_dict("records")
    trace = result.trial(row["trial_id"]).result.trace
    assert trace is not None
    np.testing.assert_allclose(row["initial_loss"], trace.loss[:5].mean(), rtol=1e-6)
    np.testing.assert_allclose(row["final_loss"], trace.loss[5:].mean(), rtol=1e-6)


def test_five_trials_with_nan_in_a_row_do_not_end_the_search(tmp_path: Path) -> None:
    made, result = recorded(keras_tuner.GridSearch, planned("nnnnno"), tmp_path)
    assert result.summary.outcomes[Outcome.NONFINITE] == 5
    assert result.summary.outcomes[Outcome.STABLE] == 1
    assert [trial.status for trial in made.oracle.trials.values()].count("FAILED") == 5
    assert made.get_best_hyperparameters()[0].get("trial") == 5


def test_three_crashes_in_a_row_end_it_as_ever(tmp_path: Path) -> None:
    made = tuner(keras_tuner.GridSearch, planned("oncccoo"), tmp_path)
    record(made, out=tmp_path / "out", loss_rows=0)
    with pytest.raises(RuntimeError, match=r"exceeded the limit of 3.*\n[\s\S]*no room for it"):
        search(made)
    table = comparable(open_result(tmp_path / "out").trials)
    assert table["outcome"].tolist() == ["stable", "nonfinite", *["crashed"] * 3]
    result = open_result(tmp_path / "out")
    assert result.trial(table["trial_id"].iloc[-1]).result.message == "MemoryError: no room for it"


def test_crashes_that_a_nan_parts_are_not_in_a_row(tmp_path: Path) -> None:
    _, result = recorded(keras_tuner.GridSearch, planned("ccncco"), tmp_path)
    assert result.summary.outcomes[Outcome.CRASHED] == 4
    assert result.summary.outcomes[Outcome.STABLE] == 1


def test_a_score_that_alone_is_nan_is_no_failure_of_the_search(tmp_path: Path) -> None:
    def undefined(truth: Any, predicted: Any) -> Any:
        return tf.constant(float("nan"))

    def build(hp: Any) -> Any:
        found = by_rate(hp)
        found.compile("sgd", "mse", metrics=[undefined], run_eagerly=True)
        return found

    objective = keras_tuner.Objective("val_undefined", "min")
    for most in (4, 7):  # begun, and gone on with
        made = tuner(
            keras_tuner.RandomSearch, build, tmp_path, max_trials=most, objective=objective
        )
        with record(made, out=tmp_path / "out", loss_rows=0):
            search(made)
        table = open_result(tmp_path / "out").trials
        assert {trial.status for trial in made.oracle.trials.values()} == {"FAILED"}
        assert len(table) == most and set(table["outcome"]) <= {"stable", "stalled"}
        assert table["val_undefined"].isna().all() and table["onset_step"].isna().all()


@pytest.mark.slow
def test_errors_after_the_training_end_the_search_as_ever(tmp_path: Path) -> None:
    class Scoring(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return by_rate(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            model.fit(*args, **kwargs)
            raise ValueError("no such score")

    made = tuner(keras_tuner.RandomSearch, Scoring(), tmp_path, max_trials=6)
    record(made, out=tmp_path / "out", loss_rows=0)
    with pytest.raises(RuntimeError, match=r"exceeded the limit of 3.*\n[\s\S]*no such score"):
        search(made)
    assert len(open_result(tmp_path / "out").trials) == 3


def test_stopped_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    _, whole = recorded(keras_tuner.RandomSearch, by_rate, tmp_path / "whole", max_trials=3)
    built = []

    def build(hp: Any) -> Any:
        built.append(hp)
        if len(built) == 3:  # the first is the tuner's own, to find the hp
            raise KeyboardInterrupt
        return by_rate(hp)

    cut = tuner(keras_tuner.RandomSearch, build, tmp_path / "cut", max_trials=3)
    record(cut, out=tmp_path / "out", loss_rows=0)
    with pytest.raises(KeyboardInterrupt):
        search(cut, validation_data=None)
    assert len(open_result(tmp_path / "out").trials) == 1, "the trial in progress alone is lost"
    assert (tmp_path / "out" / "trials.csv").is_file()

    again = tuner(keras_tuner.RandomSearch, by_rate, tmp_path / "cut", max_trials=3)
    record(again, out=tmp_path / "out", loss_rows=0)
    search(again, validation_data=None)
    pd.testing.assert_frame_equal(
        comparable(open_result(tmp_path / "out").trials), comparable(whole.trials)
    )


@pytest.mark.slow
def test_a_search_that_has_ended_adds_nothing_when_it_is_called_again(tmp_path: Path) -> None:
    _, result = recorded(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=2)
    before = result.trials
    again = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=2)
    record(again, out=tmp_path / "out")
    search(again)
    pd.testing.assert_frame_equal(open_result(tmp_path / "out").trials, before)


def test_each_trial_is_stored_when_it_ends(tmp_path: Path) -> None:
    seen: list[int] = []

    class Looking(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            begun = (tmp_path / "out" / "config.yaml").is_file()
            seen.append(len(open_result(tmp_path / "out").trials) if begun else 0)

    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=3)
    record(made, out=tmp_path / "out", loss_rows=0)
    search(made, callbacks=[Looking()])
    assert seen == [0, 1, 2]


def test_closing_gives_the_tuner_back(tmp_path: Path) -> None:
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    own, oracle = dict(vars(made)), dict(vars(made.oracle))
    fit = keras.Model.fit
    recording = record(made, out=tmp_path / "out")
    assert set(vars(made)) != set(own)
    recording.close()
    recording.close()
    assert vars(made) == own and vars(made.oracle) == oracle
    assert keras.Model.fit is fit and "fit" not in vars(keras.Model)
    search(made)
    assert not (tmp_path / "out").exists()
