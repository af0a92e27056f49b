"""The boundary in learning rate, refined: rounds of trials between the rates of a grid.

Every round trains all slices whose bracket is too wide, and all seeds, at once. What a round has
trained is stored beside the grid, so that a refinement that was stopped goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import encode, find_axis, find_value, make_axes
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.refinement import TOLERANCE, cells_of, check_tolerance, next_rates
from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.execution import ENGINES, EXECUTORS, Options, how_compiled
from stabilitysweep.folder import DATABASE, REFINED, is_begun
from stabilitysweep.followup import Cell, follow_up, refuse_changed_build
from stabilitysweep.runner import Progress
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Outcome

Place: TypeAlias = tuple[int, ...]
"""The place of a slice on each axis but the learning rate."""


@dataclass(frozen=True, slots=True)
class Source:
    """The result that is refined.

    Attributes:
        folder: the result folder.
        config: of its last run, with its base folder.
        trials: its table.
        repeated: the same, with a row for each combination that trains the same as another.
        axes: name of each axis to its values.
        rate: the axis of the learning rate.
        flags: what the last run was called with.
    """

    folder: Path
    config: SweepConfig
    trials: pd.DataFrame
    repeated: pd.DataFrame
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
    executor: str = EXECUTORS[0],
    ray_address: str | None = None,
    observe: Callable[[RoundProgress], None] | None = None,
) -> None:
    """Train rates between those of the grid until every boundary is bracketed.

    Args:
        source: the result.
        read: gives the trials table of a result folder.
        tolerance: failing / safe is to be at most 1 + tolerance.
        where: axes held at one value; only these slices are refined, or those that train the
            same.
        workers: processes, at least 1; None is one a core. Engine and compilation are those of
            the last run.
        executor: `local` or `ray`; see `Options`.
        ray_address: of the Ray cluster; see `Options`.
        observe: see `RoundProgress`.

    Raises:
        UserError: a tolerance that cannot be met, or less than one worker.
        ResultError: the learning rate is no axis of numbers, `where` names what is none, or
            data or build have changed since the sweep.
        KeyboardInterrupt: passed on; the same call goes on where it stopped.
    """
    check_tolerance(tolerance)
    target = source.folder / REFINED
    run = _as_before(source, workers, executor, ray_address)
    seeds = _seeds(source)
    # Refuses a result without an axis of learning rates, before anything is trained.
    boundaries(source.trials, source.axes, source.rate)
    asked = _asked(source, where or {})
    tried: set[tuple[Place, float]] = set()

    def train(cells: Sequence[Cell], number: int, slices: int) -> pd.DataFrame:
        before = last = Progress(0)

        def tell(progress: Progress) -> None:
            nonlocal last
            last = _sum(before, progress)
            if observe is not None:
                observe(RoundProgress(number, slices, last))

        for part in seeds:
            follow_up(
                source.config,
                target,
                cells,
                seeds=part,
                options=run,
                observe=tell,
                beside=source.folder,
            )
            before = last
        tried.update(_rates_of(source, cells))
        return read(target)

    refined = _stored(source, target, read, train)
    checked = False
    number = 0
    while True:
        known = boundaries(source.trials, source.axes, source.rate, refined)
        places = _places(source, known)
        # What was trained in this call and is still not known could not be run.
        new = {
            at: left
            for at, rates in next_rates(known, tolerance).items()
            if places[at] in asked
            and (left := [rate for rate in rates if (places[at], rate) not in tried])
        }
        if not new:
            return
        if not checked:
            ends = {at: [float(known["safe"][at])] for at in new}
            on_grid = {at: own for at, own in ends.items() if own[0] in source.axes[source.rate]}
            cells = cells_of(known, list(source.axes), source.rate, on_grid)
            refuse_changed_build(source.config, cells, source.folder)
            checked = True
        number += 1
        rates = _added(source, known, refined, new, tried)
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
    tried: Set[tuple[Place, float]],
) -> dict[int, list[float]]:
    """The rates of each slice beside those of the grid: the new ones, and those of before.

    Those that crashed in this call are left out: a later one tries them again.
    """
    rates = {at: list(own) for at, own in new.items()}
    if refined is None:
        return rates
    place = {row: at for at, row in enumerate(_places(source, known))}
    rows = list(zip(_places(source, refined), refined[source.rate].tolist(), strict=True))
    crashed = {
        row
        for row, outcome in zip(rows, refined["outcome"], strict=True)
        if outcome == Outcome.CRASHED
    }
    for row in rows:
        if row[0] in place and not (row in crashed and row in tried):
            rates.setdefault(place[row[0]], []).append(float(row[1]))
    return rates


def _asked(source: Source, where: Mapping[str, Any]) -> set[Place]:
    """The slices with the values of `where`, or that train the same as one that has them."""
    meant = source.repeated.loc[held_rows(source.repeated, source.axes, source.rate, where)]
    own = source.trials["trial_id"].isin(meant["trial_id"])
    return set(_places(source, source.trials.loc[own]))


def _rates_of(source: Source, cells: Sequence[Cell]) -> set[tuple[Place, float]]:
    """The slices and rates of the cells of a follow-up."""
    rows = [
        dict(zip(cell, values, strict=True))
        for cell in cells
        for values in product(*(v if isinstance(v, list | tuple) else [v] for v in cell.values()))
    ]
    table = pd.DataFrame(
        {name: [row.get(name) for row in rows] for name in source.axes}, dtype=object
    )
    return set(zip(_places(source, table), map(float, table[source.rate]), strict=True))


def _sum(one: Progress, other: Progress) -> Progress:
    """What two parts of a round have done."""
    return Progress(
        total=one.total + other.total,
        done=one.done + other.done,
        outcomes=Counter(one.outcomes + other.outcomes),
        seconds=one.seconds + other.seconds,
        verdicts=[*one.verdicts, *other.verdicts],
    )


def _places(source: Source, table: pd.DataFrame) -> list[Place]:
    """The place on each axis but the learning rate of every row of a table."""
    axes = make_axes(source.axes)
    codes = [encode(table[name], axes[name]).tolist() for name in axes if name != source.rate]
    return list(zip(*codes, strict=True)) if codes else [()] * len(table)


def _as_before(
    source: Source, workers: int | None, executor: str, ray_address: str | None
) -> Options:
    """Train as the sweep's last run did, wherever that is."""
    engine, compiled = source.flags.get("engine"), source.flags.get("compiled")
    return Options(
        engine=engine if engine in ENGINES else ENGINES[0],
        workers=workers,
        compiled=how_compiled(compiled),
        executor=executor,
        ray_address=ray_address,
    )


def _seeds(source: Source) -> list[range]:
    """All seeds of the table, those that follow one another together."""
    seeds = sorted({int(seed) for seed in source.trials["seed"]}) or list(source.config.seeds)
    firsts = [seed for seed in seeds if seed - 1 not in seeds]
    lasts = [seed for seed in seeds if seed + 1 not in seeds]
    return [range(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
