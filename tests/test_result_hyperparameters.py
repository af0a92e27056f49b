"""The largest box of safe cells of a stored result, and the search space that becomes of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner
import pytest
from inline_executor import run_inline
from keras_tuner.engine import hyperparameters as kinds
from ruled_executor import RuledExecutor
from surveyed_builds import Survey, run_surveyed

from stabilitysweep import Result, ResultError, open_result
from stabilitysweep.grid import Trial
from stabilitysweep.models.search_space import Span, search_space
from stabilitysweep.types import Outcome

CONFIG: dict[str, Any] = {
    "name": "boxed",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4},
    "grid": {
        "activation": ["tanh", "relu", "elu"],
        "depth": [1, 2, 4],
        "width": {"from": 8, "to": 40, "num": 5},
        "scaling": ["none", "standard"],
        "learning_rate": {"from": 0.001, "to": 10, "num": 5, "scale": "log"},
    },
    "seeds": 1,
}


def breaks(trial: Trial) -> bool:
    steep = {"tanh": 1.0, "relu": 90.0, "elu": 1.0}[trial.model.activation]
    unscaled = 1000.0 if trial.preprocessing.scaling == "none" else 1.0
    return trial.training.learning_rate * trial.model.depth * steep * unscaled > 4.5


def mapped(folder: Path, content: Mapping[str, Any] = CONFIG, rule: Any = breaks) -> Result:
    executor = RuledExecutor(lambda t: Outcome.NONFINITE if rule(t) else Outcome.STABLE)
    run_inline(folder, content, executor=executor)  # type: ignore[arg-type]
    return open_result(folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return mapped(tmp_path_factory.mktemp("results") / "boxed")


STANDARD = {"scaling": "standard"}


def of(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    return {own.name: own for own in hp.space}


def test_a_box_is_held_at_how_the_pick_prepares_the_data(result: Result) -> None:
    box = result.safe_box(where=STANDARD)
    assert dict(box.held) == STANDARD and "scaling" not in box.axes
    assert box.axes["learning_rate"] == (0.001, 0.01, 0.1, 1.0)
    assert box.axes["activation"] == ("tanh", "elu") and box.axes["depth"] == (1, 2, 4)
    assert box.cells == 2 * 3 * 5 * 4 and box.exact
    cells = result.trials
    inside = cells["scaling"] == "standard"
    for name, values in box.axes.items():
        inside &= cells[name].isin(values)
    assert (cells.loc[inside, "outcome"] == "stable").all() and inside.sum() == box.cells
    json.dumps(box.to_json(), allow_nan=False)
    assert "without relu (30 safe)" in str(box)


def test_a_search_space_is_the_box(result: Result) -> None:
    hp = result.hyperparameters(where=STANDARD)
    space = of(hp)
    assert [type(own) for own in space.values()] == [
        kinds.Choice, kinds.Choice, kinds.Int, kinds.Float, kinds.Fixed,
    ]  # fmt: skip
    assert list(space["activation"].values) == ["tanh", "elu"]
    assert list(space["depth"].values) == [1, 2, 4] and space["depth"].ordered
    assert list(space["width"].values) == [8, 16, 24, 32, 40]
    rate = space["learning_rate"]
    assert (rate.min_value, rate.max_value, rate.sampling) == (0.001, 1.0, "log")
    assert space["scaling"].value == "standard"
    pick = result.recommend(where=STANDARD, count=1).picks[0]
    assert hp.values == dict(pick.axes)
    # KerasTuner takes it.
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("loss", "min"), hyperparameters=hp, seed=1
    )
    assert oracle.get_space().get("scaling") == "standard"


def test_every_combination_of_the_space_is_a_safe_cell_or_lies_among_safe_ones(
    result: Result,
) -> None:
    space = of(result.hyperparameters(where=STANDARD))
    for kind, depth, chance in itertools.product(
        space["activation"].values, space["depth"].values, (0.0, 0.3, 0.999)
    ):
        rate = space["learning_rate"].prob_to_value(chance)
        assert rate * depth * (90 if kind == "relu" else 1) <= 4.5


def test_the_pick_may_be_given(result: Result) -> None:
    cell = {"activation": "relu", "depth": 1, "width": 8, "learning_rate": 0.01} | STANDARD
    box = result.safe_box(pick=cell)
    assert "relu" in box.axes["activation"] and max(box.axes["learning_rate"]) == 0.01
    first = result.recommend(where=STANDARD).picks[0]
    assert result.safe_box(pick=first) == result.safe_box(pick=dict(first.axes))
    with pytest.raises(ResultError, match="it is unstable"):
        result.safe_box(pick={**cell, "learning_rate": 1.0})
    with pytest.raises(ResultError, match="none of depth"):
        result.safe_box(pick={name: value for name, value in cell.items() if name != "depth"})
    with pytest.raises(ResultError, match="where: expected an axis"):
        result.hyperparameters(where={"momentum": 1})
    with pytest.raises(ResultError, match="unswept"):
        result.hyperparameters(unswept="loose")


def test_what_is_held_is_fixed_and_what_is_null_left_out(tmp_path: Path) -> None:
    grid = {"clipnorm": [None, 1.0], "learning_rate": [0.1, 0.01], "batch_size": [4, 8]}
    content = {**CONFIG, "grid": grid, "training": {"steps": 6}}
    result = mapped(tmp_path, content, lambda trial: False)
    space = of(result.hyperparameters(where={"batch_size": 8, "clipnorm": "none"}))
    assert isinstance(space["batch_size"], kinds.Fixed) and "clipnorm" not in space
    assert list(space["learning_rate"].values) == [0.01, 0.1]
    clipped = of(result.hyperparameters(where={"clipnorm": 1.0}))
    assert clipped["clipnorm"].value == 1.0


def test_a_box_holds_for_all_data_sets_or_the_one_that_is_held(tmp_path: Path) -> None:
    other = {"name": "make_friedman1", "options": {"n_samples": 30}}
    content = {
        **CONFIG,
        "dataset": [CONFIG["dataset"], other],
        "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, 1.0]},
    }

    def rule(trial: Trial) -> bool:
        return trial.dataset.label == "make_friedman1" and trial.training.learning_rate > 0.1

    result = mapped(tmp_path / "both", content, rule)
    assert result.safe_box(margin=1).axes["learning_rate"] == (0.01, 0.1)
    assert len(result.safe_box(margin=1).datasets) == 2
    one = result.safe_box(margin=1, where={"dataset": "make_regression"})
    assert one.axes["learning_rate"] == (0.01, 0.1, 1.0)
    assert "dataset" not in of(result.hyperparameters(margin=1))
    single = {**content, "dataset": CONFIG["dataset"]}
    apart = (
        mapped(tmp_path / "one", single, rule),
        mapped(tmp_path / "two", {**single, "dataset": other}, rule),
    )
    assert apart[0].safe_box(apart[1], margin=1).axes == result.safe_box(margin=1).axes


def test_a_cell_that_lacks_a_seed_is_not_in_the_box(tmp_path: Path) -> None:
    content = {**CONFIG, "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, 1.0]}}
    mapped(tmp_path, content, lambda trial: False)
    two = {**content, "seeds": 2}
    executor = RuledExecutor(
        lambda t: Outcome.CRASHED if t.training.learning_rate == 1.0 else Outcome.STABLE
    )
    run_inline(tmp_path, two, executor=executor)  # type: ignore[arg-type]
    box = open_result(tmp_path).safe_box()
    assert box.axes["learning_rate"] == (0.01, 0.1) and box.unmeasured == 2


def built(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "build") -> Result:
    """A map of a build, whose trials fail from a learning rate of 1 on."""
    monkeypatch.chdir(Path(__file__).parent)
    content = {
        "name": "built",
        "dataset": CONFIG["dataset"],
        "model": {"build": f"searched_builds:{name}", "dropout": 0.25},
        "training": {"steps": 5},
        "grid": {
            "kind": ["plain", "wide"],
            "units": [4, 16, 64],
            "bias": [False, True],
            "batch_size": [2, 4],
            "lr": {"from": 0.0001, "to": 10, "num": 6, "scale": "log"},
        },
    }
    asked = ("lr", "dropout", "kind", "units", "bias", "extra")

    class Asking(Survey):
        def blueprint(self, request: Any) -> Any:
            from dataclasses import replace

            request = replace(request, values=(*request.values, ("layers", 1)))
            found = super().blueprint(request)
            kept = tuple((n, v) for n, v in found.values if n != "layers")
            return replace(found, values=kept)

    run_surveyed(folder, content, Asking(asked=asked))
    return open_result(folder)


def test_a_build_keeps_its_kinds_and_its_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = built(tmp_path, monkeypatch)
    assert result.rate == "lr"
    hp = result.hyperparameters()
    space = of(hp)
    assert [*space] == ["kind", "lr", "units", "dropout", "bias", "factor", "extra", "batch_size"]
    # Some of the models ask for it, though not the first: it stays where it was measured.
    assert isinstance(space["extra"], kinds.Fixed) and space["extra"].value == 0
    assert list(space["kind"].values) == ["plain", "wide"]
    # The map begins below what is declared, and ends above it: the box is what both have.
    rate = space["lr"]
    assert (rate.min_value, rate.max_value, rate.sampling) == (0.001, 0.1, "log")
    assert (space["units"].min_value, space["units"].max_value, space["units"].step) == (4, 32, 4)
    assert isinstance(space["bias"], kinds.Boolean)
    assert isinstance(space["dropout"], kinds.Fixed) and space["dropout"].value == 0.25
    assert list(space["batch_size"].values) == [2, 4]
    (condition,) = space["factor"].conditions
    assert (condition.name, list(condition.values)) == ("kind", ["wide"])
    loose = of(result.hyperparameters(unswept="declared"))
    assert isinstance(loose["dropout"], kinds.Float) and loose["dropout"].step == 0.1
    one = of(result.hyperparameters(where={"kind": "wide", "bias": True, "units": 16}))
    assert [one[name].value for name in ("kind", "bias", "units")] == ["wide", True, 16]


def test_what_the_config_sets_is_fixed_at_that_and_not_at_its_default() -> None:
    given = SimpleNamespace(
        models={"defaults": {"dropout": [0.0], "extra": [0], "factor": [1, 2]}},
        config=SimpleNamespace(model=SimpleNamespace(hp=(("dropout", 0.25),))),
    )
    measured = Result._measured_at(given)  # type: ignore[arg-type]
    assert measured == {"dropout": 0.25, "extra": 0}


def test_a_build_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = built(tmp_path, monkeypatch, "broken")
    with pytest.raises(ResultError, match=r"searched_builds:broken.*no such thing"):
        result.hyperparameters()


FLOAT = kinds.Float("x", 0.1, 1.0, step=0.3, default=0.4)


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        (FLOAT, (0.2, 0.5, 0.8), "Float 0.4 0.7"),
        (FLOAT, (0.3, 0.5), "Fixed 0.4"),
        (FLOAT, (0.41, 0.5), "Choice 0.41 0.5"),
        (FLOAT, (5.0, 6.0), "Choice 5.0 6.0"),
        (kinds.Float("x", 0.1, 1.0), (0.5,), "Fixed 0.5"),
        (kinds.Float("x", 0.1, 1.0), (5.0, 6.0), "Float 5.0 6.0"),
        (kinds.Float("x", 0.1, 1.0), (1.0, 6.0), "Fixed 1.0"),
        (kinds.Float("x", 1, 16, step=2, sampling="log"), (2, 5, 9), "Float 2.0 8.0"),
        (kinds.Int("x", 1, 16, step=2, sampling="log"), (2, 5, 9), "Int 2 8"),
        (kinds.Int("x", 1, 16, step=5), (2, 12), "Int 6 11"),
        (kinds.Int("x", 1, 16, sampling="log"), (2, 12), "Int 2 12"),
        (kinds.Int("x", 1, 16, step=2, sampling="reverse_log"), (9, 16), "Choice 16 15 13 9"),
        (kinds.Choice("x", [1, 2, 4, 8]), (2, 8), "Choice 2 4 8"),
        (kinds.Choice("x", ["a", "b", "c"]), ("c", "a"), "Choice a c"),
        (kinds.Choice("x", ["a", "b"]), ("z",), "Fixed z"),
        (kinds.Boolean("x"), (True,), "Fixed True"),
        (kinds.Boolean("x"), (False, True), "Boolean"),
        (kinds.Fixed("x", 3), (3,), "Fixed 3"),
        (kinds.Fixed("x", 3), (3, 5), "Choice 3 5"),
    ],
)
def test_what_is_declared_is_narrowed(declared: Any, values: Any, expected: str) -> None:
    hp = keras_tuner.HyperParameters()
    hp.merge([declared])
    (found,) = search_space([Span("x", values, values[0])], hp).space
    kind = type(found).__name__
    shown = {"Float": "min_value max_value", "Int": "min_value max_value", "Fixed": "value"}
    parts = [getattr(found, name) for name in shown.get(kind, "").split()]
    parts = list(found.values) if kind == "Choice" else parts
    assert " ".join(map(str, [kind, *parts])) == expected
    assert found.default in ([*found.values] if kind != "Float" else [found.default])
