"""From missing trials to stacks: what shares one, how large it is, how long it may take."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from stabilitysweep import planning
from stabilitysweep.config import parse_config
from stabilitysweep.engines.base import Stack
from stabilitysweep.grid import Trial
from stabilitysweep.grid.cells import Cell
from stabilitysweep.lineup import line_of, lineup
from stabilitysweep.models import programs
from stabilitysweep.planning import Work, parameters, places, plan_work, working_set
from stabilitysweep.runner import Sweep, key_of, load_sweep, missing_work
from stabilitysweep.types import Compiled

GRID: dict[str, Any] = {
    "depth": [0, 1, 2],
    "batch_size": [4, 8],
    "learning_rate": {"from": 1e-3, "to": 10, "num": 30, "scale": "log"},
}


def work_of(
    grid: dict[str, Any],
    *,
    model: dict[str, Any] | None = None,
    seeds: int = 5,
    compiled: Compiled = Compiled.GRAPH,
    engine: str = "stacked",
    workers: int = 2,
) -> Work:
    sweep = sweep_of(grid, model=model, seeds=seeds)
    return missing_work(sweep, set(), compiled=compiled, engine=engine, workers=workers)


def sweep_of(grid: dict[str, Any], *, model: dict[str, Any] | None = None, seeds: int = 5) -> Sweep:
    config = parse_config(
        {
            "name": "planning",
            "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
            "model": model or {},
            "training": {"steps": 10},
            "grid": grid,
            "seeds": seeds,
        }
    )
    return load_sweep(config)


def stacks_of(work: Work) -> list[Stack]:
    return [stack for job in work.jobs for stack in job.stacks]


def test_every_trial_is_in_one_stack() -> None:
    work = work_of(GRID)
    ids = [trial.trial_id for stack in stacks_of(work) for trial in stack.trials]
    assert len(ids) == len(set(ids)) == work.trials == 3 * 2 * 30 * 5
    assert work.stacks == len(stacks_of(work))


MIXED: dict[str, Any] = {
    "scaling": ["none", "standard"],
    "l2": [0, 1e-4, 1e-2],
    "clipnorm": [None, 1],
    "batch_size": [8, 4, 16, "full"],
    "optimizer": ["adamw", "sgd"],
    "weight_decay": [None, 0, 0.004],
    "learning_rate": [10, 1e-3, 0.1],
    "loss": ["mse", "mae"],
}


@pytest.mark.parametrize("compiled", list(Compiled))
def test_stacks_are_those_of_sorting_every_trial(compiled: Compiled) -> None:
    sweep = sweep_of(MIXED, model={"width": 512}, seeds=2)
    left = [trial for number, trial in enumerate(sweep.grid) if number % 5]
    gone = {trial.trial_id for trial in sweep.grid}.difference(trial.trial_id for trial in left)
    work = missing_work(sweep, gone, compiled=compiled, engine="stacked", workers=2)

    by_key: dict[str, list[Trial]] = {}
    for trial in left:
        by_key.setdefault(key_of(trial), []).append(trial)
    (shape,) = {sweep.data.shapes[key] for key in by_key}
    in_turn = [trial for own in by_key.values() for trial in own]

    def place(trial: Trial) -> tuple[float, ...]:
        own = trial.training
        return (list(by_key).index(key_of(trial)), float(own.batch_size), own.learning_rate)

    expected = []
    for program, sharing in programs.group(in_turn, shape, compiled).items():
        ordered = sorted(sharing, key=place)
        for (_, batch_size), same in itertools.groupby(ordered, lambda trial: place(trial)[:2]):
            members = tuple(same)
            size = places(program, int(batch_size))
            chunks = (members[at : at + size] for at in range(0, len(members), size))
            expected += [Stack(program, chunk, size) for chunk in chunks]
    assert stacks_of(work) == expected
    assert len(work.jobs) > 1
    assert {len(stack.trials) == stack.places for stack in expected} == {True, False}


def test_no_trial_is_made_before_its_stack_is_asked_for_and_none_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    real = Cell.trial

    def counted(cell: Cell, text: tuple[str, str], seed: int) -> Trial:
        made.append(seed)
        return real(cell, text, seed)

    monkeypatch.setattr(Cell, "trial", counted)
    work = work_of(GRID, seeds=50)
    assert work.trials == 3 * 2 * 30 * 50
    assert work.stacks == sum(len(job.stacks) for job in work.jobs) > 100
    kinds = 3 * 2  # one trial of each is looked at, for its data and for its stacks
    assert len(made) == 2 * kinds
    last = work.jobs[0].trainings[-1]
    assert len(made) == 2 * kinds + len(last.stack.trials)
    again = work.jobs[0].trainings[len(work.jobs[0].trainings) - 1]
    assert again == last
    assert again.stack.trials[0] is not last.stack.trials[0]
    assert work.jobs[0].stacks[-2:] == tuple(t.stack for t in work.jobs[0].trainings[-2:])


def test_trials_that_are_made_already_are_planned_as_their_grid_is() -> None:
    sweep = sweep_of(GRID)
    found = [
        plan_work(line, key_of, sweep.data.shapes, compiled=Compiled.XLA, engine="fit", workers=1)
        for line in (lineup(sweep.grid), line_of(list(sweep.grid)))
    ]
    assert stacks_of(found[0]) == stacks_of(found[1])
    assert found[0].seconds == pytest.approx(found[1].seconds)


@pytest.mark.parametrize("compiled", list(Compiled))
def test_a_stack_agrees_in_what_a_stack_must(compiled: Compiled) -> None:
    for stack in stacks_of(work_of(GRID, compiled=compiled)):
        assert 1 <= len(stack.trials) <= stack.places
        assert len({(t.training.batch_size, t.training.steps) for t in stack.trials}) == 1
        assert {t.model.depth for t in stack.trials} == {stack.program.model.depth}


def test_neighbouring_learning_rates_share_a_stack() -> None:
    by_batch: dict[int, list[list[float]]] = {}
    for stack in stacks_of(work_of({**GRID, "depth": [1]})):
        rates = [trial.training.learning_rate for trial in stack.trials]
        by_batch.setdefault(stack.batch_size, []).append(rates)
    for stacks in by_batch.values():
        assert len(stacks) > 1
        assert all(max(low) <= min(high) for low, high in itertools.pairwise(stacks))


def test_a_program_serves_all_numbers_in_the_graph_but_one_batch_size_under_xla() -> None:
    assert work_of(GRID).programs == 3
    assert work_of(GRID, compiled=Compiled.XLA).programs == 3 * 2


@pytest.mark.parametrize("compiled", list(Compiled))
def test_preprocessing_is_no_reason_for_another_program(compiled: Compiled) -> None:
    scaled = {"scaling": ["none", "standard", "robust"], "imputation": ["none", "mean"]}
    work = work_of({**GRID, **scaled}, compiled=compiled)
    assert work.programs == work_of(GRID, compiled=compiled).programs == len(work.jobs)
    for job in work.jobs:
        keys = [training.data for training in job.trainings]
        assert len(set(keys)) == 6
        # Those on the same data follow one another.
        assert len(list(itertools.groupby(keys))) == 6


def test_the_fit_engine_hands_back_trial_by_trial() -> None:
    assert {len(stack.trials) for stack in stacks_of(work_of(GRID, engine="fit"))} == {1}


@pytest.mark.parametrize("compiled", list(Compiled))
def test_no_stack_is_larger_than_its_program_bears(compiled: Compiled) -> None:
    stacks = stacks_of(work_of({**GRID, "depth": [2], "batch_size": [4]}, compiled=compiled))
    limit = places(stacks[0].program, 4)
    assert len(stacks) > 1
    assert all(len(stack.trials) <= stack.places <= limit for stack in stacks)


def test_under_xla_the_size_of_a_stack_follows_from_the_trial_alone() -> None:
    small = stacks_of(work_of({**GRID, "depth": [2]}, seeds=1, compiled=Compiled.XLA))
    large = stacks_of(work_of(GRID, seeds=7, compiled=Compiled.XLA))
    sizes = {stack.places for stack in small}
    assert sizes == {stack.places for stack in large if stack.program.model.depth == 2}


def test_in_the_graph_a_stack_fits_into_the_cache_of_a_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: dict[Compiled, list[int]] = {}
    for compiled in Compiled:
        (stack,) = stacks_of(
            work_of({"depth": [2]}, model={"width": 128}, seeds=1, compiled=compiled)
        )
        each = working_set(stack.program, 32)
        for fitting in (70, 60, 33, 20, 2):
            cache = (3 * fitting * each + 1) // 2
            monkeypatch.setattr(planning, "cache_share", lambda cache=cache: cache)
            found.setdefault(compiled, []).append(places(stack.program, 32))
    # At least a whole vector, in which a trial's bits are what they are in several.
    assert found == {Compiled.GRAPH: [64, 32, 32, 16, 16], Compiled.XLA: [64] * 5}


def test_stacks_of_wider_networks_and_larger_batches_are_smaller() -> None:
    programs = [
        stacks_of(work_of({"depth": [2]}, model={"width": width}, seeds=1))[0].program
        for width in (4, 64, 512, 4096)
    ]
    sizes = [places(program, 4) for program in programs]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] >= 1
    assert places(programs[1], 4) > places(programs[1], 4_000)
    assert working_set(programs[1], 4) < working_set(programs[1], 4_000)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_weights_are_counted_as_keras_counts_them(depth: int) -> None:
    (stack,) = stacks_of(work_of({"depth": [depth]}, model={"width": 5}, seeds=1))
    sizes = [3, *[5] * depth, 1]
    expected = sum(a * b + b for a, b in itertools.pairwise(sizes))
    assert parameters(stack.program) == expected


def test_more_workers_are_expected_to_take_less_time() -> None:
    alone, two = work_of(GRID, workers=1).seconds, work_of(GRID, workers=2).seconds
    assert two < alone < work_of(GRID, workers=1, engine="fit").seconds


def test_nothing_to_do_takes_no_time() -> None:
    config = parse_config({"name": "n", "dataset": "diabetes", "grid": {"depth": [1]}})
    sweep = load_sweep(config)
    everything = {trial.trial_id for trial in sweep.grid}
    work = missing_work(sweep, everything, compiled=Compiled.GRAPH, engine="stacked", workers=1)
    assert (work.jobs, work.programs, work.trials, work.seconds, work.stacks) == ((), 0, 0, 0.0, 0)
