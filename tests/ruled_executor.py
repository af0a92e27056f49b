"""An executor that answers at once: what becomes of a trial is what a rule says of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence

from stabilitysweep.data import PreparedData
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.grid import Trial
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

Rule = Callable[[Trial], Outcome]


class RuledExecutor:
    """Trains nothing.

    Attributes:
        rule: says what becomes of a trial.
        trained: the trials it was given, in order.
        stop_after: stacks after which it is interrupted, None for never.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.trained: list[Trial] = []
        self.stop_after: int | None = None

    def __call__(self, workers: int | None, engine: str) -> RuledExecutor:
        """Stand for the class of an executor."""
        return self

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        for job in jobs:
            for stack in job.stacks:
                if self.stop_after is not None:
                    self.stop_after -= 1
                    if self.stop_after < 0:
                        raise KeyboardInterrupt
                self.trained += stack.trials
                yield StackDone(stack, [self.result(trial) for trial in stack.trials])

    def result(self, trial: Trial) -> TrialResult:
        outcome = self.rule(trial)
        if outcome is Outcome.CRASHED:
            return TrialResult(trial.trial_id, outcome, "ruled", message="no such layer: x")
        broke = outcome is Outcome.NONFINITE
        final = {Outcome.STABLE: 0.5, Outcome.STALLED: 1.0}.get(outcome, 2.0)
        return TrialResult(
            trial_id=trial.trial_id,
            outcome=outcome,
            engine="ruled",
            compiled=Compiled.GRAPH,
            onset=Onset(3, Stage.LOSS, "loss", Kind.POSITIVE_INFINITY) if broke else None,
            initial_loss=1.0,
            final_loss=float("inf") if broke else final,
            best_loss=0.5,
            val_loss=final,
            metrics=dict.fromkeys(trial.training.metrics, 0.5),
            steps_run=3 if broke else int(trial.training.steps or 0),
        )
