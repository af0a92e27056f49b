"""A curve drawn with characters: one line of text for each row of the plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.cli.words import number

_LOG_RATIO = 100.0  # a curve over less than two decades is easier to read on a linear axis
_FEWEST_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters of a plot.

    Attributes:
        point: a measured value.
        between: the way from one measured value to the next.
        onset: the vertical line at the onset.
        corner: where the axes meet.
        horizontal: the axis below.
        vertical: the axis on the left.
    """

    point: str = "●"
    between: str = "·"
    onset: str = "┊"
    corner: str = "└"
    horizontal: str = "─"
    vertical: str = "│"


UNICODE = Signs()
ASCII = Signs(point="o", between=".", onset=":", corner="+", horizontal="-", vertical="|")
_NAN, _ABOVE, _BELOW = "N", "^", "v"


def draw_curve(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    width: int,
    height: int = 12,
    onset: int | None = None,
    signs: Signs = UNICODE,
) -> list[str]:
    """Draw a curve; values that are not finite are marked at its upper edge.

    The vertical axis is logarithmic if the values are positive and span two decades, the
    horizontal one if the steps do.

    Args:
        steps: K steps, at least 1, increasing.
        values: K values, any of them NaN or infinite.
        width: columns of text to fill, at most.
        height: rows of the plot, at least 3.
        onset: the step to mark.
        signs: the characters to draw with.

    Returns:
        Lines of at most `width` characters; none without a step.
    """
    x, y = np.asarray(steps, float), np.asarray(values, float)
    if not len(x):
        return []
    vertical = _Scale.of(y[np.isfinite(y)])
    labels = {row: number(vertical.at(1 - row / (height - 1))) for row in _ticks(height)}
    margin = max(map(len, labels.values()))
    columns = max(width - margin - 2, _FEWEST_COLUMNS)
    horizontal = _Scale.of(x)
    places = np.rint(horizontal.fraction(x) * (columns - 1)).astype(int)
    canvas = [[" "] * columns for _ in range(height)]
    mark = None
    if onset is not None:
        fraction = horizontal.fraction(np.array([min(max(onset, x[0]), x[-1])]))[0]
        mark = round(float(fraction) * (columns - 1))
        for row in canvas:
            row[mark] = signs.onset
    _draw_values(canvas, places, y, vertical, signs)
    lines = [
        f"{labels.get(row, ''):>{margin}} {signs.vertical}{''.join(cells).rstrip()}"
        for row, cells in enumerate(canvas)
    ]
    lines.append(f"{'':>{margin}} {signs.corner}{signs.horizontal * columns}")
    below = _place_labels(columns, [(0, f"{int(x[0])}"), (columns - 1, f"{int(x[-1])}")])
    lines.append(f"{'':>{margin}}  {below}".rstrip())
    lines += _legend(y, onset, vertical.log, horizontal.log, signs)
    return [line[:width] for line in lines]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to fractions of an axis; `low` and `high` are logarithms if `log`."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Scale:
        if not values.size:
            return cls(0.0, 1.0, log=False)
        low, high = float(values.min()), float(values.max())
        if low > 0 and high / low >= _LOG_RATIO:
            return cls(math.log10(low), math.log10(high), log=True)
        if low == high:  # a flat curve runs through the middle
            span = abs(low) / 2 or 1.0
            return cls(low - span, high + span, log=False)
        return cls(low, high, log=False)

    def fraction(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        positions = np.log10(values) if self.log else values
        # Halves, since the difference of two huge values may overflow.
        span = self.high / 2 - self.low / 2
        scaled: NDArray[np.float64] = (positions / 2 - self.low / 2) / span
        return scaled

    def at(self, fraction: float) -> float:
        value = self.low * (1 - fraction) + self.high * fraction
        return 10.0**value if self.log else value


def _draw_values(
    canvas: list[list[str]],
    places: NDArray[np.int_],
    values: NDArray[np.float64],
    scale: _Scale,
    signs: Signs,
) -> None:
    last = len(canvas) - 1
    finite = np.isfinite(values)
    rows = np.full(len(values), 0)
    rows[finite] = np.rint((1 - scale.fraction(values[finite])) * last).astype(int)
    for start, end in zip(range(len(values) - 1), range(1, len(values)), strict=True):
        if finite[start] and finite[end]:
            between = range(places[start] + 1, places[end])
            for column in between:
                part = (column - places[start]) / (places[end] - places[start])
                row = round(float(rows[start] + part * (rows[end] - rows[start])))
                canvas[row][column] = signs.between
    for place, row, value in zip(places, rows, values, strict=True):
        if math.isnan(value):
            canvas[0][place] = _NAN
        elif math.isinf(value):
            canvas[0 if value > 0 else last][place] = _ABOVE if value > 0 else _BELOW
        else:
            canvas[row][place] = signs.point


def _ticks(height: int) -> list[int]:
    return sorted({0, (height - 1) // 2, height - 1})


def _place_labels(columns: int, labels: Sequence[tuple[int, str]]) -> str:
    line = [" "] * columns
    for place, label in labels:
        start = min(max(place - len(label) // 2, 0), columns - len(label))
        line[start : start + len(label)] = label
    return "".join(line)


def _legend(
    values: NDArray[np.float64], onset: int | None, log_y: bool, log_x: bool, signs: Signs
) -> list[str]:
    scales = {
        (False, False): "",
        (True, False): "loss on a log scale",
        (False, True): "steps on a log scale",
        (True, True): "loss and steps on log scales",
    }[log_y, log_x]
    marks = [
        f"{sign} {name}"
        for sign, name, met in (
            (_NAN, "NaN", np.isnan(values)),
            (_ABOVE, "+Inf", np.isposinf(values)),
            (_BELOW, "-Inf", np.isneginf(values)),
        )
        if met.any()
    ]
    if onset is not None:
        marks.append(f"{signs.onset} onset (step {onset})")
    text = ", ".join(filter(None, [scales, *marks]))
    return [text] if text else []
