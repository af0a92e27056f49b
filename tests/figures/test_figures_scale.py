"""Where values lie on an axis and what is written beside them."""

from __future__ import annotations

import numpy as np
import pytest

from stabilitysweep.analysis.axes import make_axes
from stabilitysweep.figures import style, text
from stabilitysweep.figures.scale import Scale, horizontal_ticks, make_scale, vertical_ticks

RATES = list(np.logspace(-4, 1, 25))
AXES: dict[str, tuple[list[object], str]] = {
    "learning rates": (RATES, "log"),
    "few decades": ([1e-3, 1e-2, 1e-1], "log"),
    "powers of two": ([8, 16, 32, 64, 128, 256, 512, 1024], "log"),
    "refined": (sorted([*RATES, 0.011, 0.0111, 0.01111]), "log"),
    "momentum": ([round(value, 3) for value in np.linspace(0, 0.95, 20)], "linear"),
    "two": ([0.01, 0.1], "category"),
    "one": ([0.01], "category"),
    "depth": ([1, 2, 4, 8], "category"),
    "l2": ([0, 1e-4, 1e-2], "category"),
    "decays": ([0, *np.logspace(-6, -1, 20)], "category"),
    "irregular": ([0.001, 0.002, 0.5], "category"),
    "names": (["relu", "tanh", "gelu"], "category"),
    "long names": ([f"a_rather_long_name_of_a_dataset_{i}" for i in range(40)], "category"),
    "narrow": (list(np.linspace(0.11, 0.14, 30)), "linear"),
    "narrow in logarithms": (list(np.geomspace(0.1, 0.4, 30)), "log"),
    "sixteen decades": (list(np.logspace(-12, 4, 60)), "log"),
    "negative": ([-3, -2, -1, 0, 1, 2, 3, 4], "linear"),
}


def scale_of(name: str) -> Scale:
    return make_scale(make_axes({"axis": AXES[name][0]})["axis"])


@pytest.mark.parametrize("name", AXES)
def test_each_value_lies_in_its_own_cell(name: str) -> None:
    scale = scale_of(name)
    assert scale.kind == AXES[name][1]
    assert len(scale.edges) == len(scale) + 1
    assert (np.diff(scale.edges) > 0).all()
    assert (scale.edges[:-1] < scale.values).all() and (scale.values < scale.edges[1:]).all()
    assert scale.fractions(scale.edges)[[0, -1]].tolist() == [0, 1]


def test_edges_are_midway_on_the_scale_drawn() -> None:
    log = scale_of("learning rates")
    np.testing.assert_allclose(log.edges[1:-1] ** 2, log.values[1:] * log.values[:-1])
    np.testing.assert_allclose(np.diff(np.log10(log.edges)), 5 / 24)
    linear = scale_of("momentum")
    np.testing.assert_allclose(linear.edges[1:-1], (linear.values[1:] + linear.values[:-1]) / 2)


@pytest.mark.parametrize("length", [60.0, 120.0, 350.0])
@pytest.mark.parametrize("name", AXES)
def test_labels_do_not_run_together(name: str, length: float) -> None:
    scale = scale_of(name)
    across, up = horizontal_ticks(scale, length), vertical_ticks(scale, length)
    for ticks in (across, up):
        assert len(ticks.positions) == len(ticks.labels) >= 1
        inside = scale.fractions(ticks.positions)
        assert (inside >= 0).all() and (inside <= 1).all()
    places = scale.fractions(across.positions) * length
    widths = np.array([text.width(label, style.TICK_SIZE) for label in across.labels])
    if across.rotated:
        assert (np.diff(places) >= style.TICK_SIZE * 1.4).all()
    else:
        assert (np.diff(places) > (widths[1:] + widths[:-1]) / 2).all()
    heights = np.diff(scale.fractions(up.positions) * length)
    assert (heights > style.TICK_SIZE).all()


def test_decades_stand_at_their_true_place() -> None:
    ticks = horizontal_ticks(scale_of("learning rates"), 350)
    np.testing.assert_allclose(ticks.positions, 10.0 ** np.arange(-4, 2))
    assert ticks.labels == ("10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹")
    assert {0.002, 0.5} <= set(np.round(ticks.minor, 6))


def test_few_values_are_written_themselves() -> None:
    assert vertical_ticks(scale_of("depth"), 100).labels == ("1", "2", "4", "8")
    assert vertical_ticks(scale_of("powers of two"), 200).labels[-1] == "1024"
    assert horizontal_ticks(scale_of("l2"), 200).labels == ("0", "0.0001", "0.01")


def test_texts_are_wrapped_and_shortened_to_a_width() -> None:
    lines = text.wrap("a title of several words and one_" + "very_" * 30 + "long_one", 10, 90)
    assert len(lines) > 2 and all(text.width(line, 10) <= 90 for line in lines)
    assert text.shorten("short", 10, 90) == "short"
    short = text.shorten("openml_dataset_number_17", 10, 60)
    assert "…" in short and short.endswith("17") and text.width(short, 10) <= 60
