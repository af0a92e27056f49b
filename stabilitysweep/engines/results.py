"""From what a stack recorded to one `TrialResult` a trial; the same for both engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.evaluation import Evaluation, metrics
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.grid import Trial
from stabilitysweep.numerics import outcomes
from stabilitysweep.numerics.probes import KINDS
from stabilitysweep.types import Compiled, Onset, Outcome, Stage, TrialResult

_KINDS = np.array(KINDS, dtype=object)


@dataclass(frozen=True, slots=True)
class StackRecord:
    """What P trials left behind after at most T steps.

    Attributes:
        initial: trainable weights before step 1, a list a trial, in the model's order.
        readings: every field an array [T, P].
        probe_table: stage and tensor behind each probe index.
        before: evaluation on the training split before step 1.
        after: the same after the last step.
        validation: evaluation on the validation split, None if it has no rows.
        final_scale: the loss scale after the last step, [P].
        output: name of the model's output layer.
        scaled: whether the loss was scaled.
    """

    initial: Sequence[Sequence[NDArray[Any]]]
    readings: Reading
    probe_table: Sequence[tuple[Stage, str]]
    before: Evaluation
    after: Evaluation
    validation: Evaluation | None
    final_scale: NDArray[np.floating]
    output: str
    scaled: bool = False


def results(
    stack: Stack, record: StackRecord, engine: str, data: PreparedData, curvatures: Curvatures
) -> list[TrialResult]:
    """Judge every trial of the stack; places that only filled it up are dropped."""
    limits = curvatures.critical_learning_rates(stack, record.initial, data)
    return [
        _result(place, trial, stack.program.compiled, record, engine, data, limit)
        for place, (trial, limit) in enumerate(zip(stack.trials, limits, strict=True))
    ]


def input_failures(stack: Stack, onset: Onset, engine: str) -> list[TrialResult]:
    """Return the results of trials that need no training: their input is not finite."""
    return [
        TrialResult(
            trial.trial_id,
            Outcome.NONFINITE,
            engine,
            compiled=stack.program.compiled,
            onset=onset,
            skipped_steps=0,
        )
        for trial in stack.trials
    ]


def history_of(readings: Reading, place: int) -> outcomes.History:
    """Cut one trial's steps out of a stack's readings, up to where it was frozen."""
    ran = int(np.count_nonzero(readings.active[:, place]))
    own = Reading(*(field[:ran, place] for field in readings))
    return outcomes.History(
        loss=own.loss,
        grad_norm=own.grad_norm,
        weight_norm=own.weight_norm,
        max_activation=own.max_activation,
        loss_scale=own.loss_scale,
        skipped=own.skipped > 0,
        headroom=own.headroom,
        zero_gradients=own.zero_gradients,
        probe=own.probe.astype(np.int64),
        kind=_KINDS[own.kind.astype(np.int64)].tolist(),
    )


def _result(
    place: int,
    trial: Trial,
    compiled: Compiled,
    record: StackRecord,
    engine: str,
    data: PreparedData,
    limit: float | None,
) -> TrialResult:
    history = history_of(record.readings, place)
    initial, final = float(record.before.loss[place]), float(record.after.loss[place])
    onset = outcomes.find_onset(history, record.probe_table) or outcomes.final_onset(
        initial, final, _prediction_onset(record, place, len(history)), len(history)
    )
    names = trial.training.metrics
    validation = record.validation
    return TrialResult(
        trial_id=trial.trial_id,
        outcome=outcomes.judge(onset, initial, final),
        engine=engine,
        compiled=compiled,
        onset=onset,
        nan_step=outcomes.first_nan(history),
        initial_loss=initial,
        final_loss=final,
        best_loss=outcomes.best_loss(history),
        val_loss=float(validation.loss[place]) if validation else None,
        metrics=metrics(names, validation, place, data.y_validation) if validation else {},
        skipped_steps=int(np.count_nonzero(history.skipped)),
        final_loss_scale=float(record.final_scale[place]) if record.scaled else None,
        max_abs_activation=outcomes.peak(history.max_activation),
        max_grad_norm=outcomes.peak(history.grad_norm),
        max_weight_norm=outcomes.peak(history.weight_norm),
        headroom_bits=outcomes.headroom_bits(history, onset),
        zero_gradients=outcomes.zero_gradients(history, onset, int(trial.training.steps or 0)),
        critical_learning_rate=limit,
        steps_run=len(history),
        trace=outcomes.thin(history, onset),
    )


def _prediction_onset(record: StackRecord, place: int, steps_run: int) -> Onset | None:
    if record.validation is None:
        return None
    met = float(record.validation.nonfinite[place])
    if met == 0:
        return None
    return Onset(steps_run, Stage.PREDICTION, record.output, outcomes.kind_of(met))
