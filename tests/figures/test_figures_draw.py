"""The drawn maps: what is on them, that it can be read, and that nothing is left behind."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import Colormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from stabilitysweep.analysis import STATUSES, BoundaryStatus, StabilityMap, stability_map
from stabilitysweep.figures import draw_onset, draw_stability, save, style
from stabilitysweep.figures.geometry import make_plan
from stabilitysweep.figures.legend import (
    BOUNDARY_LABEL,
    OPEN_BOUNDARY_LABEL,
    UNMEASURED_LABEL,
)
from stabilitysweep.figures.panels import boundary_lines

MapMaker = Callable[..., StabilityMap]
RATES = list(np.logspace(-4, 1, 25))
PRECISIONS: list[Any] = [
    "float32",
    "mixed_float16",
    "float16",
    "mixed_bfloat16",
    "float64",
    "bfloat16",
]
ACTIVATIONS: list[Any] = ["relu", "tanh", "gelu", "selu", "swish"]
LONG: list[Any] = [f"a_data_set_with_a_rather_long_name_{i}" for i in range(12)]
CASES: dict[str, dict[str, list[Any]]] = {
    "strip": {"learning_rate": RATES},
    "two by two": {"learning_rate": [0.01, 0.1], "depth": [1, 2]},
    "one cell": {"learning_rate": [0.01]},
    "three by three": {
        "learning_rate": RATES,
        "depth": [1, 2, 4, 8],
        "activation": ACTIVATIONS[:3],
        "precision": PRECISIONS[:3],
    },
    "five by six": {
        "learning_rate": RATES[::3],
        "depth": [1, 2],
        "activation": ACTIVATIONS,
        "precision": PRECISIONS,
    },
    "long names": {"learning_rate": RATES, "dataset": LONG},
    "names across": {"dataset": LONG, "activation": ACTIVATIONS},
    "long panel titles": {
        "learning_rate": RATES,
        "depth": [1, 2],
        "a_hyperparameter_with_a_very_long_name": LONG[:3],
        "another_hyperparameter_with_a_long_name": LONG[:4],
    },
    "sixty by sixty": {"learning_rate": list(np.logspace(-4, 1, 60)), "width": list(range(1, 61))},
    "dollars": {"learning_rate": RATES[:5], "dataset": ["a$b$c", "_d", "50%"]},
}
DRAW = {"stability": draw_stability, "onset": draw_onset}


@pytest.fixture
def make_map() -> MapMaker:
    """The map of a table over a grid, with a share of its rows left out."""

    def make(
        axes: Mapping[str, Sequence[object]], missing: float = 0.0, seeds: int = 2, **places: Any
    ) -> StabilityMap:
        random = np.random.default_rng(0)
        sizes = [*(len(values) for values in axes.values()), seeds]
        indices = np.indices(sizes).reshape(len(sizes), -1)
        table = pd.DataFrame(
            {
                name: np.array(values, dtype=object)[index]
                for (name, values), index in zip(axes.items(), indices, strict=False)
            }
        )
        over = indices[0] / max(len(next(iter(axes.values()))), 2) * 6 - 3.5
        over = over + random.normal(size=len(table)) / 2
        table["seed"] = indices[-1]
        table["outcome"] = np.select(
            [over < -2.5, over < 0, over < 0.7, over < 0.75],
            ["stalled", "stable", "diverged", "crashed"],
            "nonfinite",
        )
        broke = table["outcome"] == "nonfinite"
        step = np.where(broke, random.integers(0, 500, len(table)), np.nan)
        table["onset_step"] = pd.array(step).astype("Int64")
        table = table[random.random(len(table)) >= missing]
        return stability_map(table, axes, **places)

    return make


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def legend_labels(figure: Figure) -> list[str]:
    return [words.get_text() for words in figure.legends[0].get_texts()]


def texts(figure: Figure) -> list[Text]:
    """Every visible text that is not empty."""
    found: list[Text] = [*figure.texts, *figure.legends[0].get_texts()]
    for axes in figure.axes:
        found += [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
    return [item for item in found if item.get_text() and item.get_visible()]


def running_text(figure: Figure) -> str:
    """Title and caption, their lines joined."""
    return " ".join(item.get_text() for item in figure.texts)


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize("case", CASES)
def test_every_panel_is_drawn_and_no_text_is_lost(make_map: MapMaker, case: str, kind: str) -> None:
    data = make_map(CASES[case], missing=0.2)
    figure = DRAW[kind](data, "A title, $not$ a formula, that is long enough to need a second line")
    figure.canvas.draw()
    rows, columns, _, _ = data.shape
    assert len(panels(figure)) == rows * columns
    assert UNMEASURED_LABEL in legend_labels(figure)

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [(item, item.get_window_extent(renderer)) for item in texts(figure)]
    width, height = figure.canvas.get_width_height()
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


def test_the_texts_name_panels_axes_and_what_is_pooled(make_map: MapMaker) -> None:
    grid = CASES["three by three"] | {"l2": [0.0, 1e-4]}
    figure = draw_stability(make_map(grid), "title")
    words = {item.get_text() for item in texts(figure)}
    assert {
        "title", "precision = float16", "activation = gelu", "depth",
        "learning_rate (log scale)",
        "stability: share of trials without failure",
    } <= words  # fmt: skip
    assert "Each cell: 4 trials, over l2 and 2 seeds." in running_text(figure)
    assert legend_labels(figure)[:6] == [
        "mostly nonfinite", "mostly diverged", "mostly stalled", "all crashed",
        UNMEASURED_LABEL, BOUNDARY_LABEL,
    ]  # fmt: skip
    assert panels(figure)[0].get_xscale() == "log"


def test_an_onset_map_says_which_onset(make_map: MapMaker) -> None:
    data = make_map(CASES["strip"])
    for statistic in ("earliest", "median"):
        words = {item.get_text() for item in texts(draw_onset(data, "", statistic))}
        assert f"{statistic} onset among failed trials (step)" in words


def test_a_categorical_x_has_no_boundary_in_its_legend(make_map: MapMaker) -> None:
    labels = legend_labels(draw_stability(make_map(CASES["names across"], x="dataset"), ""))
    assert BOUNDARY_LABEL not in labels and OPEN_BOUNDARY_LABEL not in labels


def test_glyphs_mark_the_cells_of_their_outcome(make_map: MapMaker) -> None:
    data = make_map({"learning_rate": RATES, "depth": [1, 2, 4, 8]})
    axes = panels(draw_stability(data, ""))[0]
    marked = sum(
        len(np.asarray(item.get_offsets()))
        for item in axes.collections
        if isinstance(item, PathCollection)
    )
    assert marked == (data.dominant > 0).sum()


def test_a_panel_has_a_handful_of_artists_however_many_cells(make_map: MapMaker) -> None:
    for case in ("strip", "sixty by sixty"):
        data = make_map(CASES[case], missing=0.3)
        axes = panels(draw_stability(data, ""))[0]
        assert len(axes.collections) <= 8
        assert sum(isinstance(item, QuadMesh) for item in axes.collections) == 1


def test_many_cells_have_fewer_glyphs_and_the_caption_says_so(make_map: MapMaker) -> None:
    figure = draw_stability(make_map(CASES["sixty by sixty"]), "")
    assert "Glyphs mark one cell in 2." in running_text(figure)


def test_unmeasured_cells_show_a_hatched_ground(make_map: MapMaker) -> None:
    whole = panels(draw_stability(make_map(CASES["strip"]), ""))[0]
    holes = panels(draw_stability(make_map(CASES["strip"], missing=0.6), ""))[0]
    assert whole.patch.get_hatch() is None
    assert holes.patch.get_hatch() == style.HATCH


def test_boundary_lines_step_between_cells_and_stop_where_nothing_is_known(
    make_map: MapMaker,
) -> None:
    data = make_map({"learning_rate": [0, 1, 2, 3], "depth": [1, 2, 3, 4, 5]})
    plan = make_plan(data, "", "", [""])
    codes = [
        STATUSES.index(status)
        for status in (
            BoundaryStatus.FOUND,
            BoundaryStatus.ALL_FAIL,
            BoundaryStatus.UNMEASURED,
            BoundaryStatus.FOUND,
            BoundaryStatus.NO_FAILURE,
        )
    ]
    closed, still_open = boundary_lines(
        plan, np.array([1, -1, -1, 2, 3]), np.array(codes, dtype=np.int8)
    )
    assert [line.tolist() for line in closed] == [
        [[1.5, -0.5], [1.5, 0.5], [-0.5, 0.5], [-0.5, 1.5]],
        [[2.5, 2.5], [2.5, 3.5], [3.5, 3.5]],
    ]
    assert [line.tolist() for line in still_open] == [[[3.5, 3.5], [3.5, 4.5]]]


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours [..., 3] in [0, 1]."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colormap", [style.stability_colormap(), style.onset_colormap()])
def test_colormaps_rise_in_grey(colormap: Colormap) -> None:
    lightness = luminance(colormap(np.linspace(0, 1, 64))[:, :3])
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 0.4


def test_glyphs_and_grounds_stand_out_in_grey() -> None:
    def contrast(one: object, other: object) -> float:
        light = sorted(float(luminance(np.array(to_rgb(c)))) for c in (one, other))  # type: ignore[arg-type]
        return (light[1] + 0.05) / (light[0] + 0.05)

    stability = style.stability_colormap()
    for share in (0.0, 0.25, 0.5):  # a failure dominates at most there
        assert contrast("white", stability(share)) > 4
    for share in (0.5, 0.75, 1.0):
        assert contrast(style.INK, stability(share)) > 4
    assert contrast(style.INK, style.CRASHED) > 7
    assert contrast(style.NEUTRAL, style.onset_colormap()(1.0)) > 1.5
    assert len({glyph.marker for glyph in style.GLYPHS}) == len(style.GLYPHS)


def test_save_writes_both_files(make_map: MapMaker, tmp_path: Path) -> None:
    figure = draw_stability(make_map(CASES["three by three"], missing=0.1), "title")
    png, svg = save(figure, tmp_path / "new" / "figures", "stability")
    assert (png.name, svg.name) == ("stability.png", "stability.svg")
    with Image.open(png) as picture:
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert np.ptp(np.asarray(picture.convert("L"))) > 200
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")


def picture_of(data: StabilityMap) -> bytes:
    target = io.BytesIO()
    draw_stability(data, "title").savefig(target, format="png", dpi=60)
    return target.getvalue()


def test_threads_draw_what_one_thread_draws(make_map: MapMaker) -> None:
    maps = [make_map({"learning_rate": RATES, "depth": list(range(1, n))}) for n in (2, 3, 4, 5)]
    expected = [picture_of(data) for data in maps]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(picture_of, maps)) == expected


def test_a_dropped_figure_is_freed(make_map: MapMaker, tmp_path: Path) -> None:
    figure = draw_stability(make_map(CASES["two by two"]), "")
    save(figure, tmp_path, "figure")
    alive = weakref.ref(figure)
    del figure
    gc.collect()
    assert alive() is None


def test_neither_pyplot_nor_tensorflow_is_loaded() -> None:
    code = (
        "import sys, stabilitysweep.figures; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
