"""What the axis of the learning rate is called makes no difference."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from lattices import AXES, random_table

from stabilitysweep.analysis import (
    explained,
    nearest_failed,
    remedies,
    representatives,
    stability_map,
    summary,
)

# Named so that an order by name is the same one.
NAME = "learning_rata"
RENAMED = {NAME if name == "learning_rate" else name: values for name, values in AXES.items()}
SEEDS = range(3)


def both(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = random_table(seed)
    return table, table.rename(columns={"learning_rate": NAME})


def text(found: Any) -> str:
    return str(found).replace(NAME, "learning_rate").replace("learning rata", "learning rate")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_summary(seed: int) -> None:
    table, renamed = both(seed)
    expected = summary(table, AXES).to_json()
    assert text(json.dumps(summary(renamed, RENAMED, rate=NAME).to_json())) == json.dumps(expected)
    assert summary(renamed, RENAMED).stable_rate is None
    assert expected["largest_stable_learning_rate"]["status"] is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_what_explains_the_failures(seed: int) -> None:
    table, renamed = both(seed)
    assert text(explained(renamed, RENAMED, NAME)) == str(explained(table, AXES))


@pytest.mark.parametrize("seed", SEEDS)
def test_representatives_and_remedies(seed: int) -> None:
    table, renamed = both(seed)
    assert representatives(renamed, RENAMED, NAME) == representatives(table, AXES)
    without = 0
    for trial_id in table["trial_id"][:60]:
        expected = remedies(table, AXES, trial_id)
        assert text(remedies(renamed, RENAMED, trial_id, rate=NAME)) == str(expected)
        assert nearest_failed(renamed, RENAMED, trial_id) == nearest_failed(table, AXES, trial_id)
        without += text(remedies(renamed, RENAMED, trial_id)) != str(expected)
    assert without  # the name does count where it is not given


def test_the_map_has_it_along_x_and_knows_its_boundary() -> None:
    _, renamed = both(0)
    few = {"precision": "float32", "scaling": "standard", "clipnorm": 1.0}
    drawn = stability_map(renamed, RENAMED, where=few, rate=NAME)
    assert drawn.x.name == NAME
    upright = stability_map(renamed, RENAMED, x="batch_size", y=NAME, where=few, rate=NAME)
    assert upright.boundary_index is None
