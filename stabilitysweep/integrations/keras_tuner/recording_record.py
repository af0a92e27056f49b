"""The result folder of a recorded search: what it may hold, and how rows get into it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from stabilitysweep import folder as folders
from stabilitysweep.analysis.axes import is_number
from stabilitysweep.config import parse_config
from stabilitysweep.errors import ResultError
from stabilitysweep.integrations.keras_tuner.recording_space import SearchAxis
from stabilitysweep.integrations.keras_tuner.recording_trial import ENGINE, Execution
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.provenance import provenance
from stabilitysweep.result import open_result
from stabilitysweep.result.searched import OF_SEARCH
from stabilitysweep.store import Entry, SQLiteStore, run_noted
from stabilitysweep.types import Outcome, TrialResult

_RATE = "learning_rate"
_RATES = re.compile(r"(^|[/_])(lr|learning_rate)$")


@dataclass(frozen=True, slots=True)
class Search:
    """What a record says of the search itself.

    Attributes:
        tuner: the class of the tuner.
        project: the name of its project.
        build: `module:name` of what is searched.
        data: what the data set is called.
        executions: trainings of each trial.
        loss_rows: rows that the first and the last loss are taken over, at most.
    """

    tuner: str
    project: str
    build: str
    data: str
    executions: int
    loss_rows: int


class Record:
    """The result folder, written a trial at a time.

    Attributes:
        folder: the result folder.
        outcomes: of the last training of each trial, as KerasTuner calls the trials.
    """

    def __init__(self, folder: Path, search: Search) -> None:
        """Take a folder that `known_trials` has found good."""
        self.folder = folder
        self.outcomes: dict[str, Outcome] = {}
        self._attempts: dict[tuple[str, int], set[int]] = {}
        self._search = search
        self._rate: str | None = None
        self._epochs: int | None = None
        self._store: SQLiteStore | None = None
        self._noted = ExitStack()
        self._trained = 0

    def known_trials(self) -> dict[str, dict[str, Any]]:
        """Return the `hp` values of the trials in the folder, by KerasTuner's id; writes nothing.

        Raises:
            ResultError: it holds something else, cannot be written, or is of another search.
        """
        folders.require_writable(self.folder)
        if not folders.holds_record(self.folder) or not folders.is_begun(self.folder):
            return {}
        with SQLiteStore(self.folder / folders.DATABASE, read_only=True) as store:
            latest = store.latest_config()
            ids = store.stored_ids(include_crashed=True)
            entries = [store.result(trial_id) for trial_id in sorted(ids)]
        entries.sort(key=lambda entry: entry.seed)  # the order in which those of a trial were made
        if latest is None:
            return {}
        config = parse_config(latest.resolved, source=str(self.folder / folders.DATABASE))
        recorded = config.recorded
        if recorded is None:
            raise ResultError(
                f"{self.folder}: expected a folder of its own for the recorded search, got the "
                f"result of the sweep {config.name!r}. Give another 'out'."
            )
        if (recorded.tuner, recorded.project) != (self._search.tuner, self._search.project):
            raise self.another(
                f"{recorded.tuner}, project {recorded.project!r}, not {self._search.tuner}, "
                f"project {self._search.project!r}"
            )
        self._rate = recorded.rate
        self._epochs = config.training.epochs
        found = {}
        for entry in entries:
            known = entry.axes.get(OF_SEARCH) or {}
            trial = str(known.get("trial"))
            found[trial] = dict(known.get("values", {}))
            self._count(trial, int(known.get("attempt", 0)), entry.seed)
            self.outcomes[trial] = entry.result.outcome
        return found

    def before(self, trial: str, attempt: int) -> int:
        """Return how many rows earlier attempts at a trial have left."""
        return sum(
            len(rows)
            for (own, number), rows in self._attempts.items()
            if own == trial and number < attempt
        )

    def _count(self, trial: str, attempt: int, execution: int) -> None:
        self._attempts.setdefault((trial, attempt), set()).add(execution)

    def another(self, what: str) -> ResultError:
        """Return the refusal of a folder that another search was recorded into."""
        return ResultError(
            f"{self.folder}: expected the record of this search, or none at all, got that of "
            f"another ({what}). Give another 'out', or fresh=True (the old folder is kept beside)."
        )

    def open(self) -> None:
        """Begin to write."""
        if self._store is None:
            self._store = SQLiteStore(self.folder / folders.DATABASE)
            self._store.set_meta("thresholds", asdict(Thresholds()))
            self._trained = 0
            self._noted.enter_context(run_noted(self._store, lambda: self._trained))

    def add(
        self,
        result: TrialResult,
        axes: tuple[SearchAxis, ...],
        values: Mapping[str, Any],
        *,
        trial: str,
        attempt: int,
        execution: int,
        trained: Execution | None,
    ) -> None:
        """Add a row, in a transaction of its own.

        Args:
            result: what became of it.
            axes: of the search, as far as they are known.
            values: of its `hp`, by column.
            trial: KerasTuner's id.
            attempt: how often the trial was tried before.
            execution: which of its trainings, from 0.
            trained: what was trained; None if nothing was.
        """
        assert self._store is not None, "the record is opened before anything is trained"
        if trained is not None:
            if self._rate is None:
                self._rate = _rate_axis(axes, values, trained.rate)
            self._epochs = self._epochs or trained.epochs
        self._count(trial, attempt, execution)
        self.outcomes[trial] = result.outcome
        content = self._content(axes)
        facts = provenance({}, {}, Path.cwd(), {"engine": ENGINE, "compiled": result.compiled})
        facts["recorded"] = asdict(self._search)
        latest = self._store.latest_config()
        if latest is None or latest.resolved != content:
            self._store.record_config(content, facts)
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            folders.write_text(self.folder / folders.CONFIG, text)
        of_search = {
            "trial": trial,
            "attempt": attempt,
            "execution": execution,
            "values": dict(values),
            **(trained.facts if trained is not None else {}),
        }
        placed = {axis.column: axis.place(values.get(axis.column)) for axis in axes}
        self._store.add([Entry({**placed, OF_SEARCH: of_search}, execution, result)])
        self._trained += 1

    def close(self) -> None:
        """End writing, and write the tables for others to read."""
        if self._store is None:
            return
        store, self._store = self._store, None
        with closing(store), self._noted:
            begun = store.latest_config() is not None
        if not begun:
            return
        try:
            open_result(self.folder).save(figures=False)
        except Exception as error:  # no reason to end hours of searching with an error
            warnings.warn(
                f"{self.folder}: all trials are stored, but their tables could not be written: "
                f"{error}",
                stacklevel=2,
            )

    def _content(self, axes: tuple[SearchAxis, ...]) -> dict[str, Any]:
        """The config that says what was searched, as plain values."""
        search = self._search
        content = {
            "name": _as_name(self.folder.resolve().name),
            "recorded": {
                "tuner": search.tuner,
                "project": search.project,
                "rate": self._rate,
                "exact": [axis.column for axis in axes if axis.binned],
            },
            "dataset": {"function": "keras_tuner:search", "label": search.data},
            "model": {"build": search.build},
            "training": {"epochs": self._epochs or 1},
            "grid": {axis.column: list(axis.values) for axis in axes},
            "seeds": search.executions,
        }
        return parse_config(content, source=str(self.folder)).resolved()


def _rate_axis(
    axes: tuple[SearchAxis, ...], values: Mapping[str, Any], rate: float | None
) -> str | None:
    """The axis of the learning rate: the one called so, or else the one that equals it."""
    numeric = [axis.column for axis in axes if all(is_number(value) for value in axis.values)]
    named = [column for column in numeric if _RATES.search(column)]
    if len(named) == 1 or _RATE in named:
        return _RATE if _RATE in named else named[0]
    equal = [
        column
        for column in named or numeric
        if rate is not None
        and is_number(values.get(column))
        and abs(values[column] - rate) <= 1e-6 * abs(rate)
    ]
    return equal[0] if len(equal) == 1 else None


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:100].lstrip("-.")
    return name or "search"
