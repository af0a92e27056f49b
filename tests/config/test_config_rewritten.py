"""Configs made out of a config: they parse, and mean what the other meant."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from stabilitysweep.config import SweepConfig, load_config, parse_config
from stabilitysweep.config.rewritten import (
    as_text,
    other_name,
    plain_content,
    with_axes,
    with_values,
)
from stabilitysweep.grid import Grid, Trial

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
ROWS = 353

IDLE: dict[str, Any] = {
    "name": "idle",
    "dataset": {"name": "diabetes", "label": "1e3"},
    "preprocessing": {"target_scaling": "none"},
    "model": {"width": 8},
    "training": {"epochs": 2},
    "grid": {
        "imputation": ["none", "constant", "knn"],
        "fill_value": [0, -1],
        "neighbors": [3, 5],
        "schedule": ["constant", "exponential"],
        "decay_rate": [0.1, 0.5],
        "momentum": [0, 0.9],
        "nesterov": [False, True],
        "clipnorm": [None, 1],
        "batch_size": [16, "full"],
        "learning_rate": [1e-5, 0.1],
    },
    "seeds": {"from": 4, "num": 2},
}
"""Settings that have no effect beside some values of others, and are then refused."""


def trials_of(config: SweepConfig) -> list[Trial]:
    return list(Grid(config, lambda dataset: ROWS))


def some(trials: list[Trial], number: int = 25) -> list[Trial]:
    return random.Random(0).sample(trials, min(number, len(trials)))


@pytest.mark.parametrize(
    "config",
    [
        *(load_config(path) for path in CONFIGS if load_config(path).model.build is None),
        parse_config(IDLE),
    ],
    ids=lambda config: config.name,
)
def test_one_combination_by_itself_is_the_same_trials(config: SweepConfig) -> None:
    for trial in some(trials_of(config)):
        text = as_text(with_values(config, trial.axes, name="picked", kept="learning_rate"))
        picked = parse_config(text)
        assert picked.name == "picked"
        assert list(picked.grid) == ["learning_rate" if "learning_rate" in trial.axes else "depth"]
        same = [other for other in trials_of(picked) if other.seed == trial.seed]
        assert len(same) == 1
        assert (same[0].preprocessing, same[0].model) == (trial.preprocessing, trial.model)
        idle = {"decay_rate": 0.1} if trial.training.schedule == "constant" else {}
        idle |= {} if trial.training.momentum else {"nesterov": False}
        assert same[0].training == trial.training.model_copy(update=idle)
        assert same[0].dataset.label == trial.dataset.label
        if trial.dataset.path is not None:
            assert Path(str(same[0].dataset.path)).is_file()
        elif same[0].training == trial.training:
            assert same[0].trial_id == trial.trial_id
        assert list(picked.seeds) == list(config.seeds)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_without_its_defaults_is_the_same_config(path: Path) -> None:
    config = load_config(path)
    again = parse_config(as_text(plain_content(config)))
    if any(dataset.path for dataset in config.datasets):
        assert [d.label for d in again.datasets] == [d.label for d in config.datasets]
        assert again.resolved()["training"] == config.resolved()["training"]
    else:
        assert again == config
    assert again.given == config.given or config.model.build is None


def test_of_a_build_the_hp_stand_in_its_section() -> None:
    content = {
        "dataset": {"function": "data:made"},
        "model": {"build": "model:build", "dropout": False},
        "training": {"batch_size": 8},
        "grid": {
            "precision": ["float32", "float16"],
            "units": [8, 16],
            "layers": [1, 2],
            "lr": [0.1],
        },
    }
    config = parse_config(content)
    values = {"precision": "float16", "units": 16, "layers": 1, "lr": 0.1}
    made = with_values(config, values, name="picked", kept="lr", idle=["units"])
    assert made["model"] == {"build": "model:build", "dropout": False, "layers": 1}
    assert made["training"] == {"batch_size": 8, "precision": "float16"}
    assert made["grid"] == {"lr": [0.1]}
    picked = parse_config(as_text(made))
    assert picked.given == {"batch_size", "precision"}
    assert picked.hp_axes == ("lr",)


def test_data_sets_are_kept_where_none_is_chosen() -> None:
    config = parse_config({"dataset": ["iris", "wine"], "grid": {"depth": [1, 2]}})
    both = parse_config(as_text(with_values(config, {"depth": 2}, name="both")))
    assert [dataset.label for dataset in both.datasets] == ["iris", "wine"]
    one = parse_config(as_text(with_values(config, {"depth": 2, "dataset": "wine"}, name="one")))
    assert [dataset.label for dataset in one.datasets] == ["wine"]
    alone = parse_config({"dataset": ["iris", "wine"]})
    for values, labels in (({}, ["iris", "wine"]), ({"dataset": "wine"}, ["wine"])):
        found = parse_config(as_text(with_values(alone, values, name="x")))
        assert [dataset.label for dataset in found.datasets] == labels


def test_axes_get_other_values_and_settings_become_axes() -> None:
    config = parse_config(
        {
            "dataset": "diabetes",
            "model": {"depth": 3},
            "training": {"steps": 40, "precision": "float16"},
            "grid": {"learning_rate": [0.1]},
            "seeds": 2,
        }
    )
    axes = {
        "learning_rate": {"from": 1e-3, "to": 1, "num": 4, "scale": "log"},
        "precision": ["float16", "float32"],
    }
    made = parse_config(as_text(with_axes(config, axes, name="more", budget=3)))
    assert made.grid["learning_rate"] == (0.001, 0.01, 0.1, 1)
    assert made.grid["precision"] == ("float16", "float32")
    assert (made.training.steps, made.model.depth, len(made.seeds)) == (120, 3, 2)
    epochs = parse_config({"dataset": "iris", "training": {"epochs": 2}, "grid": {"depth": [1]}})
    assert parse_config(with_axes(epochs, {}, name="x", budget=5)).training.epochs == 10


def test_a_selection_of_cells_is_lifted() -> None:
    config = parse_config({"dataset": "iris", "grid": {"depth": [1, 2]}, "cells": [{"depth": 1}]})
    assert parse_config(as_text(with_values(config, {"depth": 2}, name="x"))).cells is None
    assert "cells" not in with_axes(config, {}, name="x")


def test_files_are_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,y\n1,2\n")
    text = yaml.safe_dump(
        {"dataset": {"path": "data.csv", "target": "y"}, "grid": {"depth": [1, 2]}}
    )
    (tmp_path / "config.yaml").write_text(text)
    config = load_config(tmp_path / "config.yaml")
    made = with_values(config, {"depth": 1}, name="x")
    assert made["dataset"]["path"] == str(tmp_path / "data.csv")
    assert parse_config(made).datasets[0].label == "data"


def test_names_go_on() -> None:
    assert other_name("a", "next") == "a-next"
    assert other_name("a-next", "next") == "a-next2"
    assert other_name("a-next9", "next") == "a-next10"
    assert other_name("a-nextbest", "next") == "a-nextbest-next"
    assert other_name("a-pick1", "pick1") == "a-pick1-pick1"
    assert other_name("a-pick12", "pick1") == "a-pick12-pick1"
    assert other_name("a-pick1", "next") == "a-pick1-next"
    long = other_name("x" * 100, "next")
    assert len(long) <= 100
    parse_config({"name": long, "dataset": "iris", "grid": {"depth": [1]}})
