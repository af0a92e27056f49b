"""What a config says of a user's model and the model never asks for is refused."""

from __future__ import annotations

from typing import Any

import pytest
from surveyed_builds import BUILD, CONFIG, Survey, surveyed, with_grid

from stabilitysweep.errors import ConfigError


def with_training(**settings: Any) -> dict[str, Any]:
    return {**CONFIG, "training": {**CONFIG["training"], **settings}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_grid(unitz=[1, 2]), r"grid\.unitz: .*It asks for: .*Did you mean 'units'\?"),
        ({**CONFIG, "model": {"build": BUILD, "drop": 0.1}}, r"model\.drop: .*mean 'dropout'\?"),
    ],
)
def test_an_hp_that_is_never_asked_for(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        surveyed(content)


def test_a_name_that_a_model_that_fails_may_ask_for_is_no_mistake() -> None:
    sweep = surveyed(CONFIG, Survey(broken=(2,)))  # `units` is asked for by two layers alone
    assert set(sweep.failed.values()) == {
        f"model.build '{BUILD}' with layers 2: ValueError: too deep."
    }


def test_a_name_that_a_cell_left_out_may_ask_for_is_no_mistake() -> None:
    sweep = surveyed({**CONFIG, "cells": [{"layers": 1}]})
    assert len(sweep.grid) == 3 * CONFIG["seeds"]  # both `units` train the same
    assert not sweep.failed


@pytest.mark.parametrize("setting", [{"optimizer": "adam"}, {"loss": "mae"}, {"momentum": 0.5}])
def test_settings_without_effect_beside_a_compiled_model(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"training\.{name}: .*would have no effect"):
        surveyed(
            with_training(**{"optimizer": "sgd", **setting} if name == "momentum" else setting)
        )


def test_they_have_an_effect_on_a_model_that_is_not_compiled() -> None:
    assert not surveyed(with_training(optimizer="adam"), Survey(compiled=False)).failed
