"""The maps of a number of the trials: what was learnt, and how near numbers came to their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Colormap, LogNorm, Normalize, TwoSlopeNorm, to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stabilitysweep.analysis import StabilityMap
from stabilitysweep.figures import legend, style, text
from stabilitysweep.figures.canvas import (
    DIVERGED,
    NONFINITE,
    blank,
    common_entries,
    draw_map,
    ground_of,
    plan_map,
)
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.style import GLYPHS, Glyph
from stabilitysweep.types import Outcome

_HALF_BITS = 16.0  # the base-2 logarithm of float16's largest number, rounded
_LEAST_LEARNING, _MOST_LEARNING = -6.0, 1.0  # decades of final over initial loss in colour
_FEW_LABELS = 5  # on a colour bar of decades
_LOGARITHMIC = 10.0  # largest over smallest loss: from here on its colour is logarithmic

_FAILURE_GLYPHS = tuple(glyph for glyph in GLYPHS if glyph.outcome is not Outcome.STALLED)
# Where the colour of a diverged cell says how far it went, its glyph is dark on it.
_LEARNING_GLYPHS = tuple(
    Glyph(glyph.outcome, glyph.marker, glyph.scale, False, glyph.label)
    if glyph.outcome is Outcome.DIVERGED
    else glyph
    for glyph in GLYPHS
)


@dataclass(frozen=True, slots=True)
class _Colours:
    """How numbers become colours, and the bar that says so.

    Attributes:
        colormap: of the numbers as `norm` maps them.
        norm: it clips.
        label: of the bar.
        ticks: of the bar.
        tick_labels: beside them; None writes the ticks themselves.
    """

    colormap: Colormap
    norm: Normalize
    label: str
    ticks: Sequence[float]
    tick_labels: Sequence[str] | None = None


def draw_learning(data: StabilityMap, title: str) -> Figure:
    """Draws the final over the initial loss, cell by cell, in decades around 1.

    Blue cells learnt, white ones stayed where they were, red ones lost; dark grey ones became
    non-finite.

    Args:
        data: the map, with `cells.LEARNING` as its value, infinite for non-finite trials.
        title: the figure's title; long ones are wrapped.
    """
    ratio = _values(data)
    with np.errstate(divide="ignore"):
        decades = np.where(np.isfinite(ratio), np.log10(ratio), np.nan)
    least = float(np.fmin.reduce(decades, axis=None, initial=-0.1))
    lowest, ticks, tick_labels = _learning_ticks(least)
    colours = _Colours(
        style.learning_colormap(),
        TwoSlopeNorm(0.0, lowest, _MOST_LEARNING),
        "final / initial loss (median)",
        [*ticks, 0.0, _MOST_LEARNING],
        [*tick_labels, "1", "≥ 10"],
    )
    failed = np.isinf(ratio)
    marks = np.where((data.dominant == NONFINITE) & ~failed, -1, data.dominant)
    marks = np.where(failed, NONFINITE, marks).astype(np.int8)
    clipped = np.clip(decades, lowest, _MOST_LEARNING)
    return _draw_values(data, title, clipped, colours, failed, marks, _LEARNING_GLYPHS)


def _learning_ticks(least: float) -> tuple[float, list[float], list[str]]:
    """Where the blues end, in decades, and the ticks below 1 with their labels."""
    for ratios in ((0.5, 0.7), (0.2, 0.5), (0.1, 0.3)):
        if least >= np.log10(ratios[0]):
            ticks = np.log10(ratios).tolist()
            return ticks[0], ticks, [f"{ratio:g}" for ratio in ratios]
    lowest = float(np.floor(max(least, _LEAST_LEARNING)))
    powers = np.arange(lowest, 0.0)
    powers = powers[:: int(np.ceil(len(powers) / _FEW_LABELS))]
    return lowest, powers.tolist(), [text.power_of_ten(int(power)) for power in powers]


def draw_best_loss(data: StabilityMap, title: str) -> Figure:
    """Draws the lowest batch loss of each cell's trials; failed cells are dark grey.

    Args:
        data: the map, with `best_loss` as its value.
        title: the figure's title; long ones are wrapped.
    """
    loss = np.where(np.isfinite(_values(data)), _values(data), np.nan)
    shown = loss[~np.isnan(loss) & ~_failed(data)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    colormap = style.stability_colormap().reversed()  # light is good, as on the other maps
    label = "lowest batch loss (median)"
    if low > 0 and high / low >= _LOGARITHMIC:
        ticks = _round_numbers(low, high)
        colours = _Colours(colormap, LogNorm(low, high, clip=True), label, ticks)
    else:
        high = high if high > low else low + max(abs(low), 1.0)
        ticks = np.linspace(low, high, 4).tolist()
        labels = [f"{tick:.3g}" for tick in ticks]
        colours = _Colours(colormap, Normalize(low, high, clip=True), label, ticks, labels)
    return _draw_values(data, title, loss, colours, _failed(data), data.dominant)


def draw_headroom(data: StabilityMap, title: str) -> Figure:
    """Draws the bits left below the largest finite number, cell by cell.

    Beside half precision with its 16 bits, the 128 of float32 are no news: the colours end
    at 16 bits where a cell has less.

    Args:
        data: the map, with `headroom_bits` as its value.
        title: the figure's title; long ones are wrapped.
    """
    bits = _values(data)
    half = bool((bits < _HALF_BITS).any())
    last = _HALF_BITS if half else max(1.0, float(np.nanmax(bits, initial=1.0)))
    label = "bits below overflow" + ("; light: 16 or more" if half else "")
    ticks = np.linspace(0, last, 5).tolist()
    colours = _Colours(style.stability_colormap(), Normalize(0, last, clip=True), label, ticks)
    return _draw_values(data, title, bits, colours, _failed(data), data.dominant)


def draw_underflow(data: StabilityMap, title: str) -> Figure:
    """Draws the share of float32's nonzero gradient entries that became zero.

    Args:
        data: the map, with `lost_gradients` as its value.
        title: the figure's title; long ones are wrapped.
    """
    colours = _Colours(
        style.stability_colormap().reversed(),
        Normalize(0, 1, clip=True),
        "share of float32's gradient lost to zero",
        [0, 0.25, 0.5, 0.75, 1],
    )
    return _draw_values(data, title, _values(data), colours, _failed(data), data.dominant)


def _values(data: StabilityMap) -> NDArray[np.float64]:
    if data.value is None:
        raise ValueError("expected a map with a value; name its column in stability_map")
    return data.value


def _failed(data: StabilityMap) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (data.dominant == NONFINITE) | (data.dominant == DIVERGED)
    return found


def _draw_values(
    data: StabilityMap,
    title: str,
    numbers: NDArray[np.float64],
    how: _Colours,
    failed: NDArray[np.bool_],
    marks: NDArray[np.int8],
    glyphs: Sequence[Glyph] = _FAILURE_GLYPHS,
) -> Figure:
    """Draws a number of each cell, NaN for none, in colours; failed cells are dark grey."""
    known = ~np.isnan(numbers)
    lacking = bool((~known & ~failed & (data.measured > 0)).any())
    entries: list[Entry] = [("no value", legend.patch(style.NEUTRAL))] if lacking else []
    entries += [legend.glyph_entry(glyph, _under(glyph, how)) for glyph in glyphs]
    entries += common_entries(data)
    plan = plan_map(data, title, entries)
    fill = float(how.norm.vmin or 0.0)
    flat = np.asarray(how.norm(np.where(known, numbers, fill).ravel()))
    colours = how.colormap(flat.reshape(known.shape))
    colours[~known] = to_rgba(style.NEUTRAL)
    blank(colours, data)
    colours[failed] = to_rgba(style.SOFT_INK)
    figure = draw_map(data, plan, colours, marks, glyphs)
    legend.add_legend(figure, plan, entries)
    legend.add_colorbar(figure, plan, how.colormap, how.norm, how.label, how.ticks, how.tick_labels)
    return figure


def _under(glyph: Glyph, how: _Colours) -> object:
    """The ground of a glyph in the legend."""
    diverged = glyph.outcome is Outcome.DIVERGED and not glyph.on_dark
    return ground_of(glyph, style.SOFT_INK, how.colormap(0.9) if diverged else style.NEUTRAL)


def _round_numbers(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic bar: decades, or 1, 2, 5, 10 within one or two."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    factors = (1.0, 2.0, 5.0) if last - first <= 2 else (1.0,)
    powers = range(first, last + 1, 1 + (last - first) // (_FEW_LABELS + 1))
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
