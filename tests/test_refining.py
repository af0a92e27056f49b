"""Boundaries refined round after round: laws of what is trained, and where it is kept."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruled_executor import Rule, RuledExecutor
from surveyed_builds import CONFIG as BUILT
from surveyed_builds import Survey

from stabilitysweep import Result, ResultError, UserError, execution, followup, open_result, runner
from stabilitysweep.api import plan
from stabilitysweep.config import parse_config
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.followup import derived
from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome

CONFIG: dict[str, Any] = {
    "name": "refined",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "model": {"width": 2},
    "training": {"steps": 6, "metrics": ["mae"]},
    "grid": {
        "activation": ["tanh", "relu"],
        "depth": [1, 2, 3],
        "batch_size": ["full", 4],
        "learning_rate": {"from": 1e-3, "to": 10, "num": 9, "scale": "log"},
    },
    "seeds": 2,
}
SLICES = 12

Swept = Callable[..., tuple[Result, RuledExecutor]]


def limit_of(trial: Trial) -> float:
    """A limit between 0.003 and 0.5 that differs from slice to slice and seed to seed."""
    part = trial.axes["depth"] + 0.31 * trial.seed + (0.5 if trial.axes["batch_size"] == 4 else 0)
    return float(0.5 * 0.3**part * (0.9 if trial.axes["activation"] == "relu" else 1))


def limited(trial: Trial) -> Outcome:
    fails = trial.training.learning_rate > limit_of(trial)
    return Outcome.DIVERGED if fails else Outcome.STABLE


def expected(depth: int, batch_size: int, activation: str) -> float:
    """The limit of a slice: that of its second seed."""
    part = depth + 0.31 + (0.5 if batch_size == 4 else 0)
    return float(0.5 * 0.3**part * (0.9 if activation == "relu" else 1))


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Gives the result of a sweep whose trials go by a rule, and what trains them."""

    def sweep(
        rule: Rule = limited, engine: str = "stacked", **content: Any
    ) -> tuple[Result, RuledExecutor]:
        executor = RuledExecutor(rule)
        monkeypatch.setattr(execution, "LocalExecutor", executor)
        folder = tmp_path / "result"
        carry_out(plan({**CONFIG, **content}, folder, Options(engine)))
        executor.trained.clear()
        return open_result(folder), executor

    return sweep


def ids(table: pd.DataFrame | None) -> set[str]:
    assert table is not None
    return set(table["trial_id"])


def test_every_slice_is_bracketed_with_all_seeds_at_once(swept: Swept) -> None:
    result, executor = swept()
    rounds: list[tuple[int, int, int]] = []
    done = result.refine(observe=lambda p: rounds.append((p.number, p.slices, p.trained.total)))
    table = done.boundaries
    assert len(table) == SLICES and table["refined"].all()
    assert (table["failing"] / table["safe"] <= 1.05 * (1 + 1e-6)).all()
    for row in table.itertuples():
        assert row.safe <= expected(row.depth, row.batch_size, row.activation) < row.failing
    assert table["steps"].tolist() == [6] * SLICES
    assert table["trials"].tolist() == [9 * 2 + 2 * 8] * SLICES  # 24 parts: twice five
    assert sorted(set(rounds)) == [(1, SLICES, 96), (2, SLICES, 96)]
    assert len(executor.trained) == len({trial.trial_id for trial in executor.trained}) == 192


def test_the_grid_keeps_its_table_and_the_rest_lies_beside_it(swept: Swept) -> None:
    result, _ = swept()
    done = result.refine(0.5)
    pd.testing.assert_frame_equal(done.trials, result.trials)
    assert (done.wanted, done.axes) == (result.wanted, result.axes)
    assert done.summary == result.summary
    own = open_result(result.folder / "refined")
    assert ids(own.trials) == ids(done.refined)
    assert not ids(own.trials) & ids(result.trials)
    assert own.summary.missing == 0
    again = parse_config((result.folder / "refined" / "config.yaml").read_text())
    assert plan(again, own.folder).work.trials == 0
    for name in ("trials.parquet", "trials.csv", "boundaries.csv"):
        assert (own.folder / name).is_file()
    written = pd.read_csv(own.folder / "boundaries.csv")
    assert written["safe"].tolist() == done.boundaries["safe"].tolist()


def test_twice_is_once_and_a_smaller_tolerance_goes_on(swept: Swept) -> None:
    result, executor = swept()
    result.refine(0.5)
    first = len(executor.trained)
    assert result.refine(0.5).boundaries.equals(result.refine(0.5).boundaries)
    assert len(executor.trained) == first
    finer = open_result(result.folder).refine(0.05)
    assert (finer.boundaries["failing"] / finer.boundaries["safe"]).max() < 1.0501
    assert len(executor.trained) > first
    assert ids(open_result(result.folder).refined) == {t.trial_id for t in executor.trained}


