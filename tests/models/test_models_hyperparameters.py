"""The `hp` of a build function has the values of the config and notes what is asked of it."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner
import pytest

from stabilitysweep.models.hyperparameters import GivenHyperParameters

DECLARED = {
    "Int": lambda hp: hp.Int("a", 8, 64, step=8),
    "Float": lambda hp: hp.Float("a", 0.25, 0.5),
    "Boolean": lambda hp: hp.Boolean("a"),
    "Choice": lambda hp: hp.Choice("a", [16, 32]),
    "Choice of text": lambda hp: hp.Choice("a", ["relu", "tanh"]),
    "Fixed": lambda hp: hp.Fixed("a", 3),
}
TAKEN = [
    ("Int", 16, 16),
    ("Int", 16.0, 16),  # 1e1 in YAML is a float
    ("Int", 1_000, 1_000),  # beyond the declared range, off its steps, below it
    ("Int", 13, 13),
    ("Int", -2, -2),
    ("Float", 0.3, 0.3),
    ("Float", 1, 1.0),
    ("Float", 1e9, 1e9),
    ("Float", math.inf, math.inf),
    ("Boolean", True, True),
    ("Boolean", False, False),
    ("Choice", 32, 32),
    ("Choice", 32.0, 32),
    ("Choice", 48, 48),
    ("Choice of text", "tanh", "tanh"),
    ("Choice of text", "gelu", "gelu"),
    ("Fixed", 5, 5),
]


@pytest.mark.parametrize(("kind", "given", "taken"), TAKEN)
def test_a_value_is_taken_in_its_declared_kind_and_in_any_range(
    kind: str, given: Any, taken: Any
) -> None:
    hp = GivenHyperParameters({"a": given})
    for found in (DECLARED[kind](hp), hp.get("a"), hp["a"], hp.asked["a"], DECLARED[kind](hp)):
        assert found == taken and type(found) is type(taken)
    assert hp.defaults == {}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("Int", 1.5, "a whole number"),
        ("Int", "16", "a whole number"),
        ("Int", True, "a whole number"),
        pytest.param("Int", math.nan, "a whole number"),
        pytest.param("Int", math.inf, "a whole number"),
        ("Float", "0.1", "a number"),
        ("Float", False, "a number"),
        ("Boolean", 1, "true or false"),
        ("Boolean", "yes", "true or false"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: str, given: Any, expected: str) -> None:
    hp = GivenHyperParameters({"a": given})
    with pytest.raises(ValueError, match=rf"hp 'a': expected {expected}, got {given!r}"):
        DECLARED[kind](hp)
    assert hp.asked == {}


@pytest.mark.parametrize("kind", DECLARED)
def test_what_is_not_given_has_the_default_that_keras_tuner_gives(kind: str) -> None:
    hp = GivenHyperParameters({"b": 1})
    default = DECLARED[kind](keras_tuner.HyperParameters())
    assert DECLARED[kind](hp) == default and type(DECLARED[kind](hp)) is type(default)
    assert hp.asked == hp.defaults == {"a": default}


def test_a_choice_of_truth_values_keeps_them_apart_from_numbers() -> None:
    hp = GivenHyperParameters({"a": True, "b": True})
    assert hp.Choice("a", [True, False]) is True
    assert hp.Choice("b", [1, 2]) is True  # not 1, which it equals


def test_what_is_given_can_be_read_before_it_is_declared_and_nothing_else_can() -> None:
    hp = GivenHyperParameters({"rate": 0.1, "units": 7})
    assert hp.get("rate") == hp["rate"] == 0.1
    assert hp.asked == {"rate": 0.1}
    assert "units" in hp and "width" not in hp
    assert hp.asked == {"rate": 0.1, "units": 7}
    with pytest.raises(KeyError, match="width"):
        hp.get("width")
    assert hp.Int("width", 1, 9) == 1 and "width" in hp
    assert hp.defaults == {"width": 1}


def test_only_what_is_asked_for_is_noted() -> None:
    hp = GivenHyperParameters({"units": 8, "never": 1})
    hp.Int("units", 1, 9)
    assert hp.asked == {"units": 8} and "never" not in hp.values


def branching(hp: Any) -> list[Any]:
    """A function with a value under each of two conditions, one of them under the same name."""
    kind = hp.Choice("kind", ["mlp", "cnn"])
    found = [kind]
    for own, low in (("mlp", 1), ("cnn", 2)):
        with hp.conditional_scope("kind", [own]):
            found += [hp.Int("units", low, 9), hp.Int(f"{own}_depth", low, 9)]
    return found


@pytest.mark.parametrize(
    ("kind", "found"),
    [("mlp", ["mlp", 7, 5, None, None]), ("cnn", ["cnn", None, None, 7, 6])],
)
def test_what_is_not_active_is_none_and_is_not_noted(kind: str, found: list[Any]) -> None:
    given = {"kind": kind, "units": 7, "mlp_depth": 5, "cnn_depth": 6}
    hp = GivenHyperParameters(given)
    assert branching(hp) == found
    other = {"mlp": "cnn", "cnn": "mlp"}[kind]
    active = {name: value for name, value in given.items() if name != f"{other}_depth"}
    assert hp.asked == hp.values == active
    assert f"{kind}_depth" in hp and f"{other}_depth" not in hp
    with pytest.raises(ValueError, match="inactive"):
        hp.get(f"{other}_depth")


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_conditions_are_those_of_keras_tuner(kind: str) -> None:
    own = keras_tuner.HyperParameters()
    own.values["kind"] = kind
    hp = GivenHyperParameters({"kind": kind})
    assert branching(hp) == branching(own)
    assert hp.values == own.values == hp.asked
    assert hp.defaults == {name: value for name, value in own.values.items() if name != "kind"}


def test_a_condition_on_a_value_beyond_the_declared_ones_holds() -> None:
    hp = GivenHyperParameters({"depth": 5, "last": 3})
    hp.Int("depth", 1, 2)
    assert hp.Int("last", 1, 2, parent_name="depth", parent_values=[5]) == 3
    assert hp.Int("first", 1, 2, parent_name="depth", parent_values=[1, 2]) is None
    assert hp.asked == {"depth": 5, "last": 3}


def test_a_name_in_a_scope_is_given_with_the_scope() -> None:
    hp = GivenHyperParameters({"block/units": 5, "units": 2})
    with hp.name_scope("block"):
        assert hp.Int("units", 1, 9) == hp.get("units") == 5
    assert hp.Int("units", 1, 9) == 2
    assert hp.asked == {"block/units": 5, "units": 2}


def test_asking_twice_is_asking_once() -> None:
    once, twice = (GivenHyperParameters({"kind": "cnn", "units": 4}) for _ in range(2))
    first = branching(once)
    assert branching(twice) == branching(twice) == first
    assert (once.asked, once.values) == (twice.asked, twice.values)
