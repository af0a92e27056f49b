"""One training of a search, watched step by step, and judged by the rules of a sweep."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config.names import LOSS_ALIASES
from stabilitysweep.integrations.watching import Found, Reading, Watching
from stabilitysweep.numerics import outcomes
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

ENGINE = "keras_tuner"
"""What trained the trials of a search."""

_LONGEST_MESSAGE = 2_000
_WINDOW = 10


class Execution:
    """What became of one model of a trial: every `fit` of it, one after another.

    Attributes:
        facts: `optimizer`, `loss` and `precision` of the model.
        rate: its learning rate before the first step; None if it is not a number.
        epochs: for how many it was asked to be trained.
        initial_loss: before the first step; None if it was not measured.
        final_loss: after the last step; the same.
        broken: whether something became non-finite, loss scaling not counted.
        ended: whether its last `fit` came to its end.
    """

    def __init__(self, model: keras.Model) -> None:
        """Begin with a compiled model that has not been trained yet."""
        self._model = weakref.ref(model)
        self.facts = _facts(model)
        self.rate = _learning_rate(model)
        self.epochs: int | None = None
        self.initial_loss: float | None = None
        self.final_loss: float | None = None
        self.broken = False
        self.ended = False
        self._compiled = _compiled(model)
        self._readings: list[Reading] = []
        self._epoch_steps: list[int] = []
        self._epoch_losses: list[float] = []
        self._logs: dict[str, float] = {}
        self._state: Found | None = None
        self._met: Found | None = None
        self._scale: float | None = None
        self._output = str((getattr(model, "output_names", None) or ["output"])[0])

    def is_of(self, model: keras.Model) -> bool:
        """Whether it is this model that is trained."""
        return self._model() is model

    @property
    def steps(self) -> int:
        """Steps run so far."""
        return len(self._readings)

    def add(self, readings: Sequence[Reading]) -> bool:
        """Add steps; return whether nothing can come of this training any more.

        So it is once its weights are no longer finite and its loss is NaN, as in a sweep: until
        then the loss may overflow and come back, and the step of the first NaN is to be known.
        """
        lost = False
        for reading in readings:
            broken = reading.broken
            lost |= broken and (reading.found_before is not None or reading.loss_is_nan)
            self.broken |= broken
            self._readings.append(reading)
        return lost

    def meet(self, found: Found | None) -> None:
        """Keep what another that watches the same `fit` met in the state, and may put back."""
        if found is not None:
            self._state = self._met = found
            self.broken = True

    def end_epoch(self, logs: Mapping[str, Any]) -> None:
        """Keep what Keras says of an epoch."""
        self._epoch_steps.append(self.steps)
        self._logs = {
            name: float(value)
            for name, value in logs.items()
            if isinstance(value, int | float | np.number)
        }
        self._epoch_losses += [self._logs["loss"]] if "loss" in self._logs else []

    @property
    def _lossless(self) -> bool:
        return any(reading.lossless for reading in self._readings)

    def end_fit(self, model: keras.Model) -> None:
        """Look at the model after its last step."""
        self._state = _first_broken(model) or self._met
        self.broken |= self._state is not None
        optimizer = model.optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and optimizer.built:
            self._scale = float(keras.ops.convert_to_numpy(optimizer.dynamic_scale))

    def result(self, trial_id: str, error: BaseException | None = None) -> TrialResult:
        """Judge what was seen.

        Args:
            trial_id: the id of the row.
            error: what ended the training. It makes a trial `crashed`, unless that was
                non-finite already.
        """
        history, table = self._history()
        onset = outcomes.find_onset(history, table)
        if error is not None and onset is None:
            return crashed(trial_id, error, steps=self.steps, compiled=self._compiled)
        initial, final = self._losses(history)
        val_loss = self._logs.get("val_loss")
        if onset is None:
            onset = outcomes.final_onset(initial, final, self._prediction(val_loss), self.steps)
        return TrialResult(
            trial_id=trial_id,
            outcome=outcomes.judge(onset, initial, final),
            engine=ENGINE,
            compiled=self._compiled,
            onset=onset,
            nan_step=None if self._lossless else outcomes.first_nan(history),
            initial_loss=initial,
            final_loss=final,
            best_loss=outcomes.best_loss(history),
            val_loss=val_loss,
            metrics={
                name.removeprefix("val_"): value
                for name, value in self._logs.items()
                if name.startswith("val_") and name != "val_loss"
            },
            skipped_steps=int(np.count_nonzero(history.skipped)),
            final_loss_scale=self._scale,
            max_grad_norm=outcomes.peak(history.grad_norm),
            steps_run=self.steps,
            trace=outcomes.thin(history, onset) if self.steps else None,
            message=None if error is None else _message(error),
        )

    def _history(self) -> tuple[outcomes.History, list[tuple[Stage, str]]]:
        """The steps as the rules read them, and what each of the probes is."""
        met: list[Found | None] = [reading.found for reading in self._readings]
        for place, reading in enumerate(self._readings):
            # Weights that are not finite before a step became so in the one before it.
            own = max(place - 1, 0)
            if reading.found_before is not None and (met[own] is None or place == 0):
                met[own] = reading.found_before
        if self._state is not None and met and met[-1] is None:
            met[-1] = self._state
        places: dict[tuple[Stage, str], int] = {}
        probe = [
            -1 if found is None else places.setdefault((found.stage, found.tensor), len(places))
            for found in met
        ]
        unknown = np.full(self.steps, np.nan)
        kinds: list[Kind | None] = [None if found is None else found.kind for found in met]
        history = outcomes.History(
            loss=self._column("loss"),
            grad_norm=self._column("gradient_norm"),
            weight_norm=unknown,
            max_activation=unknown,
            loss_scale=self._column("loss_scale"),
            skipped=self._column("skipped").astype(np.bool_),
            headroom=unknown,
            zero_gradients=unknown,
            probe=np.array(probe, np.int64),
            kind=kinds,
        )
        return history, list(places) or [(Stage.LOSS, "loss")]

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(reading, name) for reading in self._readings], np.float64)

    def _losses(self, history: outcomes.History) -> tuple[float, float]:
        """The loss before and after: over rows, or where those are not known, over batches.

        Whole epochs see the same rows, so that the means over the first and over the last differ
        by what was learnt alone; a single one is cut into tenths.
        """
        if self.initial_loss is not None and self.final_loss is not None:
            return self.initial_loss, self.final_loss
        if self._lossless or not self.steps:  # a step of a user's own, that tells no loss
            told = self._epoch_losses or [0.0]
            return told[0], told[-1]
        ends = [end for end in self._epoch_steps if end]
        window = max(self.steps // _WINDOW, 1)
        first, last = slice(0, window), slice(-window, None)
        if len(ends) > 1 and ends[-1] > ends[-2]:
            first, last = slice(0, ends[0]), slice(ends[-2], ends[-1])
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean(history.loss[first])), float(np.mean(history.loss[last]))

    def _prediction(self, val_loss: float | None) -> Onset | None:
        if val_loss is None or math.isfinite(val_loss):
            return None
        return Onset(self.steps, Stage.PREDICTION, self._output, outcomes.kind_of(val_loss))


class Watch(keras.callbacks.Callback):
    """Watches one `fit` of a model."""

    def __init__(self, execution: Execution, *, stop: bool) -> None:
        """Watch into `execution`; with `stop`, end a training of which nothing can come."""
        super().__init__()
        self._execution = execution
        self._stop = stop
        self._watching: Watching | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Put the probes in."""
        self._execution.ended = False
        epochs = self.params.get("epochs") if self.params else None
        self._execution.epochs = int(epochs) if epochs else None
        self._watching = Watching(self.model, every=None, optimizer=False)
        self._watching.attach()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that the next step is one of this `fit`."""
        if self._watching is not None:
            self._watching.begin_batch()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keep what was seen of the last steps."""
        if self._watching is None:
            return
        lost = self._execution.add(self._watching.collect())
        if lost and self._stop:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keep what Keras says of an epoch."""
        self._execution.end_epoch(logs or {})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Take the probes out."""
        self.release()
        self._execution.end_fit(self.model)
        self._execution.ended = True

    def release(self) -> None:
        """Take the probes out, also where the training ended in an exception."""
        if self._watching is not None:
            self._execution.add(self._watching.collect())
            self._execution.meet(self._watching.met)
            self._watching.detach()
            self._watching = None


