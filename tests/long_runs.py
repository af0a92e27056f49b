"""Sweeps that are confirmed by an executor that trains nothing; its long runs fail as told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inline_executor import InlineExecutor, made_up

from stabilitysweep import execution, open_result
from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.execution import Options
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.grid import Trial
from stabilitysweep.result import Result
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

SHORT = 5
DATA = {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}}
OTHER = {"name": "make_friedman1", "options": {"n_samples": 20}}
CONFIG: dict[str, Any] = {
    "name": "sweep",
    "dataset": DATA,
    "training": {"steps": SHORT},
    "grid": {"batch_size": [4, "full"], "learning_rate": [0.01, 0.1, 0.3, 0.9, 2]},
    "seeds": 2,
}


class LongExecutor(InlineExecutor):
    """Makes trials up; those of the long run fail where a test wants it, late."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: Callable[[Trial], bool] = lambda trial: False
        self.stop_after = 1_000_000
        self.seen: list[Trial] = []

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        for job in jobs:
            for _, stack in job.trainings:
                for trial in stack.trials:  # stacks of one, so that a run can stop anywhere
                    if len(self.seen) >= self.stop_after:
                        raise KeyboardInterrupt
                    self.seen.append(trial)
                    yield StackDone(replace(stack, trials=(trial,)), [self.result(trial)])

    def result(self, trial: Trial) -> TrialResult:
        result = made_up(trial)
        if (trial.training.steps or 0) <= SHORT or not self.fails(trial):
            return result
        onset = Onset(40 + trial.seed, Stage.LOSS, "loss", Kind.NAN)
        return replace(result, outcome=Outcome.NONFINITE, onset=onset)


def swept(
    executor: LongExecutor, config: Mapping[str, Any], compiled: Compiled = Compiled.GRAPH
) -> Result:
    """Run a sweep into `results/` of the working folder, and forget what was trained for it."""
    folder = Path("results") / config["name"]
    options = Options(workers=1, compiled=compiled)
    execution.carry_out(execution.plan(parse_config(config), folder, options))
    executor.seen.clear()
    return open_result(folder)


def cell(rate: float, **more: Any) -> dict[str, Any]:
    """A cell of `CONFIG`."""
    return {"batch_size": 4, "learning_rate": rate, **more}
