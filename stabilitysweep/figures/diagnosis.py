"""A diagnosis as a picture: the size of every tensor over layers and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator

from stabilitysweep.diagnosis.records import Diagnosis, Moment, Quantity
from stabilitysweep.figures import style, text
from stabilitysweep.figures.geometry import PT
from stabilitysweep.figures.magnitudes import Magnitudes, magnitudes

_PANELS: tuple[tuple[str, tuple[Quantity, ...]], ...] = (
    ("activations", (Quantity.INPUT, Quantity.ACTIVATION, Quantity.LOSS)),
    ("gradients", (Quantity.GRADIENT,)),
    ("optimizer", (Quantity.OPTIMIZER,)),
    ("updates", (Quantity.UPDATE,)),
    ("weights", (Quantity.WEIGHT,)),
    ("predictions", (Quantity.PREDICTION,)),
)
_FLOAT16_LARGEST = 65_504.0
_ABOVE_FLOAT16 = 1e5
"""Where the colours end at the least, so that 65,504 is among them."""
_LOWEST = 1e-12
"""Smallest magnitude the colours tell apart."""
_ROW, _COLUMN = 0.19, 0.36  # inches of a cell
_WIDEST = 4.3  # inches of a panel: cells become narrower beyond twelve steps
_LEAST_HEIGHT, _MOST_HEIGHT = 1.6, 8.0
_LABELS_AN_INCH = 6.4
_CHARACTER = 0.075  # inches of a letter of a label
_GAP, _RIGHT, _ABOVE, _BELOW = 0.25, 1.25, 0.85, 0.95


def draw_diagnosis(diagnosis: Diagnosis, title: str) -> Figure | None:
    """Draws the largest magnitude of every tensor of the last steps, a panel a kind.

    Args:
        diagnosis: what was found.
        title: above the panels; long ones are wrapped to two lines at most.

    Returns:
        The figure; None where no step was looked at, since the input is not finite.
    """
    failed = diagnosis.replay.result.onset is not None
    panels = _panels(diagnosis.replay.moments, failed=failed)
    if not panels:
        return None
    rows = max(len(shown.names) for _, shown in panels)
    height = min(max(rows * _ROW, _LEAST_HEIGHT), _MOST_HEIGHT)
    labels = [_CHARACTER * max(map(len, shown.names)) + _GAP for _, shown in panels]
    widths = [min(max(_COLUMN * len(shown.steps), 0.5), _WIDEST) for _, shown in panels]
    width = sum(labels) + sum(widths) + _RIGHT
    whole = height + _ABOVE + _BELOW
    figure = Figure(figsize=(max(width, 6.0), whole))
    low, high = _range([shown for _, shown in panels])
    if _has_float16(diagnosis):
        high = max(high, _ABOVE_FLOAT16)
    colours = matplotlib.colormaps["cividis"]
    left = 0.0
    image = None
    for (name, shown), label, across in zip(panels, labels, widths, strict=True):
        left += label
        axes = figure.add_axes(
            (left / max(width, 6.0), _BELOW / whole, across / max(width, 6.0), height / whole)
        )
        left += across
        image = axes.imshow(
            np.ma.masked_less_equal(np.where(_bad(shown), 0, shown.largest), 0),
            norm=LogNorm(low, high, clip=True),
            cmap=colours,
            aspect="auto",
            interpolation="nearest",
        )
        _dress(axes, name, shown, height)
        _mark(axes, shown)
    assert image is not None, "there is a panel"
    bar = figure.add_axes(
        ((left + 0.2) / max(width, 6.0), _BELOW / whole, 0.13 / max(width, 6.0), height / whole)
    )
    colorbar = figure.colorbar(image, cax=bar)
    colorbar.ax.yaxis.set_major_locator(LogLocator(numticks=8))
    colorbar.ax.yaxis.set_major_formatter(FuncFormatter(_decade))
    colorbar.ax.minorticks_off()
    colorbar.ax.tick_params(labelsize=style.TICK_SIZE)
    colorbar.set_label("largest magnitude", size=style.LABEL_SIZE)
    if _has_float16(diagnosis) and low < _FLOAT16_LARGEST < high:
        colorbar.ax.axhline(_FLOAT16_LARGEST, color=style.THEORY, linewidth=1.6)
        figure.text(
            (left + 0.2) / max(width, 6.0),
            (_BELOW - 0.32) / whole,
            "— 65,504",
            color=style.THEORY,
            size=style.TICK_SIZE,
        )
    figure.text(
        0.12 / max(width, 6.0),
        1 - 0.12 / whole,
        _title(title, max(width, 6.0)),
        size=style.TITLE_SIZE,
        weight="bold",
        va="top",
        parse_math=False,
    )
    _explain(figure, [shown for _, shown in panels])
    return figure


def _title(title: str, width: float) -> str:
    """The title on at most two lines that fit in `width` inches."""
    limit = 0.95 * (width - 0.24) * PT  # hinting widens letters on a screen
    first, *rest = text.wrap(title, style.TITLE_SIZE, limit, "bold") or [""]
    if not rest:
        return first
    return first + "\n" + text.shorten(" ".join(rest), style.TITLE_SIZE, limit, "bold")


def _decade(value: float, _: float) -> str:
    return text.power_of_ten(round(math.log10(value)))


def _panels(moments: Sequence[Moment], *, failed: bool) -> list[tuple[str, Magnitudes]]:
    """The panels that have a tensor; predictions belong to a moment of their own."""
    steps = [moment for moment in moments if moment.loss is not None]
    after = [moment for moment in moments if moment.loss is None and moment.step > 0]
    found = []
    for name, quantities in _PANELS:
        of = after if Quantity.PREDICTION in quantities else steps
        if of:
            shown = magnitudes(of, quantities, failed=failed)
            if shown.names:
                found.append((name, shown))
    return found


def _bad(shown: Magnitudes) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (shown.nans > 0) | (shown.infs > 0)
    return found


def _range(panels: Sequence[Magnitudes]) -> tuple[float, float]:
    """The lowest and the highest magnitude that the colours stand for."""
    sizes = np.concatenate([shown.largest[~_bad(shown)] for shown in panels])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    low = max(float(sizes.min()), _LOWEST) if sizes.size else 0.1
    high = float(sizes.max()) if sizes.size else 10.0
    # Whole decades, and never none.
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(max(high, low)))
    return 10.0**bottom, 10.0 ** max(top, bottom + 1)


def _dress(axes: Axes, name: str, shown: Magnitudes, height: float) -> None:
    """Title, names down the side, steps below."""
    axes.set_facecolor(style.NEUTRAL)
    axes.set_title(name, size=style.PANEL_SIZE)
    every = math.ceil(len(shown.names) / (height * _LABELS_AN_INCH))
    rows = list(range(0, len(shown.names), every))
    if shown.first is not None and shown.first not in rows:
        rows = [row for row in rows if abs(row - shown.first) >= every] + [shown.first]
    axes.set_yticks(rows, [shown.names[row] for row in rows], size=style.TICK_SIZE - 1)
    thinned = math.ceil(len(shown.steps) / 12)
    columns = [c for c in range(len(shown.steps)) if (len(shown.steps) - 1 - c) % thinned == 0]
    texts = [f"{shown.steps[c]}" + ("\nskip" if shown.skipped[c] else "") for c in columns]
    axes.set_xticks(columns, texts, size=style.TICK_SIZE - 1)
    axes.set_xlabel("step", size=style.LABEL_SIZE)
    axes.tick_params(length=2)
    for label in (*axes.get_yticklabels(), *axes.get_xticklabels()):
        label.set_parse_math(False)
    for spine in axes.spines.values():
        spine.set_color(style.FRAME)
    if shown.first is not None:
        axes.get_yticklabels()[rows.index(shown.first)].set_fontweight("bold")


def _mark(axes: Axes, shown: Magnitudes) -> None:
    """Hatch what is not finite, and say by a glyph which; frame the first."""
    count = max(len(shown.names), 1)
    size = 28.0 if count <= 24 else 9.0
    for row, column in np.argwhere(_bad(shown)):
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5),
                1,
                1,
                facecolor=style.UNMEASURED,
                edgecolor=style.UNMEASURED_HATCH,
                hatch=style.HATCH,
                linewidth=0,
            )
        )
    _scatter(axes, shown.nans > 0, "x", size)
    _scatter(axes, (shown.infs > 0) & (shown.nans == 0), "^", size)
    _scatter(axes, shown.zero, ".", size / 2)
    if shown.first is not None:
        axes.add_patch(
            Rectangle(
                (len(shown.steps) - 1.5, shown.first - 0.5),
                1,
                1,
                fill=False,
                edgecolor=style.THEORY,
                linewidth=2.2,
                zorder=5,
                clip_on=False,
            )
        )


def _scatter(
    axes: Axes, where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], marker: str, size: float
) -> PathCollection | None:
    rows, columns = np.nonzero(where)
    if not len(rows):
        return None
    return axes.scatter(columns, rows, marker=marker, s=size, c=style.INK, linewidths=1.0, zorder=4)


def _explain(figure: Figure, panels: Sequence[Magnitudes]) -> None:
    """A legend of the marks that occur."""
    nans = any((shown.nans > 0).any() for shown in panels)
    infs = any(((shown.infs > 0) & (shown.nans == 0)).any() for shown in panels)
    zeros = any(shown.zero.any() for shown in panels)
    first = any(shown.first is not None for shown in panels)

    def glyph(marker: str, label: str) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=style.INK, label=label)

    handles = [
        *([glyph("x", "holds NaN")] if nans else []),
        *([glyph("^", "holds Inf")] if infs else []),
        *([glyph(".", "all zero")] if zeros else []),
        *(
            [Patch(fill=False, edgecolor=style.THEORY, linewidth=2, label="first not finite")]
            if first
            else []
        ),
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="lower left",
            ncols=len(handles),
            frameon=False,
            fontsize=style.TICK_SIZE,
        )


def _has_float16(diagnosis: Diagnosis) -> bool:
    return any(
        stats.dtype == "float16" for moment in diagnosis.replay.moments for stats in moment.tensors
    )
