"""What extends the trials of a user's build, and what changes their meaning."""

from typing import Any

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.extension import difference
from stabilitysweep.grid import Grid

BASE: dict[str, Any] = {"dataset": "wine", "model": {"build": "a:b"}, "grid": {"units": [1]}}


def model(**hp: Any) -> dict[str, Any]:
    return {"model": {"build": "a:b", **hp}}


def axes(**values: Any) -> dict[str, Any]:
    return {"grid": {"units": [1], **values}}


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {}, []),
        ({}, {"seeds": 2, "name": "other"}, []),
        (axes(f=[1, 2]), axes(f=[2, 3]), []),
        (axes(f=[1, 2]), axes(f=[3, 4]), ["model.f: [1, 2] -> [3, 4]"]),
        (axes(f=[1, 2]), model(f=2.0), []),
        (axes(f=[1, 2]), model(f=3), ["model.f: [1, 2] -> 3"]),
        (model(f=True), model(f=1), ["model.f: true -> 1"]),
        (model(f="relu"), model(f="tanh"), ["model.f: relu -> tanh"]),
        # Without a value an hp has a default that only the build knows.
        ({}, model(f=1), []),
        (model(f=1), {}, []),
        (model(f=1), axes(g=[1]), []),
        ({}, model(depth=7), []),
        (
            model(f=1),
            {"model": {"build": "a:c", "f": 2}},
            ["model.build: a:b -> a:c"],
        ),
        (
            {"model": {"depth": 3}, "grid": {"l2": [0]}},
            axes(depth=[1]),
            ["model.build: null -> a:b"],
        ),
        (axes(depth=[1]), {"model": {}, "grid": {"l2": [0]}}, ["model.build: a:b -> null"]),
        # So has a setting on which the compiled model may decide.
        ({}, {"training": {"learning_rate": 1, "loss": "mae"}}, []),
        ({"training": {"optimizer": "adam"}}, axes(learning_rate=[1]), []),
        (
            {"training": {"optimizer": "adam"}},
            axes(optimizer=["sgd"], learning_rate=[1]),
            ["training.optimizer: adam -> sgd"],
        ),
        (
            axes(learning_rate=[1, 2]),
            {"training": {"learning_rate": 3}},
            ["training.learning_rate: [1, 2] -> 3"],
        ),
        ({"training": {"clipnorm": None}}, axes(clipnorm=[None, 1]), []),
        (
            {"training": {"weight_decay": 0.1}},
            {"training": {"weight_decay": None}},
            ["training.weight_decay: 0.1 -> null"],
        ),
        # The other settings have the defaults of every sweep.
        ({}, {"training": {"batch_size": 32, "steps": 100, "precision": "float32"}}, []),
        ({}, {"training": {"batch_size": 8}}, ["training.batch_size: 32 -> 8"]),
        ({}, {"training": {"steps": 7}}, ["training.steps: 100 -> 7"]),
        ({}, {"training": {"metrics": ["mae"]}}, ['training.metrics: [] -> ["mae"]']),
        (
            {},
            {"preprocessing": {"scaling": "minmax"}},
            ["preprocessing.scaling: standard -> minmax"],
        ),
        # The loss decides on null, be it the model's.
        ({}, {"preprocessing": {"target_scaling": "none"}}, []),
        (
            {"preprocessing": {"target_scaling": "none"}},
            {"preprocessing": {"target_scaling": "minmax"}},
            ["preprocessing.target_scaling: none -> minmax"],
        ),
    ],
)
def test_difference(old: dict[str, Any], new: dict[str, Any], lines: list[str]) -> None:
    before, after = (parse_config(BASE | change) for change in (old, new))
    assert difference(before.resolved(), after.resolved()) == lines
    # Never does a conflict keep a stored trial from the grid that it is in.
    stored, wanted = ({t.trial_id for t in Grid(c)} for c in (before, after))
    assert not (lines and stored & wanted) or lines[0].startswith("training.metrics")