def crashed(
    trial_id: str, error: BaseException, *, steps: int = 0, compiled: Compiled | None = None
) -> TrialResult:
    """Return the row of what could not be run."""
    return TrialResult(
        trial_id,
        Outcome.CRASHED,
        ENGINE,
        compiled=compiled,
        steps_run=steps,
        message=_message(error),
    )


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split())[:_LONGEST_MESSAGE]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_broken(model: keras.Model) -> Found | None:
    """The first weight that is not finite."""
    held = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]
    for variable in (*model.trainable_variables, *held):
        values = np.asarray(keras.ops.convert_to_numpy(variable.value), np.float64)
        bad = values[~np.isfinite(values)]
        if bad.size:
            kind = Kind.NAN if np.isnan(bad).any() or bad.min() < bad.max() else None
            kind = kind or outcomes.kind_of(float(bad[0]))
            return Found(Stage.WEIGHT, str(variable.path), kind)
    return None


def _learning_rate(model: keras.Model) -> float | None:
    try:
        return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    except Exception:  # a user's optimizer or schedule may do anything
        return None


def _compiled(model: keras.Model) -> Compiled | None:
    if getattr(model, "run_eagerly", False):
        return None
    return Compiled.XLA if getattr(model, "jit_compile", False) is True else Compiled.GRAPH


def _facts(model: keras.Model) -> dict[str, str | None]:
    """What causes are judged by, in the words of a config."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    policy = getattr(model, "dtype_policy", None)
    return {
        "optimizer": None if inner is None else type(inner).__name__.lower(),
        "loss": _loss_name(getattr(model, "loss", None)),
        "precision": None if policy is None else str(policy.name),
    }


def _loss_name(loss: Any) -> str | None:
    if isinstance(loss, str):
        name = loss
    elif isinstance(loss, keras.losses.Loss):
        name = type(loss).__name__
    else:
        name = str(getattr(loss, "__name__", ""))
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return LOSS_ALIASES.get(name, name) or None
