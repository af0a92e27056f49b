"""The boundary in learning rate, refined: rounds of trials between the rates of a grid.

Every round trains all slices whose bracket is too wide, and all seeds, at once. What a round has
trained is stored beside the grid, so that a refinement that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import encode, find_axis, find_value, make_axes
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.refinement import TOLERANCE, cells_of, check_tolerance, next_rates
from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.execution import ENGINES, Options
from stabilitysweep.folder import DATABASE, REFINED, is_begun
from stabilitysweep.followup import Cell, follow_up, refuse_changed_build
from stabilitysweep.runner import Progress
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Compiled


@dataclass(frozen=True, slots=True)
class Source:
    """The result that is refined.

    Attributes:
        folder: the result folder.
        config: of its last run, with its base folder.
        trials: its table.
        axes: name of each axis to its values.
        rate: the axis of the learning rate.
        flags: what the last run was called with.
    """

    folder: Path
    config: SweepConfig
    trials: pd.DataFrame
    axes: Mapping[str, Sequence[Any]]
    rate: str
    flags: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """How far a refinement is, handed to its observer before each round and after every stack.

    Attributes:
        number: of the round, from 1; 0 is what a call that was stopped has left.
        slices: that it cuts.
        trained: by this round so far.
    """

    number: int
    slices: int
    trained: Progress


def refine(
    source: Source,
    read: Callable[[Path], pd.DataFrame],
    *,
    tolerance: float = TOLERANCE,
    where: Mapping[str, Any] | None = None,
    workers: int | None = None,
    observe: Callable[[RoundProgress], None] | None = None,
) -> None:
    """Train rates between those of the grid until every boundary is bracketed.

    Args:
        source: the result.
        read: gives the trials table of a result folder.
        tolerance: failing / safe is to be at most 1 + tolerance.
        where: axes held at one value; only these slices are refined.
        workers: processes, at least 1; None is one a core. Engine and compilation are those of
            the last run.
        observe: see `RoundProgress`.

    Raises:
        UserError: a tolerance that cannot be met, or less than one worker.
        ResultError: the learning rate is no axis of numbers, `where` names what is none, or
            data or build have changed since the sweep.
        KeyboardInterrupt: passed on; the same call goes on where it stopped.
    """
    check_tolerance(tolerance)
    target = source.folder / REFINED
    run = _as_before(source, workers)
    seeds = _seeds(source)
    # Refuses a result without an axis of learning rates, before anything is trained.
    known = boundaries(source.trials, source.axes, source.rate)
    held_rows(known, source.axes, source.rate, where or {})

    def train(cells: Sequence[Cell], number: int, slices: int) -> pd.DataFrame:
        def tell(progress: Progress) -> None:
            if observe is not None:
                observe(RoundProgress(number, slices, progress))

        follow_up(
            source.config,
            target,
            cells,
            seeds=seeds,
            options=run,
            observe=tell,
            beside=source.folder,
        )
        return read(target)

    refined = _stored(source, target, read, train)
    checked = False
    asked: dict[int, list[float]] = {}
    number = 0
    while True:
        known = boundaries(source.trials, source.axes, source.rate, refined)
        kept = held_rows(known, source.axes, source.rate, where or {})
        new = {at: rates for at, rates in next_rates(known, tolerance).items() if kept[at]}
        # What was asked for and is still not known could not be run.
        new = {at: rates for at, rates in new.items() if asked.get(at) != rates}
        if not new:
            return
        if not checked:
            ends = {at: [float(known["safe"][at])] for at in new}
            on_grid = {at: own for at, own in ends.items() if own[0] in source.axes[source.rate]}
            cells = cells_of(known, list(source.axes), source.rate, on_grid)
            refuse_changed_build(source.config, cells, source.folder)
            checked = True
        number += 1
        asked = new
        rates = _added(source, known, refined, new)
        refined = train(cells_of(known, list(source.axes), source.rate, rates), number, len(new))


def _stored(
    source: Source,
    target: Path,
    read: Callable[[Path], pd.DataFrame],
    train: Callable[[Sequence[Cell], int, int], pd.DataFrame],
) -> pd.DataFrame | None:
    """What earlier calls have trained, the round that was stopped brought to its end."""
    if not is_begun(target):
        return None
    with SQLiteStore(target / DATABASE, read_only=True) as store:
        latest = store.latest_config()
    if latest is None:
        return None
    config = parse_config(latest.resolved, base_folder=source.config.base_folder)
    cells = [dict(cell) for cell in config.cells or ()]
    return train(cells, 0, len(cells)) if cells else read(target)


def held_rows(
    table: pd.DataFrame,
    axes: Mapping[str, Sequence[Any]],
    rate: str,
    where: Mapping[str, Any],
) -> NDArray[np.bool_]:
    """Say which rows of a table of boundaries have the values of `where`.

    Args:
        table: see `analysis.brackets.boundaries`.
        axes: name of each axis to its values.
        rate: the axis of the learning rate, which has none.
        where: axes held at one value, as name to value or its text.

    Raises:
        ResultError: no such axis, or no such value on it.
    """
    made = make_axes(axes)
    others = {name: axis for name, axis in made.items() if name != rate}
    kept = np.ones(len(table), dtype=np.bool_)
    for name, value in where.items():
        axis = find_axis(others, name, "where")
        kept &= encode(table[name], axis) == find_value(axis, value, f"where {name}")
    return kept


def _added(
    source: Source,
    known: pd.DataFrame,
    refined: pd.DataFrame | None,
    new: Mapping[int, Sequence[float]],
) -> dict[int, list[float]]:
    """The rates of each slice beside those of the grid: the new ones, and those of before."""
    rates = {at: list(own) for at, own in new.items()}
    if refined is None:
        return rates
    place = {row: at for at, row in enumerate(_places(source, known))}
    for row, own in zip(_places(source, refined), refined[source.rate].tolist(), strict=True):
        if row in place:
            rates.setdefault(place[row], []).append(float(own))
    return rates


def _places(source: Source, table: pd.DataFrame) -> list[tuple[int, ...]]:
    """The place on each axis but the learning rate of every row of a table."""
    axes = make_axes(source.axes)
    codes = [encode(table[name], axes[name]).tolist() for name in axes if name != source.rate]
    return list(zip(*codes, strict=True)) if codes else [()] * len(table)


def _as_before(source: Source, workers: int | None) -> Options:
    """Train as the sweep's last run did."""
    engine, compiled = source.flags.get("engine"), source.flags.get("compiled")
    return Options(
        engine=engine if engine in ENGINES else ENGINES[0],
        workers=workers,
        compiled=Compiled(compiled) if compiled in set(Compiled) else Compiled.GRAPH,
    )


def _seeds(source: Source) -> range:
    """All seeds of the table, if they follow one another; else those of the last run."""
    seeds = sorted(set(source.trials["seed"].tolist()))
    if seeds and seeds[-1] - seeds[0] + 1 == len(seeds):
        return range(int(seeds[0]), int(seeds[-1]) + 1)
    return source.config.seeds
