"""The curve drawn with characters: where each value lands, whatever the values are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabilitysweep.cli.curve import ASCII, draw_curve

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def test_a_falling_line() -> None:
    assert draw_curve([1, 2, 3], [3.0, 2.0, 1.0], width=20, height=3, signs=ASCII) == [
        "3 |o....",
        "2 |     ...o...",
        "1 |            ....o",
        "  +-----------------",
        "   1               3",
    ]


def test_a_flat_line_runs_through_the_middle() -> None:
    lines = draw_curve([1, 2], [5.0, 5.0], width=24, height=5, signs=ASCII)
    drawn = [line.partition("|")[2] for line in lines[:5]]
    assert drawn == ["", "", f"o{'.' * 17}o", "", ""]


def test_decades_are_drawn_on_a_log_scale_and_said_so() -> None:
    values = [10.0**power for power in range(5)]
    lines = draw_curve(range(1, 6), values, width=40, height=5, signs=ASCII)
    assert "loss on a log scale" in lines[-1]
    rows = [line.partition("|")[2].rfind("o") for line in lines[:5]]
    assert rows == sorted(rows, reverse=True)  # a straight line
    assert "log" not in draw_curve([1, 2], [1.0, 50.0], width=40)[-1]
    assert "steps on a log scale" in draw_curve([1, 1000], [1.0, 2.0], width=40)[-1]


def test_what_is_not_finite_is_marked_and_explained() -> None:
    values = [1.0, math.inf, math.nan, -math.inf]
    lines = draw_curve([1, 2, 3, 4], values, width=40, height=4, onset=2, signs=ASCII)
    assert lines[0].count("^") == 1
    assert lines[0].count("N") == 1
    assert lines[3].count("v") == 1
    assert lines[-1] == "N NaN, ^ +Inf, v -Inf, : onset (step 2)"
    column = lines[1].index(":")
    assert [line[column] for line in lines[:4]] == ["^", ":", ":", ":"]


@pytest.mark.parametrize("onset", [0, 7])
def test_an_onset_outside_the_curve_is_at_its_edge(onset: int) -> None:
    lines = draw_curve([1, 5], [1.0, 2.0], width=40, height=3, onset=onset, signs=ASCII)
    assert f": onset (step {onset})" in lines[-1]


def test_without_a_step_there_is_nothing_to_draw() -> None:
    assert draw_curve([], [], width=40) == []


@given(
    curve=st.lists(st.tuples(st.integers(1, 2**31 - 1), FLOATS), min_size=1, max_size=60),
    width=st.integers(40, 120),
    height=st.integers(3, 20),
    onset=st.none() | st.integers(0, 2**31 - 1),
)
def test_any_curve_fits_its_place(
    curve: list[tuple[int, float]], width: int, height: int, onset: int | None
) -> None:
    points = sorted(dict(curve).items())
    steps, values = [step for step, _ in points], [value for _, value in points]
    lines = draw_curve(steps, values, width=width, height=height, onset=onset, signs=ASCII)
    assert height + 2 <= len(lines) <= height + 3
    assert all(len(line) <= width and line == line.rstrip() for line in lines)
    drawn = "".join(line.partition("|")[2] for line in lines[:height])
    kinds = {
        "o": any(map(math.isfinite, values)),
        "N": any(map(math.isnan, values)),
        "^": math.inf in values,
        "v": -math.inf in values,
    }
    assert set(drawn) - {" ", ".", ":"} <= {sign for sign, met in kinds.items() if met}
    assert drawn.strip(" .:")
