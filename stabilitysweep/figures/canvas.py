"""What every map's figure has: panels with cells, glyphs, lines and picks, and their legend.

Nothing is computed here that is not in the `StabilityMap`. Figures are built without
pyplot, so they hold no global state: they work in threads and without a display, and are
freed when they are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
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
    draw_picks,
    draw_theory,
    glyph_steps,
)
from stabilitysweep.figures.scale import make_scale, place
from stabilitysweep.figures.style import Glyph
from stabilitysweep.types import Outcome

CRASHED = OUTCOMES.index(Outcome.CRASHED)
DIVERGED = OUTCOMES.index(Outcome.DIVERGED)
NONFINITE = OUTCOMES.index(Outcome.NONFINITE)


def plan_map(data: StabilityMap, title: str, entries: Sequence[Entry], *, bar: bool = True) -> Plan:
    """The plan, with a note in its caption if glyphs are thinned out.

    Args:
        data: the map.
        title: the figure's title.
        entries: of the legend.
        bar: whether there is a colour bar.
    """
    labels = [label for label, _ in entries]
    plan = make_plan(data, title, "", labels, bar=bar)
    step_x, step_y = glyph_steps(plan)
    if step_x * step_y == 1:
        return plan
    note = f"Glyphs mark one cell in {step_x * step_y}."
    return make_plan(data, title, note, labels, bar=bar)


def draw_map(
    data: StabilityMap,
    plan: Plan,
    colours: NDArray[np.float64],
    marks: NDArray[np.int8],
    glyphs: Sequence[Glyph],
    kinds: Sequence[object] = OUTCOMES,
) -> Figure:
    """A figure with its panels and texts; the legend and the colour bar are still to come.

    Args:
        data: the map.
        plan: the figure's plan.
        colours: RGBA, float64 [R, C, Y, X, 4].
        marks: int8 [R, C, Y, X] into `kinds`; -1 for none.
        glyphs: those to draw.
        kinds: what the marks stand for.
    """
    figure = Figure(figsize=(plan.width, plan.height), facecolor="white")
    FigureCanvasAgg(figure)
    cells = marks.size
    for row, panels in enumerate(add_panels(figure, plan)):
        for column, axes in enumerate(panels):
            draw_cells(axes, plan, colours[row, column], cells)
            draw_glyphs(axes, plan, marks[row, column], glyphs, kinds)
            draw_boundary(axes, plan, data, row, column)
            draw_theory(axes, plan, data, row, column)
            draw_picks(axes, plan, data, row, column)
    add_titles(figure, plan)
    return figure


def ground_of(glyph: Glyph, dark: object, light: object) -> object:
    """The colour of the cells that a glyph sits on."""
    if glyph.outcome is Outcome.CRASHED:
        return style.CRASHED
    return dark if glyph.on_dark else light


def blank(colours: NDArray[np.float64], data: StabilityMap) -> None:
    """Greys the cells that could only crash, and makes those without a trial transparent."""
    colours[data.dominant == CRASHED] = to_rgba(style.CRASHED)
    colours[data.dominant < 0] = (1.0, 1.0, 1.0, 0.0)


def common_entries(data: StabilityMap) -> list[Entry]:
    """The legend's entries of what is not measured, the lines and the picks."""
    entries = [legend.unmeasured_entry(), *_boundary_entries(data)]
    if data.theory is not None:
        places = place(make_scale(data.x), data.x, data.theory)
        entries.append(legend.theory_entry(inside=not bool(np.isnan(places).all())))
    if data.picks is not None:
        entries.append(legend.pick_entry(inside=bool(data.picks.any())))
    return entries


def _boundary_entries(data: StabilityMap) -> list[Entry]:
    if data.boundary_status is None:
        return []
    refined = np.zeros(data.boundary_status.shape, dtype=bool)
    if data.refined is not None:
        refined = data.refined
    present = {STATUSES[int(code)] for code in np.unique(data.boundary_status[~refined])}
    still_open = {BoundaryStatus.NO_FAILURE, BoundaryStatus.GAP}
    return legend.boundary_entries(
        closed=bool(present & {BoundaryStatus.FOUND, BoundaryStatus.ALL_FAIL}),
        refined=bool(refined.any()),
        still_open=bool(present & still_open),
    )
