"""The figure's plan: every part's place in inches, from the measured widths of its texts.

From top to bottom: title, caption, the panels with their titles, ticks and axis names,
then a band with the colour bar and the legend. matplotlib's own layout engines draw the
figure several times to find this; here it is computed once.

Notation: R rows and C columns of panels. Inches from the lower left corner; PT points
are an inch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stabilitysweep.analysis import Axis, StabilityMap, caption
from stabilitysweep.figures import style, text
from stabilitysweep.figures.scale import (
    Scale,
    Ticks,
    horizontal_ticks,
    make_scale,
    vertical_ticks,
)

PT = 72.0
PAD = 0.14
BAR_WIDTH, BAR_HEIGHT = 2.5, 0.13

_MAX_ROW_TITLE = 120.0  # points
_PANEL_WIDTHS = {1: 4.9, 2: 3.3, 3: 2.6, 4: 2.15, 5: 1.85, 6: 1.7}
_PANEL_HEIGHTS = {1: 3.4, 2: 2.3, 3: 1.8, 4: 1.5, 5: 1.35}
_CELL_HEIGHTS = {1: 0.42, 2: 0.36}
_NAME_HEIGHT, _NAME_WIDTH = 0.165, 0.2  # inches a category takes to have its name beside it
_LONGEST = 11.0  # inches of all panels together, to give each category its name
_TICK_LENGTH = 3.5 / PT
_MAX_TICK_LABEL = 96.0  # points
_COS_45 = math.sqrt(0.5)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in inches."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Inches from the figure's left edge."""
        return self.left + self.width

    @property
    def top(self) -> float:
        """Inches from the figure's lower edge."""
        return self.bottom + self.height


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything goes.

    Attributes:
        width: of the figure, inches.
        height: of the figure, inches.
        x: scale of every panel's horizontal axis.
        y: scale of every panel's vertical axis.
        x_ticks: its ticks.
        y_ticks: its ticks.
        panels: R lists of C boxes.
        margin: inches, left edge of the title, the caption, the bar and the legend.
        title: its lines.
        caption: its lines.
        column_titles: C texts of one or two lines, or none.
        row_titles: R texts of one or two lines, or none.
        row_titles_upright: whether they stand along the panels rather than lie.
        x_label: name of the axis and its scale.
        y_label: the same; empty for a single strip.
        x_label_top: inches, upper edge of the name below the panels.
        y_label_left: inches, left edge of the name beside the panels.
        bar: the colour bar, or where it would be.
        legend: upper left corner of the legend, inches.
        legend_columns: columns of the legend.
    """

    width: float
    height: float
    x: Scale
    y: Scale
    x_ticks: Ticks
    y_ticks: Ticks
    panels: list[list[Box]]
    margin: float
    title: list[str]
    caption: list[str]
    column_titles: list[str]
    row_titles: list[str]
    row_titles_upright: bool
    x_label: str
    y_label: str
    x_label_top: float
    y_label_left: float
    bar: Box
    legend: tuple[float, float]
    legend_columns: int


def make_plan(
    data: StabilityMap, title: str, note: str, legend: list[str], *, bar: bool = True
) -> Plan:
    """Lays out a figure of a map.

    Args:
        data: the map.
        title: the figure's title.
        note: a sentence to follow the caption; may be empty.
        legend: the legend's texts, in order.
        bar: whether there is a colour bar.
    """
    rows, columns, _, _ = data.shape
    x, y = make_scale(data.x), make_scale(data.y)
    named = data.y is not None and not data.y.numeric
    width, height = _panel_size(rows, columns, x, y, categorical=not data.x.numeric, named=named)
    x_ticks = _shortened(horizontal_ticks(x, width * PT))
    y_ticks = _shortened(vertical_ticks(y, height * PT))

    # Ends of the outermost labels that stick out of a panel, to either side.
    out_left, out_right = overhang(x, x_ticks, width)
    gap = max(0.13, out_left + out_right + 0.1)
    row_titles, row_titles_upright, row_titles_width = _row_titles(data, height)
    y_label = axis_label(data.y.name, y) if data.y else ""
    y_label_width = style.LABEL_SIZE * 1.5 / PT if y_label else 0.0
    labels_width = max(text.width(label, style.TICK_SIZE) for label in y_ticks.labels) / PT
    beside = y_label_width + labels_width + (0.09 + _TICK_LENGTH if data.y else 0.0)
    left = PAD + max(beside, out_left)
    across = columns * width + (columns - 1) * gap
    right = PAD + max(row_titles_width, out_right)
    # Titles and legend start flush with the panels, unless tick labels push these far in.
    margin = PAD if left > 1.2 else left
    total = max(left + across + right, margin + _legend_size(legend, 2)[0] + PAD)
    usable = (total - margin - PAD) * PT

    title_lines = text.wrap(title, style.TITLE_SIZE, usable, "bold")
    words = f"{caption(data)} {note}".strip()
    caption_lines = text.wrap(words, style.TEXT_SIZE, usable)
    column_titles = _column_titles(data, (width + gap) * PT - 10)
    head = PAD + _lines(len(title_lines), style.TITLE_SIZE)
    head += _lines(len(caption_lines), style.TEXT_SIZE) + 0.12
    if column_titles:
        head += _lines(column_titles[0].count("\n") + 1, style.PANEL_SIZE) + 0.05

    foot = _TICK_LENGTH + labels_height(x_ticks) + 0.06
    below = foot + style.LABEL_SIZE * 1.45 / PT + 0.16
    legend_columns, band, beside_bar = legend_band(legend, total - margin - PAD, bar=bar)
    figure_height = head + rows * height + (rows - 1) * 0.13 + below + band + PAD * 0.7
    top = figure_height - head
    panels = [
        [
            Box(left + c * (width + gap), top - r * (height + 0.13) - height, width, height)
            for c in range(columns)
        ]
        for r in range(rows)
    ]
    lowest = panels[-1][0].bottom
    bar_top = lowest - below - style.TEXT_SIZE * 1.45 / PT
    bar_box = Box(margin, bar_top - BAR_HEIGHT, BAR_WIDTH, BAR_HEIGHT)
    legend_corner = (margin, bar_box.bottom - 0.3)
    if beside_bar or not bar:
        legend_corner = (bar_box.right + 0.3 if bar else margin, lowest - below + 0.02)
    return Plan(
        width=total,
        height=figure_height,
        x=x,
        y=y,
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        panels=panels,
        margin=margin,
        title=title_lines,
        caption=caption_lines,
        column_titles=column_titles,
        row_titles=row_titles,
        row_titles_upright=row_titles_upright,
        x_label=axis_label(data.x.name, x),
        y_label=y_label,
        x_label_top=lowest - foot,
        y_label_left=left - beside,
        bar=bar_box,
        legend=legend_corner,
        legend_columns=legend_columns,
    )


def legend_entry_width(label: str) -> float:
    """Width of a legend entry in inches: handle, gap, text, space to the next column."""
    return (text.width(label, style.TEXT_SIZE) + 4.4 * style.TEXT_SIZE) / PT


LEGEND_LINE = style.TEXT_SIZE * 1.6 / PT
"""Height of a legend entry in inches."""


def _panel_size(
    rows: int, columns: int, x: Scale, y: Scale, *, categorical: bool, named: bool
) -> tuple[float, float]:
    """Width and height of a panel in inches; x may be `categorical`, y `named` likewise."""
    width = _PANEL_WIDTHS.get(columns, 1.6)
    if categorical or x.kind == "category":  # few cells need not be stretched over the page
        width = min(width, max(0.62 * len(x), 1.5 if columns > 1 else 3.0))
    if categorical:
        width = max(width, min(len(x) * _NAME_WIDTH, _LONGEST / columns))
    limit = _PANEL_HEIGHTS.get(rows, 1.25)
    if y.kind != "category":
        return width, min(0.75 * width, limit)
    height = min(max(len(y) * _CELL_HEIGHTS.get(rows, 0.3), 0.45), limit)
    if named:
        height = max(height, min(len(y) * _NAME_HEIGHT, _LONGEST / rows))
    return width, height


def _shortened(ticks: Ticks) -> Ticks:
    labels = tuple(text.shorten(label, style.TICK_SIZE, _MAX_TICK_LABEL) for label in ticks.labels)
    return Ticks(ticks.positions, labels, ticks.minor, ticks.rotated)


def overhang(scale: Scale, ticks: Ticks, length: float) -> tuple[float, float]:
    """How far the labels below a panel stick out of it, left and right, in inches."""
    places = scale.fractions(ticks.positions) * length
    widths = np.array([text.width(label, style.TICK_SIZE) for label in ticks.labels]) / PT
    if ticks.rotated:
        left, right = widths * _COS_45, np.full(len(widths), 0.06)
    else:
        left = right = widths / 2
    before, after = float((left - places).max()), float((places + right - length).max())
    return max(before, 0.0), max(after, 0.0)


def labels_height(ticks: Ticks) -> float:
    """Height of the labels below a panel in inches."""
    if not ticks.rotated:
        return style.TICK_SIZE * LINE_HEIGHT / PT
    longest = max(text.width(label, style.TICK_SIZE) for label in ticks.labels)
    return (longest * _COS_45 + style.TICK_SIZE) / PT


LINE_HEIGHT = 1.3


def _lines(number: int, size: float) -> float:
    return number * size * text.LINE / PT


def axis_label(name: str, scale: Scale) -> str:
    """An axis' name, shortened, and its scale if it is logarithmic."""
    label = text.shorten(name, style.LABEL_SIZE, 200)
    return f"{label} (log scale)" if scale.kind == "log" else label


