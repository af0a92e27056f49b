"""Picks of a stored result, and the configs that are written for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from inline_executor import FAILING, InlineExecutor, run_inline
from surveyed_builds import CONFIG as BUILT
from surveyed_builds import result_of, surveyed, with_grid

from stabilitysweep import Result, ResultError, Thresholds, open_result
from stabilitysweep.analysis.advice import Change
from stabilitysweep.config import parse_config
from stabilitysweep.types import Outcome

# What is made up fails from a learning rate of FAILING on, and learns the faster the larger it is.
CONFIG: dict[str, Any] = {
    "name": "result",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4, "metrics": ["mae"]},
    "grid": {
        "activation": ["tanh", "relu"],
        "depth": [2, 1],
        "learning_rate": [0.1, FAILING, 0.2, 0.4, 0.8, 1.6],
    },
    "seeds": 2,
}
OTHER = {**CONFIG, "dataset": {"name": "make_friedman1", "options": {"n_samples": 30}}}


def run(folder: Path, content: Mapping[str, Any], **more: Any) -> Result:
    run_inline(folder, content, **more)
    return open_result(folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("results") / "result", CONFIG)


def test_a_result_is_picked_from(result: Result) -> None:
    found = result.recommend()
    assert [pick.axes["learning_rate"] for pick in found.picks] == [0.4] * 3
    first = found.picks[0]
    assert first.axes == {"activation": "tanh", "depth": 1, "learning_rate": 0.4}
    assert (first.safe, first.failing, first.seeds, first.trials) == (0.8, FAILING, 2, 4)
    assert (first.steps, first.headroom_bits) == (6, 4.5)
    assert found.datasets == ("make_regression",)
    assert result.recommend(margin=5).picks[0].rate == 0.1
    assert len(result.recommend(count=100).picks) == 4 * 3


def test_a_config_of_a_pick_trains_the_trials_of_the_pick(result: Result, tmp_path: Path) -> None:
    found = result.recommend(count=5)
    for place, (pick, text) in enumerate(zip(found.picks, found.configs, strict=True), 1):
        picked = run(tmp_path / str(place), parse_config(text).resolved())
        assert picked.config.name == f"result-pick{place}"
        cell = result.trials
        for axis, value in pick.axes.items():
            cell = cell.loc[cell[axis] == value]
        assert picked.trials["trial_id"].tolist() == cell["trial_id"].tolist()
        assert (picked.trials["outcome"] == "stable").all()
        assert text.startswith(f"# Pick {place} of ")


def test_json_and_frame_are_for_others_to_read(result: Result) -> None:
    found = result.recommend()
    plain = json.loads(json.dumps(found.to_json()))
    assert parse_config(plain["picks"][0]["config"]).name == "result-pick1"
    assert found.to_frame()["depth"].tolist() == [1, 2, 1]


def test_a_metric_of_the_result_is_ranked_by(result: Result) -> None:
    assert result.recommend(metric="val_mae").metric == "val_mae"
    with pytest.raises(ResultError, match="val_mae"):
        result.recommend(metric="val_r2")


def test_stricter_thresholds_leave_fewer(result: Result) -> None:
    strict = open_result(result.folder, Thresholds(stable_below=0.1))
    assert {pick.rate for pick in strict.recommend(count=99).picks} < {
        pick.rate for pick in result.recommend(count=99).picks
    }


def test_picks_hold_in_several_results(result: Result, tmp_path: Path) -> None:
    other = run(tmp_path / "other", OTHER)
    found = result.recommend(other)
    assert found.datasets == ("make_regression", "make_friedman1")
    config = parse_config(found.configs[0])
    assert [dataset.label for dataset in config.datasets] == list(found.datasets)
    assert config.grid["learning_rate"] == (0.4,)
    both = run(tmp_path / "both", config.resolved())
    assert both.recommend(margin=1).datasets == found.datasets


def test_an_axis_that_one_result_has_is_looked_at_where_the_other_is(
    result: Result, tmp_path: Path
) -> None:
    grid = {name: values for name, values in OTHER["grid"].items() if name != "depth"}
    other = run(tmp_path / "other", {**OTHER, "grid": grid, "model": {"depth": 1}})
    for found in (result.recommend(other), other.recommend(result)):
        assert {pick.axes["depth"] for pick in found.picks} == {1}
        assert parse_config(found.configs[0]).model.depth == 1
        assert any("not in every data set" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"width": 5}}, "model.width: 32 -> 5"),
        ({"training": {**CONFIG["training"], "batch_size": 8}}, "training.batch_size: 4 -> 8"),
    ],
)
def test_results_that_differ_in_more_than_data_are_refused(
    result: Result, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    other = run(tmp_path / "other", {**OTHER, **change})
    with pytest.raises(ResultError, match=message):
        result.recommend(other)
    with pytest.raises(ResultError, match="twice"):
        result.recommend(open_result(result.folder))


def test_results_may_differ_in_budget_and_it_is_said(result: Result, tmp_path: Path) -> None:
    other = run(tmp_path / "other", {**OTHER, "training": {**CONFIG["training"], "steps": 9}})
    found = result.recommend(other)
    assert found.picks[0].steps == 6
    assert any("different budgets: 6 steps, 9 steps" in note for note in found.notes)
    assert [dataset.label for dataset in parse_config(found.configs[0]).datasets] == [
        "make_regression"
    ]
    assert "It is safe in make_regression, make_friedman1" in " ".join(
        found.configs[0].split("\n# ")
    )


def test_a_data_set_axis_is_several_data_sets(tmp_path: Path) -> None:
    content = {**CONFIG, "dataset": [CONFIG["dataset"], OTHER["dataset"]]}
    result = run(tmp_path, content)
    found = result.recommend()
    assert found.datasets == ("make_regression", "make_friedman1")
    assert "dataset" not in found.picks[0].axes
    assert len(found.picks[0].per_dataset) == 2
    assert len(parse_config(found.configs[0]).datasets) == 2
    one = result.recommend(where={"dataset": "make_friedman1"})
    assert one.picks[0].axes["dataset"] == "make_friedman1"
    assert len(parse_config(one.configs[0]).datasets) == 1


def only(*rates: float) -> dict[str, Any]:
    return {**CONFIG, "grid": {**CONFIG["grid"], "learning_rate": list(rates)}}


@pytest.mark.parametrize("rates", [(1.6, 3.2), (0.8, FAILING, 1.6), (0.5,), (2.0,)])
def test_without_a_safe_cell_the_next_config_finds_one(
    tmp_path: Path, rates: tuple[float, ...]
) -> None:
    found = run(tmp_path / "first", only(*rates)).recommend()
    assert found.picks == ()
    assert found.reason is not None
    assert found.next_config is not None
    following = run(tmp_path / "next", parse_config(found.next_config).resolved())
    assert following.config.name == "result-next"
    assert following.recommend().picks


def test_without_a_learning_rate_axis_it_becomes_one(tmp_path: Path) -> None:
    grid = {"depth": [1, 2]}
    training = {**CONFIG["training"], "learning_rate": 2.0}
    found = run(tmp_path / "first", {**CONFIG, "grid": grid, "training": training}).recommend()
    assert found.next_config is not None
    following = run(tmp_path / "next", parse_config(found.next_config).resolved())
    assert following.recommend().picks


def test_a_result_where_all_crashed_is_to_be_run_again(tmp_path: Path) -> None:
    found = run(tmp_path, CONFIG, executor=InlineExecutor(Outcome.CRASHED)).recommend()
    assert [advice.change for advice in found.advice] == [Change.FINISH]
    assert found.next_config is None


def test_an_interrupted_sweep_is_picked_from_as_far_as_it_is(tmp_path: Path) -> None:
    def interrupt(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inline(tmp_path, CONFIG, InlineExecutor(), interrupt)
    cut = open_result(tmp_path)
    assert 0 < len(cut.trials) < cut.wanted
    found = cut.recommend(count=99)
    whole = {tuple(p.axes.values()) for p in found.picks}
    run_inline(tmp_path, CONFIG)
    assert whole <= {
        tuple(p.axes.values()) for p in open_result(tmp_path).recommend(count=99).picks
    }


def test_of_a_build_a_config_names_what_it_asks_for_alone(tmp_path: Path) -> None:
    content = with_grid(BUILT, lr=[0.01, 0.1, 0.2, 1])
    result = result_of(tmp_path, content)
    found = result.recommend(count=99)
    asked = {pick.axes["layers"] for pick in found.picks}
    assert asked == {1, 2}
    for pick, text in zip(found.picks, found.configs, strict=True):
        config = parse_config(text)
        sweep = surveyed(config.resolved())  # refuses what the build never asks for
        ids = {trial.trial_id for trial in sweep.grid}
        rows = result.trials
        for axis, value in pick.axes.items():
            rows = rows.loc[rows[axis] == value]
        assert ids == set(rows["trial_id"])
        assert config.grid == {"lr": (pick.rate,)}


def test_of_a_build_the_next_config_is_one_of_the_build(tmp_path: Path) -> None:
    found = result_of(tmp_path, with_grid(BUILT, lr=[1, 2])).recommend()
    assert found.next_config is not None
    config = parse_config(found.next_config)
    assert config.model.build == BUILT["model"]["build"]
    assert min(config.grid["lr"]) < 1
    assert surveyed(config.resolved()).grid
