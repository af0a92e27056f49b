"""Axes: order, matching of values, labels, the default choice of places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis.axes import (
    encode,
    find_axis,
    held_rows,
    make_axes,
    value_label,
    value_labels,
)
from stabilitysweep.analysis.layout import choose_layout
from stabilitysweep.errors import ResultError

SIX: dict[str, list[Any]] = {
    "learning_rate": list(np.logspace(-4, 1, 25)),
    "batch_size": [16, 32, 128],
    "l2": [0, 1e-4, 1e-2],
    "depth": [1, 2, 4, 8],
    "activation": ["relu", "tanh", "gelu"],
    "precision": ["float32", "mixed_float16", "float16"],
}


def places(axes: Mapping[str, Sequence[object]], **asked: Any) -> tuple[object, ...]:
    layout = choose_layout(make_axes(axes), **asked)
    return layout.x, layout.y, layout.rows, layout.columns, layout.pooled


def test_numeric_axes_are_sorted_and_categories_keep_their_order() -> None:
    axes = make_axes({"lr": [1, 0.1, 0.1, 10], "activation": ["tanh", "relu", "tanh"]})
    assert axes["lr"].values == (0.1, 1, 10)
    assert axes["activation"].values == ("tanh", "relu")
    assert axes["lr"].numeric and not axes["activation"].numeric


@pytest.mark.parametrize("values", [[None, 1.0], [16, "full"], [True, False], [1.0, float("inf")]])
def test_what_is_not_a_finite_number_makes_an_axis_categorical(values: list[object]) -> None:
    axis = make_axes({"axis": values})["axis"]
    assert not axis.numeric
    with pytest.raises(ValueError, match="categorical"):
        _ = axis.numbers


def test_no_axis_and_no_value_are_refused() -> None:
    with pytest.raises(ResultError, match="at least one axis"):
        make_axes({})
    with pytest.raises(ResultError, match="'depth' to have values"):
        make_axes({"depth": []})


@pytest.mark.parametrize(
    ("values", "column", "expected"),
    [
        ([0.1, 0.2], pd.Series([0.2, 0.1 + 1e-12, 0.3]), [1, 0, -1]),
        ([1, 2], pd.Series([2, 1, None], dtype="Int64"), [1, 0, -1]),
        ([None, 1.0], pd.Series([np.nan, 1.0]), [0, 1]),
        ([None, 1.0], pd.Series([None, 1.0], dtype=object), [0, 1]),
        ([True, False], pd.Series([0, 1]), [1, 0]),
        ([16, "full"], pd.Series(["full", "16", "17"]), [1, 0, -1]),
        ([[64, 64], [32]], pd.Series([[32], [64, 64], [1]]), [1, 0, -1]),
        (["a", "b"], pd.Series(pd.Categorical(["b", "a", "c"])), [1, 0, -1]),
        (["a"], pd.Series([], dtype=object), []),
    ],
)
def test_rows_are_matched_to_values_whatever_the_column_is_made_of(
    values: list[object], column: pd.Series[Any], expected: list[int]
) -> None:
    axis = make_axes({"axis": values})["axis"]
    assert encode(column, axis).tolist() == expected


def test_an_unknown_axis_is_answered_with_those_there_are_and_the_nearest() -> None:
    with pytest.raises(ResultError, match=r"learning_rate.*depth.*Did you mean 'learning_rate'"):
        find_axis(make_axes(SIX), "learningrate", "x")


def test_labels_are_short_and_distinct() -> None:
    labels = [value_label(value) for value in (0.0, 1e-4, 1e-05, 2.5e8, None, True, "relu", [1, 2])]
    assert labels == ["0", "0.0001", "1e-5", "2.5e8", "none", "true", "relu", "[1, 2]"]
    assert value_labels([0.12341, 0.12342]) == ("0.12341", "0.12342")


def test_the_default_of_six_axes() -> None:
    assert places(SIX) == (
        "learning_rate", "depth", "activation", "precision", ("batch_size", "l2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["learning_rate"], ("learning_rate", None, None, None, ())),
        (["depth"], ("depth", None, None, None, ())),
        (["activation"], ("activation", None, None, None, ())),
        (["depth", "l2"], ("depth", "l2", None, None, ())),
        (["l2", "batch_size"], ("batch_size", "l2", None, None, ())),
        (["learning_rate", "activation"], ("learning_rate", "activation", None, None, ())),
        (["learning_rate", "precision"], ("learning_rate", "precision", None, None, ())),
        (
            ["learning_rate", "activation", "precision"],
            ("learning_rate", "activation", None, "precision", ()),
        ),
        (
            ["learning_rate", "batch_size", "l2", "depth"],
            ("learning_rate", "depth", "l2", "batch_size", ()),
        ),
    ],
)
def test_the_default_of_fewer_axes(names: list[str], expected: tuple[object, ...]) -> None:
    assert places({name: SIX[name] for name in names}) == expected


def test_what_is_asked_for_is_kept_and_the_rest_chosen_around_it() -> None:
    assert places(SIX, x="depth") == (
        "depth", "learning_rate", "activation", "precision", ("batch_size", "l2"),
    )  # fmt: skip
    assert places(SIX, rows="l2", fixed=["depth"], pool=["precision"]) == (
        "learning_rate", "batch_size", "l2", "activation", ("precision",),
    )  # fmt: skip


def test_axes_of_one_value_take_no_place_and_are_not_pooled() -> None:
    axes: dict[str, list[Any]] = {"learning_rate": [0.1], "depth": [1, 2], "l2": [0.0]}
    assert places(axes) == ("depth", None, None, None, ())
    assert places({"learning_rate": [0.1]}) == ("learning_rate", None, None, None, ())


def test_an_axis_cannot_have_two_places() -> None:
    with pytest.raises(ResultError, match="'depth' was asked for as x and as where"):
        places(SIX, x="depth", fixed=["depth"])
    with pytest.raises(ResultError, match="'depth' was asked for as x and as y"):
        places(SIX, x="depth", y="depth")
    with pytest.raises(ResultError, match="axis to be left"):
        places({"depth": [1, 2]}, fixed=["depth"])


def test_rows_are_held_at_values_or_the_text_of_them() -> None:
    axes = make_axes({"depth": [1, 2], "clipnorm": [None, 1.0], "learning_rate": [0.1, 1.0]})
    table = pd.DataFrame({"depth": [1, 2, 2], "clipnorm": [None, None, 1.0]})
    assert held_rows(table, axes, {}).tolist() == [True, True, True]
    assert held_rows(table, axes, {"depth": "2"}).tolist() == [False, True, True]
    assert held_rows(table, axes, {"depth": 2, "clipnorm": "none"}).tolist() == [False, True, False]
    # A table of slices has no column of the learning rate: it holds for all of them.
    assert held_rows(table, axes, {"learning_rate": 0.1}).all()
    with pytest.raises(ResultError, match=r"where: expected an axis.*Did you mean 'depth'"):
        held_rows(table, axes, {"dept": 1})
    with pytest.raises(ResultError, match=r"where depth, one: expected one of the values.*'7'"):
        held_rows(table, axes, {"depth": 7}, "one")
