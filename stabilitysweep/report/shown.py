"""The trials that the map of a page has: all of them, or as many as a browser takes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes
from stabilitysweep.analysis.picks import Pick
from stabilitysweep.analysis.wording import counted, spoken
from stabilitysweep.recorded import with_alike
from stabilitysweep.result import Result

MOST_TRIALS = 100_000
"""Trials that a map has at most: they take some 90 bytes each, and the page is to open at once."""


@dataclass(frozen=True)
class Shown:
    """What the map of a page is made of.

    Attributes:
        trials: rows of the trials table, in its order.
        axes: with the values that these have.
        left_out: what is not shown, in a sentence; empty if all is.
    """

    trials: pd.DataFrame
    axes: Mapping[str, Axis]
    left_out: str = ""


def shown(result: Result, picks: Sequence[Pick] = (), most: int = MOST_TRIALS) -> Shown:
    """Return what a map shows of a result.

    Of more trials than it takes these are left out: first those of the highest seeds, so that
    every cell is still there; then every other value of the longest axis, again and again, but
    for values of the picks.

    Args:
        result: with at least one trial.
        picks: cells that are to be on the map.
        most: trials that it takes, at least 1.
    """
    axes = make_axes(result.axes)
    trials = with_alike(result.trials, result.models)
    if len(trials) <= most:
        return Shown(trials, axes)
    whole, number = dict(axes), len(trials)
    said: list[str] = []
    seeds = trials["seed"].to_numpy()
    different, counts = np.unique(seeds, return_counts=True)
    kept = max(int(np.searchsorted(np.cumsum(counts), most, side="right")), 1)
    if kept < len(different):
        trials = trials.loc[seeds < different[kept]]
        said.append(f"{kept:,} of {counted(len(different), 'seed')}")
    kept_places = {name: np.arange(len(axis)) for name, axis in axes.items()}
    needed = {name: _places_of(picks, axis) for name, axis in axes.items()}
    while len(trials) > most:
        thinned = {name: _every_other(own, needed[name]) for name, own in kept_places.items()}
        able = [name for name in axes if len(thinned[name]) < len(kept_places[name])]
        if not able:
            break  # picks alone have so many cells
        longest = max(able, key=lambda name: len(kept_places[name]))
        kept_places[longest] = thinned[longest]
        codes = encode(trials[longest], whole[longest])
        trials = trials.loc[np.isin(codes, thinned[longest])]
    for name, places in kept_places.items():
        if len(places) < len(whole[name]):
            values = tuple(whole[name].values[place] for place in places)
            axes[name] = replace(axes[name], values=values)
            said.append(f"{len(values):,} of {len(whole[name]):,} values of {spoken(name)}")
    return Shown(
        trials.reset_index(drop=True),
        axes,
        f"The map has {len(trials):,} of {counted(number, 'trial')}, as many as a browser draws "
        f"at once: {', '.join(said)}. All else on this page is of all trials, and so are the "
        "figures that `plot` draws.",
    )


def _places_of(picks: Sequence[Pick], axis: Axis) -> set[int]:
    found = (axis.index_of(pick.axes[axis.name]) for pick in picks if axis.name in pick.axes)
    return {place for place in found if place is not None}


def _every_other(places: NDArray[np.int64], needed: set[int]) -> NDArray[np.int64]:
    """Every other one of some places, from the first, and those needed."""
    if len(places) < 2:
        return places
    return np.array(sorted({*places[::2].tolist(), *(needed & set(places.tolist()))}), np.int64)
