"""Maps of learning, loss and causes; the refined boundary and the picks on any of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure

from stabilitysweep.analysis import CAUSES, LEARNING, CellValue, StabilityMap, stability_map
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.figures import (
    draw_best_loss,
    draw_causes,
    draw_learning,
    draw_onset,
    draw_stability,
    style,
)
from stabilitysweep.figures.geometry import make_plan
from stabilitysweep.figures.legend import (
    BOUNDARY_LABEL,
    PICK_BEYOND_LABEL,
    PICK_LABEL,
    REFINED_BOUNDARY_LABEL,
)
from stabilitysweep.figures.panels import bracket_boxes, refined_places
from stabilitysweep.types import Cause

AXES: dict[str, list[Any]] = {
    "learning_rate": [float(rate) for rate in np.logspace(-3, 0, 13)],
    "depth": [1, 2, 4],
}
LIMITS = {1: 0.2, 2: 0.05, 4: 0.011}
VALUES = {"learning": CellValue(LEARNING, "median"), "best_loss": CellValue("best_loss", "median")}
DRAW = {
    "stability": draw_stability,
    "onset": draw_onset,
    "learning": draw_learning,
    "best_loss": draw_best_loss,
    "cause": draw_causes,
}


def trials(rates: list[float]) -> pd.DataFrame:
    table = pd.DataFrame(
        [(rate, depth) for rate in rates for depth in LIMITS], columns=["learning_rate", "depth"]
    )
    over = table["learning_rate"] / table["depth"].map(LIMITS)
    table["seed"] = 0
    table["trial_id"] = [
        f"{rate:g}-{depth}" for rate, depth in zip(*table.iloc[:, :2].to_numpy().T, strict=True)
    ]
    table["outcome"] = np.select([over > 3, over > 1], ["nonfinite", "diverged"], "stable")
    broke = table["outcome"] == "nonfinite"
    table["onset_step"] = pd.array(np.where(broke, 7.0, np.nan)).astype("Int64")
    table["steps_run"] = 40
    table["initial_loss"] = 2.0
    table["final_loss"] = np.select([broke, over > 1], [np.nan, 2.0 * over], 2.0 / (1 + 50 * over))
    table["best_loss"] = table["final_loss"].fillna(1.9)
    codes = np.arange(len(table)) % len(CAUSES)
    causes = [CAUSES[code].value if o > 1 else None for code, o in zip(codes, over, strict=True)]
    table["cause"] = pd.Series(causes, dtype=object)
    return table


COARSE = trials(AXES["learning_rate"])


def a_map(kind: str = "stability", *, refine: bool = False, **choice: Any) -> StabilityMap:
    fine = trials([0.009, 0.012, 0.18, 0.22]) if refine else None
    table = boundaries(COARSE, AXES, refined=fine)
    return stability_map(COARSE, AXES, value=VALUES.get(kind), boundaries=table, **choice)


def labels(figure: Figure) -> list[str]:
    return [words.get_text() for words in figure.legends[0].get_texts()]


def colours_of(figure: Figure, data: StabilityMap) -> np.ndarray:
    """The colour of each cell of the first panel, [Y, X, 4]."""
    mesh = next(item for item in figure.axes[0].collections if isinstance(item, QuadMesh))
    return np.asarray(mesh.get_array()).reshape(*data.shape[2:], 4)


def dark_grey(colours: np.ndarray) -> np.ndarray:
    same: np.ndarray = np.isclose(colours, to_rgba(style.SOFT_INK)).all(axis=-1)
    return same


@pytest.mark.parametrize("kind", DRAW)
def test_texts_stay_inside_and_apart(kind: str) -> None:
    picks = [{"learning_rate": 0.001}]
    figure = DRAW[kind](
        a_map(kind, refine=True, picks=picks), "A title that is rather long, to wrap"
    )
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [*figure.texts, *figure.legends[0].get_texts()]
    for axes in figure.axes:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text()]
    width, height = figure.canvas.get_width_height()
    for words, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{words!r} leaves the figure"
    for (one, box), (other, second) in combinations(boxes, 2):
        apart = (
            min(box.x1, second.x1) - max(box.x0, second.x0) <= 0.5
            or min(box.y1, second.y1) - max(box.y0, second.y0) <= 0.5
        )
        assert apart, f"{one!r} overlaps {other!r}"


def test_learning_is_blue_below_1_red_above_and_grey_where_it_broke() -> None:
    data = a_map("learning")
    colours = colours_of(draw_learning(data, ""), data)
    assert data.value is not None
    ratio = data.value[0, 0]
    blue, red = colours[..., 2] > colours[..., 0] + 0.02, colours[..., 0] > colours[..., 2] + 0.02
    broke = np.isinf(ratio)
    assert broke.any() and (dark_grey(colours) == broke).all()
    assert (blue == (ratio < 0.95)).all()
    assert (red == ((ratio > 1.05) & ~broke)).all()


def test_learning_goes_from_light_to_dark_with_what_was_learnt() -> None:
    data = a_map("learning")
    colours = colours_of(draw_learning(data, ""), data)
    learnt = np.asarray(data.value)[0, 0, 0]
    kept = learnt < 1
    brightness = colours[0, kept, :3].sum(axis=-1)
    assert (np.argsort(brightness) == np.argsort(learnt[kept])).all()


def test_a_map_of_learning_is_drawn_where_no_trial_has_a_ratio() -> None:
    without = COARSE.assign(initial_loss=-1.0, outcome="stable")
    data = stability_map(without, AXES, value=VALUES["learning"])
    assert "no value" in labels(draw_learning(data, ""))
    nothing = stability_map(COARSE.head(0), AXES, value=VALUES["best_loss"])
    assert draw_best_loss(nothing, "").axes


@pytest.mark.parametrize("spread", [1.0, 3.0, 1e6])
def test_the_lowest_loss_is_lightest_on_either_scale(spread: float) -> None:
    loss = np.geomspace(1.0, spread, len(COARSE)) if spread > 1 else 1.0
    data = stability_map(COARSE.assign(best_loss=loss), AXES, value=VALUES["best_loss"])
    figure = draw_best_loss(data, "")
    colours = colours_of(figure, data)
    failed = (data.failures > 0)[0, 0]
    assert (dark_grey(colours) == failed).all()
    brightness = colours[..., :3].sum(axis=-1)[~failed]
    assert brightness.argmax() == np.asarray(data.value)[0, 0][~failed].argmin()
    bar = next(axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert len(bar.get_xticks()) >= 3


def test_every_cause_on_the_map_has_its_colour_glyph_and_name() -> None:
    data = a_map("cause")
    figure = draw_causes(data, "")
    assert data.cause is not None
    present = {CAUSES[code] for code in np.unique(data.cause) if code >= 0}
    assert len(present) == len(CAUSES)
    for cause in CAUSES:
        assert cause.value.replace("_", " ") in labels(figure)
    colours = colours_of(figure, data)
    for code, cause in enumerate(CAUSES):
        cells = colours[data.cause[0, 0] == code]
        assert (cells == to_rgba(style.CAUSE_COLOURS[cause])).all()
    marked = sum(
        len(np.asarray(item.get_offsets()))
        for item in figure.axes[0].collections
        if isinstance(item, PathCollection)
    )
    assert marked == (data.cause >= 0).sum()
    assert all(axes.get_label() != "<colorbar>" for axes in figure.axes)


def test_causes_that_are_not_there_are_not_in_the_legend() -> None:
    one = COARSE.assign(cause=COARSE["cause"].where(COARSE["cause"].isna(), "unknown"))
    figure = draw_causes(stability_map(one, AXES), "")
    names = [cause.value.replace("_", " ") for cause in CAUSES]
    assert [label for label in labels(figure) if label in names] == ["unknown"]


def test_causes_differ_in_glyph_and_colour_and_stand_out() -> None:
    glyphs = style.CAUSE_GLYPHS
    assert {glyph.outcome for glyph in glyphs} == set(CAUSES) == set(style.CAUSE_COLOURS)
    assert len({glyph.marker for glyph in glyphs}) == len(glyphs)
    assert len(set(style.CAUSE_COLOURS.values())) == len(glyphs)
    for glyph in glyphs:
        ground = style.CAUSE_COLOURS[glyph.outcome]
        channels = [np.array(to_rgb(c)) for c in (ground, "white" if glyph.on_dark else style.INK)]
        linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in channels]
        light = sorted(float(c @ [0.2126, 0.7152, 0.0722]) for c in linear)
        assert (light[1] + 0.05) / (light[0] + 0.05) > 3, glyph.outcome
    assert isinstance(Cause.UNKNOWN, Cause)


def test_a_refined_boundary_lies_in_the_middle_of_its_bracket() -> None:
    data = a_map(refine=True)
    plan = make_plan(data, "", "", [""])
    places = refined_places(plan, data, 0, 0)
    assert places is not None
    np.testing.assert_allclose(places, np.sqrt([0.18 * 0.22, np.nan, 0.01 * 0.012]))
    boxes = bracket_boxes(plan, data, 0, 0)
    np.testing.assert_allclose([box[:2, 0] for box in boxes], [(0.18, 0.22), (0.01, 0.012)])
    assert [(box[0, 1], box[2, 1]) for box in boxes] == [(-0.5, 0.5), (1.5, 2.5)]


@pytest.mark.parametrize("kind", DRAW)
def test_every_map_draws_the_refined_boundary_in_its_place(kind: str) -> None:
    figure = DRAW[kind](a_map(kind, refine=True), "")
    collections = figure.axes[0].collections
    bands = [item for item in collections if type(item) is PolyCollection]
    assert [len(band.get_paths()) for band in bands] == [2]
    points = np.concatenate(
        [
            part
            for item in collections
            if isinstance(item, LineCollection) and to_hex(item.get_color()[0]) == style.INK
            for part in item.get_segments()
        ]
    )
    for place in (np.sqrt(0.18 * 0.22), np.sqrt(0.01 * 0.012)):
        assert np.isclose(points[:, 0], place).any()
    assert REFINED_BOUNDARY_LABEL in labels(figure) and BOUNDARY_LABEL in labels(figure)
    caption = " ".join(item.get_text() for item in figure.texts)
    assert "40 steps" in caption and "Boundary refined in 2 of 3 rows" in caption


def test_without_refinement_there_is_no_band() -> None:
    figure = draw_stability(a_map(), "")
    assert not [item for item in figure.axes[0].collections if type(item) is PolyCollection]
    assert REFINED_BOUNDARY_LABEL not in labels(figure) and BOUNDARY_LABEL in labels(figure)


@pytest.mark.parametrize("kind", DRAW)
def test_picks_are_marked_where_they_are(kind: str) -> None:
    rate = AXES["learning_rate"][2]
    data = a_map(
        kind, picks=[{"learning_rate": rate, "depth": 2}, {"learning_rate": rate, "depth": 1}]
    )
    figure = DRAW[kind](data, "")
    stars = [
        item
        for item in figure.axes[0].collections
        if isinstance(item, PathCollection) and item.get_zorder() == 7
    ]
    assert len(stars) == 1
    found = np.asarray(stars[0].get_offsets())
    np.testing.assert_allclose(found[np.argsort(found[:, 1])], [(rate, 0.0), (rate, 1.0)])
    assert PICK_LABEL in labels(figure)


def test_the_legend_says_where_no_pick_is_on_the_map() -> None:
    off = [{"learning_rate": 0.123, "depth": 1}]
    assert PICK_BEYOND_LABEL in labels(draw_stability(a_map(picks=off), ""))
    assert not {PICK_LABEL, PICK_BEYOND_LABEL} & set(labels(draw_stability(a_map(), "")))
