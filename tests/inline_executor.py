"""An executor that answers at once, with results made up from a trial's learning rate."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stabilitysweep import runner
from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.grid import Trial
from stabilitysweep.runner import Progress
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, Trace, TrialResult

CRASHING, FAILING = 7.0, 1.0
"""Learning rates: at the first a trial crashes, at the second and above it fails."""


class InlineExecutor:
    """Trains nothing.

    Attributes:
        trained: ids of the trials it was given, in order.
        closed: whether the runner let go of it.
    """

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome
        self.trained: list[str] = []
        self.closed = False

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        try:
            for job in jobs:
                for key, stack in job.trainings:
                    assert data[key].train_rows > 0
                    self.trained += [trial.trial_id for trial in stack.trials]
                    results = [made_up(trial, self.outcome) for trial in stack.trials]
                    yield StackDone(stack, results)
        finally:
            self.closed = True


def made_up(trial: Trial, outcome: Outcome | None = None) -> TrialResult:
    """A result that depends on the trial alone."""
    rate = trial.training.learning_rate
    if outcome is Outcome.CRASHED or rate == CRASHING:
        return TrialResult(trial.trial_id, Outcome.CRASHED, "inline", message="no such layer: x")
    steps = np.arange(1, (trial.training.steps or 0) + 1, dtype=np.int32)
    loss = np.float32(1 + trial.seed) * np.float32(1 + rate) ** -steps.astype(np.float32)
    onset = None
    if rate >= FAILING:
        onset = Onset(3, Stage.GRADIENT, "dense/kernel", Kind.POSITIVE_INFINITY)
        loss = 10.0 ** np.minimum(3 * steps.astype(np.float32), 30)
        loss[2], loss[3:] = np.inf, np.nan
    flat = np.ones(len(steps), np.float32)
    return TrialResult(
        trial_id=trial.trial_id,
        outcome=Outcome.NONFINITE if onset else Outcome.STABLE,
        engine="inline",
        compiled=Compiled.GRAPH,
        onset=onset,
        nan_step=4 if onset else None,
        initial_loss=2.0,
        final_loss=float(loss[-1]),
        best_loss=float(np.nanmin(loss)),
        val_loss=float(loss[-1]),
        metrics=dict.fromkeys(trial.training.metrics, 0.5),
        skipped_steps=0,
        max_abs_activation=1.5,
        max_grad_norm=2.5,
        max_weight_norm=3.5,
        headroom_bits=4.5,
        zero_gradients=0.5 if trial.training.precision == "float16" else 0.25 * trial.seed,
        steps_run=len(steps),
        trace=Trace(steps, loss.astype(np.float32), flat, flat, flat, flat),
    )


def run_inline(
    folder: Path,
    content: Mapping[str, Any],
    executor: InlineExecutor | None = None,
    observe: Any = None,
) -> Progress:
    """Run what is missing of a sweep without training anything."""
    sweep = runner.load_sweep(parse_config(content))
    work = runner.missing_work(
        sweep,
        runner.stored_trials(sweep, folder),
        compiled=Compiled.GRAPH,
        engine="stacked",
        workers=1,
    )
    return runner.train(
        sweep,
        folder,
        work,
        executor or InlineExecutor(),
        observe or (lambda _: None),
        {"engine": "inline", "compiled": "graph", "workers": 1},
    )
