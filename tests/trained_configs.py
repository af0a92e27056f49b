"""Configs of the repository, made smaller and trained for real in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stabilitysweep import runner
from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.result import Result, open_result
from stabilitysweep.types import Compiled

CONFIGS = Path(__file__).parents[1] / "configs"

RunConfig = Callable[..., Result]
"""`run_smaller` with its engine and a folder."""


class EngineExecutor:
    """Trains with an engine of this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        for job in jobs:
            for key, stack in job.trainings:
                yield StackDone(stack, self.engine.run(stack, data[key]))


def survey_here(
    requests: Sequence[Request], folders: Sequence[Path], processes: int
) -> list[Blueprint]:
    """Build users' models in this process, which has TensorFlow already."""
    from stabilitysweep.models.survey import survey

    return survey(requests, folders)


def run_smaller(
    engine: Engine,
    folder: Path,
    config: str | Mapping[str, Any],
    seeds: int = 1,
    **axes: Sequence[Any],
) -> Result:
    """Run a config, by its name or as a mapping, with other values on some of its axes."""
    if isinstance(config, str):
        config = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text(encoding="utf-8"))
    assert axes.keys() <= config["grid"].keys()
    smaller = {**config, "grid": {**config["grid"], **axes}, "seeds": seeds}
    sweep = runner.load_sweep(parse_config(smaller, base_folder=CONFIGS), survey_here)
    work = runner.missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="stacked", workers=1)
    flags = {"engine": "stacked", "compiled": "graph", "workers": 1}
    runner.train(sweep, folder, work, EngineExecutor(engine), lambda _: None, flags)
    return open_result(folder)
