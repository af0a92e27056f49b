"""The grid of a user's build: its ids, what building tells of a cell, and which cells merge."""

import hashlib
import itertools
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.blueprint import Block, Blueprint, TargetFacts
from stabilitysweep.config import DatasetSettings, parse_config
from stabilitysweep.grid import Grid, Trial, request_of, trial_id

BUILD = "sweeps.cnn:build"
DEFAULTS = {"kind": "conv", "filters": 8, "units": 16, "l2": 0.0}
AXES: dict[str, list[Any]] = {
    "kind": ["conv", "dense"],
    "filters": [4, 8, 16.0],
    "units": [8, 16],
    "l2": [0, 0.5],
    "unused": [1, 2, 3],
    "learning_rate": [0.1, 0.01, 1],
    "batch_size": [16, 100, 400, "full"],
    "scaling": ["none", "standard"],
    "precision": ["float32", "float16"],
}
lawful = settings(derandomize=True, deadline=None, max_examples=60)


class Built:
    """Stands for building `conv` models with filters, or `dense` ones with units.

    Attributes:
        calls: the trials that were asked for.
    """

    def __init__(self, *, program: str = "", numbers: tuple[float, ...] = (), **facts: Any) -> None:
        self.calls: list[Trial] = []
        self._program, self._numbers, self._facts = program, numbers, facts

    def __call__(self, trial: Trial) -> Blueprint:
        self.calls.append(trial)
        given = DEFAULTS | dict(trial.model.hp)
        asked = ["kind", "l2", "filters" if given["kind"] == "conv" else "units"]
        if given["kind"] == "broken":
            return Blueprint(BUILD, error="no such kind")
        values = tuple((name, given[name]) for name in sorted(asked))
        shape = json.dumps([value for name, value in values if name != "l2"])
        numbers = (given["l2"], *self._numbers)
        return Blueprint(
            BUILD, values=values, program=self._program + shape, numbers=numbers, **self._facts
        )


def rows_of(_: DatasetSettings) -> int:
    return 100


def config_of(axes: dict[str, Any], **more: Any) -> Any:
    base = {"dataset": "wine", "model": {"build": BUILD}, "grid": axes}
    return parse_config(base | more)


def grid_of(axes: dict[str, Any], built: Built | None = None, **more: Any) -> Grid:
    return Grid(config_of(axes, **more), rows_of, built or Built())


def ids_of(axes: dict[str, Any], built: Built | None = None, **more: Any) -> list[str]:
    return [trial.trial_id for trial in grid_of(axes, built, **more)]


@st.composite
def grids(draw: st.DrawFn) -> dict[str, list[Any]]:
    names = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    return {
        name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=3, unique_by=repr))
        for name in names
    }


@pytest.mark.parametrize(
    ("content", "ids", "saved"),
    [
        (
            "dataset: wine\ngrid: {l2: [0, 1e-4]}",
            "78fcb7473d23eabf 95a6772d2d2434ca",
            "2111cec1f49371ff",
        ),
        (
            "dataset: diabetes\ntraining: {optimizer: adamw, epochs: 2}\n"
            "preprocessing: {imputation: knn}\nmodel: {depth: 3}\n"
            "grid: {batch_size: [32, full], target_scaling: [null, none]}\nseeds: 2",
            "665637615dad6950 82234874115b46f7 8ca95c44980bd5de f1943f263d772470 "
            "17b5d8b93aada8c7 7997f1d17c58cd3d 92e86782eba08d38 fc4af0d9627e1b8a",
            "0c48c43de6a7a7d0",
        ),
        (
            "dataset: [wine, iris]\ntraining: {loss: sparse_categorical_crossentropy, metrics: "
            "[accuracy], schedule: exponential}\nmodel: {width: 8, batch_norm: true, "
            "activation: swish}\ngrid: {learning_rate: {from: 1e-4, to: 1, num: 3, scale: log}, "
            "precision: [float32, float16]}",
            "df46f8de7efd1760 85754cec330bbd86 8fc914e04a3a21d9 20527889fb13f706 "
            "57b89087f4b3a515 ce0001eb23eaad9f a681bd1254ca6ee2 a81f4c1cfd05e777 "
            "164dc888ff436173 8f7a449f5683b338 daf36bcb896368df 1103868b18b7e0d7",
            "70639ee7201d8538",
        ),
    ],
)
def test_ids_and_saved_configs_of_the_built_in_model_stay(
    content: str, ids: str, saved: str
) -> None:
    # Every stored result is found by these.
    config = parse_config(content, source="s.yaml")
    built = Built()
    trials = list(Grid(config, rows_of, built))
    assert [trial.trial_id for trial in trials] == ids.split()
    assert not built.calls and {trial.blueprint for trial in trials} == {None}
    text = json.dumps(config.resolved())
    assert hashlib.blake2b(text.encode(), digest_size=8).hexdigest() == saved


