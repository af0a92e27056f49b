"""What a search with a map does, whatever its way: it never starts what is known to be unstable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from keras_tuner import oracles
from safe_maps import CONFIG, breaks, build, drive, in_project, mapped, space_of
from threadpoolctl import threadpool_limits

from stabilitysweep import Result, ResultError
from stabilitysweep.integrations.keras_tuner import StableOracle, keep_stable

pytestmark = pytest.mark.filterwarnings(
    "ignore:currentThread:DeprecationWarning",
    "ignore:getName:DeprecationWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

KINDS: dict[str, Any] = {
    "random": lambda **more: oracles.RandomSearchOracle(max_trials=30, seed=3, **more),
    "bayesian": lambda **more: oracles.BayesianOptimizationOracle(
        max_trials=9, num_initial_points=6, seed=3, **more
    ),
    "grid": lambda **more: oracles.GridSearchOracle(seed=3, **more),
    "hyperband": lambda **more: oracles.HyperbandOracle(max_epochs=9, seed=3, **more),
}
LOSS = keras_tuner.Objective("loss", "min")


def small(hp: keras_tuner.HyperParameters) -> None:
    """Two hyperparameters: a proposal of the Gaussian process takes half a second."""
    hp.Int("depth", 1, 4)
    hp.Float("learning_rate", 1e-4, 100, sampling="log")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The Gaussian process works on tiny matrices."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return mapped(tmp_path_factory.mktemp("maps") / "ruled")


def oracle_of(kind: str, ask: Any = build) -> Any:
    return KINDS[kind](
        objective=LOSS, hyperparameters=space_of(small if kind == "bayesian" else ask)
    )


def made(kind: str, result: Any, folder: Path, ask: Any = build, **settings: Any) -> Any:
    return in_project(StableOracle(oracle_of(kind, ask), result, **settings), folder)


@pytest.mark.parametrize("kind", KINDS)
def test_no_trial_is_started_where_it_would_break(
    kind: str, result: Result, tmp_path: Path
) -> None:
    oracle = made(kind, result, tmp_path)
    started = list(drive(oracle, 60))
    assert len(started) >= 9
    assert not any(map(breaks, started))
    assert all(0.001 <= values["learning_rate"] <= 10 for values in started)
    assert sum(oracle.turned_away.values()) > 0
    # Without the map some would be: the space is hard enough to tell.
    plain = in_project(oracle_of(kind), tmp_path / "plain")
    assert any(map(breaks, drive(plain, 60)))


@pytest.mark.filterwarnings("ignore:The search stops")
@pytest.mark.parametrize("off_map", ["nearest", "allow"])
@pytest.mark.parametrize("kind", ["random", "grid"])
def test_nothing_measured_to_be_unstable_is_started_whatever_the_setting(
    kind: str, off_map: str, result: Result, tmp_path: Path
) -> None:
    def on_the_grid(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("activation", ["tanh", "relu"])
        hp.Choice("depth", [1, 2, 4, 8])
        hp.Choice("learning_rate", [0.001, 0.01, 0.1, 1.0, 10.0, 30.0])

    oracle = made(kind, result, tmp_path, on_the_grid, off_map=off_map)
    for values in drive(oracle, 60):
        measured = values["depth"] <= 4
        assert not (measured and breaks(values)), values


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_an_oracle_of_its_kind_in_the_state_of_the_one_given(
    kind: str, result: Result, tmp_path: Path
) -> None:
    plain = oracle_of(kind)
    oracle = StableOracle(plain, result)
    assert isinstance(oracle, StableOracle) and isinstance(oracle, type(plain))
    assert oracle.hyperparameters is plain.hyperparameters
    assert (oracle.seed, oracle.max_trials) == (plain.seed, plain.max_trials)
    with pytest.raises(ResultError, match="got one that is stable"):
        StableOracle(oracle, result)


@pytest.mark.parametrize(
    "kind",
    ["random", "grid", "hyperband", pytest.param("bayesian", marks=pytest.mark.slow)],
)
def test_a_search_cut_off_and_resumed_is_the_search_uninterrupted(
    kind: str, result: Result, tmp_path: Path
) -> None:
    whole = made(kind, result, tmp_path / "whole")
    expected = list(drive(whole, 25))
    first = made(kind, result, tmp_path / "cut")
    found = list(drive(first, 7))
    again = made(kind, result, tmp_path / "cut")
    again.reload()
    found += drive(again, 18)
    assert found == expected
    assert again.turned_away == whole.turned_away
    state = json.loads((tmp_path / "cut" / "search" / "oracle.json").read_text("utf-8"))
    assert state["stable"]["turned_away"] == whole.turned_away


@pytest.mark.parametrize("kind", KINDS)
def test_a_tuner_of_a_begun_project_goes_on_with_the_map(
    kind: str, result: Result, tmp_path: Path
) -> None:

    def tuner() -> Any:
        plain = oracle_of(kind, small)
        made_ = keras_tuner.engine.base_tuner.BaseTuner(
            plain, None, directory=tmp_path, project_name="search"
        )
        made_.oracle.verbose = 0
        return made_

    whole = list(drive(made(kind, result, tmp_path / "whole", small), 16))
    one = tuner()
    keep_stable(one, result)
    found = list(drive(one.oracle, 6))
    one.save()
    other = tuner()
    assert not isinstance(other.oracle, StableOracle) and len(other.oracle.trials) == 6
    kept = keep_stable(other, result)
    assert other.oracle is kept and kept.turned_away == one.oracle.turned_away
    found += drive(kept, 10)
    assert found == whole


@pytest.mark.parametrize("kind", ["random", "grid", "hyperband"])
def test_a_project_begun_without_the_map_goes_on_with_it(
    kind: str, result: Result, tmp_path: Path
) -> None:
    begun = list(drive(in_project(oracle_of(kind), tmp_path), 5))
    plain = in_project(oracle_of(kind), tmp_path)
    plain.reload()
    oracle = StableOracle(plain, result)
    more = list(drive(oracle, 20))
    assert more and not any(map(breaks, more))
    assert len(oracle.trials) == len(begun) + len(more)


@pytest.mark.parametrize("kind", KINDS)
def test_retries_are_left_alone(kind: str, result: Result, tmp_path: Path) -> None:
    oracle = made(kind, result, tmp_path)
    oracle.max_retries_per_trial = 1
    trial = oracle.create_trial("tuner")
    trial.status = "INVALID"
    oracle.end_trial(trial)
    again = oracle.create_trial("tuner")
    assert again.trial_id == trial.trial_id
    assert again.hyperparameters.values == trial.hyperparameters.values


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_is_told_in_a_line(
    kind: str, result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracle = made(kind, result, tmp_path, small)
    for _ in drive(oracle, 1000):
        pass
    assert "StableOracle" not in capsys.readouterr().out
    oracle.verbose = 1
    oracle._is_told = False
    oracle.create_trial("tuner")
    oracle.create_trial("tuner")
    told = capsys.readouterr().out
    assert told.count("StableOracle: ") == 1 and oracle.report() in told
    assert f"{len(oracle.trials)} trials started" in told


class Own(oracles.RandomSearchOracle):  # type: ignore[misc]
    """A user's own."""


