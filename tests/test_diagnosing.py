"""From stored trials to what is trained again; the replay itself is left out here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from inline_executor import CRASHING, FAILING, run_inline

from stabilitysweep import ResultError, diagnose, diagnosing, open_result
from stabilitysweep.diagnosis.records import Replay
from stabilitysweep.engines.base import Stack
from stabilitysweep.types import Compiled, Outcome, TrialResult

CONFIG: dict[str, Any] = {
    "name": "diagnosing",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4},
    "grid": {"depth": [1, 2], "l2": [0, 0.1], "learning_rate": [0.01, 0.1, FAILING, CRASHING]},
    "seeds": 2,
}
Wanted = Sequence[tuple[TrialResult, Stack, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_inline(tmp_path / "result", CONFIG)
    return tmp_path / "result"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Wanted, Mapping[str, Any], int]]:
    """What was to be replayed; every replay comes to what is stored."""
    calls: list[tuple[Wanted, Mapping[str, Any], int]] = []

    def pretend(function: Any, wanted: Wanted, data: Mapping[str, Any], steps: int) -> Any:
        calls.append((wanted, data, steps))
        return [Replay(stored, (), ()) for stored, _, _ in wanted]

    monkeypatch.setattr(diagnosing, "call_apart", pretend)
    return calls


def failed(folder: Path, **axes: Any) -> list[str]:
    trials = open_result(folder).trials
    chosen = trials["outcome"] == Outcome.NONFINITE
    for name, value in axes.items():
        chosen &= trials[name] == value
    ids: list[str] = trials.loc[chosen, "trial_id"].tolist()
    return ids


def test_a_trial_is_replayed_alone_in_the_program_and_size_it_had(
    folder: Path, asked: list[tuple[Wanted, Mapping[str, Any], int]]
) -> None:
    trial = failed(folder, depth=2, l2=0)[1]
    (found,) = diagnose(folder, trial, steps=4)
    ((wanted, data, steps),) = asked
    ((stored, stack, key),) = wanted
    assert steps == 4
    assert stored.trial_id == trial == found.stored.trial_id
    assert [each.trial_id for each in stack.trials] == [trial]
    assert stack.trials[0].seed == found.settings["seed"] == 1
    assert stack.program.model.depth == 2
    assert stack.program.terms.l2, "it shared its program with trials that have a penalty"
    assert stack.program.compiled is Compiled.GRAPH
    assert stack.places == 64
    assert data[key].train_rows == 16
    assert found.picked is None
    assert found.settings == {"depth": 2, "l2": 0, "learning_rate": FAILING, "seed": 1}
    assert "at learning rate 0.1 instead of 1 all 2 seeds are stable" in map(str, found.remedies)


@pytest.mark.usefixtures("asked")
def test_several_come_back_in_the_order_asked_for_and_each_once(folder: Path) -> None:
    ids = failed(folder)
    order = [ids[5], ids[0], ids[5][:12], ids[3]]
    assert [found.stored.trial_id for found in diagnose(folder, order)] == [ids[5], ids[0], ids[3]]


@pytest.mark.usefixtures("asked")
def test_without_a_trial_each_pick_has_its_reason(folder: Path) -> None:
    found = diagnose(open_result(folder))
    assert found
    assert all(each.picked for each in found)
    assert len({each.stored.trial_id for each in found}) == len(found)


@pytest.mark.usefixtures("asked")
def test_a_trial_of_an_earlier_config_is_found(folder: Path) -> None:
    old = failed(folder)
    other = {"depth": [1], "l2": [0, 0.2], "learning_rate": [0.01, 2 * FAILING]}
    run_inline(folder, {**CONFIG, "grid": other})
    new = failed(folder, learning_rate=2 * FAILING)
    assert set(old).isdisjoint(new)
    found = diagnose(folder, [old[-1], new[0]])
    assert [each.stored.trial_id for each in found] == [old[-1], new[0]]


def test_only_a_trial_that_failed_is_taken(folder: Path) -> None:
    trials = open_result(folder).trials
    stable = trials.loc[trials["outcome"] == Outcome.STABLE, "trial_id"].iloc[0]
    with pytest.raises(ResultError, match=f"{stable} did not fail.*stable.*nearest trial"):
        diagnose(folder, stable)
    crashed = trials.loc[trials["outcome"] == Outcome.CRASHED, "trial_id"].iloc[0]
    with pytest.raises(ResultError, match=f"{crashed} could not be run.*no such layer: x"):
        diagnose(folder, crashed)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        diagnose(folder, steps=0)


def test_where_nothing_failed_nothing_is_offered(tmp_path: Path) -> None:
    run_inline(tmp_path / "result", {**CONFIG, "grid": {"learning_rate": [0.01, 0.1]}})
    assert diagnose(tmp_path / "result") == []
    trial = open_result(tmp_path / "result").trials["trial_id"].iloc[0]
    with pytest.raises(ResultError, match="No trial of this result failed"):
        diagnose(tmp_path / "result", trial)
