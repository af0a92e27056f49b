"""The drawn comparison: what is on it, and that it can be read with two to six members."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure

from stabilitysweep.analysis.alignment import Member
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.comparison import compare
from stabilitysweep.analysis.side_by_side import SideBySide, side_by_side
from stabilitysweep.figures import save, style
from stabilitysweep.figures.comparison import (
    ALL_LABEL,
    NONE_LABEL,
    SOME_LABEL,
    draw_comparison,
)

AXES: dict[str, list[Any]] = {
    "depth": [1, 2, 4],
    "learning_rate": [float(rate) for rate in np.geomspace(1e-3, 10, 13)],
}
LONG = "a_data_set_with_a_rather_long_name"


def member(name: str, height: float, axes: dict[str, list[Any]] = AXES, keep: float = 1) -> Member:
    random = np.random.default_rng(0)
    rows = [
        dict(zip([*axes, "seed"], values, strict=True))
        for values in itertools.product(*axes.values(), range(2))
    ]
    trials = pd.DataFrame(rows)
    failed = trials["learning_rate"] > height / (trials["depth"] if "depth" in axes else 1)
    trials["outcome"] = np.where(failed, "nonfinite", "stable")
    trials["onset_step"] = pd.array(np.where(failed, 3, np.nan)).astype("Int64")
    trials["steps_run"] = 10
    trials["trial_id"] = [f"t{place}" for place in range(len(trials))]
    trials = trials[random.random(len(trials)) < keep]
    table = boundaries(trials, axes, "learning_rate")
    return Member(name, trials, axes, boundaries=table, missing=int(keep < 1))


def drawn(*members: Member, **places: Any) -> tuple[SideBySide, Figure]:
    data = side_by_side(compare(members), **places)
    return data, draw_comparison(data, "three results (10 steps): where training is stable")


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def glyphs(axes: Axes) -> int:
    marks = [item for item in axes.collections if isinstance(item, PathCollection)]
    return sum(len(np.asarray(mark.get_offsets())) for mark in marks)


def test_every_member_has_a_panel_and_the_agreement_is_last() -> None:
    data, figure = drawn(member("low", 0.05), member("middle", 0.5), member("high", 5.0))
    assert len(panels(figure)) == 4
    words = [text.get_text() for text in figure.texts]
    assert [word for word in words if word in ("low", "middle", "high", "agreement")] == [
        "low",
        "middle",
        "high",
        "agreement",
    ]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {ALL_LABEL, SOME_LABEL, NONE_LABEL, "mostly nonfinite"} <= set(legend)
    assert "mostly diverged" not in legend  # none did
    last = panels(figure)[-1]
    (mesh,) = (item for item in last.collections if isinstance(item, QuadMesh))
    colours = np.asarray(mesh.get_array()).reshape(-1, 4)
    expected = style.stability_colormap()(data.stable_in[0].ravel() / 3)
    np.testing.assert_allclose(colours, expected)
    # Every cell that is not stable in all has a glyph: colour does not say it alone.
    assert glyphs(last) == int((data.stable_in < 3).sum())


def test_the_line_of_the_agreement_is_the_lowest_boundary() -> None:
    _, figure = drawn(member("low", 0.05), member("high", 5.0))
    low, high, agreement = (
        [
            segment
            for item in axes.collections
            if isinstance(item, LineCollection)
            for segment in item.get_segments()
        ]
        for axes in panels(figure)
    )
    assert [line.tolist() for line in agreement] == [line.tolist() for line in low]
    assert [line.tolist() for line in agreement] != [line.tolist() for line in high]


def test_cells_that_are_not_measured_in_all_show_the_ground() -> None:
    data, figure = drawn(member("whole", 0.5), member("part", 0.5, keep=0.4))
    last = panels(figure)[-1]
    (mesh,) = (item for item in last.collections if isinstance(item, QuadMesh))
    clear = np.asarray(mesh.get_array()).reshape(-1, 4)[:, 3] == 0
    np.testing.assert_array_equal(clear, data.agreement[0].ravel() == 3)
    assert clear.any()


@pytest.mark.parametrize(("count", "names"), [(2, "m"), (3, LONG), (6, "m"), (6, LONG)])
def test_texts_stay_on_the_figure_and_apart(count: int, names: str) -> None:
    axes = {"precision": ["float32", "float16"], **AXES}
    _, figure = drawn(
        *(member(f"{names}_{place}", 0.1 * (place + 1), axes) for place in range(count)),
        rows="precision",
    )
    assert len(panels(figure)) == 2 * (count + 1)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    whole = figure.bbox
    boxes = []
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= whole.x0 - 1
        assert box.x1 <= whole.x1 + 1
        boxes.append(box)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    (legend,) = figure.legends
    for axes_ in figure.axes:
        for text in axes_.texts:  # the colour bar's label
            assert not text.get_window_extent(renderer).overlaps(legend.get_window_extent(renderer))


def test_a_single_axis_and_a_member_called_agreement_are_drawn(tmp_path: Path) -> None:
    axes = {"learning_rate": AXES["learning_rate"]}
    _, figure = drawn(member("agreement", 0.05, axes), member("other", 0.5, axes))
    assert len(panels(figure)) == 3
    png, svg = save(figure, tmp_path, "compare")
    assert png.stat().st_size > 10_000
    assert svg.stat().st_size > 10_000
