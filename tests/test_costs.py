"""What training costs: what a run has taken, its repetition is expected to take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.costs import Costs, Measured, Shape, formula, tried
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.base import StackDone, Took
from stabilitysweep.planning import Work
from stabilitysweep.runner import load_sweep, missing_work
from stabilitysweep.types import Compiled

GRID: dict[str, Any] = {"depth": [1, 2], "learning_rate": [0.1, 0.2, 0.3, 0.4]}
STEP = 3e-4
FIRST = 5.0


def work_of(costs: Costs | None = None, workers: int = 1, seeds: int = 40) -> Work:
    config = parse_config(
        {
            "name": "costs",
            "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
            "training": {"steps": 100, "batch_size": 8},
            "grid": GRID,
            "seeds": seeds,
        }
    )
    return missing_work(
        load_sweep(config),
        set(),
        compiled=Compiled.GRAPH,
        engine="stacked",
        workers=workers,
        costs=costs,
    )


def seconds_of(stack: Stack) -> float:
    return STEP * len(stack.trials) * stack.steps * stack.program.model.depth


def measured(work: Work) -> dict[str, float]:
    """What is learnt of a run in which each program is traced once."""
    found = Measured("stacked")
    for job in work.jobs:
        for place, stack in enumerate(job.stacks):
            own = seconds_of(stack) + (0 if place else FIRST)
            found.add(StackDone(stack, [], took=Took(own, traced=not place)))
    return dict(found.found())


def test_what_a_run_has_taken_is_expected_of_the_same_run() -> None:
    work = work_of(Costs({}))
    known = measured(work) | {"start": 7.0}
    truth = sum(seconds_of(stack) for job in work.jobs for stack in job.stacks) + 2 * FIRST
    again = work_of(Costs(known))
    assert work.seconds != pytest.approx(7.0 + truth, rel=0.3)
    assert again.seconds == pytest.approx(7.0 + truth)


def test_each_worker_that_helps_traces_a_program_again() -> None:
    known = measured(work_of(Costs({}))) | {"start": 7.0}
    alone, two = (work_of(Costs(known), workers).seconds - 7.0 for workers in (1, 2))
    assert two == pytest.approx((alone + FIRST) / 2)


def test_workers_without_a_stack_do_not_help() -> None:
    costs = Costs({})
    few = work_of(costs, workers=2, seeds=1)
    assert few.stacks == 2
    assert few.seconds == work_of(costs, workers=50, seeds=1).seconds


def test_of_another_program_the_most_special_that_is_known_counts() -> None:
    work = work_of(Costs({}))
    first, second = (part.shape for part in work.parts)
    ratios = {f"stack {kind}": float(place + 2) for place, kind in enumerate(first.kinds())}
    costs = Costs(ratios)
    assert costs.stacks(first, 10) == pytest.approx(2 * formula(first, 10))
    assert costs.stacks(second, 10) == pytest.approx(3 * formula(second, 10))
    half = second._replace(program=replace(second.program, precision="float16"))
    assert costs.stacks(half, 10) == pytest.approx(5 * formula(half, 10))
    assert costs.measured(second) and not costs.measured(half)
    xla = first._replace(program=replace(first.program, compiled=Compiled.XLA))
    assert costs.stacks(xla, 10) == formula(xla, 10)


def test_what_runs_took_counts_before_what_was_tried_out() -> None:
    shape = work_of(Costs({})).parts[0].shape
    found = dict(tried(shape, 10, 2.0, 3.0))
    assert Costs(found).stacks(shape, 20) == pytest.approx(6.0)
    assert Costs(found).first(shape) == 2.0
    run = {f"stack {shape.kinds()[0]}": 1.0, f"first {shape.kinds()[0]}": 9.0}
    assert Costs(found | run).stacks(shape, 20) == formula(shape, 20)
    assert Costs(found | run).first(shape) == 9.0


def test_trials_that_are_to_be_trained_one_by_one_cost_what_fit_costs() -> None:
    shape = work_of(Costs({})).parts[0].shape
    costs = Costs(dict(tried(shape, 10, 2.0, -1.0)))
    assert costs.stacks(shape, 7) == pytest.approx(formula(shape._replace(engine="fit"), 7))


def test_nothing_is_learnt_of_stacks_that_nobody_trained_or_of_moments() -> None:
    stack = work_of(Costs({})).jobs[0].stacks[0]
    found = Measured("stacked")
    found.add(StackDone(stack, []))
    assert list(found.found()) == []
    found.add(StackDone(stack, [], took=Took(0.01, traced=False)))
    assert [kind for kind, _ in found.found()] == ["start"]


def test_stacks_that_are_trained_one_by_one_are_of_the_fit_engine() -> None:
    stack = work_of(Costs({})).jobs[0].stacks[0]
    assert Shape.of(stack, "stacked").engine == "stacked"
    assert Shape.of(replace(stack, alone="why"), "stacked").engine == "fit"
