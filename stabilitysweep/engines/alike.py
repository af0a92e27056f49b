"""Trials that begin alike: laid out once, and evaluated once before their first step.

Notation: P places of a stack, K of them that differ in what their first evaluation depends on.

Most of a stack's trials differ in how they are trained alone. A grid of learning rates begins with
one set of weights for each seed, and has one initial loss for each strength of a penalty.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stabilitysweep.engines.compaction import UNIT, Places, take


class Alike(NamedTuple):
    """Which trials of a stack stand for which others.

    Attributes:
        first: places of trials that differ, [K], filled up to whole vectors of places by
            repeating one; see `base.VECTOR_LANES`.
        of: for each place of the stack the one in `first` that is like it, [P].
        keys: what the first evaluation of those K depends on, the data apart; stacks of a program
            with the same keys, in the same order, begin alike on the same data.
    """

    first: Places
    of: Places
    keys: tuple[Hashable, ...]


def find(keys: Sequence[Any]) -> Alike:
    """Find the trials that are alike.

    Args:
        keys: what the first evaluation of each trial depends on, comparable, and in the same
            order in every process.

    Returns:
        Those; each trial for itself where that would be no less work, or where the places of the
        stack are no whole vectors and its bits could depend on them.
    """
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    different = sorted(first)
    filled = different + different[:1] * (-len(different) % UNIT)
    if len(filled) >= len(keys) or len(keys) % UNIT:
        each = np.arange(len(keys))
        return Alike(each, each, tuple(keys))
    rank = {key: number for number, key in enumerate(different)}
    return Alike(
        np.array([first[key] for key in filled]),
        np.array([rank[key] for key in keys]),
        tuple(filled),
    )


def spread(alike: Alike, structure: Any) -> Any:
    """Return tensors [P, ...] from those of the trials in `first`, [K, ...]."""
    if len(alike.first) == len(alike.of):
        return structure
    return take(structure, alike.of)