def test_before_they_are_built_trials_have_the_hp_of_the_config() -> None:
    axes = {"filters": [4, 8], "learning_rate": [0.1], "units": [1.0]}
    config = config_of(axes, model={"build": BUILD, "kind": "dense", "deep": True}, seeds=2)
    trials = list(Grid(config, rows_of))
    hp = [("deep", True), ("filters", 4), ("kind", "dense"), ("units", 1.0)]
    assert list(trials[0].model.hp) == hp
    assert [trial.axes["filters"] for trial in trials] == [4, 4, 8, 8]
    assert {trial.blueprint for trial in trials} == {None}
    assert len({trial.trial_id for trial in trials}) == 4
    assert trials[0].target_form == "mse"


def test_what_is_hashed_of_a_build() -> None:
    axes = {"filters": [4.0], "unused": [1], "learning_rate": [0.5]}
    (trial,) = grid_of(axes, training={"clipnorm": 2.0, "metrics": ["mae"], "batch_size": 8})
    whole = {
        "dataset": {
            "name": "wine", "label": "wine", "options": {},
            "validation_fraction": 0.2, "split_seed": 0,
        },
        "preprocessing": {"imputation": "none", "scaling": "standard", "target_scaling": None},
        "model": {"build": BUILD, "hp": {"kind": "conv", "filters": 4, "l2": 0}},
        "training": {
            "learning_rate": 0.5, "clipnorm": 2, "batch_size": 8, "steps": 100,
            "precision": "float32",
        },
        "seed": 0,
    }  # fmt: skip
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert trial.trial_id == hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    as_given = trial.preprocessing.model_copy(update={"target_scaling": None})
    given = ["learning_rate", "clipnorm", "batch_size"]
    parts = (trial.dataset, as_given, trial.model, trial.training)
    assert trial.trial_id == trial_id(*parts, 0, given)


def test_an_hp_that_a_cell_does_not_ask_for_makes_no_difference() -> None:
    built = Built()
    axes = {"kind": ["conv", "dense"], "filters": [4, 8, 16], "units": [1, 2]}
    grid = grid_of(axes, built, seeds=2)
    assert not built.calls
    found = [tuple(trial.axes.values()) for trial in grid if trial.seed == 0]
    # Each stands where the first of its combinations does, with the values of that.
    assert found == [
        ("conv", 4, 1), ("conv", 8, 1), ("conv", 16, 1), ("dense", 4, 1), ("dense", 4, 2),
    ]  # fmt: skip
    assert (len(grid), grid.cells, grid.merged) == (10, 5, (12 - 5) * 2)
    asked = [dict(trial.model.hp) for trial in grid if trial.seed == 1]
    assert [sorted(values) for values in asked[2:4]] == [
        ["filters", "kind", "l2"], ["kind", "l2", "units"],
    ]  # fmt: skip
    # The models are built once a combination, however often one looks.
    assert len(built.calls) == 12
    # What is asked for are the trials of the grid without blueprints.
    unbuilt = Grid(config_of(axes, seeds=2), rows_of)
    assert built.calls == [trial for trial in unbuilt if trial.seed == 0]


def test_axes_are_those_of_the_trials_in_the_order_of_the_config() -> None:
    grid = grid_of({"kind": ["dense", "conv"], "filters": [8, 4], "unused": [3, 1]})
    assert grid.axes == {"kind": ("dense", "conv"), "filters": (8, 4), "unused": (3,)}
    grid = grid_of({"kind": ["dense"], "filters": [8, 4], "batch_size": ["full", 7, 400]})
    assert grid.axes == {"kind": ("dense",), "filters": (8,), "batch_size": (100, 7)}
    later = grid_of({"units": [2, 1], "kind": ["conv", "dense"]})
    assert later.axes == {"units": (2, 1), "kind": ("conv", "dense")}


