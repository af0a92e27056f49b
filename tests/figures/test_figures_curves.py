"""The drawn curves: markers at the numbers, bars to their ends, texts that can be read."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from stabilitysweep.analysis import Curves, curves
from stabilitysweep.figures import draw_curves, style
from stabilitysweep.figures.curves import BRACKET_LABEL, NONE_LABEL, OPEN_LABEL, SPREAD_LABEL

RATES = [0.001, 0.01, 0.1, 1.0]
CASES: dict[str, dict[str, list[Any]]] = {
    "learning rate alone": {},
    "one axis": {"depth": [1, 2, 4, 8]},
    "lines": {"batch_size": [8, 16, 32, 64, 128, 256, 512, 1024], "precision": ["a", "b", "c"]},
    "names along x": {"dataset": [f"a_data_set_with_a_long_name_{i}" for i in range(9)]},
    "many values": {"width": list(range(1, 61))},
    "eight lines": {"depth": [1, 2], "dataset": [f"data_set_$number$_{i}" for i in range(8)]},
    "spread": {"depth": [1, 2, 4], "precision": ["a", "b"], "l2": [0.0, 0.1, 0.2], "l1": [0, 1]},
}


def a_figure(
    axes: dict[str, list[Any]], quantity: Any, missing: float = 0.0
) -> tuple[Curves, Figure]:
    random = np.random.default_rng(0)
    sizes = [len(values) for values in axes.values()]
    places = np.indices(sizes).reshape(len(sizes), int(np.prod(sizes)))
    table = pd.DataFrame(
        {
            name: np.array(values, dtype=object)[place]
            for (name, values), place in zip(axes.items(), places, strict=True)
        },
        index=range(int(np.prod(sizes))),
    )
    at = random.integers(-1, 4, len(table))
    table["safe"] = np.where(at >= 0, np.array(RATES)[at], np.nan)
    table["failing"] = np.where(at < 3, np.array([*RATES, np.nan])[at + 1], np.nan)
    table["status"] = np.select([at < 0, at == 3], ["all_fail", "no_failure"], "found")
    table["sensitivity"] = np.where(at >= 0, random.random(len(table)), np.nan)
    table["steps"] = pd.array([100] * len(table), "Int64")
    table = table[random.random(len(table)) >= missing]
    data = curves(table, {"learning_rate": RATES, **axes}, quantity)
    return data, draw_curves(data, "A title, $not$ a formula, that is long enough for two lines")


def marks(axes: Axes) -> np.ndarray:
    """The places of all markers but the carets, [n, 2]."""
    found = [
        np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
        for line in axes.lines
        if line.get_linestyle() == "None" and isinstance(line.get_marker(), str)
    ]
    points = np.concatenate(found) if found else np.empty((0, 2))
    return points[~np.isnan(points).any(axis=1)]


def legend_of(figure: Figure) -> list[str]:
    return [words.get_text() for legend in figure.legends for words in legend.get_texts()]


@pytest.mark.parametrize("quantity", ["boundary", "sensitivity"])
@pytest.mark.parametrize("case", CASES)
def test_no_text_is_lost(case: str, quantity: str) -> None:
    _, figure = a_figure(CASES[case], quantity, missing=0.1)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    axes = figure.axes[0]
    texts = [*figure.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    texts += [words for legend in figure.legends for words in legend.get_texts()]
    shown = [item for item in texts if item.get_text()]
    width, height = figure.canvas.get_width_height()
    boxes = [(item, item.get_window_extent(renderer)) for item in shown]
    for item, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{item.get_text()!r} leaves the figure"
    level = [(item, box) for item, box in boxes if item.get_rotation() != 45]
    for (one, box), (other, second) in combinations(level, 2):
        apart = (
            min(box.x1, second.x1) - max(box.x0, second.x0) <= 0.5
            or min(box.y1, second.y1) - max(box.y0, second.y0) <= 0.5
        )
        assert apart, f"{one.get_text()!r} overlaps {other.get_text()!r}"


@pytest.mark.parametrize("case", CASES)
def test_every_point_has_one_marker_at_its_number(case: str) -> None:
    data, figure = a_figure(CASES[case], "boundary")
    assert data.failing is not None
    expected = np.where(np.isnan(data.value), data.failing, data.value)
    found = marks(figure.axes[0])
    assert sorted(found[:, 1]) == sorted(expected[~np.isnan(expected)])
    low, high = figure.axes[0].get_ylim()
    assert ((found[:, 1] > low) & (found[:, 1] < high)).all()
    data, figure = a_figure(CASES[case], "sensitivity")
    assert sorted(marks(figure.axes[0])[:, 1]) == sorted(data.value[~np.isnan(data.value)])


def test_bars_go_from_the_safe_to_the_failing_rate() -> None:
    data, figure = a_figure(CASES["one axis"], "boundary")
    assert data.failing is not None
    bars = [
        part[:, 1].tolist()
        for item in figure.axes[0].collections
        if isinstance(item, LineCollection)
        for part in item.get_segments()
    ]
    both = ~np.isnan(data.value) & ~np.isnan(data.failing)
    ends = np.stack([data.value[both], data.failing[both]], axis=-1).tolist()
    assert sorted(bars) == sorted(ends)


def test_the_legend_explains_what_is_there_and_no_more() -> None:
    data, figure = a_figure(CASES["lines"], "boundary")
    assert data.failing is not None
    expected = {
        "precision = a", "precision = b", "precision = c", BRACKET_LABEL, OPEN_LABEL, NONE_LABEL,
    }  # fmt: skip
    assert set(legend_of(figure)) == expected
    assert SPREAD_LABEL in legend_of(a_figure(CASES["spread"], "boundary")[1])
    assert legend_of(a_figure(CASES["many values"], "sensitivity")[1]) == []


def test_rates_are_on_a_logarithmic_axis_and_names_are_not_joined() -> None:
    _, joined = a_figure(CASES["one axis"], "boundary")
    _, named = a_figure(CASES["names along x"], "boundary")
    assert joined.axes[0].get_yscale() == "log"
    assert [line.get_linestyle() for line in joined.axes[0].lines].count("-") == 1
    assert "-" not in [line.get_linestyle() for line in named.axes[0].lines]


def test_there_is_a_colour_and_a_marker_for_each_line() -> None:
    assert len(set(style.LINES)) == len({c for c, _ in style.LINES}) == len(style.LINES)
    assert len({marker for _, marker in style.LINES}) == len(style.LINES)


def test_a_figure_without_a_point_is_drawn() -> None:
    data, figure = a_figure(CASES["one axis"], "boundary", missing=1.0)
    assert not data.slices.any() and len(marks(figure.axes[0])) == 0
