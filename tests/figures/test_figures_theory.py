"""The theoretical limit on a drawn map: where its lines are, and what the legend says of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from stabilitysweep.analysis import CellValue, StabilityMap, stability_map
from stabilitysweep.analysis.axes import Axis
from stabilitysweep.figures import (
    draw_headroom,
    draw_onset,
    draw_stability,
    draw_underflow,
    style,
)
from stabilitysweep.figures.geometry import make_plan
from stabilitysweep.figures.legend import THEORY_BEYOND_LABEL, THEORY_LABEL
from stabilitysweep.figures.panels import theory_lines
from stabilitysweep.figures.scale import make_scale, place

RATES = [float(rate) for rate in np.logspace(-3, 0, 13)]
DRAW = {
    "stability": draw_stability,
    "onset": draw_onset,
    "headroom": draw_headroom,
    "underflow": draw_underflow,
}


def make_map(limits: dict[int, float]) -> StabilityMap:
    """A map over learning rate and depth; `limits` gives each depth its limit."""
    axes = {"learning_rate": RATES, "depth": list(limits)}
    rows = [(rate, depth) for rate in RATES for depth in limits]
    table = pd.DataFrame(rows, columns=["learning_rate", "depth"])
    table["seed"] = 0
    table["critical_learning_rate"] = table["depth"].map(limits)
    broke = table["learning_rate"] > table["critical_learning_rate"]
    table["outcome"] = np.where(broke, "nonfinite", "stable")
    table["onset_step"] = pd.array(np.where(broke, 7.0, np.nan)).astype("Int64")
    table["number"] = 0.5
    value = CellValue("number", "median")
    return stability_map(table, axes, theory=True, value=value)


def legend_labels(figure: Figure) -> list[str]:
    return [words.get_text() for words in figure.legends[0].get_texts()]


def dashes_of(figure: Figure) -> list[np.ndarray]:
    """The parts of the limit's line on the first panel."""
    return [
        part
        for item in figure.axes[0].collections
        if isinstance(item, LineCollection)
        and to_hex(np.asarray(item.get_color())[0]) == style.THEORY
        for part in item.get_segments()
    ]


@pytest.mark.parametrize("kind", DRAW)
def test_every_map_has_a_line_a_row_at_its_limit(kind: str) -> None:
    figure = DRAW[kind](make_map({1: 0.2, 2: 0.05, 4: 0.011}), "title")
    parts = dashes_of(figure)
    assert [part[:, 0].tolist() for part in parts] == [[0.2] * 2, [0.05] * 2, [0.011] * 2]
    assert [part[:, 1].tolist() for part in parts] == [[-0.5, 0.5], [0.5, 1.5], [1.5, 2.5]]
    assert legend_labels(figure).count(THEORY_LABEL) == 1


def test_rows_whose_limit_is_unknown_or_outside_have_no_line() -> None:
    data = make_map({1: 0.2, 2: np.nan, 4: 50.0})
    lines = theory_lines(make_plan(data, "", "", [""]), data, 0, 0)
    assert [line.tolist() for line in lines] == [[[0.2, -0.5], [0.2, 0.5]]]


def test_the_legend_says_where_no_limit_is_on_the_map() -> None:
    figure = draw_stability(make_map({1: 30.0, 2: 50.0}), "title")
    assert dashes_of(figure) == []
    labels = legend_labels(figure)
    assert THEORY_BEYOND_LABEL in labels and THEORY_LABEL not in labels


def test_without_theory_there_is_neither_line_nor_legend() -> None:
    data = make_map({1: 0.2})
    bare = StabilityMap(
        **{name: getattr(data, name) for name in StabilityMap.__slots__} | {"theory": None}
    )
    figure = draw_stability(bare, "title")
    assert dashes_of(figure) == []
    assert not {THEORY_LABEL, THEORY_BEYOND_LABEL} & set(legend_labels(figure))


def test_on_cells_of_equal_size_a_number_lies_between_its_neighbours() -> None:
    axis = Axis("learning_rate", (0.01, 0.02, 0.08), numeric=True)
    scale = make_scale(axis)
    assert scale.kind == "category"
    inside = [0.01, 0.02, 0.04, 0.08, 0.01 / 2**0.49, 0.08 * 4**0.495]
    numbers = np.array([*inside, 0.005, 0.2, np.nan])
    expected = [0.0, 1.0, 1.5, 2.0, -0.49, 2.495, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(place(scale, axis, numbers), expected, atol=1e-9)


def test_a_single_cell_has_no_room_for_a_limit() -> None:
    axis = Axis("learning_rate", (0.01,), numeric=True)
    assert np.isnan(place(make_scale(axis), axis, np.array([0.01]))).all()
