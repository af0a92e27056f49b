"""Boundaries refined round after round: laws of what is trained, and where it is kept."""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruled_executor import Rule, RuledExecutor
from surveyed_builds import CONFIG as BUILT
from surveyed_builds import Survey

from stabilitysweep import (
    Result,
    ResultError,
    Thresholds,
    UserError,
    execution,
    followup,
    open_result,
    refining,
    runner,
)
from stabilitysweep.api import plan
from stabilitysweep.cli import main
from stabilitysweep.config import parse_config
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.grid import Trial
from stabilitysweep.refining import RoundProgress
from stabilitysweep.types import Compiled, Outcome

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
ONE_DEPTH = {**CONFIG["grid"], "depth": [1], "batch_size": [4]}

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


def test_a_rate_that_crashed_is_trained_once_in_a_call(swept: Swept) -> None:
    result, executor = swept(limited, grid=ONE_DEPTH)

    def rule(trial: Trial) -> Outcome:
        between = trial.training.learning_rate not in result.axes["learning_rate"]
        # Of one slice all crash, of the other one seed of some.
        some = trial.seed == 1 and str(trial.training.learning_rate)[-1] in "02468"
        crashes = between and (trial.axes["activation"] == "tanh" or some)
        return Outcome.CRASHED if crashes else limited(trial)

    executor.rule = rule
    for _ in range(2):
        executor.trained.clear()
        table = result.refine(0.0005).boundaries
        counts = Counter(trial.trial_id for trial in executor.trained)
        assert set(counts.values()) == {1}
    assert table["refined"].tolist() == [False, True]
    own = open_result(result.folder / "refined").trials
    lacking = own.loc[(own["outcome"] == "crashed") & (own["activation"] == "relu")]
    assert len(lacking) and not set(table["safe"]) & set(lacking["learning_rate"])
    executor.rule = limited
    table = result.refine(0.0005).boundaries
    assert (table["failing"] / table["safe"]).max() < 1.00051


def test_seeds_added_later_do_not_count_until_they_are_refined(swept: Swept) -> None:
    def rule(trial: Trial) -> Outcome:
        fails = trial.training.learning_rate > (0.05 if trial.seed == 2 else 0.25)
        return Outcome.DIVERGED if fails else Outcome.STABLE

    content = {"grid": {"depth": [1], "learning_rate": [0.03, 0.04, 1.0]}, "model": {"width": 2}}
    result, _ = swept(rule, **content)
    result.refine()
    carry_out(plan({**CONFIG, **content, "seeds": 3}, result.folder, Options()))
    grown = open_result(result.folder)
    (row,) = grown.boundaries.to_dict("records")
    assert row["safe"] == 0.04 and row["failing"] > 0.25 and row["partial"] > 0
    found = grown.recommend(margin=2)
    assert not found.picks and any("run refine again" in note for note in found.notes)
    (row,) = grown.refine().boundaries.to_dict("records")
    assert row["safe"] <= 0.05 < row["failing"] < row["safe"] * 1.0501
    assert row["partial"] == 0


def test_seeds_with_a_gap_between_them_are_all_trained(swept: Swept) -> None:
    result, executor = swept(grid=ONE_DEPTH)
    carry_out(
        plan(
            {**CONFIG, "grid": ONE_DEPTH, "seeds": {"from": 5, "num": 2}}, result.folder, Options()
        )
    )
    executor.trained.clear()
    seen: list[RoundProgress] = []
    done = open_result(result.folder).refine(observe=seen.append)
    assert {trial.seed for trial in executor.trained} == {0, 1, 5, 6}
    assert done.boundaries["partial"].tolist() == [0, 0]
    assert (done.boundaries["failing"] / done.boundaries["safe"]).max() < 1.0501
    last = {progress.number: progress.trained for progress in seen}
    assert sum(each.done for each in last.values()) == len(executor.trained)
    assert all(each.done == each.total for each in last.values())
    executor.trained.clear()
    done.refine()
    assert executor.trained == []


