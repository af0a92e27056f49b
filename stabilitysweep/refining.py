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
        number: of the round, from 1.
        slices: that it cuts.
        trained: by this round so far; its `total` is 0 before anything is known of it.
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
    others = {name: values for name, values in source.axes.items() if name != source.rate}
    chosen = _Chosen(others, where or {})
    run = _as_before(source, workers)
    seeds = _seeds(source)
    # Refuses a result without an axis of learning rates, before anything is trained.
    known = boundaries(source.trials, source.axes, source.rate)

    def train(cells: Sequence[Cell], number: int, slices: int) -> pd.DataFrame:
        def tell(progress: Progress) -> None:
            if observe is not None:
                observe(RoundProgress(number, slices, progress))

        tell(Progress(total=0))
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
        kept = chosen.rows(known)
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
        rates = _added(known, list(source.axes), source.rate, refined, new)
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


class _Chosen:
    """The slices that are asked for."""

    def __init__(self, axes: Mapping[str, Sequence[Any]], where: Mapping[str, Any]) -> None:
        made = make_axes(axes) if axes else {}
        self._held = {}
        for name, value in where.items():
            axis = find_axis(made, name, "where")
            self._held[name] = axis, find_value(axis, value, f"where {name}")

    def rows(self, table: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows of a table of boundaries are among them."""
        kept = np.ones(len(table), dtype=np.bool_)
        for name, (axis, place) in self._held.items():
            kept &= encode(table[name], axis) == place
        return kept


def _added(
    known: pd.DataFrame,
    axes: Sequence[str],
    rate: str,
    refined: pd.DataFrame | None,
    new: Mapping[int, Sequence[float]],
) -> dict[int, list[float]]:
    """The rates of each slice beside those of the grid: the new ones, and those of before."""
    rates = {at: list(own) for at, own in new.items()}
    if refined is None:
        return rates
    others = [name for name in axes if name != rate]
    place = {row: at for at, row in enumerate(_rows(known, others))}
    for row, own in zip(_rows(refined, others), refined[rate].tolist(), strict=True):
        if row in place:
            rates.setdefault(place[row], []).append(float(own))
    return rates


def _rows(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    if not columns:
        return [()] * len(table)
    plain = (table[name].astype(object).tolist() for name in columns)
    return [tuple(map(repr, row)) for row in zip(*plain, strict=True)]


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
