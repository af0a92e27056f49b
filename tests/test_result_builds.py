"""The result of a user's build, read without building a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inline_executor import InlineExecutor
from surveyed_builds import BUILD, CONFIG, Survey, result_of, run_surveyed, surveyed, with_grid

from stabilitysweep import ResultError, open_result
from stabilitysweep.folder import DATABASE
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Outcome

CELLS = 3 + 2 * 3  # one layer never asks for units


def test_what_is_wanted_are_the_cells_whose_models_differ(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    assert len(surveyed(CONFIG).grid) == CELLS * 2
    assert len(result.trials) == result.wanted == CELLS * 2
    assert result.summary.missing == 0


def test_an_interrupted_run_lacks_what_it_did_not_train(tmp_path: Path) -> None:
    class Stops(InlineExecutor):
        def train(self, jobs, data):  # type: ignore[no-untyped-def]
            yield next(super().train(jobs, data))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_surveyed(tmp_path, executor=Stops())
    cut = open_result(tmp_path)
    assert 0 < len(cut.trials) < cut.wanted == CELLS * 2
    assert cut.summary.missing == cut.wanted - len(cut.trials)
    run_surveyed(tmp_path)
    whole = open_result(tmp_path)
    assert (len(whole.trials), whole.summary.missing) == (CELLS * 2, 0)


def test_trials_beside_the_latest_grid_count_as_wanted(tmp_path: Path) -> None:
    run_surveyed(tmp_path)
    result = result_of(tmp_path, with_grid(lr=[0.1, 10]))
    assert result.wanted == len(result.trials) == CELLS * 2 + 3 * 2
    assert result.axes["lr"] == (0.1, 10, 0.01, 1)


def test_the_values_of_axes_are_those_of_the_models(tmp_path: Path) -> None:
    assert result_of(tmp_path).axes == {
        "layers": (1, 2),
        "units": (8, 16),
        "lr": (0.01, 0.1, 1),
    }


def test_what_took_its_default_and_what_the_models_bring_is_fixed(tmp_path: Path) -> None:
    fixed = result_of(tmp_path).fixed
    assert fixed["build"] == BUILD
    assert fixed["dropout"] == 0.0
    assert (fixed["optimizer"], fixed["loss"]) == ("Adam", "mean_absolute_error")
    assert "learning_rate" not in fixed  # it is the axis lr
    stated = json.loads(json.dumps(open_result(tmp_path).to_json()))["provenance"]["models"]
    assert stated["defaults"] == {"dropout": [0.0]}
    assert stated["metrics"] == ["mse"]
    assert (stated["failed"], stated["alike"]) == (0, 3)  # numbers: the lists may be long


def test_the_settings_of_the_config_are_fixed_beside_a_model_that_is_not_compiled(
    tmp_path: Path,
) -> None:
    content = with_grid({**CONFIG, "training": {**CONFIG["training"], "optimizer": "adam"}})
    fixed = result_of(tmp_path, content, Survey(compiled=False)).fixed
    assert fixed["optimizer"] == "adam"


def test_an_axis_that_was_a_default_before_has_that_default(tmp_path: Path) -> None:
    run_surveyed(tmp_path)
    result = result_of(tmp_path, with_grid(dropout=[0.25, 0.5]))
    assert set(result.trials["dropout"]) == {0.0, 0.25, 0.5}
    assert result.trials["dropout"].isna().sum() == 0


def test_an_axis_that_no_earlier_model_asked_for_is_not_known(tmp_path: Path) -> None:
    run_surveyed(tmp_path)
    result = result_of(
        tmp_path, with_grid(extra=[0.5, 0.9]), Survey(asked=("lr", "dropout", "extra"))
    )
    known = result.trials["extra"].isin([0.5, 0.9])
    assert known.sum() == 2 * 2 * CELLS
    assert result.trials.loc[~known, "extra"].isna().all()
    result.save()


def test_a_learning_rate_that_models_had_before_it_was_an_axis(tmp_path: Path) -> None:
    grid = {"layers": [1, 2]}
    run_surveyed(tmp_path, {**CONFIG, "grid": grid})
    result = result_of(tmp_path, {**CONFIG, "grid": {**grid, "learning_rate": [0.5]}}, Given())
    assert set(result.trials["learning_rate"]) == {0.01, 0.5}  # not the default of the schema


class Given(Survey):
    """Models that take the learning rate of the config."""

    def blueprint(self, request):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        found = super().blueprint(request)
        rate = dict(request.values).get("learning_rate", 0.01)
        return replace(found, training=(("learning_rate", rate), ("optimizer", "adam")))


def test_the_axis_that_the_learning_rate_follows_is_the_learning_rate(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    assert result.rate == "lr"
    assert result.summary.stable_rate is not None
    assert result.summary.stable_rate.value == 0.1
    assert result.stability_map().x.name == "lr"
    assert set(result.trials["cause"].dropna()) == {"learning_rate_too_high"}


def test_an_axis_is_no_learning_rate_by_its_name(tmp_path: Path) -> None:
    class Halved(Survey):
        def blueprint(self, request):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            found = super().blueprint(request)
            rate = dict(found.training)["learning_rate"] / 2
            return replace(found, training=(("learning_rate", rate), ("optimizer", "adam")))

    result = result_of(tmp_path, survey=Halved())
    assert result.rate == "learning_rate"
    assert result.summary.stable_rate is None


def test_of_two_axes_with_the_same_numbers_neither_is_the_learning_rate(tmp_path: Path) -> None:
    content = {**CONFIG, "grid": {"lr": [0.1], "dropout": [0.1], "layers": [1, 2]}}
    assert result_of(tmp_path, content).models["rate"] is None


# -- models that cannot be built ------------------------------------------------------------


def test_a_model_that_cannot_be_built_crashes_and_the_others_go_on(tmp_path: Path) -> None:
    progress = run_surveyed(tmp_path, survey=Survey(broken=(2,)))
    assert progress.outcomes[Outcome.CRASHED] == 2 * 2 * 3
    result = open_result(tmp_path)
    assert result.summary.outcomes[Outcome.CRASHED] == 12
    crash = result.first_crash()
    assert crash is not None
    assert "with layers 2: ValueError: too deep" in (crash.result.message or "")


def test_what_could_not_be_built_is_tried_again_and_leaves_no_trace(tmp_path: Path) -> None:
    run_surveyed(tmp_path, survey=Survey(broken=(1,)))
    assert open_result(tmp_path).summary.outcomes[Outcome.CRASHED] == 2 * 2 * 3
    result = result_of(tmp_path)
    assert result.summary.outcomes[Outcome.CRASHED] == 0
    assert len(result.trials) == result.wanted == CELLS * 2


def test_nothing_is_drawn_or_lost_when_no_model_can_be_built(tmp_path: Path) -> None:
    result = result_of(tmp_path, survey=Survey(broken=(1, 2)))
    assert result.summary.outcomes[Outcome.CRASHED] == len(result.trials)
    assert result.models["programs"] == 0
    result.save()


# -- a build that has changed ---------------------------------------------------------------


def test_a_build_that_makes_other_models_is_refused_like_other_data(tmp_path: Path) -> None:
    run_surveyed(tmp_path)
    with pytest.raises(ResultError, match="the build has changed") as refused:
        run_surveyed(tmp_path, survey=Survey(text="another"))
    assert "layers 1, units 8, lr 0.01 and 8 other cells" in str(refused.value)
    assert "--fresh" in str(refused.value)
    assert run_surveyed(tmp_path).total == 0


def test_more_values_of_the_same_build_extend(tmp_path: Path) -> None:
    run_surveyed(tmp_path)
    assert run_surveyed(tmp_path, with_grid(lr=[0.01, 0.1, 1, 2])).total == 3 * 2


def test_a_changed_build_of_other_values_extends(tmp_path: Path) -> None:
    run_surveyed(tmp_path, with_grid(lr=[0.01]))
    with pytest.raises(ResultError, match="the build has changed"):
        run_surveyed(tmp_path, with_grid(lr=[0.01, 3]), Survey(text="another"))


def test_a_model_that_never_could_be_built_may_change(tmp_path: Path) -> None:
    run_surveyed(tmp_path, survey=Survey(text="old", broken=(1, 2)))
    assert run_surveyed(tmp_path, survey=Survey(text="new")).total == CELLS * 2


def test_what_crashed_in_training_may_be_built_otherwise(tmp_path: Path) -> None:
    run_surveyed(tmp_path, executor=InlineExecutor(Outcome.CRASHED))
    assert run_surveyed(tmp_path, survey=Survey(text="mended")).total == CELLS * 2


def test_a_cell_that_only_crashed_may_change_beside_others_that_were_measured(
    tmp_path: Path,
) -> None:
    class Mended(Survey):
        def blueprint(self, request):  # type: ignore[no-untyped-def]
            own = Survey(text="mended") if dict(request.values)["layers"] == 2 else Survey()
            return own.blueprint(request)

    run_surveyed(tmp_path, {**CONFIG, "grid": {"layers": [1], "lr": [0.1]}})
    both = {**CONFIG, "grid": {"layers": [1, 2], "lr": [0.1]}}
    run_surveyed(tmp_path, both, executor=InlineExecutor(Outcome.CRASHED))
    assert run_surveyed(tmp_path, both, Mended()).total == 2


def test_the_digests_of_models_are_few_digits_and_no_readers_matter(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    with SQLiteStore(tmp_path / DATABASE, read_only=True) as store:
        digests = store.meta()["digests"]
    assert len(digests) == CELLS
    assert all(len(key) == len(value) == 16 for key, value in digests.items())
    assert "digests" not in result.provenance


# -- combinations that train the same -------------------------------------------------------


def test_a_map_has_no_hole_where_an_hp_has_no_effect(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    for units in (8, 16):
        drawn = result.stability_map(x="lr", y="layers", where={"units": units})
        assert drawn.missing == 0
        assert (drawn.trials == 2).all()
    one, other = (
        result.stability_map(x="lr", y="layers", where={"units": units}).counts[0, 0, 0]
        for units in (8, 16)
    )
    assert (one == other).all()
    assert result.summary.cells == result.summary.cells_measured == CELLS
    assert len(result.trials) == CELLS * 2  # the table itself has each trial once


def test_a_map_of_a_cut_run_shows_what_is_missing(tmp_path: Path) -> None:
    run_surveyed(tmp_path, survey=Survey(broken=(2,)))
    drawn = open_result(tmp_path).stability_map(x="lr", y="layers", where={"units": 16})
    assert (drawn.measured[0, 0, 0] == 2).all()
    assert (drawn.measured[0, 0, 1] == 0).all()


def test_axes_of_text_and_flags_draw_the_rows_that_they_have(tmp_path: Path) -> None:
    grid = {"kind": ["a", "b"], "flag": [True, False], "lr": [0.01, 1]}
    survey = Survey(asked=("lr", "kind", "flag"))
    result = result_of(tmp_path, {**CONFIG, "grid": grid}, survey)
    drawn = result.stability_map(x="kind", y="flag", where={"lr": 0.01})
    assert (drawn.x.values, drawn.y.values if drawn.y else None) == (("a", "b"), (True, False))
    assert (drawn.trials == 2).all()
    assert result.stability_map(where={"flag": "true"}).fixed["flag"] is True
    assert result.rate == "lr"
