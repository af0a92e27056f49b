"""The parts of a panel: cells, glyphs, boundary, ticks, titles.

A panel has a handful of artists, however many cells: one mesh, one scatter an outcome,
one collection of lines for the boundary. Coordinates are the data's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from stabilitysweep.analysis import OUTCOMES, STATUSES, BoundaryStatus, StabilityMap
from stabilitysweep.figures import style, text
from stabilitysweep.figures.geometry import PT, Plan
from stabilitysweep.figures.scale import Scale, Ticks, place
from stabilitysweep.figures.style import Glyph

# Cells of all panels together: above this, an SVG holds the cells as a picture.
_MOST_VECTOR_CELLS = 6000
# Points: glyphs nearer than this to one another blur into a texture.
_GLYPH_DISTANCE = 6.2
_SMALLEST_GLYPH, _LARGEST_GLYPH = 2.6, 6.0

_OPEN = (STATUSES.index(BoundaryStatus.NO_FAILURE), STATUSES.index(BoundaryStatus.GAP))
_UNKNOWN = STATUSES.index(BoundaryStatus.UNMEASURED)


def add_panels(figure: Figure, plan: Plan) -> list[list[Axes]]:
    """Adds the empty panels with their ticks; returns R lists of C axes."""
    rows = len(plan.panels)
    grid: list[list[Axes]] = []
    for r, boxes in enumerate(plan.panels):
        grid.append([])
        for c, box in enumerate(boxes):
            axes = figure.add_axes(
                (
                    box.left / plan.width,
                    box.bottom / plan.height,
                    box.width / plan.width,
                    box.height / plan.height,
                )
            )
            _prepare(axes, plan, x_labels=r == rows - 1, y_labels=c == 0)
            grid[-1].append(axes)
    return grid


def _prepare(axes: Axes, plan: Plan, *, x_labels: bool, y_labels: bool) -> None:
    if plan.x.kind == "log":
        axes.set_xscale("log")
    if plan.y.kind == "log":
        axes.set_yscale("log")
    axes.grid(False)
    axes.set_xlim(plan.x.edges[0], plan.x.edges[-1])
    ends = plan.y.edges[[0, -1]]
    # Categories read from the top, as in the config; numbers rise.
    named = plan.y.kind == "category" and not _rising(plan.y)
    axes.set_ylim(*(ends[::-1] if named else ends))
    set_ticks(axes, "x", plan.x_ticks, labels=x_labels)
    set_ticks(axes, "y", plan.y_ticks, labels=y_labels and bool(plan.y_label))
    if not plan.y_label:
        axes.tick_params(axis="y", length=0)
    for spine in axes.spines.values():
        spine.set(linewidth=0.7, color=style.FRAME, zorder=3)


def _rising(scale: Scale) -> bool:
    try:
        return bool(np.all(np.diff([float(label) for label in scale.labels]) > 0))
    except ValueError:
        return False


def set_ticks(axes: Axes, which: str, ticks: Ticks, *, labels: bool) -> None:
    """Puts ticks on the `x` or the `y` axis, with their labels or without."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks.positions.tolist()))
    minor = FixedLocator(ticks.minor.tolist()) if len(ticks.minor) else NullLocator()
    axis.set_minor_locator(minor)
    axis.set_minor_formatter(NullFormatter())  # a log axis would label some of them
    axis.set_major_formatter(FixedFormatter(ticks.labels if labels else [""] * len(ticks.labels)))
    axis.set_tick_params(which="major", length=3.5, width=0.7, color=style.FRAME, pad=2.5)
    axis.set_tick_params(which="minor", length=1.8, width=0.5, color=style.FRAME)
    axis.set_tick_params(which="major", labelsize=style.TICK_SIZE, labelcolor=style.INK)
    if not labels:
        return
    for label in axis.get_ticklabels():
        label.set_fontfamily(style.FAMILY)
        label.set_parse_math(False)
        if ticks.rotated:
            label.set(rotation=45, ha="right", va="center", rotation_mode="anchor")


