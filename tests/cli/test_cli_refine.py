"""The command `refine`: what it prints, its exit codes, and what `show` says afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruled_executor import RuledExecutor

from stabilitysweep import execution, open_result
from stabilitysweep.api import plan
from stabilitysweep.cli import main
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome

Capture = pytest.CaptureFixture[str]

CONFIG: dict[str, Any] = {
    "name": "refined",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "model": {"width": 2},
    "training": {"steps": 6},
    "grid": {"depth": [1, 2, 3, 4], "learning_rate": [0.01, 0.1, 1]},
    "seeds": 2,
}


def rule(trial: Trial) -> Outcome:
    """Depth 1 to 4: a limit, a limit with an island above, all stable, all failing."""
    rate, depth = trial.training.learning_rate, trial.axes["depth"]
    if depth > 2:
        return Outcome.STABLE if depth == 3 else Outcome.DIVERGED
    island = depth == 2 and 0.5 < rate < 0.9
    return Outcome.STABLE if rate < 0.25 / depth or island else Outcome.NONFINITE


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RuledExecutor:
    """What trains in place of workers; the current folder has a result `swept`."""
    found = RuledExecutor(rule)
    monkeypatch.setattr(execution, "LocalExecutor", found)
    monkeypatch.chdir(tmp_path)
    carry_out(plan(CONFIG, "swept", Options()))
    found.trained.clear()
    return found


@pytest.mark.usefixtures("executor")
def test_the_boundaries_are_printed_with_what_they_hold_for(capsys: Capture) -> None:
    assert main(["refine", "swept"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0].startswith("refined: 32 trials trained in 3 rounds, ")
    for line in (
        "slices 4 of depth",
        "bracketed 2 within 5 %",
        "ragged 1, with stable rates above the first failure",
        "not refined 1: the lowest rate fails; give it lower ones",
        "not refined 1: nothing failed; give the grid higher learning rates",
        "holds for 6 steps, 2 seeds",
        "1 0.2488 0.261 4.91 %",
        "2 0.1212 0.1271 4.91 % ragged: 1 stable run above, up to 0.5623",
        "3 1 - - nothing failed",
        "4 - 0.01 - the lowest rate fails",
        "all slices swept/refined/boundaries.csv",
    ):
        assert any(line in found for found in lines), (line, lines)
    assert main(["refine", "swept"]) == 0
    assert "nothing to train" in capsys.readouterr().out


@pytest.mark.usefixtures("executor")
def test_json_is_strict_and_quiet_is_silent(capsys: Capture) -> None:
    assert main(["refine", "swept", "--json", "--where", "depth=2"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["tolerance"], found["slices"], found["within"], found["ragged"]) == (
        0.05,
        1,
        1,
        1,
    )
    (row,) = found["boundaries"]
    assert (row["depth"], row["status"], row["steps"], row["islands"]) == (2, "found", 6, 1)
    assert row["safe"] < 0.125 <= row["failing"]
    assert main(["refine", "swept", "--quiet", "--tolerance", "1%"]) == 0
    assert capsys.readouterr() == ("", "")


def test_crashed_trials_make_it_one(executor: RuledExecutor, capsys: Capture) -> None:
    executor.rule = lambda _: Outcome.CRASHED
    assert main(["refine", "swept", "--where", "depth=1"]) == 1
    assert "1 farther apart: trials between could not be run" in capsys.readouterr().out


def test_interrupted_it_says_how_to_go_on(executor: RuledExecutor, capsys: Capture) -> None:
    executor.stop_after = 1
    words = ["refine", "swept", "--tolerance", "0.1", "--workers", "1"]
    assert main(words) == 130
    err = capsys.readouterr().err
    assert "trials of this call are stored in swept/refined" in err
    assert "refine swept --tolerance 0.1 --workers 1" in err
    executor.stop_after = None
    assert main(words) == 0
    assert open_result("swept").boundaries["refined"].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swept", "--tolerance", "0"], "error: tolerance: expected a number from 0.0001 to 10"),
        (["swept", "--tolerance", "x"], "error: Invalid value for '--tolerance': expected a num"),
        (["swept", "--where", "width=2"], "error: where: expected an axis of the sweep (depth)"),
        (["swept", "--where", "depth=9"], "error: where depth: expected one of the values of "),
        (["swept", "--where", "depth"], "error: --where: expected AXIS=VALUE, got 'depth'"),
        (["."], "error: .: expected a result folder (results/NAME, written by"),
    ],
)
def test_wrong_input_is_two_and_one_message(
    executor: RuledExecutor, capsys: Capture, words: list[str], message: str
) -> None:
    assert main(["refine", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(message) and err.count("error:") == 1
    assert executor.trained == [] and not Path("swept/refined").exists()


@pytest.mark.usefixtures("executor")
def test_show_speaks_of_a_refined_boundary(capsys: Capture) -> None:
    main(["show", "swept"])
    assert "refine swept --all" not in capsys.readouterr().out
    main(["refine", "swept", "--quiet"])
    main(["show", "swept"])
    out = " ".join(capsys.readouterr().out.split())
    assert "refined the boundary of 2 slices within 4.91 %, for 6 steps" in out
    assert "stable up to a learning rate of 0.1212 to 0.2488" in out
    assert "ragged in 1 slice" in out
    assert "refine swept --all" in out


def test_of_hundreds_of_slices_the_lowest_and_the_odd_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def many(trial: Trial) -> Outcome:
        limit = 10 ** (-3 + trial.axes["l2"] * 2)
        return Outcome.STABLE if trial.training.learning_rate < limit else Outcome.DIVERGED

    monkeypatch.setattr(execution, "LocalExecutor", RuledExecutor(many))
    axes = {"l2": {"from": 0, "to": 1, "num": 300}, "learning_rate": [0.001, 0.003, 0.01, 0.03]}
    carry_out(plan({**CONFIG, "grid": axes, "seeds": 1}, tmp_path / "many", Options()))
    assert main(["refine", str(tmp_path / "many"), "--tolerance", "1"]) == 0
    out = capsys.readouterr().out
    assert "the 15 lowest of 300 (--all prints every one)" in out
    assert len(out.splitlines()) < 60
    assert main(["refine", str(tmp_path / "many"), "--tolerance", "1", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 300
