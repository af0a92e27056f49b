"""Maps of several sweeps side by side, and beside them the map of where they agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stabilitysweep.analysis import Axis, StabilityMap
from stabilitysweep.analysis.comparison import AGREEMENTS, Agreement
from stabilitysweep.analysis.side_by_side import SideBySide
from stabilitysweep.figures import legend, style, text
from stabilitysweep.figures.canvas import blank, common_entries, draw_map, ground_of, plan_map
from stabilitysweep.figures.geometry import PT, Plan
from stabilitysweep.figures.legend import Entry
from stabilitysweep.figures.panels import draw_glyphs
from stabilitysweep.figures.style import GLYPHS, Glyph
from stabilitysweep.types import Outcome

AGREEMENT_TITLE = "agreement"
ALL_LABEL = "agreement: stable in all"
SOME_LABEL = "agreement: stable in some"
NONE_LABEL = "agreement: stable in none"

# Stand-ins for the agreements, at their places; `all` has no glyph, as `stable` has none in the
# maps. The last is `some` on cells so dark that its glyph must be light.
_KINDS = (
    Outcome.STABLE,
    Outcome.STALLED,
    Outcome.NONFINITE,
    Outcome.CRASHED,
    Outcome.DIVERGED,
)
_IN_FEW = len(AGREEMENTS)
_AGREEMENT_GLYPHS = (
    Glyph(Outcome.STALLED, "o", 0.75, False, SOME_LABEL),
    Glyph(Outcome.NONFINITE, "D", 0.6, True, NONE_LABEL),
)
_IN_FEW_GLYPH = Glyph(Outcome.DIVERGED, "o", 0.75, True, SOME_LABEL)
_MIDDLE = 0.58  # of the colours, for the legend: dark glyphs show on it
_FRAME = 1.5  # points of the agreement's frame

_Number = TypeVar("_Number", bound=np.generic)


def draw_comparison(data: SideBySide, title: str) -> Figure:
    """Draws the members' maps beside each other, and last the map of where they agree.

    In the members' maps colour is the share of trials that did not fail, as in a stability
    map; in the agreement's it is the share of the members in which a cell is stable: light in
    all, dark in none. Its line is the lowest of the members' boundaries.

    Args:
        data: the maps.
        title: the figure's title; long ones are wrapped.
    """
    whole = _with_agreement(data)
    colormap = style.stability_colormap()
    glyphs = [glyph for glyph in GLYPHS if _occurs(data.maps, glyph)]
    entries: list[Entry] = [
        legend.glyph_entry(glyph, ground_of(glyph, colormap(0.12), colormap(0.92)))
        for glyph in glyphs
    ]
    entries.append((ALL_LABEL, legend.patch(colormap(1.0))))
    entries += [
        legend.glyph_entry(glyph, colormap(0.0) if glyph.on_dark else colormap(_MIDDLE))
        for glyph in _AGREEMENT_GLYPHS
    ]
    entries += common_entries(whole)
    plan = _named(plan_map(whole, title, entries), data.names)

    members = len(data.names)
    colours = colormap(np.nan_to_num(whole.stability))
    blank(colours, whole)
    colours[:, members] = colormap(data.stable_in / members)
    unknown = data.agreement == AGREEMENTS.index(Agreement.UNMEASURED)
    colours[:, members][unknown] = (1.0, 1.0, 1.0, 0.0)
    marks = whole.dominant.copy()
    marks[:, members] = -1
    figure = draw_map(whole, plan, colours, marks, glyphs)
    few = data.agreement == AGREEMENTS.index(Agreement.SOME)
    few &= data.stable_in < members / 2
    codes = np.where(few, _IN_FEW, data.agreement).astype(np.int8)
    for row in range(len(plan.panels)):
        # Panels are in the figure's order: row by row, the agreement the last of each.
        axes = figure.axes[row * (members + 1) + members]
        draw_glyphs(axes, plan, codes[row], (*_AGREEMENT_GLYPHS, _IN_FEW_GLYPH), _KINDS)
        for spine in axes.spines.values():
            spine.set(linewidth=_FRAME, color=style.INK)
    legend.add_legend(figure, plan, entries)
    legend.add_colorbar(
        figure,
        plan,
        colormap,
        Normalize(0, 1),
        "stable share: of trials, of maps",
        (0, 0.25, 0.5, 0.75, 1),
    )
    return figure


def _occurs(maps: StabilityMap, glyph: Glyph) -> bool:
    return bool((maps.dominant == _OUTCOMES.index(glyph.outcome)).any())


_OUTCOMES: tuple[Any, ...] = tuple(Outcome)


def _with_agreement(data: SideBySide) -> StabilityMap:
    """The maps with a column of panels more, whose lines are the lowest of the members'.

    What else is in that column is the first member's, which leaves the caption as it is.
    """
    maps = data.maps
    assert maps.columns is not None, "the members are its columns"
    name = AGREEMENT_TITLE
    while name in data.names:
        name += " of all"

    def more(array: NDArray[_Number] | None) -> NDArray[_Number] | None:
        return None if array is None else np.concatenate([array, array[:, :1]], axis=1)

    def lowest(array: NDArray[_Number] | None) -> NDArray[_Number] | None:
        if array is None or data.lowest is None:
            return array
        own = np.take_along_axis(array, data.lowest[:, None], axis=1)
        return np.concatenate([array, own], axis=1)

    def sure(array: NDArray[_Number]) -> NDArray[_Number]:
        return np.concatenate([array, array[:, :1]], axis=1)

    return replace(
        maps,
        columns=Axis(maps.columns.name, (*data.names, name), numeric=False),
        counts=sure(maps.counts),
        stability=sure(maps.stability),
        dominant=sure(maps.dominant),
        onset_earliest=sure(maps.onset_earliest),
        onset_median=sure(maps.onset_median),
        cause_counts=more(maps.cause_counts),
        boundary_index=lowest(maps.boundary_index),
        boundary_status=lowest(maps.boundary_status),
        bracket_safe=lowest(maps.bracket_safe),
        bracket_failing=lowest(maps.bracket_failing),
        refined=lowest(maps.refined),
    )


def _named(plan: Plan, names: tuple[str, ...]) -> Plan:
    """The plan with the members' names alone above their panels."""
    boxes = plan.panels[0]
    apart = boxes[1].left - boxes[0].left
    titles = [
        text.shorten(name, style.PANEL_SIZE, apart * PT - 14, "bold")
        for name in (*names, AGREEMENT_TITLE)
    ]
    return replace(plan, column_titles=titles)
