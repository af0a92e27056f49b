"""The largest box of safe cells: against every box there is."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis.axes import Axis, make_axes
from stabilitysweep.analysis.safe_box import largest_box, safe_box
from stabilitysweep.analysis.safety import SAFE, UNMEASURED, UNSTABLE
from stabilitysweep.errors import ResultError


@st.composite
def lattices(draw: st.DrawFn, cells: int = 60) -> tuple[Any, tuple[bool, ...], tuple[int, ...]]:
    """Safe cells over one to four axes, which of these are of numbers, and a safe cell."""
    shape: list[int] = []
    for _ in range(draw(st.integers(1, 4))):
        most = min(5, cells // math.prod(shape or [1]))
        shape.append(draw(st.integers(1, max(most, 1))))
    flags = draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
    safe = np.array(flags).reshape(shape)
    if draw(st.booleans()):  # mostly safe is what maps are
        safe = safe | np.random.default_rng(draw(st.integers(0, 99))).choice([True, False], shape)
    centre = tuple(draw(st.integers(0, size - 1)) for size in shape)
    safe[centre] = True
    return safe, tuple(draw(st.booleans()) for _ in shape), centre


def every_box(shape: tuple[int, ...], numeric: tuple[bool, ...], centre: tuple[int, ...]) -> Any:
    choices = []
    for size, number, place in zip(shape, numeric, centre, strict=True):
        if number:
            own = [range(a, b) for a in range(place + 1) for b in range(place + 1, size + 1)]
        else:
            others = [other for other in range(size) if other != place]
            own = [
                [place, *few]
                for count in range(size)
                for few in itertools.combinations(others, count)
            ]
        choices.append(own)
    return itertools.product(*choices)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(lattices())
def test_no_box_of_safe_cells_around_the_pick_is_larger(lattice: Any) -> None:
    safe, numeric, centre = lattice
    box, exact = largest_box(safe, numeric, centre)
    assert exact
    assert safe[np.ix_(*box)].all()
    for places, number, place in zip(box, numeric, centre, strict=True):
        assert place in places and sorted(set(places)) == list(places)
        assert not number or places == tuple(range(places[0], places[-1] + 1))
    largest = max(
        math.prod(map(len, other))
        for other in every_box(safe.shape, numeric, centre)
        if safe[np.ix_(*map(list, other))].all()
    )
    assert math.prod(map(len, box)) == largest


@settings(max_examples=60, deadline=None, derandomize=True)
@given(lattices(), st.integers(1, 3))
def test_a_search_cut_off_still_finds_a_box_that_is_safe(lattice: Any, steps: int) -> None:
    safe, numeric, centre = lattice
    box, exact = largest_box(safe, numeric, centre, steps)
    assert safe[np.ix_(*box)].all() and all(p in own for p, own in zip(centre, box, strict=True))
    assert not exact or math.prod(map(len, box)) == math.prod(
        map(len, largest_box(safe, numeric, centre)[0])
    )


def largest_of_all(safe: Any, numeric: tuple[bool, ...], centre: tuple[int, ...]) -> int:
    return max(
        math.prod(map(len, other))
        for other in every_box(safe.shape, numeric, centre)
        if safe[np.ix_(*map(list, other))].all()
    )


def test_where_growing_step_by_step_falls_short_the_search_finds_the_largest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_cell(safe: Any, numeric: Any, centre: tuple[int, ...]) -> Any:
        return tuple((place,) for place in centre)

    monkeypatch.setattr("stabilitysweep.analysis.safe_box._greedy", one_cell)
    draw = np.random.default_rng(4)
    cut_off = 0
    for _ in range(25):
        safe = draw.random((4, 3, 4)) < 0.75
        centre = tuple(int(draw.integers(size)) for size in safe.shape)
        safe[centre] = True
        numeric = tuple(bool(flag) for flag in draw.integers(0, 2, 3))
        box, exact = largest_box(safe, numeric, centre)
        size = largest_of_all(safe, numeric, centre)
        assert exact and math.prod(map(len, box)) == size
        box, exact = largest_box(safe, numeric, centre, 1)
        smaller = math.prod(map(len, box)) < size
        cut_off += smaller
        assert not (smaller and exact)
    assert cut_off > 5, "the lattices are hard enough to tell"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lattices(), st.randoms(use_true_random=False))
def test_the_order_of_axes_and_of_categories_does_not_matter(lattice: Any, random: Any) -> None:
    safe, numeric, centre = lattice
    size = math.prod(map(len, largest_box(safe, numeric, centre)[0]))
    order = random.sample(range(safe.ndim), safe.ndim)
    turned = safe.transpose(order)
    own = [numeric[n] for n in order], tuple(centre[n] for n in order)
    assert math.prod(map(len, largest_box(turned, *own)[0])) == size
    flipped = np.flip(safe)
    mirrored = tuple(n - 1 - place for n, place in zip(safe.shape, centre, strict=True))
    assert math.prod(map(len, largest_box(flipped, numeric, mirrored)[0])) == size


AXES: dict[str, Axis] = make_axes(
    {"kind": ["a", "b", "c"], "depth": [1, 2], "learning_rate": [0.001, 0.01, 0.1, 1.0]}
)


def states() -> Any:
    found = np.full((3, 2, 4), SAFE, dtype=np.int8)
    found[:, :, 3] = UNSTABLE
    found[2, :, 1:] = UNSTABLE
    found[1, 1, 2] = UNMEASURED
    return found


PICK = {"kind": "a", "depth": 2, "learning_rate": 0.01}


def test_the_record_says_what_the_box_leaves_out() -> None:
    box = safe_box(states(), AXES, PICK, datasets=["data"])
    assert box.axes == {"kind": ("a", "b"), "depth": (1, 2), "learning_rate": (0.001, 0.01)}
    assert (box.cells, box.safe, box.outside, box.unstable, box.unmeasured) == (8, 13, 5, 10, 1)
    assert box.left_out == {
        "kind": (("c", 2),),
        "learning_rate": ((0.1, 3), (1.0, 0)),
    }
    assert box.exact and box.pick == PICK and box.numeric == ("depth", "learning_rate")
    assert str(box).splitlines() == [
        "largest box of safe cells: 8 cells of 24",
        "  kind           a, b; without c (2 safe)",
        "  depth          1, 2",
        "  learning_rate  0.001, 0.01; without 0.1 (3 safe), 1 (none safe)",
        "left out: 5 safe cells; 10 unstable, 1 not measured",
    ]
    assert json.loads(json.dumps(box.to_json(), allow_nan=False))["left_out"]["kind"] == [
        {"value": "c", "safe_cells": 2}
    ]


def test_a_held_axis_is_not_looked_along() -> None:
    box = safe_box(states(), AXES, PICK, held={"depth": None})
    assert box.held == {"depth": 2} and "depth" not in box.axes
    assert (box.cells, box.pick["depth"]) == (4, 2)
    assert "2 (held)" in str(box)
    everything = safe_box(states(), AXES, PICK, held=dict.fromkeys(AXES))
    assert everything.cells == 1 and everything.axes == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, r"one of the values of depth \(1, 2\), got '3'"),
        ({"learning_rate": 1}, "got kind a, depth 2, learning_rate 1: it is unstable"),
        ({"kind": "b", "learning_rate": 0.1}, "not measured with all its seeds"),
        (None, "none of kind"),
    ],
)
def test_a_pick_has_to_be_a_safe_cell(change: dict[str, Any] | None, message: str) -> None:
    pick = {"depth": 1} if change is None else PICK | change
    with pytest.raises(ResultError, match=message):
        safe_box(states(), AXES, pick)
