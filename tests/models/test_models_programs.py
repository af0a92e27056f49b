"""Which trials share a training graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.data import DataShape
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.models.programs import Program, Terms, group, terms_of
from stabilitysweep.types import Compiled

GRAPH, XLA = Compiled.GRAPH, Compiled.XLA


def trials(seeds: int = 1, **axes: Any) -> list[Trial]:
    config = parse_config(
        {
            "name": "sweep",
            "dataset": {"name": "diabetes"},
            "training": {"steps": 4},
            "grid": axes or {"learning_rate": [0.1]},
            "seeds": seeds,
        }
    )
    return list(Grid(config, lambda _: 353))


def programs(compiled: Compiled, **axes: Any) -> dict[Program, list[Trial]]:
    return group(trials(**axes), DataShape(10, 1), compiled)


# axis values -> programs in the plain graph, programs under XLA
SHARING: list[tuple[dict[str, Any], int, int]] = [
    ({"learning_rate": [1e-4, 0.1, 10]}, 1, 1),
    ({"seeds": 3, "learning_rate": [0.1]}, 1, 1),
    ({"schedule": ["constant", "cosine", "exponential"]}, 1, 1),
    ({"warmup_steps": [0, 2]}, 1, 1),
    ({"decay_rate": [0.1, 0.5], "schedule": ["exponential"]}, 1, 1),
    ({"batch_size": [16, 32, 128]}, 1, 3),
    ({"l2": [1e-4, 1e-2]}, 1, 1),
    ({"l2": [0, 1e-4, 1e-2]}, 1, 2),
    ({"l1": [0, 1e-4], "l2": [0, 1e-2]}, 1, 4),
    ({"momentum": [0, 0.5, 0.9]}, 1, 2),
    ({"weight_decay": [None, 0.1, 0.2]}, 1, 2),
    ({"weight_decay": [0, 0.1]}, 1, 2),
    ({"clipnorm": [None, 1, 2]}, 1, 2),
    ({"optimizer": ["adam", "adamw"]}, 1, 2),
    ({"optimizer": ["adamw"], "weight_decay": [None, 0.004, 0]}, 1, 2),
    ({"depth": [0, 1, 2]}, 3, 3),
    ({"width": [4, 8]}, 2, 2),
    ({"activation": ["relu", "tanh"]}, 2, 2),
    ({"precision": ["float32", "float16", "mixed_float16"]}, 3, 3),
    ({"dropout": [0, 0.1]}, 2, 2),
    ({"batch_norm": [False, True]}, 2, 2),
    ({"initializer": ["he_normal", "glorot_uniform"]}, 2, 2),
    ({"optimizer": ["sgd", "adam", "rmsprop"]}, 3, 3),
    ({"loss": ["mse", "mae"]}, 2, 2),
    ({"nesterov": [False, True], "momentum": [0.9]}, 2, 2),
]


@pytest.mark.parametrize(
    ("axes", "graph", "xla"), SHARING, ids=[",".join(axes) for axes, _, _ in SHARING]
)
def test_what_shares_a_program(axes: dict[str, Any], graph: int, xla: int) -> None:
    assert len(programs(GRAPH, **axes)) == graph
    assert len(programs(XLA, **axes)) == xla


def test_every_trial_is_in_one_program_in_the_order_of_the_grid() -> None:
    axes = {"depth": [1, 2], "l2": [0, 0.1], "batch_size": [8, 16], "learning_rate": [0.1, 1]}
    whole = trials(**axes)
    for compiled in (GRAPH, XLA):
        groups = group(whole, DataShape(10, 1), compiled)
        ids = [trial.trial_id for members in groups.values() for trial in members]
        assert sorted(ids) == sorted(trial.trial_id for trial in whole)
        places = {trial.trial_id: place for place, trial in enumerate(whole)}
        for members in groups.values():
            own = [places[trial.trial_id] for trial in members]
            assert own == sorted(own)
        firsts = [places[members[0].trial_id] for members in groups.values()]
        assert firsts == sorted(firsts)


def test_a_program_has_the_terms_that_any_of_its_trials_has() -> None:
    ((program, _),) = programs(GRAPH, l2=[0, 0.1], momentum=[0, 0.9]).items()
    assert program.terms == Terms(l2=True, momentum=True)
    ((program, _),) = programs(GRAPH, learning_rate=[0.1]).items()
    assert program.terms == Terms()
    for program, members in programs(XLA, l1=[0, 0.1], clipnorm=[None, 1]).items():
        assert {replace(program.terms, schedule=False)} == {terms_of(trial) for trial in members}


def test_strengths_are_no_part_of_a_programs_model() -> None:
    ((program, _),) = programs(GRAPH, l1=[0.1], l2=[0.2, 0.3]).items()
    assert (program.model.l1, program.model.l2) == (0.0, 0.0)


def test_the_batch_size_is_fixed_under_xla_alone() -> None:
    assert {program.batch_size for program in programs(GRAPH, batch_size=[8, 16])} == {0}
    assert {program.batch_size for program in programs(XLA, batch_size=[8, 16])} == {8, 16}


def test_shapes_and_way_of_compiling_are_part_of_a_program() -> None:
    own = trials()
    kinds = {
        *group(own, DataShape(10, 1), GRAPH),
        *group(own, DataShape(9, 1), GRAPH),
        *group(own, DataShape(10, 3), GRAPH),
        *group(own, DataShape(10, 1), XLA),
    }
    assert len(kinds) == 4


@pytest.mark.parametrize(
    ("axes", "terms"),
    [
        ({"l1": [0.1]}, Terms(l1=True)),
        ({"l2": [0.1]}, Terms(l2=True)),
        ({"momentum": [0.1]}, Terms(momentum=True)),
        ({"weight_decay": [0.1]}, Terms(weight_decay=True)),
        ({"optimizer": ["adamw"]}, Terms(weight_decay=True)),
        ({"clipnorm": [0.1]}, Terms(clipnorm=True)),
        ({"learning_rate": [0.1]}, Terms()),
    ],
)
def test_terms_of_a_trial(axes: dict[str, Any], terms: Terms) -> None:
    assert terms_of(trials(**axes)[0]) == terms


def test_terms_are_joined() -> None:
    joined = Terms(l1=True) | Terms(clipnorm=True) | Terms()
    assert joined == Terms(l1=True, clipnorm=True)
    assert Terms(momentum=True) | Terms(l2=True, weight_decay=True) == Terms(
        l2=True, momentum=True, weight_decay=True
    )
