"""Bins never say more than was tried, and every hp has a column of its own."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.integrations.keras_tuner.recording_space import (
    _SLACK,
    axes_of,
    column_of,
    values_of,
)


def only(hp: Any, **more: Any) -> Any:
    (axis,) = axes_of(hp.space, **more)
    return axis


@settings(deadline=None, max_examples=200)
@given(
    st.floats(1e-8, 1e3),
    st.floats(1.01, 1e8),
    st.integers(2, 30),
    st.floats(0, 1),
    st.sampled_from(["log", "linear"]),
)
def test_a_bin_is_called_by_its_lower_end(
    low: float, factor: float, bins: int, place: float, sampling: str
) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", low, low * factor, sampling=sampling)
    axis = only(hp, bins=bins)
    value = hp.space[0].prob_to_value(place)
    own = axis.place(value)
    # What differs from a number of few digits by rounding alone is taken to be it.
    assert own <= value * (1 + _SLACK)
    assert own in axis.values and len(axis.values) <= bins
    above = [end for end in axis.values if end > own]
    assert not above or value < min(above)
    assert list(axis.values) == sorted(set(axis.values))
    assert all(float(f"{end:.3g}") == end for end in axis.values)


@settings(deadline=None, max_examples=100)
@given(st.integers(-50, 50), st.integers(1, 5_000), st.integers(2, 20), st.floats(0, 0.999))
def test_whole_numbers_stay_whole(low: int, span: int, bins: int, place: float) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", low, low + span)
    axis = only(hp, bins=bins)
    value = hp.space[0].prob_to_value(place)
    own = axis.place(value)
    assert type(own) is int and own <= value
    assert axis.binned == (span + 1 > bins)
    assert own == value or axis.binned


def test_the_lower_ends_may_be_those_of_a_sweep() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    axis = only(hp, bins={"rate": [0.01, 0.1]})
    assert axis.values == (0.01, 0.1) and axis.binned
    assert [axis.place(value) for value in (0.01, 0.0999, 0.7)] == [0.01, 0.01, 0.1]
    assert axis.place(0.005) == 0.005


def test_bins_of_decades_have_round_ends() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e2, sampling="log")
    assert only(hp, bins=6).values == (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def test_few_values_are_themselves() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("activation", ["relu", "tanh"])
    hp.Boolean("norm")
    hp.Fixed("depth", 3)
    hp.Int("units", 8, 32, step=8)
    hp.Float("dropout", 0.0, 0.5, step=0.25)
    hp.Choice("batch", list(range(40)))
    found = {axis.hp: axis.values for axis in axes_of(hp.space)}
    assert found == {
        "activation": ("relu", "tanh"),
        "norm": (True, False),
        "depth": (3,),
        "units": (8, 16, 24, 32),
        "dropout": (0.0, 0.25, 0.5),
        "batch": tuple(range(40)),
    }


def test_a_grid_search_keeps_the_values_that_it_goes_through() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    axis = only(hp, every=True)
    assert not axis.binned and set(axis.values) == {1e-3, *hp.space[0].values}


@pytest.mark.parametrize(("number", "kept"), [(13, True), (50, True), (51, False)])
def test_a_grid_search_keeps_up_to_fifty_values(number: int, kept: bool) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 1, number)
    hp.Float("rate", 0.0, (number - 1) / 8, step=0.125)
    units, rate = axes_of(hp.space, every=True)
    if kept:
        assert units.values == tuple(range(1, number + 1))
        assert rate.values == tuple(place / 8 for place in range(number))
    for axis in (units, rate):
        assert axis.binned != kept and (len(axis.values) == (number if kept else 12))
    # Without going through them all, more than the bins are cut into bins.
    assert all(axis.binned for axis in axes_of(hp.space))


def test_an_hp_that_is_not_active_has_no_value() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.9, step=0.45)
    hp.values["optimizer"] = "adam"
    by_name = {axis.hp: axis for axis in axes_of(hp.space)}
    assert by_name["momentum"].values == (0.0, 0.45, 0.9, None)
    assert by_name["momentum"].place(None) is None
    assert values_of(hp, {"optimizer": "optimizer", "momentum": "momentum"}) == {
        "optimizer": "adam"
    }


def test_one_name_in_two_scopes_is_one_axis() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Float("rate", 0.1, 1.0)
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("rate", 0.5, 2.0)
    _, axis = axes_of(hp.space, bins=4)
    assert axis.values[0] == 0.1 and axis.place(2.0) == axis.values[-2]


def test_below_the_range_a_value_has_a_bin_of_its_own() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.1, 1.0)
    assert only(hp).place(0.01239) == 0.0123


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("learning_rate", "learning_rate"),
        ("block/units_1", "block/units_1"),
        ("seed", "hp_seed"),
        ("outcome", "hp_outcome"),
        ("val_split", "hp_val_split"),
        ("dataset", "hp_dataset"),
        ("exact_x", "hp_exact_x"),
        ("model_loss", "hp_model_loss"),
        ("training", "hp_training"),
        ("safe", "hp_safe"),
        ("x" * 120, "x" * 100),
    ],
)
def test_columns_keep_out_of_ours(name: str, column: str) -> None:
    assert column_of(name) == column


def test_what_belongs_to_the_tuner_is_no_axis() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("tuner/epochs", 3)
    hp.Float("momentum", 0.0, 0.9)
    axis = only(hp)
    assert axis.hp == "momentum" and axis.values[0] == 0.0
    assert all(math.isfinite(end) for end in axis.values)
