"""Which cells of a result are given a long run, and what is said of them afterwards."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from long_runs import CONFIG, DATA, OTHER, SHORT, LongExecutor, cell, swept
from surveyed_builds import CONFIG as BUILDS
from surveyed_builds import Survey

from stabilitysweep import ResultError, execution, open_result, runner
from stabilitysweep.cli import main
from stabilitysweep.result import Result, recommending
from stabilitysweep.result.stored import StoredTrials
from stabilitysweep.runner import Progress
from stabilitysweep.types import Compiled

Capture = pytest.CaptureFixture[str]
LARGE = {"name": "make_regression", "options": {"n_samples": 200, "n_features": 3}}
TWO: dict[str, Any] = {
    "name": "two",
    "training": {"steps": SHORT},
    "grid": {
        "dataset": [LARGE, OTHER],  # of the second, a batch of 64 is one of 16
        "batch_size": [4, 64],
        "learning_rate": [0.01, 0.1, 2],
    },
    "seeds": 2,
}


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LongExecutor:
    """In place of the workers, in an empty folder."""
    own = LongExecutor()
    monkeypatch.setattr(execution, "LocalExecutor", lambda workers, engine: own)
    monkeypatch.chdir(tmp_path)
    return own


@pytest.fixture
def result(executor: LongExecutor) -> Result:
    """A sweep that fails at a learning rate of 2, seeds 0 and 1."""
    return swept(executor, CONFIG)


@pytest.mark.parametrize("by_cells", [True, False])
def test_a_batch_that_is_cut_to_the_data_counts_for_its_cell(
    executor: LongExecutor, by_cells: bool
) -> None:
    result = swept(executor, TWO)
    asked: dict[str, Any] = {"batch_size": 64, "learning_rate": 0.1}
    given: dict[str, Any] = {"cells": [asked]} if by_cells else {"where": asked}
    (good,) = result.confirm(**given, seeds=2).tried
    assert [runs.settings["batch_size"] for runs in good.runs] == [64, 16]
    assert good.verdict == "survived"
    executor.fails = lambda trial: trial.dataset.label == "make_friedman1"
    (bad,) = result.confirm(**given, seeds=2, steps=30).tried
    assert bad.verdict == "withdrawn"
    assert [len(runs.failures) for runs in bad.runs] == [0, 2]


def test_a_batch_that_the_sweep_has_not_cut_is_shown_as_it_was_trained(
    executor: LongExecutor,
) -> None:
    cells = [{"dataset": "make_regression"}, {"batch_size": 4}]
    result = swept(executor, {**TWO, "cells": cells})  # no batch of 16 anywhere
    (found,) = result.confirm([{"batch_size": 64, "learning_rate": 0.1}], seeds=2).tried
    assert [runs.settings["batch_size"] for runs in found.runs] == [64, 16]
    assert found.verdict == "survived"
    assert result.confirmations["batch_size"].tolist() == [64, 16]


def test_a_data_set_without_its_runs_leaves_the_verdict_open(
    executor: LongExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = swept(executor, TWO)

    def without_the_second(self: Result) -> pd.DataFrame:
        table = StoredTrials.trials.func(self)  # type: ignore[attr-defined]
        long = self.folder.parent.name == "confirmed"
        return table.loc[table["dataset"] == "make_regression"] if long else table

    monkeypatch.setattr(Result, "trials", property(without_the_second))
    (found,) = result.confirm([{"batch_size": 4, "learning_rate": 0.1}], seeds=2).tried
    assert len(found.runs) == 1
    assert found.verdict == "unknown"


def test_a_combination_that_trains_the_same_has_the_runs_of_the_other(
    executor: LongExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_sweep", partial(runner.load_sweep, survey=Survey()))
    result = swept(executor, BUILDS)  # `units` is asked for by two layers alone
    first = result.confirm([{"layers": 1, "units": 8, "lr": 0.01}], seeds=2)
    executor.seen.clear()
    both = [{"layers": 1, "units": units, "lr": 0.01} for units in (8, 16)]
    again = result.confirm(both[1:], seeds=2)
    assert executor.seen == []
    assert again.tried[0].runs == first.tried[0].runs
    assert [each.verdict for each in result.confirm(both, seeds=2).tried] == ["survived"] * 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (cell(0.05), "cells: learning_rate: expected one of the values of learning_rate"),
        (cell(0.1, batch_size="full"), r"values of batch_size \(4, 16\), got 'full'"),
        (cell(0.1, batch_size=[4, 5]), r"values of batch_size \(4, 16\), got '5'"),
        (cell(0.1, batch_size=[]), "cells: expected at least one value of batch_size"),
        (cell(0.1, deep=2), "cells: expected an axis of the sweep .*, got 'deep'"),
        (cell(0.1, depth=5), "cells: expected depth 2, which all trials of the sweep have, got 5"),
        (cell(0.1, dataset="other"), "cells: expected dataset make_regression, .* got other"),
        ("learning_rate", "cells: expected picks, or mappings"),
    ],
)
def test_wrong_cells_are_refused_before_anything_is_trained(
    result: Result, executor: LongExecutor, wrong: Any, message: str
) -> None:
    with pytest.raises(ResultError, match=message):
        result.confirm([cell(0.01), wrong], seeds=2)
    assert executor.seen == []
    assert not (result.folder / "confirmed").exists()


def test_cells_are_meant_in_many_ways(result: Result, executor: LongExecutor) -> None:
    ways: list[Any] = [
        {"batch_size": [4, "16"], "learning_rate": "1e-1"},
        {"learning_rate": 0.1, "batch_size": (16, 4)},
        {"learning_rate": 0.1 * (1 + 1e-12)},
        {"learning_rate": 0.1, "dataset": "make_regression", "depth": 2},
    ]
    (found,) = result.confirm(ways, seeds=2, until=2).tried  # one, and no two survivors
    assert found.cell == {"batch_size": [4, 16], "learning_rate": 0.1}
    assert [runs.settings["batch_size"] for runs in found.runs] == [4, 16]
    assert found.verdict == "survived"
    assert len(executor.seen) == 4


def test_a_cell_given_twice_is_no_second_survivor(result: Result) -> None:
    found = result.confirm([cell(0.1), cell(0.1)], seeds=2, until=2)
    assert (len(found.survived), found.short) == (1, 1)


@pytest.mark.parametrize("compiled", list(Compiled))
def test_long_runs_are_compiled_as_the_sweep_was(
    executor: LongExecutor, compiled: Compiled
) -> None:
    result = swept(executor, CONFIG, compiled)
    folder = result.confirm([cell(0.1)], seeds=1).folder
    assert open_result(folder).provenance["flags"]["compiled"] == compiled


def test_a_result_without_a_word_on_its_compilation_is_confirmed(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {**result.provenance, "flags": {"compiled": "unheard of"}}
    monkeypatch.setattr(Result, "provenance", property(lambda self: own))
    assert result.confirm([cell(0.1)], seeds=1).survived


def test_progress_counts_all_trainings_of_a_call(result: Result, executor: LongExecutor) -> None:
    executor.fails = lambda trial: trial.training.learning_rate > 0.05
    seen: list[tuple[int, int]] = []

    def observe(progress: Progress) -> None:
        seen.append((progress.done, progress.total))

    ranked = [cell(rate) for rate in (0.9, 0.3, 0.1, 0.01)]
    result.confirm(ranked, seeds=2, until=1, observe=observe)
    assert seen == [(done, 2 * ((done + 1) // 2)) for done in range(1, 9)]


def test_what_long_runs_have_withdrawn_is_recommended_no_more(
    result: Result, executor: LongExecutor
) -> None:
    before = result.recommend(count=100)
    best, second = before.picks[:2]
    executor.fails = lambda trial: trial.seed > 2 and trial.axes == dict(best.axes)
    result.confirm([best, second], seeds=4)
    after = result.recommend(count=100)
    assert [pick.axes for pick in after.picks] == [pick.axes for pick in before.picks[1:]]
    assert [pick.axes for pick in result.recommend(count=2).picks] == [
        pick.axes for pick in before.picks[1:3]
    ]
    (left_out,) = after.withdrawn
    assert (left_out.axes, left_out.failures, left_out.runs) == (dict(best.axes), 3, 4)
    said = [note for note in after.notes if "withdrawn" in note]
    assert said == [
        f"batch_size {best.axes['batch_size']}, learning_rate {best.rate:g}: withdrawn by 3 long "
        "runs of 250 steps (of 4)"
    ]
    other = [{"batch_size": second.axes["batch_size"]}, {"batch_size": best.axes["batch_size"]}]
    for where in other:  # only what is looked at is told of
        withdrawn = result.recommend(where=where).withdrawn
        assert bool(withdrawn) == (where["batch_size"] == best.axes["batch_size"])


def test_a_cell_that_failed_in_one_data_set_is_withdrawn_where_that_is_looked_at(
    executor: LongExecutor,
) -> None:
    result = swept(executor, {**CONFIG, "dataset": [DATA, OTHER]})
    best = result.recommend().picks[0]
    executor.fails = lambda trial: trial.dataset.label == "make_friedman1"
    result.confirm([best], seeds=1)
    assert best.axes not in [pick.axes for pick in result.recommend(count=99).picks]
    for label, withdrawn in (("make_regression", 0), ("make_friedman1", 1)):
        found = result.recommend(count=99, where={"dataset": label})
        assert len(found.withdrawn) == withdrawn


def test_combinations_that_train_the_same_are_withdrawn_together(
    executor: LongExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_sweep", partial(runner.load_sweep, survey=Survey()))
    result = swept(executor, BUILDS)
    assert {"layers": 1, "units": 8, "lr": 0.01} in [
        pick.axes for pick in result.recommend(count=99, margin=1).picks
    ]
    executor.fails = lambda trial: True
    result.confirm([{"layers": 1, "units": 16, "lr": 0.01}], seeds=1)
    found = result.recommend(count=99, margin=1)
    assert {"layers": 1, "units": 8, "lr": 0.01} not in [pick.axes for pick in found.picks]
    assert len(found.withdrawn) == 1
    held = result.recommend(count=99, margin=1, where={"layers": 1, "units": 16})
    assert {"layers": 1, "units": 16, "lr": 0.01} not in [pick.axes for pick in held.picks]


def test_confirm_goes_on_with_what_it_has_withdrawn_itself(
    result: Result, executor: LongExecutor
) -> None:
    executor.fails = lambda trial: trial.training.learning_rate == 0.3
    first = result.confirm(seeds=2, until=2)
    assert first.withdrawn
    executor.seen.clear()
    again = result.confirm(seeds=2, until=2)
    assert [(own.cell, own.verdict) for own in again.tried] == [
        (own.cell, own.verdict) for own in first.tried
    ]
    assert executor.seen == []
    longer = result.confirm(seeds=2, until=2, steps=500)  # does not try them again
    assert {each.cell["learning_rate"] for each in longer.tried}.isdisjoint({0.3})


def test_where_all_are_withdrawn_a_longer_sweep_is_next(
    result: Result, executor: LongExecutor, capsys: Capture
) -> None:
    executor.fails = lambda trial: True
    result.confirm(seeds=1, until=99)
    found = result.recommend()
    assert found.picks == ()
    assert found.reason == f"all {len(found.withdrawn)} safe cells failed in long runs."
    assert [advice.text.partition(":")[0] for advice in found.advice] == ["50 steps instead of 5"]
    assert found.next_config is not None
    assert "steps: 50" in found.next_config
    assert main(["recommend", "results/sweep"]) == 0
    out = capsys.readouterr().out
    assert "safe cells failed in long runs" in out
    with pytest.raises(ResultError, match="no pick to confirm: all"):
        result.confirm(steps=500)


def test_the_command_says_what_is_withdrawn(
    result: Result, executor: LongExecutor, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    best = result.recommend().picks[0]
    executor.fails = lambda trial: True
    result.confirm([best], seeds=2)
    assert main(["recommend", "results/sweep"]) == 0
    out = capsys.readouterr().out
    assert "withdrawn by 2 long runs of 250 steps" in out
    assert "confirm results/sweep --until 3" in out
    assert main(["recommend", "results/sweep", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)["withdrawn"]
    assert printed == {"axes": dict(best.axes), "failures": 2, "runs": 2, "budget": "250 steps"}


@pytest.mark.parametrize(
    "words", [["--margin", "5"], ["--count", "1"], ["--metric", "val_nope"]], ids=lambda own: own[0]
)
def test_how_to_pick_is_refused_where_cells_are_named(
    result: Result, executor: LongExecutor, words: list[str], capsys: Capture
) -> None:
    assert main(["confirm", "results/sweep", "--where", "learning_rate=0.1", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"got both: {words[0].removeprefix('--')} can only be used without" in err
    with pytest.raises(ResultError, match="got both: count, margin can only"):
        result.confirm([cell(0.1)], count=1, margin=2)
    assert executor.seen == []


def test_an_empty_where_is_none(result: Result) -> None:
    assert result.confirm(where={}, seeds=1).tried == result.confirm(seeds=1).tried
    assert len(result.confirm([cell(0.1)], where={}, seeds=1).tried) == 1


def test_picks_that_are_confirmed_have_no_configs_made(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*arguments: Any, **named: Any) -> str:
        raise AssertionError("a config was made")

    monkeypatch.setattr(recommending, "_pick_config", none)
    monkeypatch.setattr(recommending, "_next_config", none)
    assert result.confirm(seeds=1, until=1).survived
    with pytest.raises(ResultError, match="there is no pick to confirm"):
        result.confirm(margin=1000)


def test_an_interrupted_confirmation_is_not_forgotten(
    result: Result, executor: LongExecutor, capsys: Capture
) -> None:
    executor.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        result.confirm([cell(0.1)], seeds=10)
    executor.stop_after = 1_000_000
    result.confirm([cell(0.01)], seeds=10)
    (both,) = result.long_runs
    assert [runs.runs for runs in both.cells] == [10, 3]
    assert both.missing == 7
    assert main(["show", "results/sweep"]) == 0
    assert "7 runs not made yet" in " ".join(capsys.readouterr().out.split())
    result.confirm([cell(0.1)], seeds=8)  # of the ten
    assert result.long_runs[0].missing == 2
    result.confirm([cell(0.1)], seeds=10)
    assert result.long_runs[0].missing == 0


def test_of_a_build_no_run_is_forgotten_either(
    executor: LongExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_sweep", partial(runner.load_sweep, survey=Survey()))
    result = swept(executor, BUILDS)
    executor.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        result.confirm([{"layers": 1, "lr": 0.01}], seeds=4)  # one model for both `units`
    executor.stop_after = 1_000_000
    result.confirm([{"layers": 2, "units": 16, "lr": 0.01}], seeds=4)
    assert result.long_runs[0].missing == 3
    result.confirm([{"layers": 1, "units": 16, "lr": 0.01}], seeds=4)
    assert result.long_runs[0].missing == 0
