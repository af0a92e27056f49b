"""An ordinary KerasTuner search, recorded as a trials table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras_tuner
from keras_tuner.engine import trial as kt_trial

from stabilitysweep import folder as folders
from stabilitysweep.errors import StabilitySweepError, UserError
from stabilitysweep.integrations.keras_tuner.recording_checks import (
    build_of,
    require_recordable,
    require_same_search,
)
from stabilitysweep.integrations.keras_tuner.recording_fits import fits_watched, with_callback
from stabilitysweep.integrations.keras_tuner.recording_loss import measured_loss
from stabilitysweep.integrations.keras_tuner.recording_record import Record, Search
from stabilitysweep.integrations.keras_tuner.recording_space import (
    BINS,
    axes_of,
    column_of,
    values_of,
)
from stabilitysweep.integrations.keras_tuner.recording_trial import Execution, Watch, crashed
from stabilitysweep.result import Result, open_result
from stabilitysweep.types import Outcome

_MARK = "_is_recorded"
"""An attribute of a tuner that is recorded."""

LOSS_ROWS = 1024
"""Training rows, at most, that the loss is taken over before and after a training."""


def record(
    tuner: Any,
    out: str | Path,
    *,
    stop: bool = True,
    bins: int | Mapping[str, Sequence[float]] = BINS,
    axes: tuple[str, ...] | list[str] = (),
    data: str | None = None,
    loss_rows: int = LOSS_ROWS,
    fresh: bool = False,
) -> Recording:
    """Make a search write the trials table of a sweep, batch by batch watched.

    Call it before `tuner.search`; what the tuner does, and which scores it sees, stays as it is,
    but that trials whose score is NaN do not count as failures in a row, which end a search.
    Each training of a trial is a row, stored when it ends. A search that was stopped goes on as
    KerasTuner has it (`overwrite=False`), into the same folder.

    Args:
        tuner: any KerasTuner tuner that trains with `model.fit`, not searching yet.
        out: the result folder; made by the search.
        stop: whether a training ends early once its weights are no longer finite or its loss
            is NaN.
        bins: how many bins an `hp` with more values than that gets, at least 2; or the lower ends
            of the bins of some, by name, as those of a sweep that it is to be compared with. The
            exact values are in columns of their own.
        axes: the `hp` that are to be axes; none given means all of them. Others have a column.
        data: what the data set is called; the tuner's project if None.
        loss_rows: training rows, at most, that the loss is taken over before and after each
            training, where the data are arrays; 0 takes it from the losses of batches.
        fresh: set a result that is there aside, and start over.

    Returns:
        The recording: `close()` gives the tuner back as it was; also a context manager.

    Raises:
        UserError: a tuner that cannot be recorded, or an argument out of range.
        ResultError: `out` cannot be written, or holds another result.

    Example:
        tuner = keras_tuner.RandomSearch(build, objective="val_loss", max_trials=40)
        record(tuner, out="results/search")
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=5)
        stabilitysweep.open_result("results/search").plot()
    """
    require_recordable(tuner, bins, loss_rows)
    if hasattr(tuner, _MARK):
        raise UserError("record: this tuner is recorded already; close that recording first.")
    asked = tuple(axes)
    known = {hp.name for hp in tuner.oracle.hyperparameters.space}
    chosen = (*asked, *(bins if isinstance(bins, Mapping) else ()))
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UserError(
            f"axes, bins: expected hp of the search ({', '.join(sorted(known))}), got "
            f"{', '.join(unknown)}."
        )
    search = Search(
        tuner=type(tuner).__name__,
        project=str(tuner.project_name),
        build=build_of(tuner),
        data=data or str(tuner.project_name),
        executions=int(getattr(tuner, "executions_per_trial", 1)),
        loss_rows=loss_rows,
    )
    folder = Path(out)
    if fresh:
        folders.set_aside(folder)
    kept = Record(folder, search)
    require_same_search(tuner, kept)
    return Recording(tuner, kept, stop=stop, bins=bins, axes=asked, loss_rows=loss_rows)


class Recording:
    """A search that is recorded; made by `record`.

    Attributes:
        folder: the result folder.
    """

    def __init__(
        self,
        tuner: Any,
        kept: Record,
        *,
        stop: bool,
        bins: int | Mapping[str, Sequence[float]],
        axes: tuple[str, ...],
        loss_rows: int,
    ) -> None:
        """Hook into the tuner."""
        self.folder = kept.folder
        self._tuner, self._oracle, self._record = tuner, tuner.oracle, kept
        self._stop, self._bins, self._axes, self._loss_rows = stop, bins, axes, loss_rows
        self._depth = 0
        self._limit = tuner.oracle.max_consecutive_failed_trials
        self._session = ExitStack()
        self._originals = ExitStack()
        self._replace(tuner, "search", self._search)
        self._replace(tuner, "run_trial", self._run_trial)
        self._replace(tuner.oracle, "end_trial", self._end_trial)
        # Counted here instead: a trial with a score of NaN was no failure of the search.
        tuner.oracle.max_consecutive_failed_trials = None
        setattr(tuner, _MARK, True)
        self._originals.callback(delattr, tuner, _MARK)

    @property
    def result(self) -> Result:
        """What was recorded so far.

        Raises:
            ResultError: nothing was.
        """
        return open_result(self.folder)

    def close(self) -> None:
        """Give the tuner back as it was; closing twice is closing once."""
        self._originals.close()
        self._oracle.max_consecutive_failed_trials = self._limit

    def __enter__(self) -> Self:
        """Return the recording itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _replace(self, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
        """Put a method of ours in place of one of an object, until `close`."""
        original = getattr(owner, name)
        own = name in vars(owner)

        def call(*args: Any, **kwargs: Any) -> Any:
            return wrap(original, *args, **kwargs)

        setattr(owner, name, call)
        self._originals.callback(setattr, owner, name, original) if own else (
            self._originals.callback(delattr, owner, name)
        )

    def _search(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._tuner.oracle is not self._oracle:
            raise UserError("record: the tuner was given another oracle since; call record last.")
        with self._writing():
            return original(*args, **kwargs)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the folder, and leave its tables for others to read at the end."""
        self._depth += 1
        try:
            if self._depth == 1:
                self._session.enter_context(folders.locked(self.folder))
                self._session.callback(self._record.close)
                self._record.open()
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._session.close()

    def _run_trial(
        self, original: Callable[..., Any], trial: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a trial with every `fit` in it watched."""
        running = _RunningTrial(self, trial)
        with self._writing():
            try:
                with fits_watched(running.fit):
                    results = original(trial, *args, **kwargs)
            except Exception as error:
                running.end(error)
                raise
            running.end()
        if not running.executions:
            warnings.warn(
                f"trial {trial.trial_id} has trained nothing with model.fit, so nothing of it "
                "was recorded",
                stacklevel=2,
            )
        return results

    def _end_trial(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """End a trial; end the search where too many in a row could not be run."""
        ended = original(*args, **kwargs)
        oracle = self._tuner.oracle
        streak = 0
        message = ""
        for trial_id in reversed(oracle.end_order):
            trial = oracle.trials[trial_id]
            failed = trial.status == kt_trial.TrialStatus.FAILED
            if not failed or self._was_run(trial):
                break
            message = message or trial.message or ""
            streak += 1
        if self._limit and streak >= self._limit:
            raise RuntimeError(
                f"Number of consecutive failures exceeded the limit of {self._limit}.\n{message}"
            )
        return ended

    def _was_run(self, trial: Any) -> bool:
        """Whether a failed trial was trained, and no error but its numbers made it fail.

        What became non-finite may well have ended in an error. A finite one whose score alone is
        NaN has none; with an error, its score could not be had.
        """
        outcome = self._record.outcomes.get(str(trial.trial_id), Outcome.CRASHED)
        if outcome is Outcome.NONFINITE:
            return True
        return outcome is not Outcome.CRASHED and trial.message is None

    def _add(
        self,
        running: _RunningTrial,
        execution: int,
        trained: Execution | None,
        error: BaseException | None,
    ) -> None:
        """Store the row of one execution of a trial."""
        tuner, trial = self._tuner, running.trial
        # How often it was tried and given back: one that was killed is tried anew, as the same.
        attempt = int(getattr(tuner.oracle, "_run_times", {}).get(trial.trial_id, 0))
        number = self._record.before(str(trial.trial_id), attempt) + execution
        row = str(trial.trial_id) if not number else f"{trial.trial_id}-{number}"
        if trained is None:
            assert error is not None, "what trained nothing was ended by an error"
            result = crashed(row, error)
        else:
            result = trained.result(row, error)
        # The space grows with what builds ask for, so each trial may add to it.
        space = [*tuner.oracle.hyperparameters.space, *trial.hyperparameters.space]
        every = isinstance(tuner.oracle, keras_tuner.oracles.GridSearchOracle)
        axes = axes_of(
            {(hp.name, repr(hp.conditions)): hp for hp in space}.values(),
            bins=self._bins,
            every=every,
            names=self._axes,
        )
        names = [hp.name for hp in space if not hp.name.startswith("tuner/")]
        values = values_of(trial.hyperparameters, {name: column_of(name) for name in names})
        try:
            self._record.add(
                result,
                axes,
                values,
                trial=str(trial.trial_id),
                attempt=attempt,
                execution=number,
                trained=trained,
            )
        except StabilitySweepError as error:  # else it would be taken for a failure of the trial
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error


class _RunningTrial:
    """One call of `run_trial`: its models, one after another."""

    def __init__(self, recording: Recording, trial: Any) -> None:
        self.trial = trial
        self.executions = 0
        self._recording = recording
        self._current: Execution | None = None

    def fit(self, original: Callable[..., Any], model: Any, *args: Any, **kwargs: Any) -> Any:
        """Call `fit` of a model, watched."""
        if self._current is None or not self._current.is_of(model):
            self._store()
            self._current = Execution(model)
            self.executions += 1
        trained, rows = self._current, self._recording._loss_rows
        if trained.initial_loss is None and not trained.steps:
            trained.initial_loss = measured_loss(model, args, kwargs, rows)
        watch = Watch(trained, stop=self._recording._stop)
        args, kwargs = with_callback(args, kwargs, watch)
        try:
            history = original(model, *args, **kwargs)
        finally:
            watch.release()
        if trained.initial_loss is not None:
            trained.final_loss = measured_loss(model, args, kwargs, rows)
        return history

    def end(self, error: BaseException | None = None) -> None:
        """Store what was not stored yet."""
        trained = self._current
        if error is None or (trained is not None and not trained.ended):
            self._store(error)
            return
        self._store()
        each = int(getattr(self._recording._tuner, "executions_per_trial", 1))
        if self.executions < each:
            self._recording._add(self, self.executions, None, error)
            self.executions += 1

    def _store(self, error: BaseException | None = None) -> None:
        trained, self._current = self._current, None
        if trained is not None:
            self._recording._add(self, self.executions - 1, trained, error)
