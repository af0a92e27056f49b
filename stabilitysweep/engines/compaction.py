"""Frozen trials are taken out of a stack, so that the others do not carry them along.

Notation: P places of a stack, A <= P of them still trained. Everything of a trial stands at its
place along the first axis of every tensor, so a smaller stack is a choice of places.

Only in the plain graph, where a trial's bits depend neither on the size of its stack nor on its
place, as long as there are whole vectors of places (see `base.VECTOR_LANES`). Under XLA they
depend on the size: such a stack keeps its places to the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.base import LEAST_PLACES, VECTOR_LANES
from stabilitysweep.types import Compiled

UNIT = max(VECTOR_LANES, LEAST_PLACES)
"""Places of which a stack is a multiple where the bits of a trial are not to depend on them."""

Places = NDArray[np.int64]


def fewest(size: int, compiled: Compiled) -> int:
    """Return the number of active trials at which a stack of P places stops to be made smaller.

    Those that fit into half the places: to leave fewer behind saves little more than the move
    costs. 0, where it is to go on to the last.
    """
    if compiled is Compiled.XLA or size % UNIT:
        return 0
    return size // (2 * UNIT) * UNIT


def chosen(active: NDArray[np.bool_]) -> Places:
    """Return the places of active trials, filled up to whole vectors with copies of the first.

    Args:
        active: bool [P], at least one true.
    """
    own = np.flatnonzero(active)
    return np.concatenate([own, np.repeat(own[:1], -len(own) % UNIT)])


def take(structure: Any, places: Places) -> Any:
    """Return the rows of some places, of every tensor [P, ...] of a structure."""
    rows = tf.constant(places)
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), structure)


def spread(readings: NDArray[np.floating], places: Places, size: int) -> NDArray[np.floating]:
    """Return readings [..., A], zero where nothing was trained, at their P places."""
    whole = np.zeros((*readings.shape[:-1], size), readings.dtype)
    whole[..., places] = readings[..., : len(places)]
    return whole


def put_back(whole: Any, places: Places, part: Any) -> Any:
    """Return `whole`, [P, ...] each, with the rows of `part`, [A, ...] each, at their places."""
    if len(places) == len(tf.nest.flatten(whole)[0]):
        return part
    rows = tf.constant(places[:, None])
    return tf.nest.map_structure(
        lambda old, new: tf.tensor_scatter_nd_update(old, rows, new[: len(places)]), whole, part
    )