def test_models_are_built_while_iterating_and_once() -> None:
    built = Built()
    grid = grid_of({"filters": [4, 8, 16]}, built)
    one, other = iter(grid), iter(grid)
    first = next(one)
    assert len(built.calls) == 1
    assert next(other) == first
    assert [next(other), next(one)] == [next(iter([t])) for t in [list(grid)[1]] * 2]
    assert list(one) == list(other) == list(grid)[2:]
    assert len(built.calls) == 3


def test_a_model_that_fails_merges_with_none_and_keeps_the_hp_of_the_config() -> None:
    axes = {"kind": ["broken", "conv"], "units": [1, 2]}
    grid = grid_of(axes)
    trials = list(grid)
    assert [tuple(t.axes.values()) for t in trials] == [
        ("broken", 1), ("broken", 2), ("conv", 1),
    ]  # fmt: skip
    assert [t.blueprint.error for t in trials if t.blueprint] == ["no such kind"] * 2 + [""]
    assert dict(trials[1].model.hp) == {"kind": "broken", "units": 2}
    assert len({t.trial_id for t in trials}) == len(grid) == 3


def test_two_models_of_the_same_hp_are_no_two_trials_of_one_id() -> None:
    class Fickle(Built):
        def __call__(self, trial: Trial) -> Blueprint:
            blueprint = super().__call__(trial)
            return Blueprint(BUILD, values=blueprint.values, weights=str(len(self.calls)))

    first, second, third = grid_of({"unused": [1, 2, 3]}, Fickle())
    assert first.blueprint and second.blueprint and third.blueprint
    assert not first.blueprint.error
    assert "expected the same model of the same hp values" in second.blueprint.error
    assert len({first.trial_id, second.trial_id, third.trial_id}) == 3


COMPILED = {
    "compiled": True,
    "training": (("optimizer", "adam"), ("learning_rate", 0.3), ("weight_decay", 0.25)),
}


@pytest.mark.parametrize(
    ("target", "scaling"),
    [
        ("mse", "standard"), ("mae", "standard"), ("huber", "standard"), ("poisson", "none"),
        ("sparse_categorical_crossentropy", "none"), ("as_given", "none"),
    ],
)  # fmt: skip
def test_a_compiled_model_decides(target: str, scaling: str) -> None:
    (trial,) = grid_of({"filters": [4]}, Built(target=target, **COMPILED))
    assert trial.target_form == target
    assert trial.preprocessing.target_scaling == scaling
    assert trial.training.model_dump().items() >= dict(COMPILED["training"]).items()
    assert trial.training.batch_size == 32
    (plain,) = grid_of({"filters": [4]}, Built(target=target))
    assert (plain.target_form, plain.preprocessing.target_scaling) == ("mse", "standard")
    assert (plain.training.optimizer, plain.training.weight_decay) == ("sgd", None)
    # The id is that of what the config says and the build asks for, whatever comes of it.
    assert trial.trial_id == plain.trial_id


def test_a_given_target_scaling_stays_and_merges_with_the_same_found_out() -> None:
    built = Built(target="mae", **COMPILED)
    grid = grid_of({"target_scaling": [None, "standard", "none", "minmax"]}, built)
    found = [trial.preprocessing.target_scaling for trial in grid]
    assert found == [trial.axes["target_scaling"] for trial in grid]
    assert found == ["standard", "none", "minmax"] == list(grid.axes["target_scaling"])
    classes = Built(target="sparse_categorical_crossentropy", **COMPILED)
    found = [
        t.preprocessing.target_scaling for t in grid_of({"target_scaling": [None, "none"]}, classes)
    ]
    assert found == ["none"]
    (one,) = ids_of({"target_scaling": [None]}, built)
    assert [one] == ids_of({"target_scaling": [None, "standard"]}, classes)[:1]


