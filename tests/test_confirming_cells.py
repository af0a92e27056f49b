"""Which cells of a result are given a long run, and what is said of them afterwards."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from long_runs import CONFIG, OTHER, SHORT, LongExecutor, cell, swept
from surveyed_builds import CONFIG as BUILDS
from surveyed_builds import Survey

from stabilitysweep import ResultError, execution, open_result, runner
from stabilitysweep.result import Result
from stabilitysweep.runner import Progress
from stabilitysweep.types import Compiled

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
