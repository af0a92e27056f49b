"""The maps of a sweep's verdicts: how much of each cell is stable, and when the rest broke."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure

from stabilitysweep.analysis import StabilityMap
from stabilitysweep.figures import legend, style
from stabilitysweep.figures.canvas import (
    CRASHED,
    DIVERGED,
    blank,
    common_entries,
    draw_map,
    ground_of,
    plan_map,
)
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.style import GLYPHS, Glyph
from stabilitysweep.types import Outcome

# In the onset map a glyph stands for what the colour cannot say.
_ONSET_GLYPHS = (
    Glyph(Outcome.DIVERGED, "^", 1.0, False, "only diverged (no onset)"),
    *(glyph for glyph in GLYPHS if glyph.outcome is Outcome.CRASHED),
)


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
        legend.glyph_entry(glyph, ground_of(glyph, colormap(0.12), colormap(0.92)))
        for glyph in GLYPHS
    ]
    entries += common_entries(data)
    plan = plan_map(data, title, entries)
    colours = colormap(np.nan_to_num(data.stability))
    blank(colours, data)
    figure = draw_map(data, plan, colours, data.dominant, GLYPHS)
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
        legend.glyph_entry(glyph, ground_of(glyph, "", style.NEUTRAL)) for glyph in _ONSET_GLYPHS
    ]
    entries += common_entries(data)
    plan = plan_map(data, title, entries)

    colours = colormap(np.asarray(norm(steps.ravel())).reshape(steps.shape))
    colours[~known] = to_rgba(style.NEUTRAL)
    blank(colours, data)
    marks = np.full(data.dominant.shape, -1, dtype=np.int8)
    marks[(data.failures > 0) & ~known] = DIVERGED
    marks[data.dominant == CRASHED] = CRASHED
    figure = draw_map(data, plan, colours, marks, _ONSET_GLYPHS)
    legend.add_legend(figure, plan, entries)
    ticks = _step_ticks(float(norm.vmax or 10.0))
    label = f"{statistic} onset among failed trials (step)"
    legend.add_colorbar(figure, plan, colormap, norm, label, ticks)
    return figure


def _step_ticks(last: float) -> list[float]:
    """Round steps from 1 to the last: 1, 2, 5, 10 ... or, over a longer range, decades."""
    decades = int(np.floor(np.log10(last)))
    if decades <= 1:
        return [tick for tick in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) if tick <= last]
    return [10.0**power for power in range(0, decades + 1, 1 + decades // 6)]
