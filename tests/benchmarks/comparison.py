"""One trial in both engines: what they say of it, and whether they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import shared  # noqa: F401  (it puts the repository on the path)

from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome, TrialResult

PRECISIONS = ("float32", "mixed_float16", "float16", "mixed_bfloat16", "float64")
ONSET_BAR = 0.95


@dataclass(slots=True)
class Comparison:
    """One trial in both engines.

    Attributes:
        trial: its settings.
        below: by the fit engine, at the learning rate over 1.05.
        fit: by the fit engine.
        above: by the fit engine, at the learning rate times 1.05.
        stacked: by the stacked engine.
        up: by the fit engine, every initial weight moved to the next number up.
        down: the same downwards.
        other: by the fit engine with oneDNN off.
    """

    trial: Trial
    below: TrialResult
    fit: TrialResult
    above: TrialResult
    stacked: TrialResult
    up: TrialResult | None = None
    down: TrialResult | None = None
    other: TrialResult | None = None

    @property
    def clear(self) -> bool:
        """Whether the fit engine has one outcome here and at both neighbours."""
        return self.below.outcome == self.fit.outcome == self.above.outcome

    @property
    def both_nonfinite(self) -> bool:
        """Whether both engines met a non-finite value."""
        return self.fit.outcome == self.stacked.outcome == Outcome.NONFINITE

    @property
    def steps_apart(self) -> int:
        """How far the onsets are from each other; only where both engines have one."""
        assert self.fit.onset is not None
        assert self.stacked.onset is not None
        return abs(self.fit.onset.step - self.stacked.onset.step)

    @property
    def differences(self) -> list[str]:
        """What the engines disagree on; nothing is left out for being small."""
        if self.fit.outcome != self.stacked.outcome:
            return ["outcome"]
        found = []
        if self.both_nonfinite:
            parts = ("step", "stage", "tensor", "kind")
            ours, own = self.stacked.onset, self.fit.onset
            found += [part for part in parts if getattr(ours, part) != getattr(own, part)]
        names = ("nan_step", "skipped_steps", "steps_run")
        return found + [n for n in names if getattr(self.fit, n) != getattr(self.stacked, n)]

    @property
    def engines_apart(self) -> float:
        """The relative difference of the final losses of the two engines."""
        return _apart(self.stacked, self.fit)

    @property
    def itself_apart(self) -> float:
        """How far the fit engine's final loss moves with its initial weights' last bit."""
        assert self.up is not None
        assert self.down is not None
        return max(_apart(self.up, self.fit), _apart(self.down, self.fit))


def _apart(one: TrialResult, other: TrialResult) -> float:
    if one.final_loss is None or other.final_loss is None:
        return math.nan
    return abs(one.final_loss - other.final_loss) / abs(other.final_loss)


def bars_met(found: Sequence[Comparison]) -> bool:
    """Tell whether all clear trials agree in outcome, and 95 % of their onsets to a step."""
    clear = [one for one in found if one.clear]
    onsets = [one for one in clear if one.both_nonfinite]
    near = sum(one.steps_apart <= 1 for one in onsets)
    trained = all(o.outcome != Outcome.CRASHED for one in found for o in (one.fit, one.stacked))
    same = all(one.fit.outcome == one.stacked.outcome for one in clear)
    return trained and same and near >= ONSET_BAR * len(onsets)


def optimizer_of(trial: Trial) -> str:
    """Name a trial's optimizer with what goes with it."""
    training = trial.training
    parts = [training.optimizer]
    if training.momentum:
        parts.append(f"{'nesterov' if training.nesterov else 'momentum'} {training.momentum:g}")
    if training.weight_decay:
        parts.append(f"decay {training.weight_decay:g}")
    if training.clipnorm is not None:
        parts.append(f"clipnorm {training.clipnorm:g}")
    return " ".join(parts)


def settings_of(trial: Trial) -> str:
    """Name a trial's settings in one line."""
    model, training = trial.model, trial.training
    return (
        f"{training.precision}, depth {model.depth}, {model.activation}, "
        f"{optimizer_of(trial)}, batch {training.batch_size}, l2 {model.l2:g}, "
        f"lr {training.learning_rate:.6g}, seed {trial.seed}"
    )


def verdict(result: TrialResult | None) -> str:
    """Say what an engine found, with the counts that go with it."""
    if result is None:
        return ""
    if result.outcome is Outcome.CRASHED:
        return f"crashed: {result.message}"
    onset = result.onset
    if onset is None:
        what = f", loss {result.initial_loss:.6g} to {result.final_loss:.6g}"
    else:
        what = f" at {onset.step}, {onset.stage} `{onset.tensor}` {onset.kind}"
        what += f", NaN at {result.nan_step}" if result.nan_step else ""
    skipped = f", {result.skipped_steps} skipped" if result.skipped_steps else ""
    return f"{result.outcome}{what}{skipped}, {result.steps_run} run"


def trajectory(result: TrialResult) -> str:
    """Lay out the steps that a result's trace kept."""
    lines = [verdict(result)]
    if result.trace is not None:
        lines.append("  step        loss   grad norm weight norm  activation       scale")
        kept = zip(*(getattr(result.trace, name) for name in result.trace.__slots__), strict=True)
        lines += [f"{step:6d}" + "".join(f"{v:12.5g}" for v in values) for step, *values in kept]
    return "\n".join(lines)
