"""From the readings of a trial's probes to its verdict: no TensorFlow, both engines alike.

Notation: T steps recorded, F fields a step (see `History`). Steps are counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.errors import UserError
from stabilitysweep.types import Kind, Onset, Outcome, Stage, Trace

TRACE_POINTS = 40
"""Log-spaced steps that a trace keeps; those around the onset come on top."""

ZERO_SAMPLES = 16
"""Steps, at most, in which the zeros of the gradient are counted."""

_AROUND_ONSET = range(-4, 3)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the final loss, over the initial one, parts the finite outcomes.

    Attributes:
        stable_below: `stable` under this ratio.
        diverged_above: `diverged` over this ratio; `stalled` in between.
    """

    stable_below: float = 0.99
    diverged_above: float = 1.01

    def __str__(self) -> str:
        """Name both ratios."""
        return f"stable below {self.stable_below:g}, diverged above {self.diverged_above:g}"

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            UserError: not 0 < stable_below <= diverged_above < Inf.
        """
        if not 0 < self.stable_below <= self.diverged_above < math.inf:
            raise UserError(
                "thresholds: expected 0 < stable_below <= diverged_above, got stable_below "
                f"{self.stable_below:g} and diverged_above {self.diverged_above:g}."
            )


@dataclass(frozen=True, slots=True)
class History:
    """Every step of one trial as its probes read it: float arrays [T], in step order.

    Attributes:
        loss: batch loss with penalties.
        grad_norm: L2 norm of the unscaled gradient.
        weight_norm: L2 norm of the weights after the step.
        max_activation: largest absolute output of any layer.
        loss_scale: scale used in the step; 1 without loss scaling.
        skipped: whether loss scaling skipped the update.
        headroom: bits left below the largest finite number, see `probes.headroom`.
        zero_gradients: share of gradient entries that were zero, in [0, 1]; only those of
            `sampled_steps` are looked at.
        probe: index into the probe table of the first non-finite probe, -1 for none;
            later steps of one failure may hold -1 or repeat it.
        kind: which non-finite value it met; None where `probe` is -1.
    """

    loss: NDArray[np.floating]
    grad_norm: NDArray[np.floating]
    weight_norm: NDArray[np.floating]
    max_activation: NDArray[np.floating]
    loss_scale: NDArray[np.floating]
    skipped: NDArray[np.bool_]
    headroom: NDArray[np.floating]
    zero_gradients: NDArray[np.floating]
    probe: NDArray[np.integer]
    kind: Sequence[Kind | None]

    def __len__(self) -> int:
        """Return T, the steps the trial ran."""
        return len(self.loss)


def find_onset(history: History, probe_table: Sequence[tuple[Stage, str]]) -> Onset | None:
    """Return the first non-finite step of the training itself, or None.

    A step that loss scaling skipped leaves the weights as they were and training goes on,
    so it is no onset, unless the skipping lasts to the end of the run: then the onset is
    the first step of that last streak.

    Args:
        history: the trial's steps.
        probe_table: stage and tensor behind each probe index.
    """
    met = np.flatnonzero((history.probe >= 0) & ~history.skipped)
    if met.size:
        index = int(met[0])
    elif len(history) and history.skipped[-1]:
        trained = np.flatnonzero(~history.skipped)
        index = int(trained[-1]) + 1 if trained.size else 0
    else:
        return None
    stage, tensor = probe_table[int(history.probe[index])]
    return Onset(index + 1, stage, tensor, history.kind[index] or Kind.NAN)


def first_nan(history: History) -> int | None:
    """Return the step at which the batch loss was first NaN, or None."""
    steps = np.flatnonzero(np.isnan(history.loss))
    return int(steps[0]) + 1 if steps.size else None


def final_onset(
    initial_loss: float, final_loss: float, prediction: Onset | None, steps_run: int
) -> Onset | None:
    """Return the onset of a trial whose every training step was finite, or None.

    Args:
        initial_loss: over the whole training split, before step 1.
        final_loss: the same after the last step.
        prediction: what the predictions on the validation rows met, if not finite.
        steps_run: the steps trained.
    """
    if not math.isfinite(initial_loss):
        return Onset(1, Stage.LOSS, "loss", kind_of(initial_loss))
    if not math.isfinite(final_loss):
        return Onset(steps_run, Stage.LOSS, "loss", kind_of(final_loss))
    return prediction


def kind_of(value: float) -> Kind:
    """Name a value that is not finite.

    Raises:
        ValueError: the value is finite.
    """
    if math.isnan(value):
        return Kind.NAN
    if math.isinf(value):
        return Kind.POSITIVE_INFINITY if value > 0 else Kind.NEGATIVE_INFINITY
    raise ValueError(f"expected NaN or an infinity, got {value!r}")


def judge(
    onset: Onset | None,
    initial_loss: float,
    final_loss: float,
    thresholds: Thresholds = Thresholds(),
) -> Outcome:
    """Return the outcome of a trial that ran.

    Losses may be negative (a custom loss); the ratio is then taken of the change, so
    that "below 0.99" always means a fall by at least 1 % of the initial loss' size.
    """
    if onset is not None:
        return Outcome.NONFINITE
    below, above = thresholds.stable_below, thresholds.diverged_above
    if initial_loss < 0:
        below, above = 2.0 - below, 2.0 - above
    if final_loss < below * initial_loss:
        return Outcome.STABLE
    if final_loss > above * initial_loss:
        return Outcome.DIVERGED
    return Outcome.STALLED


def rejudge(
    stored: Outcome, initial_loss: float | None, final_loss: float | None, thresholds: Thresholds
) -> Outcome:
    """Return the outcome of a stored trial under other thresholds, without training it again.

    A crash stays a crash, and what became non-finite stays so: thresholds part finite losses.

    Raises:
        ValueError: an outcome that has losses comes without.
    """
    if stored in (Outcome.CRASHED, Outcome.NONFINITE):
        return stored
    if initial_loss is None or final_loss is None:
        raise ValueError(f"expected the losses of a trial that is {stored}, got none")
    return judge(None, initial_loss, final_loss, thresholds)


def best_loss(history: History) -> float:
    """Return the lowest finite batch loss; NaN if no step had one."""
    finite = _finite(history.loss)
    return float(finite.min()) if finite.size else math.nan


def peak(values: NDArray[np.floating]) -> float:
    """Return the largest finite value; NaN if there is none."""
    finite = _finite(values)
    return float(finite.max()) if finite.size else math.nan


def headroom_bits(history: History, onset: Onset | None) -> float | None:
    """Return the least headroom of any step before the onset, None if there is none.

    Skipped steps do not count: their gradient is not known.
    """
    kept = _finite(history.headroom[_sound(history, onset)])
    return float(kept.min()) if kept.size else None


def zero_gradients(history: History, onset: Onset | None, steps: int) -> float | None:
    """Return the mean share of zero gradient entries, of those of the same steps sampled.

    Args:
        history: the trial's steps.
        onset: where it became non-finite, if it did.
        steps: its budget, of which `history` may hold but the beginning.
    """
    sampled = sampled_steps(steps)[: len(history)]
    kept = history.zero_gradients[_sound(history, onset) & sampled]
    return float(kept.mean()) if kept.size else None


@lru_cache(maxsize=256)
def sampled_steps(steps: int) -> NDArray[np.bool_]:
    """Mark the log-spaced steps in which zeros are counted: bool [steps], not to be written to.

    To count them in every step would cost a twentieth of the training.
    """
    chosen = np.geomspace(1, max(steps, 1), ZERO_SAMPLES).round().astype(int) - 1
    marked = np.zeros(max(steps, 1), np.bool_)
    marked[chosen] = True
    marked.flags.writeable = False
    return marked


def _sound(history: History, onset: Onset | None) -> NDArray[np.bool_]:
    """Mark the steps that were applied, before the onset."""
    applied: NDArray[np.bool_] = ~history.skipped
    if onset is not None:
        applied = applied & (np.arange(1, len(history) + 1) < onset.step)
    return applied


def _finite(values: NDArray[np.floating]) -> NDArray[np.floating]:
    kept: NDArray[np.floating] = values[np.isfinite(values)]
    return kept


@lru_cache(maxsize=4096)
def _traced_steps(total: int, onset: int | None, nan: int | None) -> NDArray[np.int32]:
    """The steps of a trace, ascending from 1: [K], not to be written to."""
    steps = set(np.geomspace(1, max(total, 1), TRACE_POINTS).round().astype(int).tolist())
    for centre in (onset, nan):
        if centre is not None:
            steps |= {centre + offset for offset in _AROUND_ONSET}
    kept = np.array(sorted(step for step in steps if 1 <= step <= total), dtype=np.int32)
    kept.flags.writeable = False
    return kept


def thin(history: History, onset: Onset | None) -> Trace:
    """Keep log-spaced steps, and every step close to the onset and the first NaN."""
    steps = _traced_steps(len(history), onset.step if onset else None, first_nan(history))
    index = steps - 1
    with np.errstate(over="ignore"):  # a float64 loss beyond 3.4e38 is Inf on the curve
        return Trace(
            steps=steps,
            loss=history.loss[index].astype(np.float32),
            grad_norm=history.grad_norm[index].astype(np.float32),
            weight_norm=history.weight_norm[index].astype(np.float32),
            max_activation=history.max_activation[index].astype(np.float32),
            loss_scale=history.loss_scale[index].astype(np.float32),
        )
