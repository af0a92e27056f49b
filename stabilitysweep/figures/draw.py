"""The maps: how much of each cell is stable, when it broke, and how near it came to that.

Nothing is computed here that is not in the `StabilityMap`. Figures are built without
pyplot, so they hold no global state: they work in threads and without a display, and are
freed when they are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stabilitysweep.analysis import OUTCOMES, STATUSES, BoundaryStatus, StabilityMap
from stabilitysweep.figures import legend, style
from stabilitysweep.figures.geometry import Plan, make_plan
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.panels import (
    add_panels,
    add_titles,
    draw_boundary,
    draw_cells,
    draw_glyphs,
    draw_theory,
    glyph_steps,
)
from stabilitysweep.figures.scale import make_scale, place
from stabilitysweep.figures.style import GLYPHS, Glyph
from stabilitysweep.types import Outcome

_CRASHED = OUTCOMES.index(Outcome.CRASHED)
_DIVERGED = OUTCOMES.index(Outcome.DIVERGED)
_NONFINITE = OUTCOMES.index(Outcome.NONFINITE)
_HALF_BITS = 16.0  # the base-2 logarithm of float16's largest number, rounded

# In the onset map a glyph stands for what the colour cannot say.
_ONSET_GLYPHS = (
    Glyph(Outcome.DIVERGED, "^", 1.0, False, "only diverged (no onset)"),
    *(glyph for glyph in GLYPHS if glyph.outcome is Outcome.CRASHED),
)

_FAILURE_GLYPHS = tuple(glyph for glyph in GLYPHS if glyph.outcome is not Outcome.STALLED)


def draw_stability(data: StabilityMap, title: str) -> Figure:
    """Draws the share of trials that did not fail, cell by cell.

    Colour is the share, a glyph the outcome that dominates a cell where it is not
    `stable`, a line the boundary, hatching a cell that is not measured.

    Args:
        data: the map.
        title: the figure's title; long ones are wrapped.
    """
    colormap = style.stability_colormap()
    entries = [
        legend.glyph_entry(glyph, _ground(glyph, colormap(0.12), colormap(0.92)))
        for glyph in GLYPHS
    ]
    entries += [legend.unmeasured_entry(), *_line_entries(data)]
    plan = _plan(data, title, entries)
    colours = colormap(np.nan_to_num(data.stability))
    _blank(colours, data)
    figure = _draw(data, plan, colours, data.dominant, GLYPHS)
    legend.add_legend(figure, plan, entries)
    legend.add_colorbar(
        figure,
        plan,
        colormap,
        Normalize(0, 1),
        "stability: share of trials without failure",
        (0, 0.25, 0.5, 0.75, 1),
    )
    return figure


def draw_onset(
    data: StabilityMap, title: str, statistic: Literal["earliest", "median"] = "earliest"
) -> Figure:
    """Draws the step at which trials became non-finite, cell by cell.

    Cells where nothing failed are left light; those where trials only diverged, which
    have no onset, are marked.

    Args:
        data: the map.
        title: the figure's title; long ones are wrapped.
        statistic: the earliest onset of a cell's trials, or the median of those that have one.
    """
    colormap = style.onset_colormap()
    onset = data.onset_earliest if statistic == "earliest" else data.onset_median
    known = ~np.isnan(onset)
    # A NaN in the input has step 0, which a logarithm cannot show: it is drawn as step 1.
    steps = np.maximum(np.where(known, onset, 1.0), 1.0)
    norm = LogNorm(1, max(10.0, float(steps.max(initial=1.0))))
    entries: list[Entry] = [("no failure", legend.patch(style.NEUTRAL))]
    entries += [
        legend.glyph_entry(glyph, _ground(glyph, "", style.NEUTRAL)) for glyph in _ONSET_GLYPHS
    ]
    entries += [legend.unmeasured_entry(), *_line_entries(data)]
    plan = _plan(data, title, entries)

    colours = colormap(np.asarray(norm(steps.ravel())).reshape(steps.shape))
    colours[~known] = to_rgba(style.NEUTRAL)
    _blank(colours, data)
    marks = np.full(data.dominant.shape, -1, dtype=np.int8)
    marks[(data.failures > 0) & ~known] = _DIVERGED
    marks[data.dominant == _CRASHED] = _CRASHED
    figure = _draw(data, plan, colours, marks, _ONSET_GLYPHS)
    legend.add_legend(figure, plan, entries)
    ticks = _step_ticks(float(norm.vmax or 10.0))
    label = f"{statistic} onset among failed trials (step)"
    legend.add_colorbar(figure, plan, colormap, norm, label, ticks)
    return figure


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
    return _draw_value(
        data, title, style.stability_colormap(), last, label, np.linspace(0, last, 5).tolist()
    )


def draw_underflow(data: StabilityMap, title: str) -> Figure:
    """Draws the share of float32's nonzero gradient entries that became zero.

    Args:
        data: the map, with `lost_gradients` as its value.
        title: the figure's title; long ones are wrapped.
    """
    colormap = style.stability_colormap().reversed()
    label = "share of float32's gradient lost to zero"
    return _draw_value(data, title, colormap, 1.0, label, [0, 0.25, 0.5, 0.75, 1])


def _values(data: StabilityMap) -> NDArray[np.float64]:
    if data.value is None:
        raise ValueError("expected a map with a value; name its column in stability_map")
    return data.value


def _draw_value(
    data: StabilityMap,
    title: str,
    colormap: Colormap,
    last: float,
    label: str,
    ticks: Sequence[float],
) -> Figure:
    """Draws the number of each cell in colours from 0 to `last`; failed cells are dark grey."""
    known = ~np.isnan(_values(data))
    failed = (data.dominant == _NONFINITE) | (data.dominant == _DIVERGED)
    lacking = bool((~known & ~failed & (data.measured > 0)).any())
    entries: list[Entry] = [("no value", legend.patch(style.NEUTRAL))] if lacking else []
    entries += [
        legend.glyph_entry(glyph, _ground(glyph, style.SOFT_INK, style.NEUTRAL))
        for glyph in _FAILURE_GLYPHS
    ]
    entries += [legend.unmeasured_entry(), *_line_entries(data)]
    plan = _plan(data, title, entries)
    norm = Normalize(0, last, clip=True)
    flat = np.asarray(norm(np.where(known, _values(data), 0.0).ravel()))
    colours = colormap(flat.reshape(known.shape))
    colours[~known] = to_rgba(style.NEUTRAL)
    _blank(colours, data)
    colours[failed] = to_rgba(style.SOFT_INK)
    figure = _draw(data, plan, colours, data.dominant, _FAILURE_GLYPHS)
    legend.add_legend(figure, plan, entries)
    legend.add_colorbar(figure, plan, colormap, norm, label, ticks)
    return figure


def _draw(
    data: StabilityMap,
    plan: Plan,
    colours: NDArray[np.float64],
    marks: NDArray[np.int8],
    glyphs: tuple[Glyph, ...],
) -> Figure:
    """A figure with its panels and texts; the legend and the colour bar are still to come."""
    figure = Figure(figsize=(plan.width, plan.height), facecolor="white")
    FigureCanvasAgg(figure)
    cells = marks.size
    for row, panels in enumerate(add_panels(figure, plan)):
        for column, axes in enumerate(panels):
            draw_cells(axes, plan, colours[row, column], cells)
            draw_glyphs(axes, plan, marks[row, column], glyphs)
            draw_boundary(axes, plan, data, row, column)
            draw_theory(axes, plan, data, row, column)
    add_titles(figure, plan)
    return figure


def _plan(data: StabilityMap, title: str, entries: list[Entry]) -> Plan:
    """The plan, with a note in its caption if glyphs are thinned out."""
    labels = [label for label, _ in entries]
    plan = make_plan(data, title, "", labels)
    step_x, step_y = glyph_steps(plan)
    if step_x * step_y == 1:
        return plan
    return make_plan(data, title, f"Glyphs mark one cell in {step_x * step_y}.", labels)


def _step_ticks(last: float) -> list[float]:
    """Round steps from 1 to the last: 1, 2, 5, 10 ... or, over a longer range, decades."""
    decades = int(np.floor(np.log10(last)))
    if decades <= 1:
        return [tick for tick in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) if tick <= last]
    return [10.0**power for power in range(0, decades + 1, 1 + decades // 6)]


def _ground(glyph: Glyph, dark: object, light: object) -> object:
    if glyph.outcome is Outcome.CRASHED:
        return style.CRASHED
    return dark if glyph.on_dark else light


def _line_entries(data: StabilityMap) -> list[Entry]:
    entries = _boundary_entries(data)
    if data.theory is not None:
        places = place(make_scale(data.x), data.x, data.theory)
        entries.append(legend.theory_entry(inside=not bool(np.isnan(places).all())))
    return entries


def _boundary_entries(data: StabilityMap) -> list[Entry]:
    if data.boundary_status is None:
        return []
    present = {STATUSES[int(code)] for code in np.unique(data.boundary_status)}
    still_open = {BoundaryStatus.NO_FAILURE, BoundaryStatus.GAP}
    return legend.boundary_entries(
        closed=bool(present & {BoundaryStatus.FOUND, BoundaryStatus.ALL_FAIL}),
        still_open=bool(present & still_open),
    )


def _blank(colours: NDArray[np.float64], data: StabilityMap) -> None:
    """Greys the cells that could only crash, and makes those without a trial transparent."""
    colours[data.dominant == _CRASHED] = to_rgba(style.CRASHED)
    colours[data.dominant < 0] = (1.0, 1.0, 1.0, 0.0)