def _column_titles(data: StabilityMap, limit: float) -> list[str]:
    """The columns' titles, on two lines if one is wider than `limit` points."""
    if data.columns is None:
        return []
    one_line, two_lines = _titles(data.columns, limit)
    return one_line or two_lines


def _row_titles(data: StabilityMap, height: float) -> tuple[list[str], bool, float]:
    """The rows' titles, whether they stand upright along the panels, and their inches across.

    They do if they fit in a line or two; if not, they lie beside the panels.
    """
    if data.rows is None:
        return [], False, 0.0
    line = style.PANEL_SIZE * text.LINE / PT
    one_line, two_lines = _titles(data.rows, height * PT + 6)
    if one_line:
        return one_line, True, line + 0.06
    if not any("…" in title for title in two_lines):
        return two_lines, True, 2 * line + 0.06
    _, lying = _titles(data.rows, _MAX_ROW_TITLE)
    parts = [part for title in lying for part in title.split("\n")]
    widest = max(text.width(part, style.PANEL_SIZE, "bold") for part in parts)
    return lying, False, widest / PT + 0.09


def _titles(axis: Axis, limit: float) -> tuple[list[str], list[str]]:
    """Titles of panels on one line, none if one is too wide, and on two, shortened."""
    one_line = [f"{axis.name} = {label}" for label in axis.labels]
    if any(text.width(title, style.PANEL_SIZE, "bold") > limit for title in one_line):
        one_line = []
    name = text.shorten(axis.name, style.PANEL_SIZE, limit - 12, "bold")
    labels = (text.shorten(label, style.PANEL_SIZE, limit, "bold") for label in axis.labels)
    return one_line, [f"{name} =\n{label}" for label in labels]


