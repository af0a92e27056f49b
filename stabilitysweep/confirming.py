"""The long run that proves a pick: cells of a sweep trained again, longer and with fresh seeds.

What is stored is not trained again, so an interrupted confirmation goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.analysis.survival import Survival, of_trials, survivals
from stabilitysweep.config import DATASET, DatasetSettings, SweepConfig, parse_config
from stabilitysweep.config.selection import cell_key
from stabilitysweep.errors import UserError
from stabilitysweep.execution import Options, carry_out, plan
from stabilitysweep.folder import DATABASE, holds_record, is_begun
from stabilitysweep.followup import derived, refuse_changes
from stabilitysweep.grid import Grid
from stabilitysweep.longruns import CONFIRMED, Budget, Cell, CellVerdict, Confirmation, Tried
from stabilitysweep.runner import Progress, Sweep
from stabilitysweep.store import SQLiteStore


def confirm(
    config: SweepConfig,
    folder: Path,
    cells: Sequence[Cell],
    *,
    axes: Mapping[str, Sequence[Any]],
    known: Iterable[int],
    budget: Budget,
    seeds: range,
    until: int | None,
    options: Options,
    read: Callable[[Path], pd.DataFrame],
    observe: Callable[[Progress], None] | None = None,
) -> Confirmation:
    """Train cells for the long run, all of them or until enough have survived.

    Args:
        config: the sweep's.
        folder: its result folder.
        cells: what to train, best first.
        axes: the values of each axis of the sweep.
        known: the seeds of the sweep itself; runs of these do not count.
        budget: how long.
        seeds: which seeds.
        until: train one after another until so many have survived, at least 1: as many at
            once as are still lacking. None trains all of them at once.
        options: how to run it.
        read: gives the trials table of a result folder.
        observe: called after every stack, with the numbers of all that is trained here.

    Raises:
        UserError: the data cannot be used, or the folder's long runs were of another sweep.
        KeyboardInterrupt: passed on; the same call goes on where it stopped.
    """
    if until is not None and until < 1:
        raise UserError(f"until: expected at least 1, got {until}.")
    target = folder / CONFIRMED / budget.folder
    seen, count = set(known), _Counting(observe)
    waiting, tried = list(cells), list[Tried]()
    while waiting:
        lacking = len(waiting)
        if until is not None:
            lacking = until - sum(each.verdict is CellVerdict.SURVIVED for each in tried)
        if lacking <= 0:
            break
        now, waiting = waiting[:lacking], waiting[lacking:]
        todo = plan(_long(config, target, now, axes, budget, seeds), target, options)
        refuse_changes(todo.sweep, folder)
        carry_out(todo, count)
        count.close()
        trials = read(target)
        found = survivals(trials, axes, seen)
        stored = set(trials["trial_id"])
        for cell, ids in zip(now, _planned(todo.sweep), strict=True):
            runs = of_trials(found, trials, ids, axes)
            tried.append(_judged(cell, tuple(runs), whole=bool(ids) and ids <= stored))
    return Confirmation(target, budget, seeds, until, tuple(tried), len(waiting))


def _long(
    config: SweepConfig,
    target: Path,
    cells: Sequence[Cell],
    axes: Mapping[str, Sequence[Any]],
    budget: Budget,
    seeds: range,
) -> SweepConfig:
    """The config of a long run: on each axis also the values that earlier ones have there.

    Without a value in common, those would be refused as runs of another sweep.
    """
    whole = [
        {name: cell.get(name, list(values)) for name, values in axes.items()} for cell in cells
    ]
    new = derived(config, whole, seeds=seeds, steps=budget.steps, epochs=budget.epochs)
    earlier = _stored_config(target)
    if earlier is None:
        return new
    content, known = new.resolved(), earlier.resolved()
    for name, values in content["grid"].items():
        if name == DATASET:
            labels = {dataset.label for dataset in new.datasets}
            plain = known["grid"].get(DATASET) or [known[DATASET]]
            pairs = zip(earlier.datasets, plain, strict=True)
            values += [own for dataset, own in pairs if dataset.label not in labels]
        else:
            keys = set(map(cell_key, values))
            values += [value for value in earlier.values(name) if cell_key(value) not in keys]
    return parse_config(content, source="the long run", base_folder=new.base_folder)


def _stored_config(folder: Path) -> SweepConfig | None:
    """The config of the last run into a folder; None if nothing was run there."""
    if not holds_record(folder) or not is_begun(folder):
        return None
    with SQLiteStore(folder / DATABASE, read_only=True) as store:
        latest = store.latest_config()
    return None if latest is None else parse_config(latest.resolved)


def _planned(sweep: Sweep) -> list[set[str]]:
    """The ids of the trials that each entry of `cells` of a long run's config asks for.

    They need not have the values of the entry: a batch size may be larger than a data set.
    """
    ids: dict[tuple[Any, ...], set[str]] = {}
    for trial in sweep.grid:
        ids.setdefault(_place(trial.axes), set()).add(trial.trial_id)
    for own, cell in sweep.grid.alike:
        ids.setdefault(_place(own), ids[_place(cell)])

    def rows(dataset: DatasetSettings) -> int:
        return sweep.training_rows[dataset.label]

    found = []
    for entry in sweep.config.cells or ():
        update = {"cells": (entry,), "seeds": sweep.config.seeds[:1]}
        alone = Grid(sweep.config.model_copy(update=update), rows)
        asked = (ids.get(_place(trial.axes), set()) for trial in alone)
        found.append(set().union(*asked))
    return found


def _place(axes: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((name, cell_key(axes[name])) for name in sorted(axes))


def _judged(cell: Cell, runs: tuple[Survival, ...], *, whole: bool) -> Tried:
    """The verdict on a cell; `whole` if all of its trials are stored."""
    if any(each.failures for each in runs):
        return Tried(cell, runs, CellVerdict.WITHDRAWN)
    measured = whole and bool(runs) and all(each.runs and not each.crashed for each in runs)
    return Tried(cell, runs, CellVerdict.SURVIVED if measured else CellVerdict.UNKNOWN)


class _Counting:
    """Adds the numbers of one training to those of the trainings before it."""

    def __init__(self, observe: Callable[[Progress], None] | None) -> None:
        self._observe = observe
        self._before = self._now = Progress(0)

    def __call__(self, progress: Progress) -> None:
        before = self._before
        self._now = replace(
            progress,
            total=before.total + progress.total,
            done=before.done + progress.done,
            outcomes=before.outcomes + progress.outcomes,
            seconds=before.seconds + progress.seconds,
            verdicts=[*before.verdicts, *progress.verdicts],
        )
        if self._observe is not None:
            self._observe(self._now)

    def close(self) -> None:
        """Count what follows as another training."""
        self._before = self._now