def test_it_trains_as_the_last_run_did(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = swept(grid=ONE_DEPTH)
    more = {**CONFIG, "grid": ONE_DEPTH, "seeds": 3}
    carry_out(plan(more, result.folder, Options("fit", None, Compiled.XLA)))
    given: list[dict[str, Any]] = []

    def follow(*args: Any, **more: Any) -> Any:
        given.append(more)
        return followup.follow_up(*args, **more)

    monkeypatch.setattr(refining, "follow_up", follow)
    open_result(result.folder).refine(0.5, workers=2)
    assert {each["options"] for each in given} == {Options("fit", 2, Compiled.XLA)}


def test_outcomes_judged_anew_are_not_refined(swept: Swept) -> None:
    result, executor = swept(grid=ONE_DEPTH)
    result.refine(0.5)
    kept = {path: path.read_bytes() for path in (result.folder / "refined").glob("*.csv")}
    executor.trained.clear()
    judged = open_result(result.folder, Thresholds(0.4, 10.0))
    with pytest.raises(ResultError, match=r"expected the stored outcomes to be refined"):
        judged.refine(0.1)
    assert executor.trained == [] and len(kept) == 2
    assert {path: path.read_bytes() for path in kept} == kept


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
    # A combination that trains the same as another is that one.
    shutil.rmtree(result.folder / "refined")
    executor.trained.clear()
    where = {"layers": 1, "units": 16}
    table = result.refine(0.2, where=where).boundaries
    assert {(t.axes["layers"], t.axes["units"]) for t in executor.trained} == {(1, 8)}
    assert table["refined"].tolist() == [True, True, False, False]
    (own, *_), (other, *_) = (
        result.recommend(margin=1.5, where={"layers": 1, "units": units}).picks for units in (8, 16)
    )
    assert (own.rate, own.safe, own.trials) == (other.rate, other.safe, other.trials)
    assert (own.axes["units"], other.axes["units"]) == (8, 16)
    assert len(result.recommend(margin=1.5, count=9, where={"layers": 1}).picks) == 1
    # The build makes other models now: not even a first round is trained.
    shutil.rmtree(result.folder / "refined")
    with_survey(Survey(text="other"))
    executor.trained.clear()
    with pytest.raises(ResultError, match="the build has changed"):
        result.refine(0.2)
    assert executor.trained == [] and not (result.folder / "refined").exists()


def test_a_rate_of_0_is_no_end_of_a_bracket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rule(trial: Trial) -> Outcome:
        rate = trial.axes["lr"]
        if rate == 0:
            return Outcome.STALLED
        return Outcome.DIVERGED if rate > 0.2 * (trial.axes["layers"] - 1) else Outcome.STABLE

    loaded = functools.partial(runner.load_sweep, survey=Survey())
    monkeypatch.setattr(runner, "load_sweep", loaded)
    monkeypatch.setattr(followup, "load_sweep", loaded)
    executor = RuledExecutor(rule)
    monkeypatch.setattr(execution, "LocalExecutor", executor)
    grid = {"layers": [1, 2], "lr": [0, 0.1, 1]}
    carry_out(plan({**BUILT, "grid": grid}, tmp_path / "result", Options()))
    executor.trained.clear()
    table = open_result(tmp_path / "result").refine(0.2).boundaries
    assert {trial.axes["layers"] for trial in executor.trained} == {2}
    assert table["safe"][0] == 0 and table["safe"][1] <= 0.2 < table["failing"][1] < 0.25
    assert main(["refine", f"{tmp_path}/result", "--tolerance", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "1: the lowest rate fails; give it lower ones" in said and "1 within 20 %" in said
    found = open_result(tmp_path / "result").recommend(margin=1.5)
    assert [(pick.axes["layers"], pick.rate) for pick in found.picks] == [(2, 0.1)]
    nothing = open_result(tmp_path / "result").recommend(margin=1.5, where={"layers": 1})
    assert not nothing.picks and nothing.next_config is not None