@pytest.mark.parametrize(("stacks", "engine"), [(0, "stacked"), (13, "stacked"), (21, "fit")])
def test_stopped_and_resumed_is_as_uninterrupted(
    swept: Swept, tmp_path: Path, stacks: int, engine: str
) -> None:
    # The fit engine trains one by one: of a slice and a rate it may leave one seed behind.
    result, executor = swept(engine=engine)
    shutil.copytree(result.folder, tmp_path / "whole")
    whole = open_result(tmp_path / "whole").refine()
    once = {trial.trial_id for trial in executor.trained}
    executor.trained.clear()
    executor.stop_after = stacks
    with pytest.raises(KeyboardInterrupt):
        result.refine()
    executor.stop_after = None
    done = result.refine()
    assert len(executor.trained) == len(once)
    assert {trial.trial_id for trial in executor.trained} == once
    pd.testing.assert_frame_equal(done.boundaries, whole.boundaries)


def test_the_lowest_failure_is_followed_where_the_boundary_is_ragged(swept: Swept) -> None:
    def ragged(trial: Trial) -> Outcome:
        rate = trial.training.learning_rate
        island = 0.05 < rate < 0.2 and trial.axes["depth"] == 1
        return Outcome.STABLE if rate < 0.012 or island else Outcome.NONFINITE

    result, _ = swept(ragged)
    table = result.refine().boundaries
    assert ((table["safe"] < 0.012) & (table["failing"] >= 0.012)).all()
    assert (table["failing"] / table["safe"] < 1.0501).all()
    assert table["islands"].tolist() == [int(depth == 1) for depth in table["depth"]]
    assert set(table.loc[table["depth"] == 1, "highest_stable"]) == {0.1}


def test_slices_without_a_bracket_are_left_alone(swept: Swept) -> None:
    def rule(trial: Trial) -> Outcome:
        rate, depth = trial.training.learning_rate, trial.axes["depth"]
        if depth == 3:
            return Outcome.CRASHED if 0.001 < rate < 0.01 else limited(trial)
        return Outcome.DIVERGED if depth == 2 else Outcome.STALLED

    result, executor = swept(rule)
    table = result.refine().boundaries
    assert executor.trained == []
    status = {1: "no_failure", 2: "all_fail", 3: "gap"}
    assert table["status"].tolist() == [status[depth] for depth in table["depth"]]
    assert not (result.folder / "refined").exists()


def test_trials_that_crash_end_a_slice_and_are_tried_again_later(swept: Swept) -> None:
    crashing = True

    def rule(trial: Trial) -> Outcome:
        between = trial.training.learning_rate not in result.axes["learning_rate"]
        return Outcome.CRASHED if crashing and between else limited(trial)

    result, executor = swept(limited)
    executor.rule = rule
    table = result.refine().boundaries
    assert not table["refined"].any()
    assert (table["failing"] / table["safe"] > 2).all()
    crashing = False
    assert (result.refine().boundaries["failing"] / table["safe"]).max() < 3.2
    assert open_result(result.folder).boundaries["refined"].all()


def test_only_what_is_asked_for_is_refined(swept: Swept) -> None:
    result, executor = swept()
    table = result.refine(where={"depth": "2", "activation": "relu"}).boundaries
    chosen = (table["depth"] == 2) & (table["activation"] == "relu")
    assert table["refined"].tolist() == chosen.tolist()
    assert {(t.axes["depth"], t.axes["activation"]) for t in executor.trained} == {(2, "relu")}
    assert result.refine().boundaries["refined"].all()
    own = open_result(result.folder / "refined")
    assert own.summary.missing == 0 and len(own.trials) == 192


def test_more_seeds_of_the_sweep_are_made_up_for(swept: Swept) -> None:
    result, executor = swept()
    result.refine()
    carry_out(plan({**CONFIG, "seeds": 3}, result.folder, Options()))
    executor.trained.clear()
    table = open_result(result.folder).refine().boundaries
    assert {trial.seed for trial in executor.trained} == {0, 1, 2}
    # The third seed has the lowest limits: with it a bracket ends where its limit is.
    for row in table.itertuples():
        limit = expected(row.depth, row.batch_size, row.activation) * 0.3**0.31
        assert row.safe <= limit < row.failing <= row.safe * 1.0501


def test_what_cannot_be_refined_is_refused_and_nothing_is_written(swept: Swept) -> None:
    result, executor = swept()
    for asked, error in (
        ({"tolerance": 0.0}, UserError),
        ({"workers": 0}, UserError),
        ({"where": {"width": 2}}, ResultError),
        ({"where": {"depth": 7}}, ResultError),
        ({"where": {"learning_rate": 0.1}}, ResultError),
    ):
        with pytest.raises(error):
            result.refine(**asked)
    assert executor.trained == [] and not (result.folder / "refined").exists()


