"""From a config to a stored result, with an executor that trains nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from inline_executor import InlineExecutor, run_inline

from stabilitysweep import folder as folders
from stabilitysweep.config import parse_config
from stabilitysweep.errors import ResultError
from stabilitysweep.runner import Progress
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Outcome

CONFIG: dict[str, Any] = {
    "name": "runner",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 5, "batch_size": 4},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, 1]},
    "seeds": 2,
}


def with_grid(**axes: Any) -> dict[str, Any]:
    return {**CONFIG, "grid": {**CONFIG["grid"], **axes}}


def test_every_trial_is_stored_and_its_config_beside_it(tmp_path: Path) -> None:
    progress = run_inline(tmp_path / "r", CONFIG)
    assert (progress.total, progress.done) == (12, 12)
    assert progress.outcomes == {Outcome.STABLE: 8, Outcome.NONFINITE: 4}
    with SQLiteStore(tmp_path / "r" / "sweep.db", read_only=True) as store:
        assert len(store.stored_ids(include_crashed=False)) == 12
        record = store.latest_config()
        assert store.meta()["thresholds"] == {"stable_below": 0.99, "diverged_above": 1.01}
    assert record is not None
    assert record.provenance["training_rows"] == {"make_regression": 16}
    assert record.provenance["flags"]["engine"] == "inline"
    resolved = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert resolved == record.resolved == parse_config(CONFIG).resolved()


def test_twice_is_once(tmp_path: Path) -> None:
    run_inline(tmp_path, CONFIG)
    again = InlineExecutor()
    assert run_inline(tmp_path, CONFIG, again).total == 0
    assert again.trained == []


def test_more_values_axes_and_seeds_train_only_what_is_missing(tmp_path: Path) -> None:
    first, second, third = InlineExecutor(), InlineExecutor(), InlineExecutor()
    run_inline(tmp_path, CONFIG, first)
    run_inline(tmp_path, {**with_grid(depth=[2, 1, 4]), "seeds": 3}, second)
    run_inline(tmp_path, {**with_grid(depth=[1, 2, 4], l2=[0, 0.1]), "seeds": 3}, third)
    assert len(second.trained) == 3 * 3 * 3 - 12
    assert len(third.trained) == 27
    everything = first.trained + second.trained + third.trained
    assert len(set(everything)) == len(everything) == 54


def test_a_crashed_trial_is_tried_again_and_a_measured_one_is_not(tmp_path: Path) -> None:
    crashing = InlineExecutor(Outcome.CRASHED)
    assert run_inline(tmp_path, CONFIG, crashing).outcomes == {Outcome.CRASHED: 12}
    again = InlineExecutor()
    run_inline(tmp_path, CONFIG, again)
    assert sorted(again.trained) == sorted(crashing.trained)
    assert run_inline(tmp_path, CONFIG).total == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"training": {"steps": 6, "batch_size": 4}}, "training.steps: 5 -> 6"),
        ({"model": {"width": 7}}, "model.width: 32 -> 7"),
        (
            {
                "dataset": {
                    "name": "make_regression",
                    "options": {"n_samples": 20, "n_features": 3},
                    "validation_fraction": 0,
                }
            },
            "dataset.validation_fraction: 0.2 -> 0",
        ),
    ],
)
def test_a_change_of_meaning_is_refused_and_shown(
    tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    run_inline(tmp_path, CONFIG)
    before = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(ResultError) as caught:
        run_inline(tmp_path, {**CONFIG, **change})
    assert line in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_data_that_changed_is_refused_even_after_a_run_without_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("x,y\n" + "".join(f"{i},{i}\n" for i in range(20)))
    both = {
        **CONFIG,
        "dataset": [{"path": str(tmp_path / f"{n}.csv"), "target": "y"} for n in "ab"],
    }
    only_a = {**both, "dataset": [both["dataset"][0]]}
    result = tmp_path / "r"
    run_inline(result, both)
    run_inline(result, only_a)
    (tmp_path / "b.csv").write_text("x,y\n" + "".join(f"{i},{-i}\n" for i in range(20)))
    assert run_inline(result, only_a).total == 0
    with pytest.raises(
        ResultError, match=r"dataset b: its content has changed \(hash \w+ -> \w+\)"
    ):
        run_inline(result, both)
    (tmp_path / "b.csv").write_text("z,w,y\n" + "".join(f"{i},0,{i}\n" for i in range(10)))
    parts = r"training rows 16 -> 8, now without column x, now with columns z, w\)"
    with pytest.raises(ResultError, match=parts):
        run_inline(result, both)


def test_what_finished_before_an_interruption_is_stored(tmp_path: Path) -> None:
    executor = InlineExecutor()

    def interrupt(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_inline(tmp_path, with_grid(activation=["relu", "tanh"]), executor, interrupt)
    assert executor.closed
    with SQLiteStore(tmp_path / "sweep.db", read_only=True) as store:
        assert store.stored_ids(include_crashed=False) == set(executor.trained)
    rest = InlineExecutor()
    run_inline(tmp_path, with_grid(activation=["relu", "tanh"]), rest)
    assert not set(executor.trained) & set(rest.trained)
    assert len(executor.trained) + len(rest.trained) == 24


def test_a_second_run_is_refused_while_the_first_one_writes(tmp_path: Path) -> None:
    run_inline(tmp_path, CONFIG)
    with (
        folders.locked(tmp_path),
        pytest.raises(ResultError, match="another run is writing"),
    ):
        run_inline(tmp_path, CONFIG)
    with (
        folders.locked(tmp_path),
        pytest.raises(ResultError, match="another run is writing"),
    ):
        folders.set_aside(tmp_path)
    assert run_inline(tmp_path, CONFIG).total == 0


def test_a_record_whose_run_was_killed_at_once_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "sweep.db").touch()
    assert run_inline(tmp_path, CONFIG).done == 12
    header_only = tmp_path / "other"
    header_only.mkdir()
    connection = sqlite3.connect(header_only / "sweep.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert run_inline(header_only, CONFIG).done == 12


def test_a_folder_that_is_no_result_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    file = tmp_path / "file"
    file.touch()
    for target, message in (
        (tmp_path, r"holds other files \(file, thesis.tex\) and no sweep.db"),
        (file, "got a file"),
    ):
        with pytest.raises(ResultError, match=message):
            folders.set_aside(target)
        with pytest.raises(ResultError, match=message):
            run_inline(target, CONFIG)
    below = file / "result"
    for use in (lambda: run_inline(below, CONFIG), lambda: folders.require_writable(below)):
        with pytest.raises(ResultError, match="Not a directory"):
            use()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis.tex"]


def test_setting_aside_keeps_the_old_folder_under_a_new_name(tmp_path: Path) -> None:
    result = tmp_path / "r"
    assert folders.set_aside(result) is None
    names = set()
    for _ in range(3):  # more than one within a second
        run_inline(result, CONFIG)
        kept = folders.set_aside(result)
        assert kept is not None
        assert kept.name.startswith("r.")
        assert (kept / "sweep.db").exists()
        assert not result.exists()
        names.add(kept)
    assert len(names) == 3


def test_the_current_folder_is_not_pulled_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_inline(tmp_path / "r", CONFIG)
    (tmp_path / "r" / "figures").mkdir()
    monkeypatch.chdir(tmp_path / "r" / "figures")
    with pytest.raises(ResultError, match="current folder"):
        folders.set_aside(tmp_path / "r")
