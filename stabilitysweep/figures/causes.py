"""The map of causes: why trials of each cell failed."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from stabilitysweep.analysis import CAUSES, StabilityMap
from stabilitysweep.figures import legend, style
from stabilitysweep.figures.canvas import CRASHED, blank, common_entries, draw_map, plan_map
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.style import CAUSE_COLOURS, CAUSE_GLYPHS, GLYPHS
from stabilitysweep.types import Outcome

_CRASHED_GLYPHS = tuple(glyph for glyph in GLYPHS if glyph.outcome is Outcome.CRASHED)
_KINDS = (*CAUSES, Outcome.CRASHED)


def draw_causes(data: StabilityMap, title: str) -> Figure:
    """Draws the most frequent cause among the failed trials of each cell.

    A colour and a glyph for each cause that is on the map; cells where nothing failed are left
    light.

    Args:
        data: the map, of a table with causes.
        title: the figure's title; long ones are wrapped.
    """
    cause = data.cause
    if cause is None:
        raise ValueError("expected a map of a table with causes")
    present = {CAUSES[code] for code in np.unique(cause) if code >= 0}
    glyphs = [glyph for glyph in CAUSE_GLYPHS if glyph.outcome in present]
    crashed = bool((data.dominant == CRASHED).any())
    entries: list[Entry] = [("no failure", legend.patch(style.NEUTRAL))]
    entries += [legend.glyph_entry(glyph, CAUSE_COLOURS[glyph.outcome]) for glyph in glyphs]
    if crashed:
        glyphs += _CRASHED_GLYPHS
        entries += [legend.glyph_entry(glyph, style.CRASHED) for glyph in _CRASHED_GLYPHS]
    entries += common_entries(data)
    plan = plan_map(data, title, entries, bar=False)

    table = np.array([to_rgba(CAUSE_COLOURS[kind]) for kind in CAUSES] + [to_rgba(style.NEUTRAL)])
    colours = table[cause]
    blank(colours, data)
    marks = np.where(data.dominant == CRASHED, len(CAUSES), cause).astype(np.int8)
    figure = draw_map(data, plan, colours, marks, glyphs, _KINDS)
    legend.add_legend(figure, plan, entries)
    return figure
