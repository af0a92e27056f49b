"""What is printed of a user's models: plan, warnings and result, without building one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType
from surveyed_builds import BUILD, CONFIG, Survey, VerdictExecutor, run_surveyed, with_grid

from stabilitysweep import api, execution, open_result, runner
from stabilitysweep.cli import running
from stabilitysweep.cli.models_view import fallback
from stabilitysweep.cli.plan_view import brief, whole
from stabilitysweep.cli.summary_view import result_view
from stabilitysweep.config import parse_config
from stabilitysweep.execution import Options, Plan
from stabilitysweep.types import Verdict

LAYER = "layer 'dense': loss of step 1 is 1 in a stack, 2 in `fit`"


def printed(content: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO(), force_terminal=False, markup=False)
    with console.capture() as captured:
        console.print(content)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    load = runner.load_sweep

    def planned(survey: Survey, content: Any = CONFIG, **options: Any) -> Plan:
        monkeypatch.setattr(runner, "load_sweep", lambda config: load(config, survey))
        return api.plan(content, tmp_path / "result", Options(**options))

    return planned


@pytest.mark.parametrize("view", [brief, lambda plan: whole(plan, "c.yaml", None)])
def test_a_plan_says_which_models_and_what_takes_its_default(plan: Any, view: Any) -> None:
    text = printed(view(plan(Survey())))
    assert f"model       {BUILD}\n" in text
    assert "defaults    dropout 0.0\n" in text or "defaults    dropout 0\n" in text
    assert "compiled    by the build: Adam, mean_absolute_error, mse\n" in text
    assert "its learning rate is the axis lr\n" in text
    assert "built       9 models, in 3 programs\n" in text
    assert "one by one" not in text
    assert "not built" not in text


def test_a_plan_of_the_built_in_model_says_nothing_of_this(plan: Any) -> None:
    content = {**CONFIG, "model": {}, "grid": {"depth": [1, 2]}}
    text = printed(whole(plan(Survey(), content), "c.yaml", None))
    assert "defaults" not in text
    assert "built  " not in text


def test_a_plan_says_which_programs_are_not_stacked_and_why(plan: Any) -> None:
    text = printed(brief(plan(Survey(alone="it reads table, which is no variable of the model"))))
    assert "one by one  3 programs by model.fit, not stacked: it reads table, which is no" in text
    fit = printed(brief(plan(Survey(alone="it reads table"), engine="fit")))
    assert "one by one" not in fit  # all of them are, and it was asked for


def test_what_cannot_be_built_has_one_message_and_a_count(plan: Any) -> None:
    text = printed(brief(plan(Survey(broken=(2,)))))
    assert text.count("too deep") == 1
    assert "not built   12 of 18 trials: model.build 'no_such_module:build' with layers 2:" in text
    assert "built       3 models, in 1 program\n" in text


def check(plan: Any, capsys: pytest.CaptureFixture[str], survey: Survey) -> tuple[int, str, str]:
    plan(survey)  # from now on, that is what the models are
    code = running.check_sweep(parse_config(CONFIG), "c.yaml", None, every=False)
    out, err = capsys.readouterr()
    return code, out, err


def test_check_accepts_a_sweep_of_which_some_can_be_built(
    plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = check(plan, capsys, Survey(broken=(2,)))
    assert (code, err) == (0, "")
    assert "To run it:" in out


def test_check_refuses_a_sweep_of_which_nothing_can_be_built(
    plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = check(plan, capsys, Survey(broken=(1, 2)))
    assert code == 2
    assert err.startswith("error: no model can be built, ")
    assert len(err.splitlines()) == 1
    assert "nothing: no model can be built" in out
    assert "To run it:" not in out


def test_a_warning_names_the_build_and_the_layer() -> None:
    text = fallback(BUILD, Verdict("12ab", False, LAYER))
    assert BUILD in text
    assert LAYER in text


def run_with_verdicts(plan: Any, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> int:
    plan(Survey())
    monkeypatch.setattr(execution, "LocalExecutor", lambda *arguments: VerdictExecutor())
    options = Options()
    return running.run_sweep(parse_config(CONFIG), "result", options, quiet=quiet, again=["run"])


@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_warns_once_of_each_program_that_falls_back(
    plan: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    quiet: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_with_verdicts(plan, monkeypatch, quiet) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == (0 if quiet else 3)
    assert all(LAYER in line for line in lines)


def test_a_result_says_it_later_too(tmp_path: Path) -> None:
    run_surveyed(tmp_path, executor=VerdictExecutor())
    result = open_result(tmp_path)
    assert result.not_stacked == [LAYER] * 3
    text = printed(result_view(result))
    assert f"one by one  3 programs by model.fit, not stacked: {LAYER}\n" in text
    assert f"model       {BUILD}\n" in text
    verdicts = result.to_json()["provenance"]["verdicts"].values()
    assert {verdict["text"] for verdict in verdicts} == {LAYER}


def test_a_second_run_plans_by_the_stored_verdicts(plan: Any, tmp_path: Path) -> None:
    run_surveyed(tmp_path / "result", executor=VerdictExecutor())
    again = printed(brief(plan(Survey(), with_grid(lr=[0.01, 0.1, 1, 2]))))
    assert f"one by one  3 programs by model.fit, not stacked: {LAYER}\n" in again
