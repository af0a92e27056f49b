"""GridSearch with a map: every allowed combination once, whatever ends when."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from keras_tuner import oracles
from keras_tuner.engine import trial as trials
from safe_maps import breaks, drive, finish, in_project, mapped, space_of

from stabilitysweep import Result
from stabilitysweep.integrations.keras_tuner import StableOracle

pytestmark = pytest.mark.filterwarnings(
    "ignore:currentThread:DeprecationWarning", "ignore:getName:DeprecationWarning"
)
LOSS = keras_tuner.Objective("loss", "min")
SPACE: dict[str, list[Any]] = {
    "learning_rate": [0.01, 10.0, 0.1, 1.0, 0.001],
    "activation": ["relu", "tanh"],
    "depth": [4, 1, 2],
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return mapped(tmp_path_factory.mktemp("maps") / "ruled")


def ask(hp: keras_tuner.HyperParameters) -> None:
    for name, values in SPACE.items():
        hp.Choice(name, values)


def oracle_of(result: Result, folder: Path, own: Any = ask) -> Any:
    plain = oracles.GridSearchOracle(LOSS, hyperparameters=space_of(own))
    return in_project(StableOracle(plain, result), folder)


def combinations() -> list[dict[str, Any]]:
    return [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]


def key(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(values.items()))


def in_any_order(oracle: Any, seed: int, workers: int, own: Any = None) -> list[dict[str, Any]]:
    """Run it with several workers whose trials end in any order."""
    generator = random.Random(seed)
    running: dict[str, Any] = {}
    started = []
    idle = 0
    while idle < 100:
        free = [f"tuner{n}" for n in range(workers) if f"tuner{n}" not in running]
        if free and generator.random() < 0.6:
            name = generator.choice(free)
            trial = oracle.create_trial(name)
            if trial.status == trials.TrialStatus.RUNNING:
                running[name] = trial
                started.append(dict(trial.hyperparameters.values))
            elif trial.status == trials.TrialStatus.STOPPED and not running:
                return started
        elif running:
            trial = running.pop(generator.choice(sorted(running)))
            finish(oracle, trial, ask=own)
        else:
            idle += 1
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_every_allowed_combination_is_visited_once(
    seed: int, workers: int, result: Result, tmp_path: Path
) -> None:
    oracle = oracle_of(result, tmp_path)
    started = in_any_order(oracle, seed, workers)
    allowed = [values for values in combinations() if not breaks(values)]
    assert sorted(map(key, started)) == sorted(map(key, allowed))
    assert sum(oracle.turned_away.values()) == len(combinations()) - len(allowed)
    assert oracle.turned_away["unstable"] == len(combinations()) - len(allowed)


def test_without_a_refusal_it_is_the_grid_search_of_keras_tuner(tmp_path: Path) -> None:
    harmless = mapped(tmp_path / "map", rule=lambda values: False)
    found = list(drive(oracle_of(harmless, tmp_path / "with")))
    plain = oracles.GridSearchOracle(LOSS, hyperparameters=space_of(ask))
    assert found == list(drive(in_project(plain, tmp_path / "without")))
    assert len(found) == len(combinations())


def test_refused_defaults_are_not_the_first_trial(result: Result, tmp_path: Path) -> None:
    def hot(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("learning_rate", SPACE["learning_rate"], default=10.0)
        hp.Choice("activation", SPACE["activation"])
        hp.Choice("depth", SPACE["depth"])

    started = list(drive(oracle_of(result, tmp_path, hot)))
    allowed = [values for values in combinations() if not breaks(values)]
    assert sorted(map(key, started)) == sorted(map(key, allowed))


@pytest.mark.parametrize("cut", [1, 2, 5, 9])
def test_a_search_taken_up_again_visits_the_rest(cut: int, result: Result, tmp_path: Path) -> None:
    first = list(drive(oracle_of(result, tmp_path), cut))
    again = oracle_of(result, tmp_path)
    again.reload()
    started = first + list(drive(again))
    allowed = [values for values in combinations() if not breaks(values)]
    assert sorted(map(key, started)) == sorted(map(key, allowed))


@pytest.mark.parametrize("cut", [1, 4])
def test_a_search_of_before_the_map_goes_on_with_what_is_allowed(
    cut: int, result: Result, tmp_path: Path
) -> None:
    plain = in_project(oracles.GridSearchOracle(LOSS, hyperparameters=space_of(ask)), tmp_path)
    first = list(drive(plain, cut))
    plain = in_project(oracles.GridSearchOracle(LOSS, hyperparameters=space_of(ask)), tmp_path)
    plain.reload()
    started = list(drive(StableOracle(plain, result)))
    allowed = {key(values) for values in combinations() if not breaks(values)}
    assert {*map(key, started)} == allowed - {*map(key, first)}
    assert len(started) == len({*map(key, started)})


@pytest.mark.parametrize("workers", [1, 3])
def test_hyperparameters_that_appear_on_the_way_are_visited_too(
    workers: int, result: Result, tmp_path: Path
) -> None:
    def before(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("learning_rate", [0.01, 0.1, 1.0])
        hp.Choice("activation", ["tanh", "relu"])

    def on_the_way(hp: keras_tuner.HyperParameters) -> None:
        before(hp)
        hp.Choice("depth", [1, 2, 4])
        if hp.get("depth") > 1:
            with hp.conditional_scope("depth", [2, 4]):
                hp.Choice("extra", ["x", "y"])

    oracle = oracle_of(result, tmp_path, before)
    in_any_order(oracle, 1, workers, on_the_way)
    finals = [trial.hyperparameters.values for trial in oracle.trials.values()]
    expected = {
        key({"learning_rate": rate, "activation": kind, "depth": depth}
            | ({"extra": extra} if depth > 1 else {}))
        for rate, kind, depth, extra in itertools.product(
            [0.01, 0.1, 1.0], ["tanh", "relu"], [1, 2, 4], "xy"
        )
        if not breaks({"learning_rate": rate, "activation": kind, "depth": depth})
    }  # fmt: skip
    found = [key(values) for values in finals]
    assert len(found) == len(set(found))
    # Before `depth` was known a combination had to be safe at every depth.
    assert set(found) <= expected
    certain = {
        own for own in expected
        if not breaks({**dict(own), "depth": 4})
    }  # fmt: skip
    assert certain <= set(found)


def test_a_grid_of_which_nothing_is_allowed_stops(result: Result, tmp_path: Path) -> None:
    def hot(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("learning_rate", [10.0, 1.0])
        hp.Choice("activation", ["relu"])
        hp.Choice("depth", [2, 4])

    oracle = oracle_of(result, tmp_path, hot)
    for _ in range(2):
        with pytest.warns(UserWarning, match="no combination of the grid is allowed"):
            assert list(drive(oracle)) == []
    assert sum(oracle.turned_away.values()) == 4
    assert oracle._ordered_ids._memory == [] and oracle._populate_next == []
