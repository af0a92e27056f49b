"""Hyperparameters of a search held against a map: what is looked up, and what is refused."""

from __future__ import annotations

from typing import Any

import keras_tuner
import pandas as pd
import pytest

from stabilitysweep import ResultError
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.region import Region
from stabilitysweep.analysis.standing import Source
from stabilitysweep.integrations.keras_tuner.map_check import MapCheck

RATES = (0.001, 0.002, 0.004, 0.008, 0.016)
WORDS = {"s": "stable", "f": "nonfinite", "x": "crashed"}


def mapped(lines: dict[Any, str], axis: str, **settings: Any) -> Region:
    """A map over an axis and the learning rate; a letter a rate."""
    rows = [
        {axis: value, "learning_rate": rate, "outcome": WORDS[letter]}
        for value, own in lines.items()
        for rate, letter in zip(RATES, own, strict=False)
    ]
    trials = pd.DataFrame(rows).assign(seed=0, steps_run=50)
    trials[axis] = pd.Series([row[axis] for row in rows], dtype=object)
    trials["trial_id"] = [f"t{number}" for number in range(len(rows))]
    values: dict[str, tuple[Any, ...]] = {axis: tuple(lines), "learning_rate": RATES}
    found = boundaries(trials, values, "learning_rate")
    return Region([Source("data", trials, values, boundaries=found)], **settings)


def space(*, scoped: bool = True) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1.0, sampling="log")
    hp.Choice("optimizer", ["sgd", "adam"])
    if scoped:
        with hp.conditional_scope("optimizer", ["sgd"]):
            hp.Choice("mu", [0.5, 0.9])
    return hp


def checked(region: Region, hp: Any, **names: str) -> MapCheck:
    check = MapCheck(region, names)
    check.look(hp.space)
    return check


WITH_NULL = {0.5: "sssff", 0.9: "sffff", None: "ssssf"}


def test_what_is_not_active_is_looked_up_at_the_null_of_its_axis() -> None:
    check = checked(mapped(WITH_NULL, "mu"), space())
    adam = {"optimizer": "adam", "learning_rate": RATES[3]}
    assert check.allows(adam)
    assert check.allows({**adam, "mu": 0.9}), "a value that is left of another trial"
    assert not check.allows({**adam, "learning_rate": RATES[4]})
    for momentum, most in ((0.5, 2), (0.9, 0)):
        sgd = {"optimizer": "sgd", "mu": momentum}
        found = [check.allows({**sgd, "learning_rate": rate}) for rate in RATES]
        assert found == [place <= most for place in range(len(RATES))]
    assert not any("active" in note for note in check.notes())


def test_without_a_null_all_values_of_the_axis_count_and_a_note_says_so() -> None:
    check = checked(mapped({0.5: "sssff", 0.9: "sffff"}, "mu"), space())
    assert check.allows({"optimizer": "adam", "learning_rate": RATES[0]})
    assert not check.allows({"optimizer": "adam", "learning_rate": RATES[1]})
    assert any("not always active: mu" in note for note in check.notes())


def test_a_map_that_leaves_nothing_names_what_is_asked_for_at_times_and_a_sparse_map() -> None:
    region = mapped({0.5: "sssff", 0.9: "fffff"}, "mu")
    with pytest.raises(ResultError, match="nothing is safe at every value of the others") as found:
        checked(region, space(scoped=False))
    assert "asked for in some trials only" in str(found.value)
    assert "conditional_scope" in str(found.value) and "sparse" not in str(found.value)
    holes = dict(enumerate(("s", "x", "x", "f")))
    with pytest.raises(ResultError, match=r"The map is sparse: of 4 settings .* 2 were measured"):
        checked(mapped(holes, "mu"), space(scoped=False))
    with pytest.raises(ResultError, match="there are none"):
        MapCheck(mapped({0.5: "fff", 0.9: "fff"}, "mu"), {})


def test_what_the_search_varies_cannot_be_held() -> None:
    for held in ({"learning_rate": RATES[0]}, {"mu": 0.5}):
        with pytest.raises(ResultError, match=f"where: .* got {next(iter(held))} = "):
            checked(mapped(WITH_NULL, "mu", where=held), space())
    renamed = keras_tuner.HyperParameters()
    renamed.Float("rate", 1e-4, 1.0)
    region = mapped(WITH_NULL, "mu", where={"learning_rate": RATES[0], "mu": 0.5})
    with pytest.raises(ResultError, match=r"the hyperparameter rate \(learning_rate\)"):
        checked(region, renamed, rate="learning_rate")
    fixed = keras_tuner.HyperParameters()
    fixed.Fixed("learning_rate", RATES[0])
    fixed.Choice("mu", [0.5])
    assert checked(region, fixed).allows({"learning_rate": RATES[0], "mu": 0.5})


def test_a_name_that_no_hyperparameter_has_is_noted() -> None:
    check = checked(mapped(WITH_NULL, "mu"), space(), typo="learning_rate")
    assert any("is called typo so far" in note for note in check.notes())
    check = checked(mapped(WITH_NULL, "mu"), space(), learning_rate="learning_rate")
    assert not any("so far" in note for note in check.notes())
