"""The largest stable learning rate, or the sensitivity to it, along another axis.

One panel: a line of markers for each value of a further axis, side by side where they would
lie on one another. All places in inches, from the lower left corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import NDArray

from stabilitysweep.analysis import Curves, curves_caption
from stabilitysweep.figures import legend, style, text
from stabilitysweep.figures.geometry import (
    PAD,
    PT,
    axis_label,
    labels_height,
    legend_band,
    overhang,
)
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.panels import set_ticks
from stabilitysweep.figures.scale import Scale, Ticks, horizontal_ticks, make_scale, true_ticks

BRACKET_LABEL = "bar: up to the smallest failing rate"
SPREAD_LABEL = "thin line: range of the other settings"
OPEN_LABEL = "hollow: no failure found, at least this"
NONE_LABEL = "hollow: fails already at the lowest rate"

_WIDTH, _HEIGHT = 5.2, 3.1
_PER_NAME, _NARROWEST = 0.8, 4.4  # inches a category takes; inches of the panel at least
_MARKER = 5.5
_APART = 7.0  # points between lines at the same x
_LOGARITHMIC = 100.0  # largest over smallest sensitivity: from here on its axis is


@dataclass(frozen=True, slots=True)
class _Panel:
    """The scales of the panel."""

    x: Scale
    y: Scale
    x_ticks: Ticks
    y_ticks: Ticks
    width: float


def draw_curves(data: Curves, title: str) -> Figure:
    """Draws a quantity along an axis, with what is known of its accuracy.

    For the boundary: a marker at the largest rate with no failure at or below it, a bar from
    there to the smallest rate that fails. A hollow marker pointing up has no failure above it, one
    pointing down no safe rate below it. For both quantities a thin line is the range of the
    settings that are neither along x nor lines of their own.

    Args:
        data: the curves.
        title: the figure's title; long ones are wrapped.
    """
    panel = _panel(data)
    entries = _entries(data)
    labels = [label for label, _ in entries]
    beside = max(text.width(label, style.TICK_SIZE) for label in panel.y_ticks.labels) / PT
    y_label = "largest stable learning rate" if data.quantity == "boundary" else "sensitivity"
    beside += style.LABEL_SIZE * 1.5 / PT + 0.14
    out_left, out_right = overhang(panel.x, panel.x_ticks, panel.width)
    left = PAD + max(beside, out_left)
    width = left + panel.width + PAD + max(out_right, 0.1)
    usable = (width - left - PAD) * PT
    titles = text.wrap(title, style.TITLE_SIZE, usable, "bold")
    captions = text.wrap(curves_caption(data), style.TEXT_SIZE, usable)
    columns, band, _ = legend_band(labels, width - left - PAD, bar=False)
    head = (
        PAD
        + 0.12
        + text.LINE / PT * (len(titles) * style.TITLE_SIZE + len(captions) * style.TEXT_SIZE)
    )
    foot = 0.11 + labels_height(panel.x_ticks)
    below = foot + style.LABEL_SIZE * 1.45 / PT + 0.12
    height = head + _HEIGHT + below + band + PAD

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    bottom = height - head - _HEIGHT
    axes = figure.add_axes((left / width, bottom / height, panel.width / width, _HEIGHT / height))
    _prepare(axes, panel)
    _draw_points(axes, panel, data)

    def write(x: float, y: float, words: str, **kwargs: object) -> None:
        figure.text(
            x / width,
            y / height,
            words,
            fontfamily=style.FAMILY,
            parse_math=False,
            **kwargs,  # type: ignore[arg-type]
        )

    top = height - 0.12
    for line in titles:
        write(left, top, line, size=style.TITLE_SIZE, weight="bold", va="top", color=style.INK)
        top -= style.TITLE_SIZE * text.LINE / PT
    top -= 0.03
    for line in captions:
        write(left, top, line, size=style.TEXT_SIZE, va="top", color=style.SOFT_INK)
        top -= style.TEXT_SIZE * text.LINE / PT
    label = {"size": style.LABEL_SIZE, "color": style.INK}
    if data.x is not None:
        centre = left + panel.width / 2
        name = axis_label(data.x.name, panel.x)
        write(centre, bottom - foot, name, ha="center", va="top", **label)
    name = axis_label(y_label, panel.y)
    middle = bottom + _HEIGHT / 2
    write(left - beside, middle, name, rotation=90, ha="left", va="center", **label)
    corner = left / width, (bottom - below) / height
    legend.put_legend(figure, corner, columns, entries)
    return figure


def _panel(data: Curves) -> _Panel:
    x = make_scale(data.x)
    width = _WIDTH
    if x.kind == "category":
        width = min(_WIDTH, max(_PER_NAME * len(x), _NARROWEST))
    y = _vertical_scale(data)
    y_ticks = true_ticks(y, _HEIGHT * PT, per_label=2.7 * style.TICK_SIZE)
    return _Panel(x, y, horizontal_ticks(x, width * PT), y_ticks, width)


def _vertical_scale(data: Curves) -> Scale:
    known = np.concatenate([array.ravel() for array in _shown(data)])
    known = known[~np.isnan(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.1, 1.0)
    if low > 0 and (data.quantity == "boundary" or high / low >= _LOGARITHMIC):
        pad = max(0.08 * np.log10(high / low), 0.12)
        ends = np.array([low / 10**pad, high * 10**pad])
        return Scale("log", ends, ("",), ends)
    ends = np.array([min(low, 0.0), high * 1.08 if high > 0 else 1.0])
    return Scale("linear", ends, ("",), ends)


def _shown(data: Curves) -> list[NDArray[np.float64]]:
    shown = [data.value, data.lowest, data.highest]
    return shown if data.failing is None else [*shown, data.failing]


def _prepare(axes: Axes, panel: _Panel) -> None:
    if panel.x.kind == "log":
        axes.set_xscale("log")
    if panel.y.kind == "log":
        axes.set_yscale("log")
    axes.set_xlim(panel.x.edges[0], panel.x.edges[-1])
    axes.set_ylim(panel.y.edges[0], panel.y.edges[-1])
    axes.set_axisbelow(True)
    axes.grid(visible=True, which="major", axis="y", color="#e4e4e4", linewidth=0.7)
    set_ticks(axes, "x", panel.x_ticks, labels=True)
    if not any(panel.x_ticks.labels):  # no axis but the learning rate
        axes.tick_params(axis="x", length=0)
    set_ticks(axes, "y", panel.y_ticks, labels=True)
    for spine in axes.spines.values():
        spine.set(linewidth=0.7, color=style.FRAME)


def _draw_points(axes: Axes, panel: _Panel, data: Curves) -> None:
    lines, points = data.value.shape
    room = 0.7 * panel.x.smallest * panel.width * PT  # a cell's width in points, nearly
    apart = min(_APART, room / max(lines - 1, 1))
    places = panel.x.values if data.x is not None else np.zeros(points)
    figure = axes.get_figure(root=True)
    assert figure is not None, "the axes were added to a figure"
    for line in range(lines):
        shift = (line - (lines - 1) / 2) * apart / PT
        moved = axes.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)
        colour, marker = style.LINES[line % len(style.LINES)]
        if data.x is not None and data.x.numeric:
            joint: dict[str, Any] = {
                "color": colour,
                "linewidth": 1.1,
                "zorder": 2,
                "transform": moved,
            }
            axes.plot(places, data.value[line], **joint)
        _bars(axes, places, data.lowest[line], data.highest[line], colour, 0.9, moved)
        if data.failing is None:
            _marks(axes, places, data.value[line], colour, marker, moved)
            continue
        safe, failing = data.value[line], data.failing[line]
        _bars(axes, places, safe, failing, colour, 3.0, moved)
        ended = ~np.isnan(failing)
        _marks(axes, places, np.where(ended, safe, np.nan), colour, marker, moved)
        for at, caret, above in (
            (np.where(ended, np.nan, safe), CARETUP, 1),
            (np.where(np.isnan(safe), failing, np.nan), CARETDOWN, -1),
        ):
            _marks(axes, places, at, colour, marker, moved, hollow=True)
            beyond = ScaledTranslation(0, above * 6.5 / PT, figure.dpi_scale_trans)
            _marks(axes, places, at, colour, caret, moved + beyond)


def _bars(
    axes: Axes,
    x: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: str,
    width: float,
    moved: Transform,
) -> None:
    known = ~(np.isnan(low) | np.isnan(high)) & (high > low)
    if not known.any():
        return
    ends = np.stack([np.stack([x, low], axis=-1), np.stack([x, high], axis=-1)], axis=1)[known]
    bars = LineCollection(
        list(ends), colors=colour, linewidths=width, alpha=0.55, zorder=2.5, transform=moved
    )
    axes.add_collection(bars, autolim=False)


def _marks(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    colour: str,
    marker: str | int,
    moved: Transform,
    *,
    hollow: bool = False,
) -> None:
    if np.isnan(y).all():
        return
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=marker,
        markersize=4.5 if isinstance(marker, int) else _MARKER,
        markerfacecolor="white" if hollow else colour,
        markeredgecolor=colour if hollow or isinstance(marker, int) else "white",
        markeredgewidth=1.2 if hollow else 0.6,
        zorder=3,
        transform=moved,
        clip_on=False,
    )


def _entries(data: Curves) -> list[Entry]:
    """The legend: the lines, and what bars and hollow markers mean."""
    entries: list[Entry] = []
    if data.by is not None:
        entries = [
            (f"{data.by.name} = {label}", _handle(*style.LINES[line % len(style.LINES)]))
            for line, label in enumerate(data.by.labels)
        ]
    safe, failing = data.value, data.failing
    ink = style.SOFT_INK
    if failing is not None and (~np.isnan(safe) & ~np.isnan(failing)).any():
        entries.append((BRACKET_LABEL, Line2D([], [], color=ink, linewidth=3.0, alpha=0.55)))
    if (data.highest > data.lowest).any():
        entries.append((SPREAD_LABEL, Line2D([], [], color=ink, linewidth=0.9, alpha=0.7)))
    if failing is not None and (~np.isnan(safe) & np.isnan(failing)).any():
        entries.append((OPEN_LABEL, _caret(ink, CARETUP)))
    if failing is not None and (np.isnan(safe) & ~np.isnan(failing)).any():
        entries.append((NONE_LABEL, _caret(ink, CARETDOWN)))
    return entries


def _handle(colour: str, marker: str) -> Line2D:
    return Line2D(
        [], [], color=colour, linewidth=1.1, marker=marker, markersize=_MARKER,
        markeredgecolor="white", markeredgewidth=0.6,
    )  # fmt: skip


def _caret(colour: str, caret: Any) -> Line2D:
    return Line2D([], [], linestyle="none", marker=caret, markersize=6.5, color=colour)
