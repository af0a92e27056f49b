"""What a result folder holds: its record, its trials, its summary."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis import (
    RATE,
    Explanation,
    Summary,
    explained_rows,
    grid_order,
    recomputed_outcomes,
    summary,
    zeros_beside_twin,
)
from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.data.finding_table import finding_table
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import DATABASE
from stabilitysweep.grid import Grid
from stabilitysweep.numerics.outcomes import Thresholds, rejudge
from stabilitysweep.recorded import (
    causal_settings,
    disagreements,
    label,
    models_of,
    provenance_of,
    setting_of,
    shared_settings,
)
from stabilitysweep.result import searched
from stabilitysweep.result.saved import Saved, marked, saved
from stabilitysweep.store import (
    BUILD,
    ConfigRecord,
    Entry,
    SQLiteStore,
)
from stabilitysweep.types import Cause, Outcome, Trace


class StoredTrials:
    """The trials of a sweep, as its folder holds them.

    Attributes:
        folder: the result folder.
    """

    def __init__(self, folder: Path, thresholds: Thresholds | None = None) -> None:
        """Open a result folder; use `open_result`."""
        self.folder, self._thresholds = folder, thresholds

    def __repr__(self) -> str:
        """Name the folder and count the trials by outcome."""
        counts = ", ".join(
            f"{count:,} {name}" for name, count in self.summary.outcomes.items() if count
        )
        return f"Result({str(self.folder)!r}: {counts or 'no trials yet'})"

    @cached_property
    def _records(self) -> list[ConfigRecord]:
        with self._open() as store:
            records = store.configs()
        if not records:
            raise ResultError(f"{self.folder}: the record is empty; run the sweep first.")
        return records

    @cached_property
    def config(self) -> SweepConfig:
        """The config of the last run, relative paths based where they were then."""
        latest = self._records[-1]
        return parse_config(
            latest.resolved,
            source=str(self.folder / DATABASE),
            base_folder=latest.provenance.get("base_folder", "."),
        )

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, processor, flags, data, its audit and the thresholds of the last run."""
        with self._open() as store:
            meta = store.meta()
        if self._thresholds is not None:
            meta["thresholds"] = asdict(self._thresholds)
        return provenance_of(self._records[-1], meta)

    @property
    def models(self) -> Mapping[str, Any]:
        """What a user's models are; see `building.models_in_words`."""
        return models_of(self._records[-1])

    @property
    def not_stacked(self) -> list[str]:
        """Why programs of a user's models were trained one by one, a line for each program."""
        return disagreements(self.provenance)

    @property
    def rate(self) -> str:
        """The axis that holds the learning rate; `learning_rate` also if there is none."""
        if self.config.recorded is not None:
            return self.config.recorded.rate or RATE
        return str(self.models.get("rate") or RATE)

    @property
    def audit(self) -> pd.DataFrame:
        """What the audit of the last run's data found, as `stabilitysweep.audit` returns it.

        Empty for a result of before there was an audit.
        """
        return finding_table(self._records[-1].provenance.get("audit", {}))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials table: one row a trial, in the order of the grid.

        An axis of an earlier config that is one no longer keeps its column, after the
        others, as long as trials differ in it. `cause` and `cause_text` follow from the table,
        the traces and the thresholds.
        """
        if self._saved is not None:
            return self._saved.table
        table = self._measured.copy(deep=False)
        if self.config.recorded is not None:
            settings = searched.settings_of(table)
        else:
            settings = causal_settings(self._records[-1])
        causes, texts = (np.full(len(table), None, object) for _ in range(2))
        # Traces are read one by one, and none is kept: together they may be larger than all else.
        with self._open() as store:
            for row, found in explained_rows(table, self.axes, settings, store.trace, self.rate):
                causes[row], texts[row] = found.cause.value, found.sentence
        table["cause"] = pd.Series(causes, dtype=object, copy=False)
        place = list(table.columns).index("cause") + 1
        table.insert(place, "cause_text", pd.Series(texts, dtype=object, copy=False))
        return table

    @cached_property
    def _ids(self) -> pd.Index[Any]:
        index: pd.Index[Any] = pd.Index(self.trials["trial_id"], dtype=object)
        return index

    @cached_property
    def _saved(self) -> Saved | None:
        """What the file of a large result tells; None if there is none, or it is outdated."""
        if self._thresholds is not None or self.config.recorded is not None:
            return None
        with self._open() as store:
            return saved(self.folder, store)

    def _marked(self) -> pd.DataFrame:
        """The trials table, as it is to be written so that `_saved` finds it."""
        with self._open() as store:
            return marked(self.trials, store, self.wanted)

    @cached_property
    def _measured(self) -> pd.DataFrame:
        """The trials table as far as each trial was measured by itself or beside its twin."""
        if self._saved is not None:
            return self._saved.table
        named = list(self.config.grid)
        earlier = [name for record in self._records for name in record.resolved["grid"]]
        names = list(dict.fromkeys([*named, *earlier]))
        recorded = self.config.recorded is not None
        wanted = [*names, searched.OF_SEARCH] if recorded else names
        default = _never_asked if recorded else setting_of
        with self._open() as store:
            table = store.table(wanted, defaults=default, metrics=self.config.training.metrics)
        more = pd.DataFrame(index=table.index)
        if recorded:
            table, more = searched.taken_apart(table, self.config)
        # A model that cannot be built is told of by the run that tried it last.
        outdated = (table["engine"] == BUILD) & ~table["trial_id"].isin(
            self.models.get("failed", ())
        )
        if outdated.any():
            table = table.loc[~outdated].reset_index(drop=True)
        if self._thresholds is not None:
            table["outcome"] = recomputed_outcomes(table, self._thresholds)
        alike = [name for name in names if name not in named and table[name].nunique() <= 1]
        table = table.drop(columns=alike)
        names = [name for name in names if name not in alike]
        place = list(table.columns).index("zero_gradients") + 1
        # Trials of a search share bins, so that a trial may have several twins.
        excess, lost = zeros_beside_twin(table, [] if recorded else names)
        table.insert(place, "excess_zero_gradients", excess)
        table.insert(place + 1, "lost_gradients", lost)
        order = [
            grid_order(table[name], [label(value) for value in self.config.values(name)])
            for name in names
        ]
        rows = np.lexsort([table["seed"], *reversed(order)])
        if recorded:
            table = pd.concat([table, more], axis=1)
        return _reordered(table, rows)

    @cached_property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of each axis: those of the grid in its order, then others stored."""
        columns = list(self._measured.columns)
        names = columns[columns.index("trial_id") + 1 : columns.index("seed")]
        axes: dict[str, tuple[Any, ...]] = {}
        recorded = self.config.recorded is not None
        of_grid = self.models.get("axes") or (self.config.grid if recorded else self._grid.axes)
        for name in names:
            wanted = tuple(of_grid.get(name, ()))
            stored = self._measured[name].drop_duplicates().tolist()
            if recorded:  # what a search never tried says nothing
                wanted = tuple(value for value in wanted if value in stored)
            axes[name] = (*wanted, *(value for value in stored if value not in wanted))
        return axes

    @cached_property
    def wanted(self) -> int:
        """Number of trials the result has when the sweep is complete; of a search those it has."""
        if self.config.recorded is not None:
            return len(self.trials)
        if self.models:
            return int(self.models["trials"] + self.models["beside"])
        if self._saved is not None:
            return self._saved.wanted
        stored = set(self.trials["trial_id"])
        return len(stored) + sum(own not in stored for own in self._grid.ids())

    @cached_property
    def summary(self) -> Summary:
        """Trials by outcome, earliest onset, largest stable learning rate."""
        scattered = self.config.recorded is not None
        found = summary(self.trials, self.axes, self.wanted, self.rate, scattered=scattered)
        if scattered:  # a search tries few of the cells that there are
            return replace(found, cells=len(self.trials[list(self.axes)].drop_duplicates()))
        if self.config.cells is not None:
            selected = int(self.models["cells"]) if self.models else self._grid.cells
            return replace(found, cells=max(selected, found.cells_measured))
        return replace(found, cells=found.cells - len(self.models.get("alike", ())))

    def trial(self, prefix: str) -> Entry:
        """Return one trial with its trace, by its id or the beginning of it.

        Raises:
            ResultError: no trial, or more than one, begins so; close ids are listed.
        """
        with self._open() as store:
            entry = store.result(store.find(prefix))
        stored = entry.result
        explanation = self.explain(stored.trial_id)
        outcome = stored.outcome
        if self._thresholds is not None:
            losses = stored.initial_loss, stored.final_loss
            outcome = rejudge(outcome, *losses, self._thresholds)
        cause = None if explanation is None else explanation.cause.value
        return entry._replace(result=replace(stored, outcome=outcome, cause=cause))

    def traces(self, trial_ids: Collection[str] | None = None) -> Mapping[str, Trace]:
        """Return the curves of trials that have some, by id; of all trials if None are named."""
        wanted = self.trials["trial_id"].tolist() if trial_ids is None else trial_ids
        with self._open() as store:
            return store.traces(wanted)

    def explain(self, trial_id: str) -> Explanation | None:
        """Return why a trial failed, see docs/causes.md; None if it did not.

        A trial that stalled has a cause if float16 lost what it would have learnt.
        """
        (row,) = self._ids.get_indexer(pd.Index([trial_id], dtype=object)).tolist()
        if row < 0:
            return None
        cause, text = (self.trials[name].to_numpy()[row] for name in ("cause", "cause_text"))
        return None if cause is None else Explanation(Cause(cause), text)

    def settings(self, trial_id: str) -> dict[str, Any]:
        """Return a trial's value on each axis, and its seed; of a search also the exact values.

        Raises:
            ResultError: there is no trial of this id.
        """
        rows = self.trials.loc[self.trials["trial_id"] == trial_id]
        if rows.empty:
            raise ResultError(f"{self.folder}: there is no trial {trial_id!r}.")
        names = [*self.axes, *searched.hp_columns(self.trials, self.config), "seed"]
        return dict(zip(names, rows[names].astype(object).iloc[0].tolist(), strict=True))

    @cached_property
    def fixed(self) -> dict[str, Any]:
        """The settings that all trials share, those that are off left out."""
        return shared_settings(self.config, self.models)

    def first_crash(self) -> Entry | None:
        """Return the first crashed trial of the table, None if none crashed."""
        crashed = self.trials.loc[self.trials["outcome"] == Outcome.CRASHED, "trial_id"]
        return None if crashed.empty else self.trial(str(crashed.iloc[0]))

    def to_json(self) -> dict[str, Any]:
        """Return the summary and the provenance, as `summary.json` has them."""
        return {**self.summary.to_json(), "provenance": dict(self.provenance)}

    def trial_to_json(self, prefix: str) -> dict[str, Any]:
        """Return all that is known of one trial, for `write_json`.

        Raises:
            ResultError: see `trial`.
        """
        result = self.trial(prefix).result
        explanation = self.explain(result.trial_id)
        sentence = None if explanation is None else explanation.sentence
        settings = self.settings(result.trial_id)
        return {**asdict(result), "cause_text": sentence, "settings": settings}

    @property
    def thresholds(self) -> Thresholds | None:
        """The thresholds by which the trials are judged anew; None for the stored outcomes."""
        return self._thresholds

    @cached_property
    def _grid(self) -> Grid:
        rows = self._records[-1].provenance.get("training_rows")
        return Grid(self.config, None if rows is None else lambda dataset: int(rows[dataset.label]))

    def _open(self) -> SQLiteStore:
        return SQLiteStore(self.folder / DATABASE, read_only=True)


def _reordered(table: pd.DataFrame, rows: NDArray[np.intp]) -> pd.DataFrame:
    """The rows of a table in another order.

    It is emptied, column by column, as each is taken over: of a large table there is room for one.
    """
    columns = {}
    for name in list(table.columns):
        column = table.pop(name)
        columns[name] = pd.Series(column.array.take(rows), dtype=column.dtype, copy=False)
    return pd.DataFrame(columns, copy=False)


def _never_asked(axis: str, record: ConfigRecord) -> None:
    """Of a trial of a search that an `hp` came after: it was not active."""
