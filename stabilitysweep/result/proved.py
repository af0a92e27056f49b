"""The long runs of a result: those that it holds, and which cells are meant to be given one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from stabilitysweep.analysis.axes import Axis, find_axis, find_value, make_axes, value_label
from stabilitysweep.analysis.picks import Pick
from stabilitysweep.analysis.survival import distinct_cells, rows_where, survival_table, survivals
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.config import DATASET, DatasetSettings, SweepConfig, parse_config
from stabilitysweep.config.selection import cell_key
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import DATABASE
from stabilitysweep.grid import Grid
from stabilitysweep.longruns import (
    Budget,
    Cell,
    Confirmation,
    LongRuns,
    fresh_seeds,
    long_run,
    stored_long_runs,
)
from stabilitysweep.recorded import models_of, with_alike
from stabilitysweep.result.recommending import fixed_values
from stabilitysweep.result.stored import StoredTrials
from stabilitysweep.store import SQLiteStore

if TYPE_CHECKING:
    from stabilitysweep.runner import Progress

Opened: TypeAlias = Callable[[Path], StoredTrials]
"""Opens a result folder."""


def long_runs(result: StoredTrials, opened: Opened) -> list[LongRuns]:
    """Read the long runs of a result, the shortest first."""
    found: list[LongRuns] = []
    for budget, place in stored_long_runs(result.folder):
        own = opened(place)
        cells = survivals(own.trials, result.axes, _seeds(result))
        found.append(LongRuns(budget, place, tuple(cells), _missing(place, own.trials)))
    return found


def withdrawn(
    result: StoredTrials, found: Iterable[LongRuns], besides: Budget | None = None
) -> list[Withdrawn]:
    """Return the cells that long runs have withdrawn, by the shortest that failed first.

    With a cell go all combinations that train the same.

    Args:
        result: whose long runs they are.
        found: the long runs.
        besides: a budget that does not count.
    """
    alike = _Alike([result.models])
    return [
        Withdrawn(cell, len(runs.failures), runs.runs, str(each.budget))
        for each in found
        if each.budget != besides
        for runs in each.cells
        if runs.failures
        for cell in alike.all_of(runs.settings)
    ]


class _Alike:
    """Combinations of a user's build that train the same."""

    def __init__(self, models: Iterable[Mapping[str, Any]]) -> None:
        """Join what several runs have found; see `building.models_in_words`."""
        self._cell_of: dict[_Key, dict[str, Any]] = {}
        self._others: dict[_Key, list[dict[str, Any]]] = {}
        for each in models:
            names = list(each.get("axes", ()))
            for pair in each.get("alike", ()):
                own, cell = (dict(zip(names, values, strict=True)) for values in pair)
                self._cell_of.setdefault(_key(own), self.trained(cell))
                self._others.setdefault(_key(self.trained(cell)), []).append(own)

    def trained(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """The one that is trained for all of them; the cell itself if there are no others."""
        return self._cell_of.get(_key(cell), dict(cell))

    def all_of(self, cell: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All of them, the one that is trained first."""
        trained = self.trained(cell)
        return [trained, *self._others.get(_key(trained), ())]


_Key: TypeAlias = tuple[tuple[str, tuple[bool, Any]], ...]


def _key(settings: Mapping[str, Any]) -> _Key:
    return tuple((name, cell_key(settings[name])) for name in sorted(settings))


def _missing(folder: Path, trials: pd.DataFrame) -> int:
    """How many of the runs that any confirmation into a folder has asked for are not stored.

    Without the build, the trials of a user's models are told by their settings.
    """
    with SQLiteStore(folder / DATABASE, read_only=True) as store:
        records = store.configs()
    alike = _Alike([models_of(record) for record in records])
    ids = set(trials["trial_id"])
    lacking: set[Any] = set()
    for record in records:
        config = parse_config(record.resolved)
        grid = _grid(config, record.provenance.get("training_rows"))
        if config.model.build is None:
            lacking |= {trial.trial_id for trial in grid} - ids
            continue
        names = [name for name in config.grid if name in trials]

        def place(
            axes: Mapping[str, Any], seed: int, names: Sequence[str] = names
        ) -> tuple[_Key, int]:
            known = {name: None if axes[name] != axes[name] else axes[name] for name in names}
            return _key(alike.trained(known)), seed

        columns = [trials[name].tolist() for name in [*names, "seed"]]
        rows = (dict(zip([*names, "seed"], row, strict=True)) for row in zip(*columns, strict=True))
        stored = {place(row, row["seed"]) for row in rows}
        lacking |= {place(trial.axes, trial.seed) for trial in grid} - stored
    return len(lacking)


def _grid(config: SweepConfig, rows: Mapping[str, int] | None) -> Grid:
    def of(dataset: DatasetSettings) -> int:
        return int((rows or {})[dataset.label])

    return Grid(config, None if rows is None else of)


def confirmations(found: Iterable[LongRuns]) -> pd.DataFrame:
    """Return long runs as a table, see `Result.confirmations`."""
    return survival_table(
        [
            ({"steps": each.budget.steps, "epochs": each.budget.epochs}, runs)
            for each in found
            for runs in each.cells
        ]
    )


def asked(
    result: StoredTrials,
    cells: Iterable[Pick | Mapping[str, Any]] | None,
    where: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """Return the cells given; without any, those of the grid that have the values of `where`.

    A cell of the grid is one for all data sets, unless `where` names one. Each is returned once,
    with the values as the sweep has them.

    Raises:
        ResultError: both are given, there is no such cell, or an axis or value that there is not.
    """
    if cells is not None and where:
        raise ResultError("expected cells, or where to find them, got both.")
    if cells is not None:
        axes = make_axes(result.axes)
        once: dict[tuple[tuple[int, ...], ...], dict[str, Any]] = {}
        for cell in cells:
            places = _places(result, axes, cell.axes if isinstance(cell, Pick) else cell)
            plain = {name: [axes[name].values[at] for at in own] for name, own in places.items()}
            key = tuple(
                tuple(sorted(places.get(name, range(len(axis))))) for name, axis in axes.items()
            )
            single = {name: own[0] if len(own) == 1 else own for name, own in plain.items()}
            once.setdefault(key, single)
        found = list(once.values())
    else:
        repeated = with_alike(result.trials, result.models)
        meant = rows_where(repeated, result.axes, where or {})["trial_id"]
        names = [name for name in result.axes if name != DATASET or name in (where or {})]
        rows = result.trials.loc[result.trials["trial_id"].isin(meant)]
        found = distinct_cells(rows, result.axes, names or list(result.axes))
    if not found:
        raise ResultError("expected at least one cell to confirm, got none.")
    return found


def refuse_picking(**given: Any) -> None:
    """Refuse what says how to pick cells, where they are given.

    Args:
        given: each with its value, None if it was left out.

    Raises:
        ResultError: one was not.
    """
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ResultError(
            f"expected cells to confirm (cells, where), or how to pick them ({', '.join(given)}), "
            f"got both: {', '.join(names)} can only be used without cells and where."
        )


def _places(
    result: StoredTrials, axes: Mapping[str, Axis], cell: Mapping[str, Any]
) -> dict[str, list[int]]:
    """The places on the axes of what a cell names; a setting that all trials share is no axis."""
    if not isinstance(cell, Mapping):
        raise ResultError(f"cells: expected picks, or mappings from axes to values, got {cell!r}.")
    found: dict[str, list[int]] = {}
    for name, given in cell.items():
        several = isinstance(given, list | tuple) and not isinstance(given, str)
        if several and name in axes and axes[name].index_of(given) is not None:
            several = False  # a value that is a list itself
        values = list(given) if several else [given]
        if not values:
            raise ResultError(f"cells: expected at least one value of {name}, got none.")
        if name in axes:
            places = [find_value(axes[name], value, f"cells: {name}") for value in values]
            found[name] = list(dict.fromkeys(places))
            continue
        shared = fixed_values(result, name)
        if len(shared) != 1:
            find_axis(axes, name, "cells")  # says which there are
        only = Axis(name, (shared[0],), numeric=False)
        if any(only.index_of(value) is None for value in values):
            raise ResultError(
                f"cells: expected {name} {value_label(shared[0])}, which all trials of the sweep "
                f"have, got {value_label(given)}."
            )
    return found


def confirm(
    result: StoredTrials,
    cells: Sequence[Cell],
    *,
    steps: int | None,
    seeds: int,
    until: int | None,
    place: Mapping[str, Any],
    observe: Callable[[Progress], None] | None,
    opened: Opened,
) -> Confirmation:
    """Train cells of a result for the long run; see `Result.confirm`."""
    from stabilitysweep import confirming, execution  # slow to import, and not wanted to read

    known = _seeds(result)
    compiled = result.provenance.get("flags", {}).get("compiled")
    options = execution.Options(
        compiled=execution.how_compiled(compiled),
        **place,
    )
    with execution.attached(options):
        return confirming.confirm(
            result.config,
            result.folder,
            cells,
            axes=result.axes,
            known=known,
            budget=long_run(result.config, steps),
            seeds=fresh_seeds(result.config, known, seeds),
            until=until,
            options=options,
            read=lambda folder: opened(folder).trials,
            observe=observe,
        )


def _seeds(result: StoredTrials) -> list[int]:
    """The seeds that the sweep itself has."""
    return [int(seed) for seed in result.trials["seed"].unique()]