def _legend_size(legend: list[str], columns: int) -> tuple[float, float]:
    """Width and height of a legend in inches."""
    # As matplotlib fills a legend: down the columns, the first ones longer by one.
    filled = np.array_split([legend_entry_width(label) for label in legend], columns)
    wide = sum(float(part.max(initial=0.0)) for part in filled)
    return wide, len(filled[0]) * LEGEND_LINE + 0.04


def legend_band(legend: list[str], width: float, *, bar: bool) -> tuple[int, float, bool]:
    """Columns of the legend, height of the band, whether it stands beside the bar."""
    bar_height = (style.TEXT_SIZE * 1.45 + style.TICK_SIZE * 1.9) / PT + BAR_HEIGHT

    def fit(available: float) -> tuple[int, float, bool]:
        for columns in range(min(4, len(legend)), 1, -1):
            wide, high = _legend_size(legend, columns)
            if wide <= available + 1e-6:
                return columns, high, True
        wide, high = _legend_size(legend, 1)
        return 1, high, wide <= available

    stacked_columns, stacked_height, _ = fit(width)
    if not bar:
        return stacked_columns, stacked_height, False
    columns, height, fits = fit(width - BAR_WIDTH - 0.3)
    stacked_height += bar_height + 0.1
    # Beside the bar only where that saves height: a long column beside a bar looks lost.
    if fits and max(height, bar_height) <= 0.75 * stacked_height:
        return columns, max(height, bar_height), True
    return stacked_columns, stacked_height, False