def test_other_oracles_and_bad_settings_are_refused(result: Result, tmp_path: Path) -> None:
    for other in (Own(objective=LOSS), object(), None):
        with pytest.raises(ResultError, match="BayesianOptimizationOracle, GridSearchOracle"):
            StableOracle(other, result)
    with pytest.raises(ResultError, match="a tuner of KerasTuner, got object"):
        keep_stable(object(), result)
    for settings, message in [
        ({"names": {"lr": "rate"}}, "names, of 'lr': expected an axis of the sweep"),
        ({"names": {"a": "depth", "b": "depth"}}, "a different axis for each"),
        ({"where": {"width": 3}}, "where: expected an axis"),
        ({"margin": 0}, "margin"),
        ({"off_map": "?"}, "off_map"),
        ({"patience": 0}, "patience"),
        ({"patience": True}, "patience: expected a whole number"),
    ]:
        with pytest.raises(ResultError, match=message):
            StableOracle(oracle_of("random"), result, **settings)
    with pytest.raises(ResultError, match="an empty list"):
        StableOracle(oracle_of("random"), [])
    with pytest.raises(ResultError, match="expected a result folder"):
        StableOracle(oracle_of("random"), tmp_path)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_a_refused_optimum_is_told_to_be_as_bad_as_the_worst_trial(
    direction: str, result: Result, tmp_path: Path
) -> None:
    objective = keras_tuner.Objective("loss", direction)
    plain = oracles.BayesianOptimizationOracle(
        objective, max_trials=5, num_initial_points=5, seed=3, hyperparameters=space_of(small)
    )
    oracle: Any = in_project(StableOracle(plain, result), tmp_path)
    started = list(drive(oracle, 4))
    _, known = oracle._vectorize_trials()
    oracle._pessimistic = [started[0], started[1]]
    _, told = oracle._vectorize_trials()
    # KerasTuner's Gaussian process is of what is to be made small, whatever the direction.
    assert told[: len(known)].tolist() == known.tolist() and len(set(known.ravel())) == 4
    assert told[len(known) :].ravel().tolist() == [max(known.ravel())] * 2


