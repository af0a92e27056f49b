"""Stacks timed on a few steps, in both ways of compiling: what is told apart, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.timing import time_stack, time_ways
from stabilitysweep.engines.verified import VerifiedEngine
from stabilitysweep.models import programs
from stabilitysweep.runner import load_sweep, missing_work
from stabilitysweep.types import Compiled


def both(**model: Any) -> tuple[Stack, Stack, PreparedData]:
    """A stack in the graph, the same under XLA, and its data."""
    config = parse_config(
        {
            "name": "timing",
            "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
            "model": {"width": 8, "depth": 1, **model},
            "training": {"steps": 20, "batch_size": 8},
            "grid": {"learning_rate": [0.001, 0.01]},
            "seeds": 8,
        }
    )
    sweep = load_sweep(config)
    work = missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="stacked", workers=1)
    ((key, graph),) = work.jobs[0].trainings
    (program,) = programs.group(graph.trials, sweep.data.shapes[key], Compiled.XLA)
    return graph, replace(graph, program=program), sweep.data[key]


@pytest.mark.parametrize(("dropout", "agree"), [(0.0, True), (0.5, False)])
def test_ways_agree_unless_a_step_draws_numbers(dropout: float, agree: bool) -> None:
    found = time_ways(VerifiedEngine(), *both(dropout=dropout))
    assert found.agree is agree
    assert 0 < found.graph < 0.01 and 0 < found.xla < 0.01
    assert 0 < found.compiling < found.first


@pytest.mark.parametrize("steps", [1, 20])
def test_a_stack_is_timed_without_its_tracing(steps: int) -> None:
    graph, _, data = both()
    update = {"steps": steps}
    trials = tuple(
        replace(trial, training=trial.training.model_copy(update=update)) for trial in graph.trials
    )
    engine = VerifiedEngine()
    found = time_stack(engine, replace(graph, trials=trials), data)
    assert 0 < found.seconds < found.first
    assert engine.traces == 1