def test_without_learning_rates_there_is_no_boundary(swept: Swept) -> None:
    result, _ = swept(lambda _: Outcome.STABLE, grid={"depth": [1, 2]})
    with pytest.raises(ResultError, match=r"expected the learning rate as an axis.*depth"):
        result.refine()
    assert not (result.folder / "refined").exists()


def test_the_data_are_those_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).normal(size=(20, 3)).round(3)
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    pd.DataFrame(numbers, columns=["a", "b", "y"]).to_csv(home / "data.csv", index=False)
    executor = RuledExecutor(limited)
    monkeypatch.setattr(execution, "LocalExecutor", executor)
    content = {**CONFIG, "dataset": {"path": "data.csv", "target": "y"}}
    carry_out(plan(parse_config(content, base_folder=home), tmp_path / "result", Options()))
    monkeypatch.chdir(elsewhere)
    result = open_result(tmp_path / "result")
    assert result.refine(1.0).boundaries["refined"].all()
    pd.DataFrame(numbers + 1, columns=["a", "b", "y"]).to_csv(home / "data.csv", index=False)
    executor.trained.clear()
    for folder in (None, tmp_path / "result" / "refined"):
        if folder is not None:
            shutil.rmtree(folder)
        with pytest.raises(ResultError, match="result: expected what its trials were trained on"):
            result.refine()
        assert executor.trained == []
    assert not (tmp_path / "result" / "refined").exists()


def test_the_rate_of_a_users_model_is_one_of_its_hp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(trial: Trial) -> Outcome:
        rate = trial.axes["lr"]
        assert rate == trial.training.learning_rate
        limit = 0.05 if trial.axes["layers"] == 1 else 0.3
        return Outcome.DIVERGED if rate > limit else Outcome.STABLE

    def with_survey(survey: Survey) -> None:
        loaded = functools.partial(runner_load, survey=survey)
        monkeypatch.setattr(runner, "load_sweep", loaded)
        monkeypatch.setattr(followup, "load_sweep", loaded)

    runner_load = runner.load_sweep
    with_survey(Survey())
    executor = RuledExecutor(rule)
    monkeypatch.setattr(execution, "LocalExecutor", executor)
    carry_out(plan(BUILT, tmp_path / "result", Options()))
    result = open_result(tmp_path / "result")
    assert result.rate == "lr"
    executor.trained.clear()
    table = result.refine(0.2).boundaries
    # Of one layer, `units` has no effect: both of its slices have the same boundary.
    assert table[["layers", "units"]].to_numpy().tolist() == [[1, 8], [1, 16], [2, 8], [2, 16]]
    for row, limit in zip(table.itertuples(), (0.05, 0.05, 0.3, 0.3), strict=True):
        assert row.safe <= limit < row.failing <= row.safe * 1.2001
    assert {trial.axes["units"] for trial in executor.trained if trial.axes["layers"] == 1} == {8}
    assert result.summary == open_result(result.folder).summary
    # The build makes other models now: not even a first round is trained.
    shutil.rmtree(result.folder / "refined")
    with_survey(Survey(text="other"))
    executor.trained.clear()
    with pytest.raises(ResultError, match="the build has changed"):
        result.refine(0.2)
    assert executor.trained == [] and not (result.folder / "refined").exists()


def test_a_follow_up_is_the_same_sweep_of_some_cells() -> None:
    config = parse_config({**CONFIG, "grid": {"dataset": ["diabetes", "wine"], **CONFIG["grid"]},
                           "dataset": None})  # fmt: skip
    cells = [
        {"dataset": "wine", "depth": np.int64(2), "batch_size": 142, "learning_rate": [0.2, 0.1]},
        {"dataset": "wine", "depth": 3, "batch_size": 4, "learning_rate": np.float64(0.3)},
    ]
    own = derived(config, cells, seeds=range(5, 7), steps=60)
    assert [data.label for data in own.datasets] == ["wine"]
    assert own.grid["batch_size"] == (4, 142)
    assert own.grid["learning_rate"] == (0.1, 0.2, 0.3)
    assert own.grid["activation"] == ("tanh", "relu")
    assert (own.seeds, own.training.steps, own.name) == (range(5, 7), 60, "refined")
    assert derived(config, [{"l2": 0.1}, {"depth": 1}]).grid["l2"] == (0.0, 0.1)
    with pytest.raises(
        ResultError, match=r"data sets of the sweep's last config \(diabetes, wine\)"
    ):
        derived(config, [{"dataset": "iris"}])
    with pytest.raises(ValueError, match="at least one"):
        derived(config, [])