def draw_cells(axes: Axes, plan: Plan, colours: NDArray[np.float64], cells: int) -> None:
    """Fills the cells; what is transparent shows the hatched ground of the unmeasured.

    Args:
        axes: the panel.
        plan: the figure's plan.
        colours: RGBA, float64 [Y, X, 4].
        cells: cells of all panels together.
    """
    axes.patch.set(facecolor=style.UNMEASURED, edgecolor=style.UNMEASURED_HATCH, linewidth=0)
    if (colours[..., 3] == 0).any():
        axes.patch.set_hatch(style.HATCH)
        axes.patch.set_hatch_linewidth(style.HATCH_WIDTH)
    mesh = axes.pcolormesh(plan.x.edges, plan.y.edges, colours, shading="flat", zorder=1)
    mesh.set_rasterized(cells > _MOST_VECTOR_CELLS)
    wide, high = _cell_size(plan)
    if min(wide, high) >= 6.5:  # thin lines between large cells let them be counted
        mesh.set(edgecolor=style.GRID, linewidth=0.35)
    axes.set_xlim(plan.x.edges[0], plan.x.edges[-1])


def draw_glyphs(
    axes: Axes,
    plan: Plan,
    dominant: NDArray[np.int8],
    glyphs: Sequence[Glyph],
    kinds: Sequence[object] = OUTCOMES,
) -> int:
    """Marks each cell with the glyph of its dominant outcome, or cause.

    Where cells are so small that glyphs would run together, only every n-th is marked.

    Args:
        axes: the panel.
        plan: the figure's plan.
        dominant: int8 [Y, X] into `kinds`, or -1.
        glyphs: those to draw; others stay unmarked.
        kinds: what there is a glyph for.

    Returns:
        The number of scatters added.
    """
    step_x, step_y = glyph_steps(plan)
    size = _glyph_size(plan)
    rows = np.arange(dominant.shape[0])[step_y // 2 :: step_y]
    columns = np.arange(dominant.shape[1])[step_x // 2 :: step_x]
    shown = dominant[np.ix_(rows, columns)]
    drawn = 0
    for glyph in glyphs:
        at_row, at_column = np.nonzero(shown == kinds.index(glyph.outcome))
        if not len(at_row):
            continue
        drawn += 1
        axes.scatter(
            plan.x.centres[columns[at_column]],
            plan.y.centres[rows[at_row]],
            s=(size * glyph.scale) ** 2,
            marker=style.marker(glyph),
            color="white" if glyph.on_dark else style.INK,
            linewidths=max(0.6, size / 5.5) if glyph.is_line else 0,
            zorder=2,
        )
    return drawn


def glyph_steps(plan: Plan) -> tuple[int, int]:
    """Every how many cells a glyph is drawn, along x and along y."""
    wide, high = _cell_size(plan)
    return (
        max(1, int(np.ceil(_GLYPH_DISTANCE / wide - 0.15))),
        max(1, int(np.ceil(_GLYPH_DISTANCE / high - 0.15))),
    )


def _cell_size(plan: Plan) -> tuple[float, float]:
    """Typical width and height of a cell in points."""
    box = plan.panels[0][0]
    return box.width * PT / len(plan.x), box.height * PT / len(plan.y)


def _glyph_size(plan: Plan) -> float:
    step_x, step_y = glyph_steps(plan)
    wide, high = _cell_size(plan)
    distance = min(wide * step_x, high * step_y)
    return float(np.clip(0.48 * distance, _SMALLEST_GLYPH, _LARGEST_GLYPH))


def draw_boundary(axes: Axes, plan: Plan, data: StabilityMap, row: int, column: int) -> None:
    """Draws the boundary as a step line: solid where a failure ends it, else dashed.

    A refined one is where it was found, the geometric middle of its bracket, with the bracket
    behind it.
    """
    if data.boundary_index is None or data.boundary_status is None:
        return
    index, status = data.boundary_index[row, column], data.boundary_status[row, column]
    closed, still_open = boundary_lines(
        plan, index, status, refined_places(plan, data, row, column)
    )
    lines = [line for line in (*closed, *still_open) if len(line)]
    if not lines:
        return
    boxes = bracket_boxes(plan, data, row, column)
    if boxes:
        band = PolyCollection(boxes, facecolors=style.BRACKET, linewidths=0, zorder=3.2)
        axes.add_collection(band, autolim=False)
    core_width = boundary_width(plan)
    # Not clipped: half of a line on the frame would be lost.
    casing = LineCollection(
        lines,
        colors="white",
        linewidths=core_width * style.CASING,
        capstyle="butt",
        joinstyle="miter",
        zorder=4,
        clip_on=False,
    )
    axes.add_collection(casing, autolim=False)
    for group, dashes in ((still_open, (0, style.DASHES)), (closed, "solid")):
        if group:
            core = LineCollection(
                group,
                colors=style.INK,
                linewidths=core_width,
                linestyles=[dashes],
                capstyle="butt",
                joinstyle="miter",
                zorder=5,
                clip_on=False,
            )
            axes.add_collection(core, autolim=False)


def draw_theory(axes: Axes, plan: Plan, data: StabilityMap, row: int, column: int) -> None:
    """Draws the theoretical limit of every y row as a dashed line across it."""
    lines = theory_lines(plan, data, row, column)
    if not lines:
        return
    # The casing below the boundary and the dashes above it: both show where they meet.
    for colour, width, dashes, order in (
        ("white", style.THEORY_WIDTH * style.CASING, "solid", 3.5),
        (style.THEORY, style.THEORY_WIDTH, (0, style.THEORY_DASHES), 6.0),
    ):
        part = LineCollection(
            lines,
            colors=colour,
            linewidths=width,
            linestyles=[dashes],
            capstyle="butt",
            zorder=order,
        )
        axes.add_collection(part, autolim=False)


def theory_lines(
    plan: Plan, data: StabilityMap, row: int, column: int
) -> list[NDArray[np.float64]]:
    """The limit's parts in data coordinates: float64 [2, 2] for each y row that has one."""
    if data.theory is None:
        return []
    places = place(plan.x, data.x, data.theory[row, column])
    edges = plan.y.edges
    return [
        np.array([[at, edges[y]], [at, edges[y + 1]]])
        for y, at in enumerate(places)
        if not np.isnan(at)
    ]


def refined_places(
    plan: Plan, data: StabilityMap, row: int, column: int
) -> NDArray[np.float64] | None:
    """Data coordinates of a refined boundary, float64 [Y]; NaN in rows without one."""
    if data.refined is None or data.bracket_safe is None or data.bracket_failing is None:
        return None
    middle = np.sqrt(data.bracket_safe[row, column] * data.bracket_failing[row, column])
    return place(plan.x, data.x, np.where(data.refined[row, column], middle, np.nan))


def bracket_boxes(
    plan: Plan, data: StabilityMap, row: int, column: int
) -> list[NDArray[np.float64]]:
    """The brackets of a refined boundary in data coordinates, float64 [4, 2] each."""
    if data.refined is None or data.bracket_safe is None or data.bracket_failing is None:
        return []
    held = data.refined[row, column]
    ends = [
        place(plan.x, data.x, np.where(held, bound[row, column], np.nan))
        for bound in (data.bracket_safe, data.bracket_failing)
    ]
    edges = plan.y.edges
    return [
        np.array([[low, edges[y]], [high, edges[y]], [high, edges[y + 1]], [low, edges[y + 1]]])
        for y, (low, high) in enumerate(zip(*ends, strict=True))
        if not (np.isnan(low) or np.isnan(high))
    ]


def draw_picks(axes: Axes, plan: Plan, data: StabilityMap, row: int, column: int) -> None:
    """Marks the cells of the picks with stars."""
    if data.picks is None:
        return
    at_y, at_x = np.nonzero(data.picks[row, column])
    if not len(at_y):
        return
    size = float(np.clip(0.75 * min(_cell_size(plan)), 6.5, 11.0))
    axes.scatter(
        plan.x.centres[at_x],
        plan.y.centres[at_y],
        s=size**2,
        marker="*",
        facecolors="white",
        edgecolors=style.INK,
        linewidths=0.8,
        zorder=7,
    )


def boundary_width(plan: Plan) -> float:
    """Width of the boundary in points: thinner where cells are small, not to hide them."""
    return float(np.clip(0.14 * min(_cell_size(plan)) + 0.6, 1.0, style.BOUNDARY_WIDTH))


def boundary_lines(
    plan: Plan,
    index: NDArray[np.int64],
    status: NDArray[np.int8],
    refined: NDArray[np.float64] | None = None,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The boundary's polylines in data coordinates.

    Args:
        plan: the figure's plan.
        index: int64 [Y], `StabilityMap.boundary_index` of one panel.
        status: int8 [Y], its status.
        refined: float64 [Y], where it is better known; NaN in rows where it is not.

    Returns:
        `(closed, open)`: lists of float64 [n, 2]. A row's part runs along the right edge
        of the last cell that held, or where it was refined to, and neighbouring rows' parts
        are joined; rows where nothing is measured interrupt it.
    """
    closed: list[list[tuple[float, float]]] = []
    still_open: list[list[tuple[float, float]]] = []
    at = plan.x.edges[index + 1]
    if refined is not None:
        at = np.where(np.isnan(refined), at, refined)
    previous: list[tuple[float, float]] | None = None
    previous_open = False
    for y in range(len(index)):
        if status[y] == _UNKNOWN:
            previous = None
            continue
        is_open = status[y] in _OPEN
        part = [(at[y], plan.y.edges[y]), (at[y], plan.y.edges[y + 1])]
        if previous is not None and previous_open == is_open:
            previous.extend(part)
        else:
            if previous is not None and is_open:
                previous.append(part[0])  # the step belongs to the solid line
            elif previous is not None:
                part.insert(0, previous[-1])
            (still_open if is_open else closed).append(part)
            previous = part
        previous_open = is_open
    return [np.array(line) for line in closed], [np.array(line) for line in still_open]


def add_titles(figure: Figure, plan: Plan) -> None:
    """Writes the title, the caption, the panels' titles and the axes' names."""
    common = {"fontfamily": style.FAMILY, "parse_math": False}

    def write(x: float, y: float, words: str, **kwargs: object) -> None:
        figure.text(x / plan.width, y / plan.height, words, **{**common, **kwargs})  # type: ignore[arg-type]

    top = plan.height - 0.12
    for line in plan.title:
        write(
            plan.margin, top, line, size=style.TITLE_SIZE, weight="bold", va="top", color=style.INK
        )
        top -= style.TITLE_SIZE * text.LINE / PT
    top -= 0.03
    for line in plan.caption:
        write(plan.margin, top, line, size=style.TEXT_SIZE, va="top", color=style.SOFT_INK)
        top -= style.TEXT_SIZE * text.LINE / PT

    panel = {"size": style.PANEL_SIZE, "weight": "bold", "color": style.INK}
    first_row, last = plan.panels[0], plan.panels[-1][-1]
    for box, words in zip(first_row, plan.column_titles, strict=False):
        centre = box.left + box.width / 2
        write(centre, box.top + 0.06, words, ha="center", va="bottom", **panel)
    turned = {"rotation": 270, "multialignment": "center"} if plan.row_titles_upright else {}
    for boxes, words in zip(plan.panels, plan.row_titles, strict=False):
        centre = boxes[-1].bottom + boxes[-1].height / 2
        beside = boxes[-1].right + 0.07
        write(beside, centre, words, ha="left", va="center", **turned, **panel)
    axis = {"size": style.LABEL_SIZE, "color": style.INK}
    centre = (first_row[0].left + last.right) / 2
    write(centre, plan.x_label_top, plan.x_label, ha="center", va="top", **axis)
    centre = (first_row[0].top + last.bottom) / 2
    if plan.y_label:
        write(plan.y_label_left, centre, plan.y_label, rotation=90, ha="left", va="center", **axis)
