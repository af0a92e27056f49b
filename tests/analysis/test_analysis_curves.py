"""The boundary and the sensitivity along an axis: who is in the middle, and what is spread over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis import Curves, curves, curves_caption
from stabilitysweep.errors import ResultError

AXES: dict[str, list[Any]] = {
    "learning_rate": [0.001, 0.01, 0.1, 1.0],
    "depth": [1, 2],
    "precision": ["float32", "float16"],
    "l2": [0.0, 0.1, 0.2],
}
NAN = float("nan")
# depth, precision, l2, safe, failing, status, sensitivity
SLICES = [
    (1, "float32", 0.0, 0.10, 1.00, "found", 3.0),
    (1, "float32", 0.1, 0.01, 0.10, "found", 1.0),
    (1, "float32", 0.2, 1.00, NAN, "no_failure", 2.0),
    (1, "float16", 0.0, NAN, 0.001, "all_fail", NAN),
    (1, "float16", 0.1, NAN, 0.001, "all_fail", NAN),
    (1, "float16", 0.2, 0.01, 0.10, "found", 4.0),
    (2, "float32", 0.0, 0.01, 1.00, "gap", 5.0),
    (2, "float32", 0.1, NAN, NAN, "unmeasured", NAN),
    (2, "float16", 0.0, 0.01, 0.10, "found", 6.0),
    (2, "float16", 0.1, 0.10, 1.00, "found", 7.0),
]


def slices(rows: list[tuple[Any, ...]] = SLICES) -> pd.DataFrame:
    names = ["depth", "precision", "l2", "safe", "failing", "status", "sensitivity"]
    return pd.DataFrame(rows, columns=names).assign(steps=pd.array([100] * len(rows), "Int64"))


def drawn(quantity: Any = "boundary", **choice: Any) -> Curves:
    return curves(slices(), AXES, quantity, **choice)


def test_depth_lies_along_x_and_precisions_have_lines() -> None:
    data = drawn()
    assert data.x is not None and data.by is not None
    assert (data.x.name, data.by.name, data.pooled) == ("depth", "precision", ("l2",))
    assert data.value.shape == (2, 2) and data.steps == (100, 100)
    chosen = drawn(x="precision", by="l2")
    assert chosen.x is not None and chosen.by is not None and chosen.pooled == ("depth",)
    assert drawn(pool=["precision"]).by is not None  # l2, the next


def test_the_middle_slice_is_one_that_was_measured() -> None:
    data = drawn()
    assert data.failing is not None
    # Of 0.01, 0.1 and 1: 0.1. Of two failing ones and 0.01: a failing one. Of two: the lower.
    np.testing.assert_array_equal(data.value, [[0.1, 0.01], [NAN, 0.01]])
    np.testing.assert_array_equal(data.failing, [[1.0, NAN], [0.001, 0.1]])
    np.testing.assert_array_equal(data.lowest, [[0.01, 0.01], [0.01, 0.01]])
    np.testing.assert_array_equal(data.highest, [[1.0, 0.01], [0.01, 0.1]])


def test_what_is_not_measured_counts_for_nothing() -> None:
    data = drawn()
    np.testing.assert_array_equal(data.slices, [[3, 1], [3, 2]])
    np.testing.assert_array_equal(data.none_safe, [[0, 0], [2, 0]])
    np.testing.assert_array_equal(data.open_ended, [[1, 1], [0, 0]])  # a gap is open as well
    empty = curves(slices(SLICES[7:8]), AXES, "boundary")
    assert np.isnan(empty.value).all() and not empty.slices.any()


def test_the_order_of_slices_is_irrelevant() -> None:
    shuffled = curves(slices().sample(frac=1, random_state=3), AXES, "boundary")
    pd.testing.assert_frame_equal(shuffled.to_frame(), drawn().to_frame())


def test_the_sensitivity_is_the_median_of_those_known() -> None:
    data = drawn("sensitivity")
    assert data.failing is None
    np.testing.assert_array_equal(data.value, [[2.0, 5.0], [4.0, 6.5]])
    np.testing.assert_array_equal(data.lowest, [[1.0, 5.0], [4.0, 6.0]])
    np.testing.assert_array_equal(data.highest, [[3.0, 5.0], [4.0, 7.0]])
    np.testing.assert_array_equal(data.slices, [[3, 1], [1, 2]])


def test_an_axis_may_be_held_at_a_value() -> None:
    data = drawn(where={"l2": "0.1"})
    assert dict(data.fixed) == {"l2": 0.1} and data.pooled == ()
    np.testing.assert_array_equal(data.value, [[0.01, NAN], [NAN, 0.1]])


def test_the_learning_rate_alone_makes_one_point() -> None:
    table = slices()[["safe", "failing", "status", "sensitivity"]].head(1)
    data = curves(table, {"learning_rate": [0.1, 1.0]}, "boundary")
    assert data.x is None and data.by is None
    assert data.value.tolist() == [[0.1]] and data.steps is None
    assert data.to_frame()["safe"].tolist() == [0.1]


def test_the_table_has_a_row_a_point() -> None:
    frame = drawn(where={"l2": 0.0}).to_frame()
    assert list(frame.columns) == [
        "l2", "precision", "depth", "safe", "failing", "lowest_safe", "highest_safe",
        "none_safe", "open_ended", "slices", "fewest_steps", "most_steps",
    ]  # fmt: skip
    assert len(frame) == 4 and (frame["l2"] == 0).all()
    point = frame[(frame["precision"] == "float32") & (frame["depth"] == 1)].iloc[0]
    assert (point["safe"], point["failing"]) == (0.1, 1.0)
    other = drawn("sensitivity").to_frame()
    assert list(other.columns)[2:6] == ["sensitivity", "lowest", "highest", "slices"]
    assert (other["most_steps"] == 100).all()


def test_the_caption_says_what_for_how_many_steps_and_over_what() -> None:
    words = curves_caption(drawn())
    assert "no failure at or below it, within 100 steps." in words
    assert "Markers: the middle of up to 3 settings of l2." in words
    assert "Fixed: l2 = 0." in curves_caption(drawn(where={"l2": 0}))
    assert "Markers" not in curves_caption(drawn(where={"l2": 0}))
    assert "settings of precision and l2" in curves_caption(drawn(pool=["precision", "l2"]))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"x": "learning_rate"}, "x: expected an axis other than the learning rate"),
        ({"by": "width"}, "by: expected an axis of the sweep"),
        ({"x": "depth", "by": "depth"}, "expected each axis in one place; 'depth'"),
        ({"where": {"depth": 3}}, "where depth: expected one of the values"),
        ({"pool": ["seed"]}, "pool: expected an axis of the sweep"),
    ],
)
def test_a_place_that_cannot_be_is_refused(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultError, match=message):
        drawn(**choice)


def test_more_lines_than_can_be_told_apart_are_refused() -> None:
    axes = {"learning_rate": [0.1, 1.0], "width": list(range(1, 12))}
    table = slices([]).assign(width=[])
    with pytest.raises(ResultError, match="by: expected an axis of at most 8 values"):
        curves(table, axes, "boundary", by="width")
