"""Failed trials of a user's build are found again in their grid, as long as it builds the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from inline_executor import InlineExecutor, made_up
from surveyed_builds import CONFIG, Survey, run_surveyed, with_grid

from stabilitysweep import ResultError, diagnosing, open_result, runner
from stabilitysweep.diagnosing import diagnose
from stabilitysweep.diagnosis.records import Replay
from stabilitysweep.types import Outcome


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replay without training, with models of a survey; gives what was to be replayed."""
    load, asked = runner.load_sweep, []

    def apart(function: Any, wanted: Sequence[Any], data: Mapping[str, Any], steps: int) -> Any:
        assert all(key in data for _, _, key in wanted)
        asked.extend(wanted)
        return [Replay(stored, (), ()) for stored, _, _ in wanted]

    def use(survey: Survey) -> list[Any]:
        monkeypatch.setattr(diagnosing, "load_sweep", lambda config: load(config, survey))
        return asked

    monkeypatch.setattr(diagnosing, "call_apart", apart)
    return use


def test_a_trial_is_found_with_its_program_and_alone(tmp_path: Path, replayed: Any) -> None:
    run_surveyed(tmp_path)
    asked = replayed(Survey())
    found = diagnose(tmp_path)
    assert found
    for diagnosis, (stored, stack, _) in zip(found, asked, strict=True):
        (trial,) = stack.trials
        assert trial.trial_id == stored.trial_id == diagnosis.stored.trial_id
        assert stack.program.user.template.program == trial.blueprint.program
        assert diagnosis.settings == trial.axes | {"seed": trial.seed}
        assert "at lr 0.1 instead of 1" in str(diagnosis.remedies[0])
        assert diagnosis.fixed["optimizer"] == "Adam"


def test_models_that_cannot_be_built_stand_beside(tmp_path: Path, replayed: Any) -> None:
    broken = Survey(broken=(2,))
    run_surveyed(tmp_path, survey=broken)
    asked = replayed(broken)
    assert diagnose(tmp_path)
    assert all(stack.trials[0].axes["layers"] == 1 for _, stack, _ in asked)
    crash = open_result(tmp_path).first_crash()
    assert crash is not None
    with pytest.raises(ResultError, match=r"could not be run.*too deep"):
        diagnose(tmp_path, crash.result.trial_id)


def test_a_build_that_has_changed_is_not_replayed(tmp_path: Path, replayed: Any) -> None:
    run_surveyed(tmp_path)
    replayed(Survey(text="another"))
    with pytest.raises(ResultError, match="the build has changed"):
        diagnose(tmp_path)


def test_trials_of_an_earlier_config_are_found_in_its_grid(tmp_path: Path, replayed: Any) -> None:
    run_surveyed(tmp_path)
    run_surveyed(tmp_path, with_grid(lr=[0.1, 2]))
    replayed(Survey())
    trials = open_result(tmp_path).trials
    failed = trials.loc[trials["outcome"] == Outcome.NONFINITE]
    ids = [failed.loc[failed["lr"] == rate, "trial_id"].iloc[0] for rate in (1, 2)]
    assert [each.stored.trial_id for each in diagnose(tmp_path, ids)] == ids


def test_a_trial_that_fell_back_is_replayed_by_the_engine_that_trained_it(
    tmp_path: Path, replayed: Any
) -> None:
    class Fit(InlineExecutor):
        def train(self, jobs: Any, data: Any) -> Any:
            from dataclasses import replace

            for done in super().train(jobs, data):
                results = [replace(made_up(t), engine="fit") for t in done.stack.trials]
                yield replace(done, results=results)

    run_surveyed(tmp_path, CONFIG, Survey(alone="it reads a table"), Fit())
    asked = replayed(Survey(alone="it reads a table"))
    assert diagnose(tmp_path)
    assert {stored.engine for stored, _, _ in asked} == {"fit"}
