"""The config of a recorded search: read as it was written, and never run."""

from __future__ import annotations

from typing import Any

import pytest

from stabilitysweep import ConfigError, ResultError
from stabilitysweep.config import parse_config

CONTENT: dict[str, Any] = {
    "name": "search",
    "recorded": {"tuner": "RandomSearch", "project": "p", "rate": "lr", "exact": ["lr"]},
    "dataset": {"function": "keras_tuner:search", "label": "numbers"},
    "model": {"build": "own.models:build"},
    "training": {"epochs": 5},
    "grid": {"lr": [0.01, 0.1], "optimizer": ["Adam", "own"], "momentum": [0.5, None]},
    "seeds": 1,
}


def test_it_says_what_was_searched_and_nothing_else() -> None:
    config = parse_config(CONTENT)
    assert config.resolved() == CONTENT
    assert parse_config(config.resolved()) == config
    assert config.fixed() == {"dataset": "numbers", "build": "own.models:build"}


def test_every_name_is_an_hp_and_null_is_one_that_was_not_active() -> None:
    config = parse_config(CONTENT)
    assert config.values("optimizer") == ("Adam", "own"), "no optimizer of ours"
    assert config.values("momentum") == (0.5, None)


def test_it_cannot_be_run() -> None:
    with pytest.raises(ResultError, match=r"here: expected a sweep.*RandomSearch, project 'p'"):
        parse_config(CONTENT).require_sweep("here")
    del (plain := dict(CONTENT))["recorded"]
    plain["grid"] = {"lr": [0.01]}
    parse_config(plain).require_sweep("here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recorded": {"tuner": 3, "project": "p"}}, "recorded.tuner"),
        ({"recorded": {"tuner": "T"}}, "recorded.project"),
        ({"recorded": {"tuner": "T", "project": "p", "speed": 1}}, "recorded.speed"),
        ({"grid": {"lr": []}}, "grid.lr"),
        ({"grid": {"seed": [1]}}, "grid.seed"),
        ({"grid": {"lr": {"from": 1, "to": 2, "num": 2}}}, "grid.lr"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(CONTENT | change)
