"""The callback: it reads what the probes saw, decides, and acts."""

from __future__ import annotations

import math
import platform
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from stabilitysweep import __version__
from stabilitysweep.folder import require_writable
from stabilitysweep.integrations.guard.early import EarlyWarnings
from stabilitysweep.integrations.guard.evidence import Evidence
from stabilitysweep.integrations.guard.files import claimed, write_report
from stabilitysweep.integrations.guard.records import (
    GuardReport,
    GuardWarning,
    NonFiniteError,
    StabilityWarning,
)
from stabilitysweep.integrations.guard.settings import EarlyRules, Settings, settings_of
from stabilitysweep.integrations.guard.verdict import FitVerdict
from stabilitysweep.integrations.watching import (
    Reading,
    Watching,
    is_due,
    require_tensorflow,
)
from stabilitysweep.models.recorder import compute_dtypes
from stabilitysweep.numerics.probes import limit_bits

EVERY = 100
"""Steps between two checks, unless the user says otherwise."""
READ_EVERY = 10
"""Steps after which readings are taken over from the graph, where nothing asks for them before."""
REPORT = "stability-guard"
"""The folder of the report, unless the user says otherwise."""
_DTYPES = ("float16", "bfloat16", "float32", "float64")


class StabilityGuard(keras.callbacks.Callback):
    """Watches a `fit` for values that are not finite: stops, restores, reports, and warns.

        model.fit(x, y, epochs=100, callbacks=[StabilityGuard()])

    The loss of every batch and all gradients are checked in every step, weights and
    optimizer every few. Put it before callbacks that save the model.

    Attributes:
        warnings: what was warned of in the last `fit`.
        written: the text file of its report; None if none was written.
    """

    def __init__(
        self,
        every: int = EVERY,
        *,
        on_nonfinite: str = "stop",
        restore: bool | str = True,
        patience: int = 30,
        report: str | Path | None = REPORT,
        early: bool | EarlyRules = True,
        stop_on_warning: bool = False,
        quiet: bool = False,
    ) -> None:
        """Check the settings.

        Args:
            every: steps between two checks of weights and optimizer, between two copies, and
                between two steps whose gradients are measured.
            on_nonfinite: `stop` training, `raise` a `NonFiniteError`, or `warn` and go on.
            restore: put the state of the last check back before stopping or raising: of model
                and optimizer, or of the model alone (`"model"`).
            patience: steps in a row that loss scaling may skip.
            report: the folder for `report.json` and `report.txt`, or `report-2` and so on where
                those are there, written where something was found or warned of; None writes
                nothing.
            early: whether, or by which rules, to warn beforehand.
            stop_on_warning: stop at the first such warning; nothing is restored then.
            quiet: print nothing.

        Raises:
            UserError: a setting that cannot be used, or Keras does not run on TensorFlow.
        """
        super().__init__()
        require_tensorflow("StabilityGuard")
        self._settings: Settings = settings_of(
            every=every,
            on_nonfinite=on_nonfinite,
            restore=restore,
            patience=patience,
            report=report,
            early=early,
            stop_on_warning=stop_on_warning,
            quiet=quiet,
        )
        self.warnings: tuple[GuardWarning, ...] = ()
        self.written: Path | None = None
        self._report: GuardReport | None = None
        self._watching: Watching | None = None

    @property
    def report(self) -> GuardReport | None:
        """What was seen of the last `fit`, or so far of one that goes on or was interrupted.

        None before the first.
        """
        if self._watching is None:
            return self._report
        if not self._acted:
            self._read()
        return self._made_report()

    # --- what Keras calls

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the probes in.

        Raises:
            ResultError: the folder of the report cannot be written.
        """
        settings = self._settings
        if settings.report is not None:
            require_writable(settings.report, chosen_with="report=")
        self._release()  # of a fit that was interrupted
        model = self.model
        self._report, self.warnings, self.written = None, (), None
        self._began = _now()
        self._watching = watching = Watching(
            model, every=settings.every, optimizer=settings.restore is True
        )
        self._verdict = FitVerdict(settings.patience)
        self._evidence = Evidence(settings.every, watching.steps_per_execution)
        limits = {dtype: limit_bits(dtype) for dtype in _DTYPES}
        self._early = None if settings.early is None else EarlyWarnings(settings.early, limits)
        self._last: Reading | None = None
        self._started = self._streaked = False
        self._checked = self._judged = 0
        self._kept_step: int | None = None
        self._acted = self._onset_seen = self._unrestored = False
        self._restored: int | None = None
        if model.run_eagerly and model.built and _is_unbuilt(model):
            # In the graph it is built while the step is traced, and copied before it is run.
            model.optimizer.build(model.trainable_variables)
        if model.built and (model.optimizer is None or model.optimizer.built):
            self._check(0)
        watching.attach(self._on_traced)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Expect the next call of the train function."""
        watching = self._watching
        if watching is not None:
            ahead = self._judged + watching.steps_per_execution
            watching.begin_batch(full=self._streaked or self._is_due(ahead))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Read the steps since the last call; check, copy, warn, or stop."""
        watching = self._watching
        if watching is None or self._acted or self._can_wait(watching):
            return
        read = self._read()
        if self._last is None or not (read or watching.attached):
            self._warn_blind(batch)
            return
        step = self._last.step
        due = self._is_due(step)
        self._judged = step
        if self._verdict.onset is None and due:
            self._check(step)
        if self._verdict.onset is not None:
            self._act()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look whether what was validated is finite."""
        if self._watching is None:
            return
        if not self._acted:
            self._read()
        if self._verdict.onset is not None or self._blind:
            return
        bad = [name for name, value in (logs or {}).items() if _not_finite(name, value)]
        if bad:
            text = f"{' and '.join(bad)} of epoch {epoch + 1} is not finite, though training is"
            self._warn(GuardWarning("validation", self._steps_run, text))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Look a last time, and take the probes out."""
        if self._watching is None:
            return
        if not self._acted:
            self._read()
        if self._verdict.onset is None and self._last is not None and not self._blind:
            self._verdict.close()
            if self._verdict.onset is None and self._checked < self._last.step:
                self._check(self._last.step)
        if self._verdict.onset is not None:
            self._act()
        if self._watching is None:  # it was raised
            return
        self._report = self._made_report(ended=True)
        if self._settings.on_nonfinite == "warn" or not self._acted:
            self._write(self._report)
        self._release()

    # --- looking

    def _can_wait(self, watching: Watching) -> bool:
        """Whether the steps since the last reading hold nothing that has to be acted upon now."""
        step, calm = watching.peek()
        self._streaked = not calm
        if (
            not calm
            or step <= self._judged  # it sees nothing
            or step - self._steps_run >= READ_EVERY
            or self._settings.stop_on_warning
            or not watching.attached
            or watching.met is not None
            or self._is_due(step)
        ):
            return False
        self._judged = step
        return True

    def _is_due(self, step: int) -> bool:
        """Whether a check is due after this step, or was after one of the same execution."""
        every = self._settings.every
        return any(is_due(passed, every) for passed in range(self._judged + 1, step + 1))

    def _read(self) -> bool:
        """Judge the steps since the last call; return whether there were any."""
        watching, verdict = self._watching, self._verdict
        assert watching is not None, "only read while a fit goes on"
        readings = watching.collect()
        for reading in readings:
            self._started = True
            self._evidence.add(reading)
            verdict.add(reading)
            self._last = reading
            if self._early is not None and verdict.onset is None:
                for warning in self._early.of_step(reading):
                    self._warn(warning)
        if watching.met is not None and self._last is not None:
            # Another that watches this fit met it, and may have put it back already.
            verdict.met(watching.met, self._checked + 1, self._last.step)
        return bool(readings)

    @property
    def _blind(self) -> bool:
        """Whether there are steps that are not seen."""
        watching = self._watching
        return self._last is None or watching is None or not watching.attached

    def _on_traced(self) -> None:
        """Copy the state before the first step, once all of it has been made."""
        if self._kept_step is not None or self._started:
            return
        with tf.init_scope():
            # Without values: TensorFlow traces such a step a second time.
            if self._watching is not None and self._watching.state.ready:
                self._check(0)

    def _check(self, step: int) -> None:
        """Look at the state after a step; copy it if it is finite."""
        watching = self._watching
        assert watching is not None, "only looked at while a fit goes on"
        seen = watching.state.look()
        if seen.found is not None:
            self._evidence.add_state(step, watching.state.look(whole=True).tensors)
            self._verdict.met(seen.found, self._checked + 1 if step else 0, step)
            if step:
                watching.tell(seen.found)
            return
        if step:
            self._evidence.add_state(step, seen.tensors)
        self._checked = step
        self._verdict.verified = step
        if self._settings.restore:
            watching.state.keep()
            self._kept_step = step
        if self._early is not None and step:
            self._judge_moment(step)

    def _judge_moment(self, step: int) -> None:
        watching, model = self._watching, self.model
        if watching is None or self._early is None or not self._early.judges_magnitudes:
            return
        moments = self._evidence.moments(watching.looks())
        if not moments or moments[-1].step != step:
            return
        paths = [variable.path for variable in model.trainable_variables]
        computed_in = dict(zip(paths, compute_dtypes(model), strict=True))
        scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        for warning in self._early.of_moment(moments[-1], computed_in, scaled=scaled):
            self._warn(warning)

    # --- acting

    def _act(self) -> None:
        """Do what is to be done about an onset, once."""
        settings, watching = self._settings, self._watching
        assert watching is not None, "only acted upon while a fit goes on"
        self._acted = settings.on_nonfinite != "warn"
        if not self._reported_onset():
            return
        if self._acted and settings.restore:
            self._restore()
        self._report = report = self._made_report()
        self._write(report)
        if settings.on_nonfinite == "warn":
            warnings.warn(report.sentence, StabilityWarning, stacklevel=2)
            return
        self.model.stop_training = True
        self._print(report)
        if settings.on_nonfinite == "raise":
            self._release()
            raise NonFiniteError(report)

    def _reported_onset(self) -> bool:
        """Whether the onset has not been acted upon yet; look at the state it left behind."""
        if self._onset_seen:
            return False
        self._onset_seen = True
        watching, last = self._watching, self._last
        if watching is not None and last is not None:
            self._evidence.add_state(last.step, watching.state.look(whole=True).tensors)
        return True

    def _restore(self) -> None:
        watching = self._watching
        assert watching is not None, "only restored while a fit goes on"
        if self._verdict.onset_streak and watching.state.look().found is None:
            return  # what loss scaling skipped has changed no weight
        if self._kept_step is None or not watching.state.kept:
            self._unrestored = True
            return
        watching.state.restore()
        self._restored = self._kept_step

    def _warn(self, warning: GuardWarning) -> None:
        if any(warning.kind == other.kind for other in self.warnings):
            return
        self.warnings = (*self.warnings, warning)
        if self._settings.stop_on_warning and warning.kind != "blind":
            self.model.stop_training = True
        warnings.warn(f"step {warning.step:,}: {warning.text}", StabilityWarning, stacklevel=2)

    def _warn_blind(self, batch: int) -> None:
        text = (
            "the guard sees nothing of this training: it does not go through the model's "
            "train_function, as Keras' own fit does"
        )
        self._warn(GuardWarning("blind", batch + 1, text))

    def _made_report(self, *, ended: bool = False) -> GuardReport:
        watching, verdict, settings = self._watching, self._verdict, self._settings
        assert watching is not None, "a report is made while a fit goes on"
        what = "model and optimizer" if settings.restore is True else "model"
        return GuardReport(
            onset=verdict.onset,
            since=verdict.since,
            onset_iteration=verdict.iteration,
            nan_step=verdict.nan_step,
            streak=verdict.onset_streak,
            steps_run=self._steps_run,
            skipped_steps=verdict.skipped,
            loss_scale=1.0 if self._last is None else self._last.loss_scale,
            action=None if verdict.onset is None else settings.on_nonfinite,
            restored_step=self._restored,
            restored=None if self._restored is None else what,
            unrestored=self._unrestored,
            finished=ended or self._acted,
            blind=any(warning.kind == "blind" for warning in self.warnings),
            every=settings.every,
            steps_per_execution=watching.steps_per_execution,
            moments=self._evidence.moments(watching.looks()),
            curve=tuple(self._evidence.curve),
            warnings=self.warnings,
            began=self._began,
            written=_now(),
            model=str(self.model.name),
            versions={
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "stabilitysweep": __version__,
            },
        )

    def _write(self, report: GuardReport) -> None:
        folder = self._settings.report
        if folder is None or (report.onset is None and not report.warnings):
            return
        if self.written is None:
            self.written = claimed(folder)
        write_report(report, self.written)

    def _print(self, report: GuardReport) -> None:
        if self._settings.quiet:
            return
        where = "" if self.written is None else f" The last steps: {self.written}"
        print(f"\nstability guard: {report.sentence}{where}", flush=True)

    def _release(self) -> None:
        if self._watching is not None:
            self._watching.detach()
            self._watching = None

    @property
    def _steps_run(self) -> int:
        return 0 if self._last is None else self._last.step


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_unbuilt(model: keras.Model) -> bool:
    """Whether the optimizer will be built by Keras' own step, for all trainable weights."""
    own = type(model).train_step is keras.Model.train_step
    return own and model.optimizer is not None and not model.optimizer.built


def _not_finite(name: str, value: Any) -> bool:
    try:
        return name.startswith("val_") and not math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
