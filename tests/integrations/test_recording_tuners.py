"""Every kind of tuner is recorded, however it trains; what cannot be recorded is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from recorded_searches import BAD_STEP, BATCH, by_rate, model, planned, rows, search, tuner

from stabilitysweep import ResultError, UserError, open_result
from stabilitysweep.integrations.keras_tuner import record
from stabilitysweep.store import SQLiteStore

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*currentThread|.*getName:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

_OBJECTIVE = keras_tuner.Objective("loss", "min")


def partly_broken(hp: Any) -> Any:
    """Two trials of three break, by their learning rate."""
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    return model(rate, broken=rate > 4e-3)


def test_each_execution_is_a_row(tmp_path: Path) -> None:
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=2, executions_per_trial=2)
    recording = record(made, out=tmp_path / "out")
    search(made)
    table = recording.result.trials.sort_values("trial_id")
    assert table["trial_id"].tolist() == ["0", "0-1", "1", "1-1"]
    assert table["seed"].tolist() == table["execution"].tolist() == [0, 1, 0, 1]
    assert table["search_trial"].tolist() == ["0", "0", "1", "1"]


def test_a_hypermodel_that_fits_by_itself_and_drops_the_callbacks(tmp_path: Path) -> None:
    class Own(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return by_rate(hp)

        def fit(self, hp: Any, own: Any, x: Any, y: Any, **kwargs: Any) -> Any:
            for _ in range(2):  # one model, one row
                history = own.fit(x, y, batch_size=hp.Choice("batch", [BATCH]), verbose=0)
            return history.history["loss"][-1]

    made = tuner(keras_tuner.RandomSearch, Own(), tmp_path, max_trials=2)
    recording = record(made, out=tmp_path / "out")
    made.search(*rows(), verbose=0)
    table = recording.result.trials
    assert table["steps_run"].tolist() == [10, 10]
    assert table["batch"].tolist() == [BATCH, BATCH], "an hp that only fit asks for"


@pytest.mark.slow
def test_a_tuner_without_a_hypermodel(tmp_path: Path) -> None:
    class Own(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            rate = trial.hyperparameters.Float("learning_rate", 1e-3, 1e-1, sampling="log")
            return model(rate).fit(*args, **kwargs)

    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    made = tuner(Own, None, tmp_path, max_trials=2, hyperparameters=hp)
    recording = record(made, out=tmp_path / "out")
    search(made)
    assert recording.result.trials["outcome"].tolist() == ["stable", "stable"]
    assert recording.result.config.recorded.tuner == "Own"


def test_a_trial_that_trains_nothing_is_told_of(tmp_path: Path) -> None:
    class Own(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            return trial.hyperparameters.Float("x", 0.0, 1.0)

    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    made = keras_tuner.RandomSearch
    made = Own(
        max_trials=1,
        hyperparameters=hp,
        directory=str(tmp_path / "kt"),
        project_name="project",
        overwrite=True,
    )
    record(made, out=tmp_path / "out")
    with pytest.warns(UserWarning, match=r"trained nothing with model\.fit"):
        made.search(verbose=0)


@pytest.mark.slow
def test_bayesian_optimization_goes_on_past_broken_trials(tmp_path: Path) -> None:
    made = tuner(
        keras_tuner.BayesianOptimization,
        partly_broken,
        tmp_path,
        max_trials=8,
        num_initial_points=4,
    )
    recording = record(made, out=tmp_path / "out")
    search(made)
    table = recording.result.trials
    assert len(table) == 8 and {"stable", "nonfinite"} == set(table["outcome"])
    broken = table["exact_learning_rate"] > 4e-3
    assert (table.loc[broken, "onset_step"] == BAD_STEP).all()
    assert table.loc[~broken, "onset_step"].isna().all()


@pytest.mark.slow
def test_hyperband_comes_to_its_end_with_broken_trials(tmp_path: Path) -> None:
    made = tuner(keras_tuner.Hyperband, partly_broken, tmp_path, max_epochs=3, factor=3)
    recording = record(made, out=tmp_path / "out")
    search(made)
    result = recording.result
    assert len(result.trials) == len(made.oracle.trials)
    assert list(result.axes) == ["learning_rate"]
    stable = result.trials.loc[result.trials["outcome"] == "stable"]
    assert set(stable["steps_run"]) <= {5, 10, 15}, "budgets differ, and are to be seen"
    assert result.config.training.epochs in (1, 3)


@pytest.mark.slow
def test_a_retry_of_a_broken_trial_is_a_row_of_its_own(tmp_path: Path) -> None:
    made = tuner(keras_tuner.GridSearch, planned("no"), tmp_path, max_retries_per_trial=1)
    recording = record(made, out=tmp_path / "out")
    search(made)
    rows_of = recording.result.trials.groupby("search_trial")["seed"].apply(sorted)
    assert rows_of.tolist() == [[0, 1], [0]]


def test_the_user_s_callbacks_are_called_as_ever(tmp_path: Path) -> None:
    class Counting(keras.callbacks.Callback):
        batches: list[int] = []  # noqa: RUF012  shared by the copies that the tuner makes

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches.append(batch)

    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=2)
    record(made, out=tmp_path / "out")
    search(made, callbacks=[Counting()])
    assert Counting.batches == [0, 1, 2, 3, 4] * 2


def test_axes_may_be_chosen_and_the_others_are_columns(tmp_path: Path) -> None:
    def build(hp: Any) -> Any:
        return model(hp.Float("rate", 1e-3, 1e-1, sampling="log"), width=hp.Int("width", 1, 40))

    made = tuner(keras_tuner.RandomSearch, build, tmp_path, max_trials=2)
    record(made, out=tmp_path / "out", axes=["rate"], bins=4, data="numbers")
    search(made)
    result = open_result(tmp_path / "out")
    assert list(result.axes) == ["rate"] and result.rate == "rate", "known by its value"
    table = result.trials
    chosen = [made.oracle.trials[name].hyperparameters for name in table["search_trial"]]
    assert table["width"].tolist() == [hp.get("width") for hp in chosen]
    assert table["exact_rate"].tolist() == [hp.get("rate") for hp in chosen]
    assert result.config.datasets[0].label == "numbers"


def test_an_other_search_s_folder_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    first = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    record(first, out=tmp_path / "out").close()
    first = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    record(first, out=tmp_path / "out")
    search(first)
    over = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1, overwrite=True)
    with pytest.raises(ResultError, match=r"overwrite=True"):
        record(over, out=tmp_path / "out")
    other = tuner(keras_tuner.GridSearch, by_rate, tmp_path / "other", max_trials=1)
    with pytest.raises(ResultError, match="RandomSearch, project 'project', not GridSearch"):
        record(other, out=tmp_path / "out")
    record(over, out=tmp_path / "out", fresh=True)
    search(over)
    assert len(open_result(tmp_path / "out").trials) == 1
    assert len([*tmp_path.glob("out.*")]) == 1, "the old folder is kept beside"


def test_a_sweep_s_folder_a_file_and_foreign_files_are_refused(tmp_path: Path) -> None:
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    with SQLiteStore(sweep / "sweep.db") as store:
        content = {"name": "mine", "dataset": "diabetes", "grid": {"depth": [1]}}
        store.record_config(content, {})
    with pytest.raises(ResultError, match="result of the sweep 'mine'"):
        record(made, out=sweep)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="file"):
        record(made, out=tmp_path / "file")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("")
    with pytest.raises(ResultError, match=r"thesis\.txt"):
        record(made, out=tmp_path / "foreign")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(ResultError, match="can be written"):
        record(made, out=locked / "out")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bins": 1}, "bins: expected a whole number of at least 2"),
        ({"loss_rows": -1}, "loss_rows"),
        ({"bins": {"learning_rate": [0.1, 0.01]}}, "bins: expected for learning_rate the lower"),
        ({"bins": {"rate": [0.1]}}, r"expected hp of the search \(learning_rate\), got rate"),
        (
            {"axes": ["depth"]},
            r"axes, bins: expected hp of the search \(learning_rate\), got depth",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, given: Any, message: str) -> None:
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    with pytest.raises(UserError, match=message):
        record(made, out=tmp_path / "out", **given)


def test_what_is_no_tuner_and_what_is_recorded_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="expected a KerasTuner tuner, got str"):
        record("tuner", out=tmp_path / "out")
    made = tuner(keras_tuner.RandomSearch, by_rate, tmp_path, max_trials=1)
    with record(made, out=tmp_path / "out"), pytest.raises(UserError, match="recorded already"):
        record(made, out=tmp_path / "other")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(UserError, match="one process"):
        record(made, out=tmp_path / "out")
