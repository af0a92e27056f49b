"""The stacked engine, held against `model.fit` once for each program of a user's model.

That two models share a graph is decided from their traced graphs (`models.survey`). Before a
program's first stack in a process, one of its trials is trained for a few steps by both engines,
one whose `hp` values are not those that the graph is traced from. Where the engines disagree, or
the model cannot be vectorised at all, the program's trials are trained by `model.fit`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stabilitysweep.data import PreparedData
from stabilitysweep.data.sources.user_functions import one_line
from stabilitysweep.engines.base import Stack, crash_message
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import verdict_key
from stabilitysweep.types import Outcome, TrialResult, Verdict

STEPS = 3
"""Steps that are compared: the first sees the forward pass, the others the update too."""

LEAST_RATE = 0.05
"""Learning rate of the comparison at least, where the model has no schedule of its own."""

TOLERANCE = {
    "float64": 1e-6,
    "float32": 2e-4,
    "mixed_float16": 0.03,
    "float16": 0.1,
    "mixed_bfloat16": 0.2,
}
"""Largest relative difference of a loss or norm, by precision: sums in another order differ by
less than a hundredth of it at the learning rates compared, another graph by far more."""

_COMPARED = ("loss", "grad_norm", "weight_norm")


class VerifiedEngine(StackedEngine):
    """Trains stacks; those of users' models as far as the fit engine agrees.

    Attributes:
        verdicts: on the programs that were compared since they were last taken.
    """

    def __init__(self) -> None:
        """Start with nothing compiled and nothing compared."""
        super().__init__()
        self._fit = FitEngine()
        self._refused: dict[str, str] = {}
        self._compared: set[str] = set()
        self.verdicts: list[Verdict] = []

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        """Train every trial of the stack; see `Engine.run`."""
        user = stack.program.user
        if user is None:
            return super().run(stack, data)
        key = verdict_key(stack.program)
        if stack.verify and not stack.alone and key not in self._compared:
            self._compared.add(key)
            self._settle(self.compare(stack, data))
        if stack.alone or key in self._refused:
            return self._one_by_one(stack, data)
        return super().run(stack, data)

    def _settle(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if not verdict.agrees:
            self._refused[verdict.program] = verdict.text

    def _one_by_one(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        results: list[TrialResult] = []
        for trial in stack.trials:
            try:
                results += self._fit.run(replace(stack, trials=(trial,), places=1), data)
            except Exception as error:  # only this trial cannot be run
                results.append(
                    TrialResult(
                        trial.trial_id,
                        Outcome.CRASHED,
                        self._fit.name,
                        compiled=stack.program.compiled,
                        message=crash_message(trial, _in_words(error)),
                    )
                )
        return results

    def compare(self, stack: Stack, data: PreparedData) -> Verdict:
        """Train a trial of a user's model for a few steps by both engines, and say what differs."""
        assert stack.program.user is not None
        digest = verdict_key(stack.program)
        trial = _most_unlike_template(stack)
        # At a tiny learning rate nothing of the update would show.
        rate = max(trial.training.learning_rate, LEAST_RATE)
        update = {"steps": STEPS, "learning_rate": rate}
        few = replace(trial, training=trial.training.model_copy(update=update))
        alone = replace(stack, trials=(few,))
        try:
            ours = self.few_steps(alone, data)
        except Exception as error:
            text = one_line(str(error))[:300]
            return Verdict(
                digest, False, f"it cannot be vectorised: {type(error).__name__}: {text}"
            )
        try:
            theirs = self._fit.few_steps(replace(alone, places=1), data)
        except Exception as error:
            # Keras cannot train it either: each trial will say so for itself.
            return Verdict(digest, False, f"Keras cannot train it: {_in_words(error)}")
        tolerance = TOLERANCE[stack.program.precision]
        apart = difference(ours, theirs, tolerance)
        if not apart:
            return Verdict(digest, True, f"{STEPS} steps of trial {trial.trial_id} agree")
        layer = self._first_apart(alone, data, tolerance)
        return Verdict(digest, False, f"{layer}: {apart} (trial {trial.trial_id})")

    def _first_apart(self, stack: Stack, data: PreparedData, tolerance: float) -> str:
        """Name the first tensor of the first step in which the engines differ."""
        mine = super().inspect(stack, data, 1, 1, predictions=False)
        its = self._fit.inspect(replace(stack, places=1), data, 1, 1, predictions=False)
        ours, theirs = mine[0].tensors, its[0].tensors
        for own, other in zip(ours, theirs, strict=False):
            if own.tensor != other.tensor:
                return f"layer '{other.tensor}' where a stack has '{own.tensor}'"
            if not _close(own.largest, other.largest, tolerance):
                return f"{own.quantity} '{own.tensor}'"
        return "no tensor of the first step"


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(str(error))}"


def _most_unlike_template(stack: Stack) -> Trial:
    """The trial that differs in most `hp` values; of several, that of the least learning rate."""
    assert stack.program.user is not None
    template = dict(stack.program.user.template.values)

    def unlike(trial: Trial) -> tuple[int, float]:
        own: dict[str, Any] = dict(trial.blueprint.values) if trial.blueprint else {}
        differing = sum(own.get(name) != value for name, value in template.items())
        return -differing, trial.training.learning_rate

    return min(stack.trials, key=unlike)


def difference(ours: Reading, theirs: Reading, tolerance: float, place: int = 0) -> str:
    """Say where two readings differ first, at a place of their stack; empty if they agree."""
    for step in range(min(len(ours.loss), len(theirs.loss))):
        for name in _COMPARED:
            own, other = (float(getattr(reading, name)[step, place]) for reading in (ours, theirs))
            if not _close(own, other, tolerance):
                return f"{name} of step {step + 1} is {own:.6g} in a stack, {other:.6g} in `fit`"
    return ""


def _close(own: float, other: float, tolerance: float) -> bool:
    if not (np.isfinite(own) and np.isfinite(other)):
        return bool(np.isfinite(own) == np.isfinite(other))
    return abs(own - other) <= tolerance * max(abs(own), abs(other), 1e-6)
