"""Where an axis' values lie in a panel, and what is written beside them.

A numeric axis is drawn true, in logarithms or linearly, whichever spaces its values more
evenly; cell edges are midway between values on that scale. A categorical axis, and a
numeric one of few or irregular values (l2 of 0, 1e-4, 1e-2; depth of 1, 2, 4, 8), becomes
cells of equal size labelled with their values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stabilitysweep.analysis import Axis
from stabilitysweep.analysis.spacing import Spacing, spacing
from stabilitysweep.figures import style, text

_TURNED = 13.5  # points between labels at 45 degrees
_LABELLED = 12  # values: up to here a true axis is labelled at its values, if they fit


@dataclass(frozen=True, slots=True)
class Ticks:
    """Marks along an axis.

    Attributes:
        positions: float64 [T], in data coordinates.
        labels: T texts.
        minor: float64 [M], in data coordinates, without labels.
        rotated: whether the labels stand at 45 degrees.
    """

    positions: NDArray[np.float64]
    labels: tuple[str, ...]
    minor: NDArray[np.float64]
    rotated: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """The cells along one axis of a panel.

    Attributes:
        kind: how data coordinates are drawn.
        edges: float64 [n + 1], increasing, in data coordinates.
        labels: n texts, one a cell.
        values: float64 [n], the positions of the values themselves.
    """

    kind: Spacing
    edges: NDArray[np.float64]
    labels: tuple[str, ...]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.labels)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Midpoints of the cells as drawn, float64 [n]."""
        if self.kind == "log":
            return np.asarray(np.sqrt(self.edges[1:] * self.edges[:-1]))
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    def fractions(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions in data coordinates as parts of the axis' length, 0 to 1."""
        low, high = self._drawn(self.edges[[0, -1]])
        return np.asarray((self._drawn(positions) - low) / (high - low))

    @property
    def smallest(self) -> float:
        """The smallest cell's part of the axis' length."""
        return float(np.diff(self.fractions(self.edges)).min())

    def _drawn(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log10(positions) if self.kind == "log" else positions


def make_scale(axis: Axis | None) -> Scale:
    """Chooses how to draw an axis; None is one unlabelled cell."""
    if axis is None:
        return Scale("category", np.array([-0.5, 0.5]), ("",), np.zeros(1))
    kind = spacing(axis)
    if kind == "category":
        places = np.arange(len(axis), dtype=np.float64)
        return Scale(kind, np.arange(len(axis) + 1, dtype=np.float64) - 0.5, axis.labels, places)
    drawn: NDArray[np.float64] = np.log10(axis.numbers) if kind == "log" else axis.numbers
    middle = (drawn[1:] + drawn[:-1]) / 2
    first, last = drawn[0] - (middle[0] - drawn[0]), drawn[-1] + (drawn[-1] - middle[-1])
    edges = np.concatenate([[first], middle, [last]]).astype(np.float64)
    return Scale(kind, np.power(10.0, edges) if kind == "log" else edges, axis.labels, axis.numbers)


def place(scale: Scale, axis: Axis, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Data coordinates of numbers between an axis' values; NaN where outside the panel.

    On cells of equal size a number lies between its neighbours' centres by its logarithm, and
    the outer cells go on as their neighbours do.

    Args:
        scale: the axis' scale.
        axis: a numeric axis of positive values.
        values: positive numbers, any shape; NaN stays NaN.
    """
    places = np.array(values, dtype=np.float64)
    if scale.kind == "category":
        known = np.log(axis.numbers)
        if len(known) == 1:
            return np.full(places.shape, np.nan)
        ends = [1.5 * known[0] - 0.5 * known[1], 1.5 * known[-1] - 0.5 * known[-2]]
        drawn = np.concatenate([ends[:1], known, ends[1:]])
        at = np.concatenate([scale.edges[:1], scale.values, scale.edges[-1:]])
        places = np.interp(np.log(places), drawn, at, left=np.nan, right=np.nan)
    inside = (places >= scale.edges[0]) & (places <= scale.edges[-1])
    return np.where(inside, places, np.nan)


def horizontal_ticks(scale: Scale, length: float) -> Ticks:
    """Ticks along an axis drawn `length` points long from left to right."""
    widths = [text.width(label, style.TICK_SIZE) for label in scale.labels]
    spacing = scale.smallest * length
    fits = max(widths) + 5 <= spacing
    if scale.kind == "category":
        if fits:
            return _all_values(scale)
        upright = max(1, math.ceil((max(widths) + 5) / spacing))
        # Numbers stay upright and lose some labels; names are turned and keep them.
        if _is_numeric(scale) and len(scale) / upright >= 4:
            return _every(scale, upright)
        return _every(scale, max(1, math.ceil(_TURNED / spacing)), rotated=True)
    if fits and len(scale) <= _LABELLED and not _on_decades(scale):
        return _all_values(scale)
    return true_ticks(scale, length, per_label=30.0)


def vertical_ticks(scale: Scale, length: float) -> Ticks:
    """Ticks along an axis drawn `length` points high."""
    line = style.TICK_SIZE * 1.35
    spacing = scale.smallest * length
    if scale.kind == "category":
        return _every(scale, max(1, math.ceil(line / spacing)))
    if line <= spacing and len(scale) <= _LABELLED and not _on_decades(scale):
        return _all_values(scale)
    return true_ticks(scale, length, per_label=2 * line)


def _is_numeric(scale: Scale) -> bool:
    try:
        return bool([float(label) for label in scale.labels])
    except ValueError:
        return False


def _on_decades(scale: Scale) -> bool:
    if scale.kind != "log":
        return False
    powers = np.log10(scale.values)
    return bool(np.allclose(powers, np.round(powers)))


def _all_values(scale: Scale) -> Ticks:
    return Ticks(scale.values, scale.labels, np.empty(0))


def _every(scale: Scale, stride: int, *, rotated: bool = False) -> Ticks:
    return Ticks(scale.values[::stride], scale.labels[::stride], np.empty(0), rotated)


def true_ticks(scale: Scale, length: float, per_label: float) -> Ticks:
    """Decades of a log axis, round numbers of a linear one.

    Args:
        scale: a log or linear scale.
        length: of the axis, in points.
        per_label: the least distance of two labels, in points.
    """
    low, high = scale.edges[0], scale.edges[-1]
    most = max(2, int(length / per_label))
    if scale.kind == "log":
        powers = np.arange(math.ceil(np.log10(low)), math.floor(np.log10(high)) + 1)
        if len(powers) >= 3:
            labelled = powers[:: math.ceil(len(powers) / most)]
            inner = np.outer(10.0 ** np.append(powers[0] - 1, powers), np.arange(2, 10)).ravel()
            minor = np.append(inner, np.setdiff1d(10.0**powers, 10.0**labelled))
            labels = tuple(text.power_of_ten(int(power)) for power in labelled)
            return Ticks(10.0**labelled, labels, minor[(minor >= low) & (minor <= high)])
        start = math.floor(np.log10(low))
        round_numbers = np.outer(10.0 ** np.arange(start, start + 5), [1, 2, 5]).ravel()
        inside = round_numbers[(round_numbers >= low) & (round_numbers <= high)]
        if 3 <= len(inside) <= most:
            return Ticks(inside, _numbers(inside), np.empty(0))
    positions = MaxNLocator(nbins=min(most, 7), steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    positions = positions[(positions >= low) & (positions <= high)]
    return Ticks(positions, _numbers(positions), np.empty(0))


def _numbers(positions: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(f"{position:.6g}" for position in positions)
