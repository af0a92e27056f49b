"""What the guard found; nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stabilitysweep.analysis.wording import counted
from stabilitysweep.diagnosis.records import Moment, moment_to_json
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.integrations.watching.readings import Reading
from stabilitysweep.types import Onset, Stage

KINDS = {"nan": "NaN", "+inf": "+Inf", "-inf": "-Inf"}


class StabilityWarning(UserWarning):
    """What the guard warns of while a training still goes on."""


class NonFiniteError(StabilitySweepError):
    """A training became non-finite, and the guard was told to raise.

    Attributes:
        report: what the guard saw.
    """

    def __init__(self, report: GuardReport) -> None:
        """Say what the report says."""
        super().__init__(report.sentence)
        self.report = report


@dataclass(frozen=True, slots=True)
class GuardWarning:
    """Something that often comes before a NaN.

    Attributes:
        kind: `loss_scale`, `headroom`, `loss_growth`, `validation` or `blind`.
        step: at which it was seen, counted from 1 of this `fit`.
        text: what was seen.
    """

    kind: str
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the guard saw of one `fit`.

    Attributes:
        onset: the first value that was not finite and not caught by loss scaling; None if
            there was none.
        since: the first step at which it may have come up: `onset.step`, unless it was only
            met in a check, some steps after.
        onset_iteration: the optimizer's count of steps after the step of the onset, where that
            step was read.
        nan_step: the first step with a loss that was NaN and not caught by loss scaling.
        streak: steps in a row that loss scaling had skipped, where that is the onset.
        steps_run: steps of this `fit` that the guard saw.
        skipped_steps: how many of them loss scaling skipped.
        loss_scale: at the end; 1 without loss scaling.
        action: `stop`, `raise` or `warn`: what the guard did; None without an onset.
        restored_step: the step whose state was put back, 0 for that before the first; None if
            nothing was.
        restored: `model and optimizer`, `model`, or None.
        unrestored: whether something was to be put back, and there was no copy yet.
        finished: whether the `fit` came to its end, or the guard ended it; an interrupted one
            did not.
        blind: whether steps were trained that the guard did not see.
        every: steps between two checks of the weights.
        steps_per_execution: steps that Keras makes between two calls of its callbacks.
        moments: the last steps that were looked at, up to the onset; increasing.
        curve: the last steps, read.
        warnings: in their order.
        began: when the `fit` began, in UTC.
        written: when this was put together, in UTC.
        model: the model's name.
        versions: of Python, TensorFlow, Keras and this package.
    """

    onset: Onset | None
    since: int | None
    onset_iteration: int | None
    nan_step: int | None
    streak: int | None
    steps_run: int
    skipped_steps: int
    loss_scale: float
    action: str | None
    restored_step: int | None
    restored: str | None
    unrestored: bool
    finished: bool
    blind: bool
    every: int
    steps_per_execution: int
    moments: tuple[Moment, ...]
    curve: tuple[Reading, ...]
    warnings: tuple[GuardWarning, ...]
    began: str
    written: str
    model: str
    versions: dict[str, str]

    @property
    def exact(self) -> bool:
        """Whether the step of the onset is known, not only between which two it was."""
        return self.onset is not None and self.since == self.onset.step

    @property
    def sentence(self) -> str:
        """What happened, in a sentence or two."""
        if self.onset is None:
            return self._without_onset
        onset = self.onset
        name = "loss" if onset.stage is Stage.LOSS else f"{onset.stage} {onset.tensor}"
        kind = KINDS[onset.kind]
        if onset.step == 0:
            said = f"Before step 1 {name} was {kind}"
        elif self.streak:
            said = (
                f"From step {onset.step:,} on loss scaling skipped {self.streak:,} steps in a row, "
                f"for {name} was {kind}"
            )
        elif self.exact:
            said = f"At step {onset.step:,} {name} became {kind}"
        else:
            said = f"Between steps {self.since:,} and {onset.step:,} {name} became {kind}"
        return f"{said}{self._what_was_restored()}."

    @property
    def _without_onset(self) -> str:
        if not self.steps_run:
            return "The guard saw no step of this fit, and can say nothing of it."
        steps = counted(self.steps_run, "step")
        if self.blind:
            return (
                f"Nothing became non-finite in the {steps} that the guard saw; "
                "of those after it saw nothing."
            )
        so_far = "" if self.finished else " so far"
        skipped = ""
        if self.skipped_steps == self.steps_run:
            skipped = "; loss scaling skipped all of them, as it may until its scale has settled"
        return f"Nothing became non-finite in {steps}{so_far}{skipped}."

    def _what_was_restored(self) -> str:
        if self.unrestored:
            return "; nothing could be put back, for no copy had been made yet"
        if self.restored_step is None:
            return ""
        when = f"after step {self.restored_step:,}" if self.restored_step else "before step 1"
        return f"; {self.restored} put back to what they were {when}"

    @property
    def resolution(self) -> str:
        """How exactly the guard can tell a step, and when it can stop."""
        text = (
            "The loss and the gradients are checked in every step; "
            f"weights and optimizer every {counted(self.every, 'step')}. "
            "Between two checks gradients are only added up: of one that is not finite the tables "
            "count a single entry"
            if self.every > 1
            else "The loss, the gradients, weights and optimizer are checked in every step"
        )
        if self.steps_per_execution > 1:
            text += (
                f". Keras makes {self.steps_per_execution:,} steps between two calls of its "
                "callbacks (steps_per_execution): the guard can only look at weights, copy and "
                "stop between them"
            )
        return f"{text}."

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain dicts, lists, texts and numbers; some may be NaN or Inf.

        `steps` has the form that it has in `Diagnosis.to_json()`.
        """
        return {
            "sentence": self.sentence,
            "began": self.began,
            "written": self.written,
            "model": self.model,
            "versions": dict(self.versions),
            "finished": self.finished,
            "blind": self.blind,
            "onset": None if self.onset is None else asdict(self.onset),
            "exact": self.exact,
            "since": self.since,
            "onset_iteration": self.onset_iteration,
            "nan_step": self.nan_step,
            "streak": self.streak,
            "steps_run": self.steps_run,
            "skipped_steps": self.skipped_steps,
            "loss_scale": self.loss_scale,
            "action": self.action,
            "restored_step": self.restored_step,
            "restored": self.restored,
            "unrestored": self.unrestored,
            "every": self.every,
            "steps_per_execution": self.steps_per_execution,
            "resolution": self.resolution,
            "warnings": [asdict(warning) for warning in self.warnings],
            "steps": [moment_to_json(moment) for moment in self.moments],
            "curve": [
                {
                    "step": reading.step,
                    "iteration": reading.iteration,
                    "loss": None if reading.lossless else reading.loss,
                    "gradient_norm": reading.gradient_norm,
                    "loss_scale": reading.loss_scale,
                    "skipped": reading.skipped,
                }
                for reading in self.curve
            ],
        }
