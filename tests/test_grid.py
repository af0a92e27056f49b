"""The grid: laws of its trials and ids, what is resolved, and what extends what."""

import hashlib
import itertools
import json
import math
import pickle
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.config import DatasetSettings, parse_config
from stabilitysweep.errors import ConfigError
from stabilitysweep.extension import difference
from stabilitysweep.grid import Grid, Trial, trial_id

ROWS = {"diabetes": 353, "wine": 142, "make_moons": 80}
AXES: dict[str, list[Any]] = {
    "dataset": ["diabetes", "wine"],
    "learning_rate": [1e-3, 0.01, 0.1, 1],
    "batch_size": [16, 142, 353, 400, "full"],
    "l2": [0, 1e-4, 1e-2],
    "depth": [0, 1, 2, 3],
    "activation": ["relu", "tanh"],
    "optimizer": ["adam", "adamw"],
    "weight_decay": [None, 0.004, 0],
    "loss": ["mse", "huber"],
    "target_scaling": [None, "standard", "none"],
    "batch_norm": [False, True],
}


def rows_of(dataset: DatasetSettings) -> int:
    return ROWS[dataset.label]


def grid_of(content: dict[str, Any]) -> Grid:
    if "dataset" not in content["grid"]:
        content = {"dataset": "diabetes"} | content
    return Grid(parse_config(content), rows_of)


def ids_of(content: dict[str, Any]) -> list[str]:
    return [trial.trial_id for trial in grid_of(content)]


def only(content: dict[str, Any]) -> Trial:
    (trial,) = grid_of(content)
    return trial


