"""Long runs of the cells of a result, with an executor that trains nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from long_runs import CONFIG, DATA, OTHER, SHORT, LongExecutor, cell, swept
from surveyed_builds import CONFIG as BUILDS
from surveyed_builds import Survey

from stabilitysweep import ResultError, Thresholds, UserError, execution, open_result, runner
from stabilitysweep.cli import main
from stabilitysweep.config import parse_config
from stabilitysweep.longruns import Budget, fresh_seeds, long_run
from stabilitysweep.result import Result
from stabilitysweep.types import Outcome, TrialResult

Capture = pytest.CaptureFixture[str]


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


def test_picks_are_trained_longer_with_seeds_that_the_sweep_has_not(
    result: Result, executor: LongExecutor
) -> None:
    before = result.trials
    found = result.confirm(seeds=3)
    assert {trial.seed for trial in executor.seen} == {2, 3, 4}
    assert {trial.training.steps for trial in executor.seen} == {50 * SHORT}
    assert len(executor.seen) == 9
    assert [each["learning_rate"] for each in found.survived] == [
        pick.axes["learning_rate"] for pick in result.recommend().picks
    ]
    assert found.folder == result.folder / "confirmed" / "250_steps"
    after = open_result(result.folder)
    pd.testing.assert_frame_equal(after.trials, before, check_exact=True)
    assert after.wanted == result.wanted
    own = open_result(found.folder)  # an ordinary result
    assert len(own.trials) == own.wanted == 9
    assert (found.folder / "trials.csv").is_file()
    assert own.config.seeds == range(2, 5)


def test_twice_is_once(result: Result, executor: LongExecutor) -> None:
    first = result.confirm(seeds=4)
    executor.seen.clear()
    again = result.confirm(seeds=4)
    assert executor.seen == []
    assert again == first
    assert len(result.confirm(seeds=6).tried[0].runs[0].failures) == 0
    assert {trial.seed for trial in executor.seen} == {6, 7}  # more seeds extend it


def test_interrupted_and_resumed_is_uninterrupted(result: Result, executor: LongExecutor) -> None:
    executor.fails = lambda trial: trial.seed == 3
    executor.stop_after = 5
    with pytest.raises(KeyboardInterrupt):
        result.confirm(seeds=4)
    (unfinished,) = result.long_runs
    assert unfinished.missing == 12 - 5
    executor.stop_after = 1_000_000
    executor.seen.clear()
    resumed = result.confirm(seeds=4)
    assert len(executor.seen) == 12 - 5
    whole = swept(executor, CONFIG | {"name": "whole"}).confirm(seeds=4)
    pd.testing.assert_frame_equal(resumed.to_frame(), whole.to_frame(), check_exact=True)


def test_a_pick_that_fails_is_withdrawn_and_the_next_one_tried(
    result: Result, executor: LongExecutor
) -> None:
    executor.fails = lambda trial: trial.training.learning_rate == 0.3 and trial.seed == 4
    ranked = [cell(rate) for rate in (0.3, 0.9, 0.1, 0.01)]
    found = result.confirm(ranked, seeds=3, until=2)
    assert found.withdrawn == ranked[:1]
    assert found.survived == ranked[1:3]
    assert (found.untried, found.short) == (1, 0)
    assert len(executor.seen) == 9
    failed = found.tried[0].runs[0]
    assert (failed.survived, failed.runs, failed.onsets) == (2, 3, (44,))
    assert failed.failures[0].cause_text is not None
    table = found.to_frame()
    assert table["verdict"].tolist() == ["withdrawn", "survived", "survived"]
    assert table["survived"].tolist() == [2, 3, 3]


def test_too_few_survivors_are_told(result: Result, executor: LongExecutor) -> None:
    executor.fails = lambda trial: trial.training.learning_rate > 0.05
    found = result.confirm([cell(rate) for rate in (0.3, 0.1, 0.01)], seeds=2, until=2)
    assert (found.short, found.untried, len(found.survived)) == (1, 0, 1)


def test_picks_come_from_recommend_until_enough_survived(
    result: Result, executor: LongExecutor
) -> None:
    best = result.recommend(count=100).picks
    executor.fails = lambda trial: (
        trial.training.learning_rate == best[0].rate
        and trial.training.batch_size == best[0].axes["batch_size"]
    )
    found = result.confirm(seeds=2, until=1)
    assert found.withdrawn == [dict(best[0].axes)]
    assert found.survived == [dict(best[1].axes)]
    assert found.untried == len(best) - 2


def test_other_cells_extend_the_long_runs(result: Result) -> None:
    result.confirm([cell(0.01)], seeds=2)
    found = result.confirm([cell(0.9, batch_size=16)], seeds=3)  # no value in common
    (both,) = result.long_runs
    assert [runs.settings["learning_rate"] for runs in both.cells] == [0.01, 0.9]
    assert [runs.runs for runs in both.cells] == [2, 3]
    assert len(found.tried) == 1
    result.confirm([cell(0.01)], seeds=2, steps=7)
    assert [each.budget.steps for each in result.long_runs] == [7, 250]
    assert result.confirmations["steps"].tolist() == [7, 250, 250]


def test_a_cell_that_fails_in_one_data_set_is_withdrawn(executor: LongExecutor) -> None:
    result = swept(executor, {**CONFIG, "dataset": [DATA, OTHER], "grid": CONFIG["grid"]})
    executor.fails = lambda trial: (
        trial.dataset.label == "make_friedman1" and trial.training.learning_rate == 0.3
    )
    good, bad = result.confirm([cell(0.1), cell(0.3)], seeds=2).tried
    assert [runs.settings["dataset"] for runs in good.runs] == ["make_regression", "make_friedman1"]
    assert good.verdict == "survived"
    assert bad.verdict == "withdrawn"
    assert [len(runs.failures) for runs in bad.runs] == [0, 2]
    one = result.confirm([cell(0.3, dataset="make_regression")], seeds=2).tried
    assert one[0].verdict == "survived"
    picked = result.confirm(where={"learning_rate": 0.1}, seeds=2).tried
    assert [len(each.runs) for each in picked] == [2, 2]  # both batch sizes, in each data set


def test_epochs_are_multiplied_too(executor: LongExecutor) -> None:
    grid = {"batch_size": [4, 8], "learning_rate": [0.1, 0.3]}
    result = swept(executor, CONFIG | {"training": {"epochs": 2}, "grid": grid})
    found = result.confirm([cell(0.1)], seeds=1)
    assert found.folder.name == "100_epochs"
    assert executor.seen[0].training.steps == 100 * 4  # 16 rows in batches of 4
    assert str(found.budget) == "100 epochs"
    assert result.confirm([cell(0.1)], seeds=1, steps=30).folder.name == "30_steps"
    assert [each.budget for each in result.long_runs] == [Budget(None, 100), Budget(30, None)]


def test_seeds_that_the_sweep_has_got_meanwhile_do_not_count(
    result: Result, executor: LongExecutor
) -> None:
    result.confirm([cell(0.1)], seeds=4)
    extended = swept(executor, CONFIG | {"seeds": 4})
    assert extended.confirmations["runs"].tolist() == [2]
    found = extended.confirm([cell(0.1)], seeds=3)
    assert {trial.seed for trial in executor.seen} == {6}
    assert found.tried[0].runs[0].runs == 3


def test_stalled_and_other_thresholds(result: Result) -> None:
    result.confirm([cell(0.01)], seeds=2)
    assert result.confirmations["stalled"].tolist() == [0]
    strict = open_result(result.folder, Thresholds(stable_below=1e-9, diverged_above=1e-6))
    assert strict.confirmations["survived"].tolist() == [0]
    assert strict.long_runs[0].cells[0].failures[0].outcome == "diverged"
    assert strict.long_runs[0].cells[0].onsets == ()


def test_crashed_runs_leave_the_verdict_open_and_are_tried_again(
    result: Result, executor: LongExecutor, capsys: Capture
) -> None:
    usual = executor.result
    crash = TrialResult("", Outcome.CRASHED, "inline", message="no memory")
    executor.result = (  # type: ignore[method-assign]
        lambda trial: replace(crash, trial_id=trial.trial_id) if trial.seed == 2 else usual(trial)
    )
    assert main(["confirm", "results/sweep", "--where", "learning_rate=0.1", "--seeds", "2"]) == 1
    assert "unknown" in capsys.readouterr().out
    executor.result = usual  # type: ignore[method-assign]
    executor.seen.clear()
    assert result.confirm(where={"learning_rate": 0.1}, seeds=2).survived
    assert {trial.seed for trial in executor.seen} == {2}


def test_the_summary_has_the_long_runs(result: Result, executor: LongExecutor) -> None:
    executor.fails = lambda trial: trial.seed == 2
    result.confirm([cell(0.1)], seeds=2)
    written = json.loads((result.folder / "summary.json").read_text())
    (runs,) = written["confirmed"]
    assert (runs["folder"], runs["steps"], runs["missing"]) == ("confirmed/250_steps", 250, 0)
    (own,) = runs["cells"]
    assert (own["survived"], own["runs"], own["level"]) == (1, 2, 0.95)
    assert own["failures"][0]["onset_step"] == 42
    assert list(written)[-1] == "provenance"


def test_the_command_prints_what_survived_and_show_keeps_it(
    result: Result, executor: LongExecutor, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # no line of the table is broken
    executor.fails = lambda trial: trial.training.learning_rate == 0.3 and trial.seed > 2
    options = ["--where", "learning_rate=0.3", "--where", "batch_size=4", "--seeds", "3"]
    assert main(["confirm", "results/sweep", *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "0 of 1 cell survived 250 steps" in out
    assert "3 fresh seeds (seeds 2 to 4)" in out
    assert "  withdrawn    1 of 3  0.84 to 90.6 %" in out
    assert "2 runs " in out
    assert "diagnose results/sweep/confirmed/250_steps" in out
    assert main(["show", "results/sweep"]) == 0
    shown = capsys.readouterr().out
    assert "over 250 steps, with fresh seeds: 0 of 1 cell without a failure" in shown
    assert "batch_size=4, learning_rate=0.3: 1 of 3 survived" in shown
    assert main(["confirm", "results/sweep", "--until", "1", "--seeds", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["short"] == 0
    assert printed["tried"][-1]["verdict"] == "survived"


def test_an_interrupted_command_says_how_to_go_on(
    result: Result, executor: LongExecutor, capsys: Capture
) -> None:
    executor.stop_after = 2
    words = ["confirm", "results/sweep", "--where", "learning_rate=0.1", "--seeds", "3"]
    assert main(words) == 130
    assert "2 long runs of this call are stored" in (err := capsys.readouterr().err)
    assert " ".join(words) in err
    assert len(open_result(result.folder / "confirmed" / "250_steps").trials) == 2


@pytest.mark.usefixtures("result")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "5"], "steps: expected more than the 5 of the sweep, got 5"),
        (["--where", "learning_rate=7"], "expected one of the values of learning_rate"),
        (["--where", "depth=2"], "expected an axis of the sweep"),
        (["--margin", "1000"], "there is no pick to confirm: "),
        (["--seeds", "0"], "expected a whole number, at least 1"),
        (["--until", "none"], "expected a whole number, at least 1"),
    ],
)
def test_wrong_input_is_refused_and_nothing_written(
    words: list[str], message: str, capsys: Capture
) -> None:
    assert main(["confirm", "results/sweep", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not Path("results/sweep/confirmed").exists()


@pytest.mark.usefixtures("executor")
def test_a_folder_that_is_no_result_is_refused(capsys: Capture) -> None:
    assert main(["confirm", "nowhere"]) == 2
    assert "expected a result folder" in capsys.readouterr().err


def test_data_that_have_changed_are_refused(executor: LongExecutor) -> None:
    rows = "\n".join(f"{number},{2 * number}" for number in range(20))
    Path("data.csv").write_text(f"x,y\n{rows}\n")
    result = swept(executor, CONFIG | {"dataset": {"path": "data.csv", "target": "y"}})
    result.confirm([cell(0.1)], seeds=1)
    Path("data.csv").write_text(f"x,y\n{rows}1\n")
    for steps in (None, 30):  # also where no long run is stored yet
        with pytest.raises(ResultError, match="content has changed"):
            result.confirm([cell(0.1)], seeds=2, steps=steps)
    assert len(executor.seen) == 1


def test_budgets_and_seeds() -> None:
    config = parse_config(CONFIG)
    assert str(long_run(config)) == "250 steps"
    assert long_run(config, 5_000).folder == "5000_steps"
    assert str(Budget(None, 1)) == "1 epoch"
    assert fresh_seeds(config, [], 3) == range(2, 5)
    assert fresh_seeds(config, [0, 9], 3) == range(10, 13)  # an earlier run had more
    with pytest.raises(UserError, match="seeds: expected at least 1"):
        fresh_seeds(config, [], 0)
    with pytest.raises(UserError, match="at least 1"):
        long_run(parse_config(CONFIG | {"training": {"epochs": 2}}), 0)


def test_arguments_that_say_nothing_or_too_much(result: Result) -> None:
    with pytest.raises(ResultError, match="got none"):
        result.confirm([])
    with pytest.raises(ResultError, match="got both"):
        result.confirm([cell(0.1)], where={"learning_rate": 0.1})
    with pytest.raises(UserError, match="until: expected at least 1"):
        result.confirm([cell(0.1)], until=0)
    with pytest.raises(ResultError, match="expected one of the values of learning_rate"):
        result.confirm([cell(0.2)])
    assert result.confirmations.empty


def test_models_of_a_users_own_are_confirmed_by_their_hp(
    executor: LongExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_sweep", partial(runner.load_sweep, survey=Survey()))
    result = swept(executor, BUILDS)  # `units` is asked for by two layers alone
    executor.fails = lambda trial: trial.axes["lr"] == 0.1
    found = result.confirm(where={"layers": 1, "units": 16}, seeds=3)
    assert [each.cell for each in found.tried] == [
        {"layers": 1, "units": 8, "lr": rate} for rate in (0.01, 0.1, 1)
    ]
    assert [each.verdict for each in found.tried] == ["survived", "withdrawn", "withdrawn"]
    assert len(executor.seen) == 9
    executor.seen.clear()
    assert result.confirm([{"layers": 2, "lr": 0.01}], seeds=2).tried[0].runs[1].runs == 2
    assert {(trial.axes["units"], trial.seed) for trial in executor.seen} == {
        (units, seed) for units in (8, 16) for seed in (2, 3)
    }
