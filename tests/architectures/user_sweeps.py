"""Sweeps of users' models, laid out and trained in this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stabilitysweep import runner
from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.config import parse_config
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.grid import Trial
from stabilitysweep.runner import Sweep
from stabilitysweep.types import Compiled, TrialResult

HERE = Path(__file__).parent


def survey_here(
    requests: Sequence[Request], folders: Sequence[Path], processes: int
) -> list[Blueprint]:
    """Build the models in this process."""
    from stabilitysweep.models.survey import survey

    return survey(requests, folders)


def lay_out(
    build: str,
    data: str,
    *,
    module: str = "zoo",
    folder: Path = HERE,
    steps: int = 16,
    batch_size: int = 8,
    seeds: int = 1,
    precision: str = "float32",
    **axes: Sequence[Any],
) -> Sweep:
    """Lay out a sweep of a model, of the zoo or another module, over `axes`."""
    sources = "zoo_data" if module == "zoo" else module
    config = {
        "name": "architectures",
        "dataset": {"function": f"{sources}:{data}"},
        "preprocessing": {"scaling": "none", "target_scaling": "none"},
        "model": {"build": f"{module}:{build}"},
        "training": {"steps": steps, "batch_size": batch_size, "precision": precision},
        "grid": {name: list(values) for name, values in axes.items()},
        "seeds": seeds,
    }
    return runner.load_sweep(parse_config(config, base_folder=folder), survey_here)


def stacks_of(sweep: Sweep, without: Collection[str] = ()) -> list[tuple[str, Stack]]:
    """The stacks of a sweep but for some trials, each with the key of its data."""
    work = runner.missing_work(
        sweep, set(without), compiled=Compiled.GRAPH, engine="stacked", workers=1
    )
    return [training for job in work.jobs for training in job.trainings]


def train(engine: Engine, sweep: Sweep, without: Collection[str] = ()) -> dict[str, TrialResult]:
    """Train a sweep but for some trials; the results by trial id."""
    found: dict[str, TrialResult] = {}
    for key, stack in stacks_of(sweep, without):
        found |= {result.trial_id: result for result in engine.run(stack, sweep.data[key])}
    return found


def alone(stack: Stack, trial: Trial) -> Stack:
    """The stack of one of its trials."""
    return replace(stack, trials=(trial,))
