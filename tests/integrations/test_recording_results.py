"""The record of a search is a result like any other, but that nothing can be trained from it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras_tuner
import pandas as pd
import pytest
import yaml
from recorded_searches import model, search, tuner

import stabilitysweep
from stabilitysweep import Result, ResultError, open_result
from stabilitysweep.cli import main
from stabilitysweep.integrations.keras_tuner import record

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*currentThread|.*getName:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

LIMIT = 0.03
"""Trials above this learning rate break."""


def build(hp: Any) -> Any:
    rate = hp.Float("learning_rate", 1e-3, 1.0, sampling="log")
    hp.Choice("activation", ["relu", "tanh"])
    return model(min(rate, 0.05), broken=rate > LIMIT)


TRIALS = 10


def searched(folder: Path, seed: int, trials: int = TRIALS) -> Path:
    made = tuner(keras_tuner.RandomSearch, build, folder, max_trials=trials, seed=seed)
    record(made, out=folder / "out", bins=6, data=f"numbers_{seed}")
    search(made)
    return folder / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("searched"), 1)


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return open_result(folder)


def test_the_table_has_bins_and_exact_values(result: Result) -> None:
    table = result.trials
    assert len(table) == TRIALS and table["trial_id"].is_unique
    assert (table["engine"] == "keras_tuner").all() and table["compiled"].isna().all()
    exact = table["exact_learning_rate"]
    assert ((exact > LIMIT) == (table["outcome"] == "nonfinite")).all()
    assert (table["learning_rate"] <= exact).all()
    assert set(table["model_optimizer"]) == {"sgd"} and set(table["model_loss"]) == {"mse"}


def test_nothing_is_missing_and_the_files_are_there(result: Result, folder: Path) -> None:
    found = result.summary
    assert (found.trials, found.wanted, found.missing) == (TRIALS, TRIALS, 0)
    assert found.cells == found.cells_measured <= 12
    stored = pd.read_parquet(folder / "trials.parquet")
    assert stored["exact_learning_rate"].tolist() == result.trials["exact_learning_rate"].tolist()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["recorded"] == {
        "tuner": "RandomSearch",
        "project": "project",
        "rate": "learning_rate",
        "exact": ["learning_rate"],
    }
    assert (folder / "summary.json").is_file() and (folder / "trials.csv").is_file()


def test_safe_and_failing_rates_hold_for_what_was_tried(result: Result) -> None:
    table, limits = result.trials, result.boundaries
    failed = table["outcome"] == "nonfinite"
    for row in limits.to_dict("records"):
        own = table["activation"] == row["activation"]
        if not pd.isna(row["safe"]):
            tried = table.loc[own & ~failed, "exact_learning_rate"]
            assert tried.max() >= row["safe"], "something stable was tried at or above"
            assert not (failed & own & (table["exact_learning_rate"] <= row["safe"])).any()
        if not pd.isna(row["failing"]):
            assert table.loc[own & failed, "exact_learning_rate"].min() >= row["failing"]
    overall = result.summary.stable_rate
    assert overall is not None and overall.value is not None and overall.value < LIMIT


def test_it_is_mapped_plotted_and_exported(result: Result, folder: Path, tmp_path: Path) -> None:
    found = result.stability_map()
    assert found.x.name == "learning_rate" and found.missing == 0
    for kind in ("stability", "onset", "learning", "best_loss", "cause", "boundary"):
        assert all(path.is_file() for path in result.plot(kind, folder=tmp_path))
    assert main(["export", str(folder), "--out", str(tmp_path / "t.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "t.csv")) == TRIALS


def test_a_map_that_would_be_mostly_empty_has_no_panels(tmp_path: Path) -> None:
    def many(hp: Any) -> Any:
        for name in ("a", "b", "c"):
            hp.Choice(name, [1, 2, 3])
        return model(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log"))

    made = tuner(keras_tuner.RandomSearch, many, tmp_path, max_trials=3)
    recording = record(made, out=tmp_path / "out")
    search(made)
    found = recording.result.stability_map()
    assert found.rows is None and found.columns is None
    assert int(found.counts.sum()) == 3, "all trials are on the map"
    chosen = recording.result.stability_map(rows="a")
    assert chosen.rows is not None and chosen.rows.name == "a"


def test_a_pick_is_a_trial_of_the_search_that_held(result: Result) -> None:
    found = result.recommend(margin=1.0, where={"activation": "relu"})
    assert found.picks, found.reason
    for pick, text in zip(found.picks, found.configs, strict=True):
        content = yaml.safe_load(text)
        row = result.trials.set_index("search_trial").loc[content["search_trial"]]
        assert row["outcome"] == "stable"
        assert content["hp"] == {
            "learning_rate": row["exact_learning_rate"],
            "activation": row["activation"],
        }
        assert content["hp"]["learning_rate"] >= pick.axes["learning_rate"]
        assert content["hp"]["learning_rate"] <= LIMIT


def test_two_searches_compare(folder: Path, tmp_path: Path) -> None:
    other = searched(tmp_path, 2, trials=2)
    found = stabilitysweep.compare(folder, other)
    assert "learning_rate" in found.axes
    assert "validation_fraction" not in found.to_json().get("differences", {})
    assert main(["compare", str(folder), str(other), "--out", str(tmp_path / "figures")]) == 0


@pytest.mark.parametrize("command", ["refine", "confirm", "diagnose"])
def test_what_trains_is_refused_with_one_message(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {folder}: expected a sweep, got a result that was recorded")
    assert told.count("\n") == 1 and "RandomSearch, project 'project'" in told


def test_its_config_cannot_be_run_nor_anything_into_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "check"):
        assert main([command, str(folder / "config.yaml")]) == 2
        assert "recorded from a search" in capsys.readouterr().err
    with pytest.raises(ResultError, match="recorded from a search"):
        stabilitysweep.audit(str(folder / "config.yaml"))
    own = tmp_path / "own.yaml"
    own.write_text("dataset: diabetes\ngrid: {learning_rate: [0.01]}\ntraining: {steps: 2}\n")
    assert main(["run", str(own), "--out", str(folder), "--quiet"]) == 2
    assert "recorded from a search" in capsys.readouterr().err
    with pytest.raises(ResultError, match="recorded from a search"):
        stabilitysweep.diagnose(folder)


def test_show_tells_of_the_search_and_of_a_trial(
    folder: Path, result: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "keras_tuner engine" in told and "not run yet" not in told
    for word in ("refine", "confirm", "diagnose"):
        assert f"stabilitysweep {word}" not in told, "what is refused is not offered"
    failed = result.trials.set_index("outcome").loc["nonfinite", "trial_id"]
    trial = failed if isinstance(failed, str) else failed.iloc[0]
    assert main(["show", str(folder), trial]) == 0
    told = capsys.readouterr().out
    assert "batch loss by step" in told and "onset" in told
    assert "learning_rate" in told


def test_what_the_search_varied_and_is_no_axis_stays_as_declared(tmp_path: Path) -> None:
    def own(hp: Any) -> Any:
        hp.Choice("units", [4, 8])
        return model(hp.Choice("learning_rate", [0.01, 0.02]))

    made = tuner(keras_tuner.GridSearch, own, tmp_path)
    with record(made, out=tmp_path / "out", axes=["learning_rate"], loss_rows=0) as recording:
        search(made, validation_data=None)
    result = recording.result
    pick = {"learning_rate": 0.01}
    with pytest.warns(UserWarning, match="which varied them: units. They stay as the build"):
        space = result.hyperparameters(pick=pick).space
    assert [hp.name for hp in space] == ["learning_rate"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meant = result.hyperparameters(pick=pick, unswept="declared").space
    assert [hp.get_config() for hp in meant] == [hp.get_config() for hp in space]