def test_ids_count_what_the_build_asks_for_and_what_training_is_given() -> None:
    (plain,) = ids_of({"unused": [1]})
    same = [
        ids_of({"unused": [7]}),
        ids_of({"units": [3]}),
        ids_of({"filters": [8.0]}),  # the default of the build, given
        ids_of({"unused": [1]}, model={"build": BUILD, "filters": 8}),
        ids_of({"unused": [1]}, Built(program="another", numbers=(1.0,), weights="other")),
        ids_of({"unused": [1]}, training={"metrics": ["mae"], "steps": 100}),
        ids_of({"precision": ["float32"]}),
        ids_of({"unused": [1]}, training={"batch_size": 32}),
    ]
    assert same == [[plain]] * len(same)
    others = [
        ids_of({"filters": [4]}),
        ids_of({"kind": ["dense"]}),
        ids_of({"l2": [1]}),
        ids_of({"learning_rate": [0.01]}),  # given, it is passed to the build
        ids_of({"unused": [1]}, training={"optimizer": "sgd"}),
        ids_of({"unused": [1]}, training={"batch_size": 8}),
        ids_of({"precision": ["float16"]}),
        ids_of({"unused": [1]}, model={"build": "sweeps.cnn:other"}),
    ]
    assert len({plain, *itertools.chain(*others)}) == 1 + len(others)


@lawful
@given(axes=grids(), seeds=st.integers(1, 3))
def test_trials_are_counted_have_ids_of_their_own_and_mean_different_things(
    axes: dict[str, list[Any]], seeds: int
) -> None:
    built = Built()
    grid = grid_of(axes, built, seeds=seeds)
    trials = list(grid)
    assert len({trial.trial_id for trial in trials}) == len(trials) == len(grid)
    assert grid.cells * seeds == len(grid)
    assert len(grid) + grid.merged == math.prod(map(len, axes.values())) * seeds
    meanings = {repr((t.preprocessing, t.model, t.training, t.seed)) for t in trials}
    assert len(meanings) == len(trials)
    found = {name: {trial.axes[name] for trial in trials} for name in axes}
    assert {name: set(values) for name, values in grid.axes.items()} == found
    assert all(len(set(values)) == len(values) for values in grid.axes.values())
    once = len(built.calls)
    assert list(grid) == trials == list(grid_of(axes, seeds=seeds))
    assert once == len(built.calls)
    assert pickle.loads(pickle.dumps(trials)) == trials


@lawful
@given(axes=grids(), data=st.data())
def test_ids_do_not_depend_on_the_order_of_axes_and_values(
    axes: dict[str, list[Any]], data: st.DataObject
) -> None:
    shuffled = {
        name: data.draw(st.permutations(axes[name]))
        for name in data.draw(st.permutations(list(axes)))
    }
    assert set(ids_of(axes)) == set(ids_of(shuffled))


@lawful
@given(axes=grids(), data=st.data())
def test_more_values_extend(axes: dict[str, list[Any]], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(axes)))
    wider = axes | {name: [*axes[name], *(v for v in AXES[name] if v not in axes[name])]}
    assert set(ids_of(axes)) <= set(ids_of(wider, seeds=2))


def test_a_request_is_all_that_decides_on_the_model() -> None:
    axes = {"filters": [4], "learning_rate": [0.5], "clipnorm": [None]}
    training = {"batch_size": "full", "steps": 7, "metrics": ["mae"], "momentum": 0.5}
    config = config_of(axes, training=training)
    (trial,) = Grid(config, rows_of)
    blocks, target = [Block("x", 0, 13, (13,))], TargetFacts(classes=3)
    request = request_of(trial, config, blocks, True, target)
    assert request.build == BUILD
    assert request.values == (
        ("batch_size", 100), ("clipnorm", None), ("filters", 4), ("learning_rate", 0.5),
        ("momentum", 0.5),
    )  # fmt: skip
    assert request.given == ("batch_size", "clipnorm", "learning_rate", "momentum")
    training = dict(request.training)
    assert list(training) == sorted(training)
    assert training.items() >= {"loss": "mse", "steps": 7, "metrics": ("mae",)}.items()
    assert (request.precision, request.named) == ("float32", True)
    assert (request.blocks, request.target) == (tuple(blocks), target)
    assert hash(request) == hash(request_of(trial, config, blocks, True, target))
    # What the build has asked for goes before what the config gives.
    hp = (("learning_rate", 0.25),)
    built = Trial(
        **{name: getattr(trial, name) for name in Trial.__slots__ if name != "model"},
        model=trial.model.model_copy(update={"hp": hp}),
    )
    assert dict(request_of(built, config, blocks, True, target).values)["learning_rate"] == 0.25
    plain = next(iter(Grid(parse_config("dataset: wine\ngrid: {l2: [0]}"))))
    with pytest.raises(ValueError, match="has the built-in model"):
        request_of(plain, config, blocks, True, target)