def test_a_second_map_needs_a_tuner_made_anew(result: Result, tmp_path: Path) -> None:
    tuner = keras_tuner.engine.base_tuner.BaseTuner(oracle_of("random"), directory=tmp_path)
    tuner.oracle.verbose = 0
    keep_stable(tuner, result)
    with pytest.raises(ResultError, match=r"make the tuner anew \(with overwrite=False"):
        keep_stable(tuner, result, margin=2)


def test_what_is_held_and_searched_is_refused_at_once(result: Result, tmp_path: Path) -> None:
    tuner = keras_tuner.engine.base_tuner.BaseTuner(oracle_of("random"), directory=tmp_path)
    tuner.oracle.verbose = 0
    with pytest.raises(ResultError, match="where: expected axes that the search does not vary"):
        keep_stable(tuner, result, where={"learning_rate": 0.1})


def test_hyperparameters_may_be_called_otherwise(result: Result, tmp_path: Path) -> None:
    def ask(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("lr", 1e-4, 100, sampling="log")
        hp.Choice("act", ["tanh", "relu"])
        hp.Int("layers", 1, 4)

    names = {"lr": "learning_rate", "act": "activation", "layers": "depth"}
    oracle = made("random", result, tmp_path, ask, names=names)
    for values in drive(oracle, 20):
        assert not breaks({names[name]: value for name, value in values.items()})
    assert oracle.notes == ()

    def twice(hp: keras_tuner.HyperParameters) -> None:
        ask(hp)
        hp.Int("depth", 1, 4)

    with pytest.raises(ResultError, match="one hyperparameter for the axis depth"):
        next(drive(made("random", result, tmp_path / "twice", twice, names=names)))


def test_an_axis_that_is_not_searched_counts_at_all_its_values_or_is_held(
    result: Result, tmp_path: Path
) -> None:
    def ask(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("learning_rate", 1e-4, 100, sampling="log")

    worst = {"depth": 4, "activation": "relu"}
    oracle = made("random", result, tmp_path / "all", ask)
    rates = [values["learning_rate"] for values in drive(oracle, 20)]
    assert not any(breaks({"learning_rate": rate, **worst}) for rate in rates)
    assert "not searched: activation, depth" in " ".join(oracle.notes)
    held = made("random", result, tmp_path / "held", ask, where={"depth": 1, "activation": "tanh"})
    rates = [values["learning_rate"] for values in drive(held, 30)]
    assert any(breaks({"learning_rate": rate, **worst}) for rate in rates)
    assert not any(
        breaks({"learning_rate": rate, "depth": 1, "activation": "tanh"}) for rate in rates
    )


def test_a_map_that_leaves_nothing_says_what_to_hold(result: Result, tmp_path: Path) -> None:
    def ask(hp: keras_tuner.HyperParameters) -> None:
        hp.Int("units", 8, 64)

    tuner = keras_tuner.engine.base_tuner.BaseTuner(oracle_of("random", ask), directory=tmp_path)
    with pytest.raises(ResultError, match="nothing is safe at every value of the others") as found:
        keep_stable(tuner, result)
    assert "where={'activation': 'tanh'}" in str(found.value)
    with pytest.raises(ResultError, match="where"):
        next(drive(made("grid", result, tmp_path / "late", ask)))
    where = {"learning_rate": 0.01, "depth": 1, "activation": "tanh"}
    assert len(list(drive(made("random", result, tmp_path / "held", ask, where=where), 5))) == 5


def test_an_inactive_hyperparameter_counts_at_all_its_values(
    result: Result, tmp_path: Path
) -> None:
    def ask(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("learning_rate", 1e-4, 100, sampling="log")
        hp.Boolean("deep")
        with hp.conditional_scope("deep", [True]):
            hp.Int("depth", 2, 4)
        hp.Fixed("activation", "tanh")

    seen = set()
    for kind in ("random", "grid", "hyperband"):
        for values in drive(made(kind, result, tmp_path / kind, ask), 20):
            seen.add("depth" in values)
            assert not breaks({**values, "depth": values.get("depth", 4)})
    assert seen == {True, False}


@pytest.mark.parametrize("kind", ["random", "hyperband", "grid"])
def test_a_search_of_what_is_unstable_stops_and_says_so(
    kind: str, result: Result, tmp_path: Path
) -> None:
    def ask(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("learning_rate", 20, 100, sampling="log")
        hp.Int("depth", 1, 4)
        hp.Choice("activation", ["tanh", "relu"])

    oracle = made(kind, result, tmp_path, ask, patience=50)
    with pytest.warns(UserWarning, match="The search stops"):
        assert list(drive(oracle, 10)) == []
    assert oracle.turned_away["unstable"] >= 50
    assert list(drive(oracle, 10)) == [] if kind != "grid" else True


def test_values_have_to_be_safe_in_all_results_and_data_sets(tmp_path: Path) -> None:
    easy = {**CONFIG, "dataset": {"name": "make_friedman1", "options": {"n_samples": 30}}}
    one = mapped(tmp_path / "one")
    mapped(tmp_path / "other", easy, lambda values: breaks(values) or values["depth"] > 2)
    oracle = made("random", [one, tmp_path / "other"], tmp_path / "both")
    started = list(drive(oracle, 25))
    assert started and not any(breaks(values) or values["depth"] > 2 for values in started)
    several = {**CONFIG, "dataset": [CONFIG["dataset"], easy["dataset"]]}

    def rule(values: Any) -> bool:
        return breaks(values) or (values["dataset"] == "make_friedman1" and values["depth"] > 1)

    both = mapped(tmp_path / "several", several, rule)
    started = list(drive(made("random", both, tmp_path / "all"), 25))
    assert {values["depth"] for values in started} == {1}
    where = {"dataset": "make_regression"}
    started = list(drive(made("random", both, tmp_path / "where", where=where), 25))
    assert {values["depth"] for values in started} > {1}
    wider = mapped(tmp_path / "wider", {**CONFIG, "model": {"width": 5}})
    with pytest.raises(ResultError, match="differ in their data alone"):
        StableOracle(oracle_of("random"), [one, wider])


def test_margin_keeps_away_from_the_boundary(result: Result, tmp_path: Path) -> None:
    oracle = made("random", result, tmp_path, margin=5.0)
    for values in drive(oracle, 25):
        assert not breaks({**values, "learning_rate": 4.99 * values["learning_rate"]})
    assert oracle.turned_away["near"] > 0
