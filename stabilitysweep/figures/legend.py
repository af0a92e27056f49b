"""The band below the panels: the colour bar and what glyphs, hatching and lines mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from stabilitysweep.figures import style, text
from stabilitysweep.figures.geometry import Plan
from stabilitysweep.figures.style import Glyph

Entry = tuple[str, Any]
"""A legend's text and what is drawn beside it: an artist or a tuple of them, overlaid."""

UNMEASURED_LABEL = "not measured"
BOUNDARY_LABEL = "boundary: no failure left of it"
OPEN_BOUNDARY_LABEL = "no failure found up to here"
REFINED_BOUNDARY_LABEL = "boundary, refined; grey: its bracket"
PICK_LABEL = "recommended"
PICK_BEYOND_LABEL = "recommended: outside this map"
THEORY_LABEL = "theory's limit"
THEORY_BEYOND_LABEL = "theory's limit: outside this range"


def glyph_entry(glyph: Glyph, ground: Any) -> Entry:
    """A glyph on a patch of the colour it sits on."""
    mark = Line2D(
        [],
        [],
        linestyle="none",
        marker=style.marker(glyph),
        markersize=5.2 * glyph.scale,
        markeredgewidth=1.0 if glyph.is_line else 0,
        color="white" if glyph.on_dark else style.INK,
    )
    return glyph.label, (patch(ground), mark)


def patch(colour: Any) -> Patch:
    """A patch of one colour."""
    return Patch(facecolor=colour, edgecolor=style.FRAME, linewidth=0.5)


def unmeasured_entry() -> Entry:
    """The hatched ground of cells without a trial."""
    ground = Patch(
        facecolor=style.UNMEASURED, edgecolor=style.UNMEASURED_HATCH, linewidth=0, hatch=style.HATCH
    )
    ground.set_hatch_linewidth(style.HATCH_WIDTH)
    return UNMEASURED_LABEL, ground


def boundary_entries(*, closed: bool, still_open: bool, refined: bool = False) -> list[Entry]:
    """The lines that are on the figure."""
    entries: list[Entry] = []
    for wanted, label, dashed in (
        (closed, BOUNDARY_LABEL, False),
        (refined, REFINED_BOUNDARY_LABEL, False),
        (still_open, OPEN_BOUNDARY_LABEL, True),
    ):
        if not wanted:
            continue
        line = Line2D([], [], color=style.INK, linewidth=style.BOUNDARY_WIDTH)
        if dashed:
            line.set_linestyle((0, style.DASHES))
        band = Patch(facecolor=style.BRACKET, edgecolor="none", linewidth=0)
        entries.append((label, (band, line) if label == REFINED_BOUNDARY_LABEL else line))
    return entries


def pick_entry(*, inside: bool) -> Entry:
    """The star of a pick; its label says so where none is on the map."""
    mark = Line2D(
        [],
        [],
        linestyle="none",
        marker="*",
        markersize=9.5,
        markerfacecolor="white",
        markeredgecolor=style.INK,
        markeredgewidth=0.8,
    )
    return PICK_LABEL if inside else PICK_BEYOND_LABEL, mark


def theory_entry(*, inside: bool) -> Entry:
    """The line of the theoretical limit; its label says so where it is on no panel."""
    line = Line2D([], [], color=style.THEORY, linewidth=style.THEORY_WIDTH)
    line.set_linestyle((0, style.THEORY_DASHES))
    return THEORY_LABEL if inside else THEORY_BEYOND_LABEL, line


def add_legend(figure: Figure, plan: Plan, entries: Sequence[Entry]) -> None:
    """Puts the legend where the plan has it."""
    corner = (plan.legend[0] / plan.width, plan.legend[1] / plan.height)
    put_legend(figure, corner, plan.legend_columns, entries)


def put_legend(
    figure: Figure, corner: tuple[float, float], columns: int, entries: Sequence[Entry]
) -> None:
    """Puts a legend with its upper left corner at a place in parts of the figure."""
    if not entries:
        return
    legend = figure.legend(
        handles=[handle for _, handle in entries],
        labels=[label for label, _ in entries],
        handler_map={tuple: HandlerTuple(ndivide=1, pad=0)},
        loc="upper left",
        bbox_to_anchor=corner,
        ncols=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.9,
        handleheight=1.15,
        handletextpad=0.7,
        columnspacing=1.6,
        labelspacing=0.45,
        prop={"family": style.FAMILY, "size": style.TEXT_SIZE},
    )
    for words in legend.get_texts():
        words.set(color=style.INK, parse_math=False)


def add_colorbar(
    figure: Figure,
    plan: Plan,
    colormap: Colormap,
    norm: Normalize,
    label: str,
    ticks: Sequence[float],
    tick_labels: Sequence[str] | None = None,
) -> None:
    """Puts the labelled colour bar where the plan has it.

    Args:
        figure: to add it to.
        plan: the figure's plan.
        colormap: its colours.
        norm: its scale.
        label: above it.
        ticks: numbers on it.
        tick_labels: what is written at them; None writes the numbers.
    """
    if tick_labels is None:
        tick_labels = [f"{tick:g}" for tick in ticks]
    box = plan.bar
    axes = figure.add_axes(
        (
            box.left / plan.width,
            box.bottom / plan.height,
            box.width / plan.width,
            box.height / plan.height,
        )
    )
    axes.set_label("<colorbar>")
    bar = figure.colorbar(ScalarMappable(norm, colormap), cax=axes, orientation="horizontal")
    bar.outline.set(linewidth=0.6, edgecolor=style.FRAME)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter(list(tick_labels)))
    axes.tick_params(labelsize=style.TICK_SIZE, length=2.5, width=0.6, pad=2, labelcolor=style.INK)
    for words in axes.get_xticklabels():
        words.set(fontfamily=style.FAMILY, parse_math=False)
    axes.text(
        0,
        1.35,
        text.shorten(label, style.TEXT_SIZE, 230),
        transform=axes.transAxes,
        size=style.TEXT_SIZE,
        family=style.FAMILY,
        color=style.INK,
        va="bottom",
    )
