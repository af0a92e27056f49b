"""What a store is: the record of a sweep, append-only and idempotent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import pandas as pd

from stabilitysweep.types import Trace, TrialResult

VERDICTS = "verdicts"
"""The fact under which a record keeps what was found out of users' models."""

DIGESTS = "digests"
"""The fact under which it keeps which models of a user's were trained."""

COMPILED = "compiled"
"""The fact under which it keeps how each family of programs is compiled."""

RUNS = "runs"
"""The fact under which it keeps how long each run took: `started`, `seconds`, `trials` trained."""

BUILD = "build"
"""In place of the engine, with trials whose model cannot be built."""

Defaults = Callable[[str, "ConfigRecord"], Any] | Mapping[str, Any]


class Entry(NamedTuple):
    """A trial as it is stored and read back.

    Attributes:
        axes: the value of each axis the sweep had when the trial was trained, in the grid's
            order: None, a bool, an int, a finite float or a text (whatever JSON holds).
        seed: the trial's seed.
        result: what was measured, under its trial id.
    """

    axes: Mapping[str, Any]
    seed: int
    result: TrialResult


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """A config under which trials were trained.

    Attributes:
        config_id: counts up in the order in which configs were recorded.
        created: when, ISO 8601 in UTC.
        resolved: the config with every default filled in, keys in their order.
        provenance: versions, processor, flags, data hash and the like.
    """

    config_id: int
    created: str
    resolved: dict[str, Any]
    provenance: dict[str, Any]


class Store(ABC):
    """The record of one sweep.

    Laws: a trial is added once, twice is the same as once; the order of adding does not
    matter; nothing is ever removed. The one replacement is of a crashed trial: a crash says
    nothing about the trial, so what a retry measures takes its place (as does the message of
    a retry that crashed as well), and a crash never takes the place of a measurement.

    Thread safety: every method may be called from any thread; calls are serialised. Process
    safety: any number of processes may read while one writes; a second writer waits for the
    first one's transaction. A store must not be used across a fork, nor be pickled.

    Raises:
        ResultError: (any method) the record is damaged, locked, full or cannot be written.
    """

    @abstractmethod
    def record_config(self, resolved: Mapping[str, Any], provenance: Mapping[str, Any]) -> int:
        """Append a config, unless it and its provenance equal the latest one's.

        Args:
            resolved: the resolved config, plain values; the order of keys counts.
            provenance: where and with what its trials are trained, plain values.

        Returns:
            The id of the config just appended, or of the latest.

        Raises:
            TypeError, ValueError: values that strict JSON cannot hold.
        """

    @abstractmethod
    def configs(self) -> list[ConfigRecord]:
        """Return every recorded config, oldest first."""

    @abstractmethod
    def latest_config(self) -> ConfigRecord | None:
        """Return the config recorded last, or None if there is none."""

    @abstractmethod
    def set_meta(self, key: str, value: Any) -> None:
        """Set a fact about the whole record, such as `thresholds`; overwrites.

        Raises:
            ValueError: `key` is one the store itself keeps (`schema_version`, `created`), or
                the value holds NaN or Inf.
            TypeError: the value has no form in JSON.
        """

    @abstractmethod
    def meta(self) -> dict[str, Any]:
        """Return all facts about the record, `schema_version` and `created` included."""

    @abstractmethod
    def add(self, entries: Sequence[Entry], *, config_id: int | None = None) -> int:
        """Add trials, all or none of them, in one transaction.

        Args:
            entries: any number of trials; one that is stored already changes nothing, unless
                it crashed then.
            config_id: the config under which they were trained; None: the latest recorded.

        Returns:
            How many were new or took the place of a crashed one.

        Raises:
            ValueError: no config is recorded, or none with this id; an axis value is NaN or
                Inf; a trace's arrays differ in length.
            TypeError: an axis value has no form in JSON.
        """

    @abstractmethod
    def stored_ids(self, *, include_crashed: bool) -> set[str]:
        """Return the ids of the stored trials, with or without those that crashed."""

    @abstractmethod
    def count(self, outcome: str | None = None) -> int:
        """Return how many trials are stored, or how many of them have an outcome."""

    @abstractmethod
    def result(self, trial_id: str) -> Entry:
        """Return a trial with its trace.

        Raises:
            ResultError: there is none with this id.
        """

    @abstractmethod
    def traces(self, trial_ids: Collection[str]) -> Mapping[str, Trace]:
        """Return the traces of many trials at once, by id, each unpacked when it is asked for.

        Ids that are not stored, and trials without a trace, are left out.
        """

    @abstractmethod
    def trace(self, trial_id: str) -> Trace | None:
        """Return the trace of a trial; None if it has none, or is not stored."""

    @abstractmethod
    def find(self, prefix: str) -> str:
        """Return the one trial id that begins with `prefix`; a whole id finds itself.

        Raises:
            ResultError: none does, or several do; the message lists the nearest.
        """

    @abstractmethod
    def table(
        self,
        axes: Sequence[str],
        *,
        defaults: Defaults | None = None,
        metrics: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return the trials table: one row a trial, by trial id.

        Columns: `trial_id`, the axes, `seed`, `outcome`, `onset_step`, `onset_stage`,
        `onset_tensor`, `onset_kind`, `nan_step`, `cause`, `initial_loss`, `final_loss`,
        `best_loss`, `val_loss`, a `val_METRIC` each, `skipped_steps`, `final_loss_scale`,
        `max_abs_activation`, `max_grad_norm`, `max_weight_norm`, `headroom_bits`,
        `zero_gradients`, `critical_learning_rate`, `steps_run`, `engine`, `compiled`.

        Counts are nullable integers (Int64). Numbers are float64: Inf stays Inf; a value that
        was not measured and one that is NaN are both NaN, and `result` tells them apart. Text
        is of dtype object, None where missing. An axis is int64, float64 or bool where all of
        its values are numbers or flags, otherwise object with the values as they are.

        Args:
            axes: the axis columns, in this order.
            defaults: fills an axis that a stored trial lacks, since it was trained before
                that was one: a function of the axis and the config of that time, or a mapping
                from axis to value.
            metrics: metrics whose columns come first and exist even if no trial has them;
                others that trials have follow, sorted.

        Raises:
            ResultError: a trial lacks an axis and there is no default for it.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the record; closing twice is closing once."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()
