"""The figure of a diagnosis: its data, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from diagnoses import diagnosis, moment, stats
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stabilitysweep.diagnosis.records import Moment, Quantity
from stabilitysweep.figures import draw_diagnosis, save, style
from stabilitysweep.figures.magnitudes import magnitudes


def drawn(moments: list[Moment]) -> Figure:
    figure = draw_diagnosis(diagnosis(moments), "regression: trial 4f, learning_rate_too_high")
    assert figure is not None
    FigureCanvasAgg(figure).draw()
    return figure


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def markers(axes: Axes) -> Iterator[int]:
    """How many marks each kind has."""
    for collection in axes.collections:
        yield len(collection.get_offsets())


def test_the_data_are_those_of_the_moments() -> None:
    moments = [moment(1), moment(2, skipped=True), moment(3, bad=2)]
    shown = magnitudes(moments, (Quantity.INPUT, Quantity.ACTIVATION))
    assert shown.names == ("features", "hidden_1", "hidden_2")
    assert shown.steps == (1, 2, 3)
    assert shown.skipped.tolist() == [False, True, False]
    np.testing.assert_array_equal(shown.largest[1], [1e2, 1e3, 1e4])
    assert shown.infs.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 3]]
    assert shown.first == 2
    assert magnitudes(moments, (Quantity.WEIGHT,)).first is None


def test_zero_is_what_has_nothing_else() -> None:
    tensors = (
        stats(Quantity.UPDATE, "a", 0),
        stats(Quantity.UPDATE, "b", 0, nans=8),
        stats(Quantity.UPDATE, "c", 1e-30),
    )
    shown = magnitudes([Moment(1, 1.0, 1.0, False, tensors)], (Quantity.UPDATE,))
    assert shown.zero.tolist() == [[True], [False], [False]]


def test_a_panel_a_kind_with_tensors_down_and_steps_across() -> None:
    figure = drawn([moment(1), moment(2, skipped=True), moment(3, bad=2)])
    found = panels(figure)
    assert list(found) == ["activations", "gradients", "updates", "weights"]
    activations = found["activations"]
    names = [text.get_text() for text in activations.get_yticklabels()]
    assert names == ["features", "hidden_1", "hidden_2", "loss"]
    steps = [text.get_text() for text in activations.get_xticklabels()]
    assert steps == ["1", "2\nskip", "3"]


def test_what_is_not_finite_is_marked_and_the_first_framed() -> None:
    figure = drawn([moment(2, depth=3), moment(3, depth=3, bad=2)])
    activations, weights = panels(figure)["activations"], panels(figure)["weights"]
    assert list(markers(activations)) == [2, 1]  # NaN behind the layer and in the loss, Inf in it
    assert list(markers(weights)) == []
    frames = [
        patch
        for patch in activations.patches
        if isinstance(patch, Rectangle) and not patch.get_fill()
    ]
    (frame,) = frames
    assert (frame.get_x(), frame.get_y()) == (0.5, 1.5)
    assert sum(patch.get_hatch() == style.HATCH for patch in activations.patches) == 3


@pytest.mark.parametrize(("depth", "steps"), [(1, 1), (1, 8), (64, 1), (64, 8)])
def test_no_label_covers_another(depth: int, steps: int) -> None:
    figure = drawn(
        [moment(s, depth=depth, bad=1 if s == steps else None) for s in range(1, steps + 1)]
    )
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    size = figure.bbox
    for axes in panels(figure).values():
        boxes = [text.get_window_extent(renderer) for text in axes.get_yticklabels()]
        ordered = sorted(boxes, key=lambda box: box.y0)
        assert all(below.y1 <= above.y0 + 0.5 for below, above in pairwise(ordered))
        boxes = [text.get_window_extent(renderer) for text in axes.get_xticklabels()]
        ordered = sorted(boxes, key=lambda box: box.x0)
        assert all(left.x1 <= right.x0 for left, right in pairwise(ordered))
    for axes in figure.axes:
        whole = axes.get_tightbbox(renderer)
        assert whole is not None
        assert whole.x0 >= 0
        assert whole.x1 <= size.x1
    for left, right in pairwise(figure.axes):
        one, other = left.get_tightbbox(renderer), right.get_tightbbox(renderer)
        assert one is not None
        assert other is not None
        assert one.x1 <= other.x0 + 1


def test_the_first_bad_layer_of_a_deep_network_keeps_its_name() -> None:
    figure = drawn([moment(2, depth=64), moment(3, depth=64, bad=31)])
    labels = panels(figure)["activations"].get_yticklabels()
    (bold,) = [text.get_text() for text in labels if text.get_fontweight() == "bold"]
    assert bold == "hidden_31"


def test_predictions_have_a_panel_of_their_own() -> None:
    output = stats(Quantity.PREDICTION, "output", 3, nans=2)
    figure = drawn([moment(8), moment(9), Moment(9, None, 1.0, False, (output,))])
    found = panels(figure)
    assert list(found)[-1] == "predictions"
    assert [text.get_text() for text in found["predictions"].get_xticklabels()] == ["9"]
    assert list(markers(found["predictions"])) == [1]


def test_an_input_that_is_not_finite_has_no_steps_to_draw() -> None:
    column = stats(Quantity.INPUT, "bmi", 3, nans=2)
    found = diagnosis([Moment(0, None, 1.0, False, (column,))])
    assert draw_diagnosis(found, "title") is None
    assert draw_diagnosis(diagnosis([]), "title") is None


def test_it_is_saved_as_png_and_svg(tmp_path: Path) -> None:
    png, svg = save(drawn([moment(3, bad=1)]), tmp_path, "diagnosis")
    assert png.stat().st_size > 5_000
    assert svg.read_text().startswith("<?xml")


def test_a_long_title_with_dollars_is_wrapped_and_no_formula() -> None:
    figure = draw_diagnosis(diagnosis([moment(3, bad=1)]), "$a$ rather long title " * 20)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    title = figure.texts[0]
    assert title.get_window_extent(canvas.get_renderer()).x1 <= figure.bbox.x1
    assert not title.get_parse_math()
    for axes in figure.axes:
        assert not any("$" in label.get_text() for label in axes.get_yticklabels())