@st.composite
def grids(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Up to four axes of up to three values, in any order."""
    names = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    return {
        name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=3, unique_by=repr))
        for name in names
    }


lawful = settings(derandomize=True, deadline=None, max_examples=60)


@lawful
@given(axes=grids(), seeds=st.integers(1, 3))
def test_ids_are_unique_and_counted(axes: dict[str, list[Any]], seeds: int) -> None:
    grid = grid_of({"grid": axes, "seeds": seeds})
    trials = list(grid)
    assert len({trial.trial_id for trial in trials}) == len(trials) == len(grid)
    assert grid.cells * seeds == len(grid)
    assert len(grid) + grid.merged == math.prod(map(len, axes.values())) * seeds
    meanings = {repr((t.dataset, t.preprocessing, t.model, t.training, t.seed)) for t in trials}
    assert len(meanings) == len(trials)
    assert list(grid.ids()) == [trial.trial_id for trial in trials]


def test_ids_of_many_cells_are_those_of_their_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stabilitysweep.grid.texts._BLOCK", 7)
    names = ("learning_rate", "batch_size", "l2", "depth", "optimizer", "weight_decay")
    axes = {name: AXES[name][:3] for name in names} | {"missing_indicator": [True, False]}
    options = {"n_samples": 40, "random_state": 1}
    content = {"dataset": {"name": "make_regression", "options": options}, "grid": axes}
    grid = Grid(parse_config({"name": "n"} | content), lambda dataset: 32)
    some = content | {"cells": [{"depth": 2, "l2": [0, 0.01]}, {"optimizer": "adam", "depth": 1}]}
    for own in (grid, Grid(parse_config({"name": "n"} | some), lambda dataset: 32)):
        assert len(own) > 100
        assert list(own.ids()) == [trial.trial_id for trial in own]


@lawful
@given(axes=grids(), seeds=st.integers(1, 3))
def test_a_trial_is_the_same_by_its_place(axes: dict[str, list[Any]], seeds: int) -> None:
    grid = grid_of({"grid": axes, "seeds": {"from": 2, "num": seeds}})
    trials = tuple(grid)
    assert tuple(grid[place] for place in range(len(trials))) == trials
    assert grid[-1] == trials[-1]
    assert grid[::-2] == trials[::-2]
    rates = grid.numbers("learning_rate").tolist()
    assert rates == [trial.training.learning_rate for trial in trials[::seeds]]
    with pytest.raises(IndexError):
        grid[len(trials)]


@lawful
@given(axes=grids())
def test_cells_of_one_kind_differ_in_nothing_that_counts(axes: dict[str, list[Any]]) -> None:
    grid = grid_of({"grid": axes})
    kinds = grid.kinds({"learning_rate": lambda rate: None, "l2": lambda strength: strength > 0})
    seen: dict[int, str] = {}
    for kind, trial in zip(kinds.tolist(), grid, strict=True):
        training = trial.training.model_copy(update={"learning_rate": 0.0})
        model = trial.model.model_copy(update={"l2": float(trial.model.l2 > 0)})
        told = repr((trial.dataset, trial.preprocessing, model, training))
        assert seen.setdefault(kind, told) == told
    assert len(set(seen.values())) == len(seen)


@lawful
@given(axes=grids(), seeds=st.integers(1, 2))
def test_expanding_twice_is_the_same(axes: dict[str, list[Any]], seeds: int) -> None:
    content = {"grid": axes, "seeds": seeds}
    grid = grid_of(content)
    assert list(grid) == list(grid) == list(grid_of(content))


@lawful
@given(axes=grids(), data=st.data())
def test_ids_do_not_depend_on_the_order_of_axes_and_values(
    axes: dict[str, list[Any]], data: st.DataObject
) -> None:
    shuffled = {
        name: data.draw(st.permutations(axes[name]))
        for name in data.draw(st.permutations(list(axes)))
    }
    assert set(ids_of({"grid": axes})) == set(ids_of({"grid": shuffled}))


@lawful
@given(axes=grids(), seeds=st.integers(1, 3), more=st.integers(0, 2), data=st.data())
def test_an_extension_is_a_superset(
    axes: dict[str, list[Any]], seeds: int, more: int, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(axes)))
    wider = axes | {name: [*axes[name], *(v for v in AXES[name] if v not in axes[name])]}
    old, new = {"grid": axes, "seeds": seeds}, {"grid": wider, "seeds": seeds + more}
    assert set(ids_of(old)) <= set(ids_of(new))
    assert difference(resolved(old), resolved(new)) == []


@lawful
@given(axes=grids(), data=st.data())
def test_an_id_does_not_depend_on_the_rest_of_the_grid(
    axes: dict[str, list[Any]], data: st.DataObject
) -> None:
    trial = data.draw(st.sampled_from(list(grid_of({"grid": axes, "seeds": 2}))))
    alone: dict[str, dict[str, Any]] = {"preprocessing": {}, "model": {}, "training": {}}
    for name, value in trial.axes.items():
        for section, part in alone.items():
            if name in type(getattr(trial, section)).model_fields:
                part[name] = value
    content = {"dataset": trial.dataset.label, **alone, "grid": {"clipnorm": [None]}, "seeds": 2}
    assert trial.trial_id == list(grid_of(content))[trial.seed].trial_id


@lawful
@given(axes=grids())
def test_the_id_is_that_of_the_settings(axes: dict[str, list[Any]]) -> None:
    for trial in grid_of({"grid": axes}):
        parts = (trial.dataset, trial.preprocessing, trial.model, trial.training)
        assert trial.trial_id == trial_id(*parts, trial.seed)


@lawful
@given(old=grids(), new=grids())
def test_a_conflict_is_when_no_stored_trial_is_in_the_new_grid(
    old: dict[str, list[Any]], new: dict[str, list[Any]]
) -> None:
    # Batch sizes are compared as written: without the data, they are resolved to nothing.
    before, after = (
        {trial.trial_id for trial in Grid(parse_config(content_of(axes)))} for axes in (old, new)
    )
    refused = difference(resolved(content_of(old)), resolved(content_of(new)))
    assert bool(refused) == before.isdisjoint(after)


def content_of(axes: dict[str, list[Any]]) -> dict[str, Any]:
    dataset = {} if "dataset" in axes else {"dataset": "diabetes"}
    return {**dataset, "grid": axes}


def resolved(content: dict[str, Any]) -> dict[str, Any]:
    return parse_config(content_of(content["grid"]) | content).resolved()


def test_order_the_last_axis_and_then_the_seed_are_fastest() -> None:
    trials = list(grid_of({"grid": {"depth": [2, 1], "l2": [0.1, 0]}, "seeds": 2}))
    assert [(t.axes["depth"], t.axes["l2"], t.seed) for t in trials] == list(
        itertools.product([2, 1], [0.1, 0.0], [0, 1])
    )
    assert list(trials[0].axes) == ["depth", "l2"]


def test_batch_sizes_are_resolved_and_merged() -> None:
    grid = grid_of(
        {"grid": {"dataset": ["diabetes", "wine"], "batch_size": [142, "full", 512]}, "seeds": 2}
    )
    assert [(t.axes["dataset"], t.axes["batch_size"]) for t in grid if t.seed == 0] == [
        ("diabetes", 142),
        ("diabetes", 353),
        ("wine", 142),
    ]
    assert grid.axes == {"dataset": ("diabetes", "wine"), "batch_size": (142, 353)}
    assert (len(grid), grid.cells, grid.merged) == (6, 3, 6)
    assert all(t.training.batch_size == t.axes["batch_size"] for t in grid)


def test_without_row_counts_nothing_is_resolved_to_them() -> None:
    config = parse_config("dataset: wine\ntraining: {epochs: 2}\ngrid: {batch_size: [512, full]}")
    grid = Grid(config)
    assert [t.training.batch_size for t in grid] == [512, "full"]
    assert {(t.training.steps, t.training.epochs) for t in grid} == {(None, 2)}
    assert (len(grid), grid.merged) == (2, 0)


def test_epochs_become_steps_of_whole_batches() -> None:
    grid = grid_of({"training": {"epochs": 3}, "grid": {"batch_size": [32, 100, "full"]}})
    assert [(t.training.steps, t.training.epochs) for t in grid] == [
        (36, None),
        (12, None),
        (3, None),
    ]


def test_epochs_with_too_long_a_warmup_or_without_end() -> None:
    training = {"epochs": 1, "batch_size": "full"}
    with pytest.raises(ConfigError, match="expected fewer than the 1 steps that 1 epochs of"):
        grid_of({"training": training, "grid": {"warmup_steps": [0, 1]}})
    with pytest.raises(ConfigError, match="expected at most 2,147,483,647 steps"):
        grid_of({"training": {"epochs": 10**9, "batch_size": 1}, "grid": {"l2": [0]}})


def test_defaults_that_depend_on_another_setting() -> None:
    grid = grid_of({"grid": {"optimizer": ["adam", "adamw"], "weight_decay": [None, 0.004]}})
    assert [(t.axes["optimizer"], t.axes["weight_decay"]) for t in grid] == [
        ("adam", None),
        ("adam", 0.004),
        ("adamw", 0.004),
    ]
    trials = list(
        grid_of({"dataset": "wine", "grid": {"loss": ["mse", "sparse_categorical_crossentropy"]}})
    )
    assert [t.preprocessing.target_scaling for t in trials] == ["standard", "none"]


def test_fill_values_and_neighbours_count_beside_their_imputation_alone() -> None:
    axes = {"imputation": ["mean", "constant", "knn"], "fill_value": [0, 1], "neighbors": [5, 3]}
    grid = grid_of({"grid": axes})
    assert (len(grid), grid.merged) == (1 + 2 + 2, 12 - 5)
    found = [tuple(trial.axes.values()) for trial in grid]
    assert found == [
        ("mean", 0, 5), ("constant", 0, 5), ("constant", 1, 5), ("knn", 0, 5), ("knn", 0, 3),
    ]  # fmt: skip
    # Where it has no effect, a value is none of the trial's meaning.
    mean = only({"grid": {"imputation": ["mean"]}}).trial_id
    both = {"preprocessing": {"fill_value": 1}, "grid": {"imputation": ["constant", "mean"]}}
    assert mean in ids_of(both)


def test_a_merged_trial_stands_where_its_first_combination_does() -> None:
    grid = grid_of({"grid": {"batch_size": [512, 16, "full"]}})
    assert [t.training.batch_size for t in grid] == [353, 16]
    assert grid.axes["batch_size"] == (353, 16)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"grid": {"l2": [0]}}, {"grid": {"l2": [0.0]}}),
        ({"grid": {"l2": [1]}}, {"model": {"l2": 1}, "grid": {"l1": [0]}}),
        ({"grid": {"l2": [0]}}, {"grid": {"target_scaling": ["standard"]}}),
        ({"grid": {"l2": [0]}}, {"training": {"steps": 100}, "grid": {"depth": [2]}}),
        ({"grid": {"l2": [0]}}, {"training": {"metrics": ["mae"]}, "grid": {"l2": [0]}}),
        ({"grid": {"l2": [0]}}, {"name": "another", "grid": {"l2": [0]}}),
        (
            {"training": {"epochs": 2}, "grid": {"batch_size": ["full"]}},
            {"training": {"steps": 2}, "grid": {"batch_size": [353]}},
        ),
        (
            {"grid": {"optimizer": ["adamw"]}},
            {"training": {"optimizer": "adamw"}, "grid": {"weight_decay": [0.004]}},
        ),
        ({"grid": {"activation": ["swish"]}}, {"grid": {"activation": ["silu"]}}),
        (
            {"dataset": {"name": "wine", "label": "wine"}, "grid": {"l2": [0]}},
            {"grid": {"dataset": ["wine"]}},
        ),
        (
            {"dataset": {"name": "make_moons", "options": {"noise": 1}}, "grid": {"l2": [0]}},
            {"dataset": {"name": "make_moons", "options": {"noise": 1.0}}, "grid": {"l2": [0]}},
        ),
    ],
)
def test_the_same_meaning_is_the_same_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert only(one).trial_id == only(other).trial_id


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": {"name": "diabetes", "split_seed": 1}},
        {"dataset": {"name": "diabetes", "validation_fraction": 0}},
        {"dataset": {"name": "diabetes", "stratify": True}},
        {"dataset": {"name": "diabetes", "missing_values": [0]}},
        {"preprocessing": {"scaling": "minmax"}},
        {"preprocessing": {"missing_indicator": True}},
        {"preprocessing": {"encoding": "ordinal"}},
        {"model": {"initializer": "he_normal"}},
        {"training": {"learning_rate": 0.011}},
        {"training": {"steps": 101}},
        {"training": {"precision": "float64"}},
    ],
)
def test_another_meaning_is_another_id(other: dict[str, Any]) -> None:
    assert only({"grid": {"l2": [0]}}).trial_id != only({"grid": {"l2": [0]}, **other}).trial_id


def test_what_is_hashed_is_one_canonical_json_object() -> None:
    trial = only({"model": {"l2": 1.0}, "training": {"metrics": ["mae"]}, "grid": {"l1": [0]}})
    training = trial.training.model_dump(exclude={"metrics", "epochs"})
    whole = {
        "dataset": {
            "name": "diabetes",
            "label": "diabetes",
            "options": {},
            "validation_fraction": 0.2,
            "split_seed": 0,
        },
        "preprocessing": {
            "imputation": "none",
            "scaling": "standard",
            "target_scaling": "standard",
        },
        "model": trial.model.model_dump() | {"l1": 0, "l2": 1, "dropout": 0},
        "training": training | {"momentum": 0},
        "seed": 0,
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert trial.trial_id == hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def test_ids_are_those_of_every_process() -> None:
    code = (
        "from stabilitysweep.config import parse_config; from stabilitysweep.grid import Grid;"
        "c = parse_config('dataset: wine\\ngrid: {l2: [0, 1e-4]}');"
        "print(*(t.trial_id for t in Grid(c, lambda d: 142)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    # Stored results are found by these: a change of them orphans every result folder.
    assert outputs == {"78fcb7473d23eabf 95a6772d2d2434ca\n"}


def test_trials_share_settings_and_survive_pickling() -> None:
    content = {"grid": {"depth": [1, 2], "learning_rate": [0.1, 0.2]}, "seeds": 2}
    trials = list(grid_of(content))
    assert trials[0].model is trials[2].model
    assert trials[0].training is trials[4].training
    assert pickle.loads(pickle.dumps(trials)) == trials
    trials[0].axes["depth"] = 7  # a dict is never shared
    assert [trial.axes["depth"] for trial in trials[1:]] == [1, 1, 1, 2, 2, 2, 2]


def test_a_large_grid_is_lazy_and_fast() -> None:
    huge = grid_of({"grid": {"learning_rate": {"from": 1, "to": 2, "num": 9999}}, "seeds": 1000})
    assert len(huge) == 9_999_000
    next(iter(huge))
    content = {
        "grid": {
            "learning_rate": {"from": 1e-4, "to": 10, "num": 25, "scale": "log"},
            "batch_size": [16, 32, 128],
            "l2": [0, 1e-4, 1e-2],
            "depth": [1, 2, 4, 8],
            "activation": ["relu", "tanh", "gelu"],
            "precision": ["float32", "mixed_float16", "float16"],
        },
        "seeds": 3,
    }
    start = time.process_time()
    assert sum(1 for _ in grid_of(content)) == 24_300
    assert time.process_time() - start < 2  # about 0.2 s: a bound for a busy machine


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {}, []),
        ({}, {"seeds": 5}, []),
        ({}, {"name": "another"}, []),
        ({}, {"grid": {"depth": [2, 3]}}, []),  # an axis that contains the old default
        ({"grid": {"depth": [2, 3]}}, {}, []),  # an axis removed: 2 is the default
        ({"grid": {"depth": [2, 3]}}, {"model": {"depth": 3}}, []),
        ({"grid": {"depth": [1, 2, 3]}}, {"grid": {"depth": [3]}}, []),
        ({}, {"preprocessing": {"target_scaling": "standard"}}, []),
        ({}, {"training": {"steps": 200}}, ["training.steps: 100 -> 200"]),
        (
            {},
            {"training": {"epochs": 3}},
            ["training.steps: 100 -> null", "training.epochs: null -> 3"],
        ),
        ({}, {"training": {"metrics": ["mae"]}}, ['training.metrics: [] -> ["mae"]']),
        (
            {"training": {"metrics": ["mae", "r2"]}},
            {"training": {"metrics": ["r2", "mae"]}},
            [],
        ),
        ({}, {"grid": {"depth": [3, 4]}}, ["model.depth: 2 -> [3, 4]"]),
        ({"grid": {"depth": [3, 4]}}, {}, ["model.depth: [3, 4] -> 2"]),
        (
            {"grid": {"l2": {"from": 1, "to": 7, "num": 7}}},
            {},
            ["model.l2: [1, 2, 3, 4, 5, 6, ... (7 values)] -> 0"],
        ),
        (
            {},
            {"dataset": {"name": "diabetes", "split_seed": 1, "label": "d"}},
            ["dataset.split_seed: 0 -> 1", "dataset.label: null -> d"],
        ),
        ({}, {"dataset": "wine"}, ["dataset.name: diabetes -> wine"]),
        ({}, {"dataset": ["wine", "iris"]}, ["dataset: diabetes -> [wine, iris]"]),
        ({}, {"dataset": ["wine", "diabetes"]}, []),
        (
            {"training": {"optimizer": "adam"}},
            {"training": {"optimizer": "adamw"}},
            ["training.optimizer: adam -> adamw"],
        ),
        (
            {"grid": {"optimizer": ["adam", "adamw"]}},
            {"training": {"weight_decay": 0.004}, "grid": {"optimizer": ["adamw", "sgd"]}},
            [],
        ),
        (
            {"grid": {"optimizer": ["adam", "adamw"]}},
            {"training": {"weight_decay": 0.004}, "grid": {"optimizer": ["adam"]}},
            ["training.weight_decay: null -> 0.004"],
        ),
    ],
)
def test_difference(old: dict[str, Any], new: dict[str, Any], lines: list[str]) -> None:
    base: dict[str, Any] = {"dataset": "diabetes", "grid": {"l1": [0]}}
    before, after = (parse_config(base | change).resolved() for change in (old, new))
    assert difference(before, after) == lines


def test_difference_of_what_is_no_config() -> None:
    with pytest.raises(ConfigError, match="the stored config: "):
        difference({"grid": 5}, parse_config("dataset: wine\ngrid: {l1: [0]}").resolved())
