"""What a result says of its boundary, refined or not, and which commands it names next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruled_executor import RuledExecutor

from stabilitysweep import UserError, execution, open_result
from stabilitysweep.api import plan
from stabilitysweep.cli import main
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome

Capture = pytest.CaptureFixture[str]
Swept = Callable[..., Path]

CONFIG: dict[str, Any] = {
    "name": "following",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "model": {"width": 2},
    "training": {"steps": 6},
    "grid": {
        "activation": ["relu", "tanh"],
        "depth": [1, 2],
        "learning_rate": [0.001, 0.01, 0.1, 1],
    },
    "seeds": 2,
}


def limited(trial: Trial) -> Outcome:
    """Stable below 0.5, 0.4 under tanh, and half of that with two layers."""
    limit = (0.4 if trial.axes["activation"] == "tanh" else 0.5) / trial.axes["depth"]
    return Outcome.STABLE if trial.training.learning_rate < limit else Outcome.NONFINITE


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Sweeps with a rule in place of training, in the current folder, into `swept`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def make(rule: Callable[[Trial], Outcome], **changes: Any) -> Path:
        monkeypatch.setattr(execution, "LocalExecutor", RuledExecutor(rule))
        carry_out(plan(CONFIG | changes, "swept", Options()))
        open_result("swept").save(figures=False)
        return Path("swept")

    return make


def words(capsys: Capture) -> str:
    return " ".join(capsys.readouterr().out.split())


def named(out: str) -> list[str]:
    """The commands that stand under `next`."""
    return re.findall(r"(\w+) swept", out.partition("next  ")[2])


def test_show_goes_by_the_refined_boundary(swept: Swept, capsys: Capture) -> None:
    swept(limited)
    assert main(["show", "swept"]) == 0
    before = words(capsys)
    assert "stable up to learning rate 0.1 (there and below, no trial fails)" in before
    assert main(["refine", "swept", "--quiet"]) == 0
    table = open_result("swept").boundaries
    lowest = {name: own["safe"].min() for name, own in table.groupby("activation")}
    assert main(["show", "swept"]) == 0
    after = words(capsys)
    assert (
        f"stable up to activation relu: learning rate {lowest['relu']:.4g}, refined activation "
        f"tanh: learning rate {lowest['tanh']:.4g}, refined all: learning rate "
        f"{lowest['tanh']:.4g}, refined (there and below, no trial fails)"
    ) in after
    assert "learning rate 0.1" not in after.partition("stable up to")[2].partition("refined")[0]
    span = f"{table['safe'].min():.4g} to {table['safe'].max():.4g}"
    assert f"slice by slice, stable up to a learning rate of {span}" in after


def test_what_refining_does_not_decide_is_of_the_grid(swept: Swept, capsys: Capture) -> None:
    swept(limited)
    assert main(["refine", "swept", "--quiet", "--where", "activation=relu"]) == 0
    assert main(["show", "swept"]) == 0
    out = words(capsys)
    assert "activation tanh: learning rate 0.1 (of the grid)" in out
    assert "all: learning rate 0.1 (of the grid)" in out
    assert "activation relu: learning rate 0.2" in out
    found = json.loads(Path("swept/summary.json").read_text())["refined"]
    assert (found["slices"], found["of"]) == (2, 4)
    assert found["largest_stable_learning_rate"]["overall"] is None
    assert list(found["largest_stable_learning_rate"]["by"]) == ["activation"]
    assert list(found["largest_stable_learning_rate"]["by"]["activation"]) == ["relu"]


def test_the_summary_has_the_refined_boundary_beside_that_of_the_grid(
    swept: Swept, capsys: Capture
) -> None:
    folder = swept(limited)
    before = json.loads((folder / "summary.json").read_text())
    assert before["refined"] is None
    assert main(["refine", "swept", "--quiet"]) == 0
    written = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    assert written["largest_stable_learning_rate"] == before["largest_stable_learning_rate"]
    table = open_result(folder).boundaries
    found = written["refined"]
    assert found["lowest"] == table["safe"].min()
    assert found["highest"] == table["safe"].max()
    assert found["width"] == pytest.approx((table["failing"] / table["safe"]).max() - 1)
    assert (found["slices"], found["of"], found["steps"]) == (4, 4, [6, 6])
    assert found["largest_stable_learning_rate"]["overall"] == found["lowest"]
    assert main(["show", "swept", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (limited, ["refine", "recommend", "confirm", "show", "diagnose"]),
        (lambda _: Outcome.STABLE, ["recommend", "confirm"]),
        (lambda _: Outcome.NONFINITE, ["recommend", "show", "diagnose"]),
        (lambda _: Outcome.CRASHED, []),
    ],
    ids=["bracketed", "none fails", "all fail", "all crashed"],
)
def test_the_commands_that_decide_lead_where_they_have_something_to_do(
    swept: Swept, rule: Callable[[Trial], Outcome], expected: list[str], capsys: Capture
) -> None:
    swept(rule)
    assert main(["show", "swept"]) == 0
    assert named(capsys.readouterr().out) == expected


def test_what_is_refined_is_not_to_be_refined(swept: Swept, capsys: Capture) -> None:
    swept(limited)
    assert main(["refine", "swept", "--quiet"]) == 0
    assert main(["show", "swept"]) == 0
    assert named(capsys.readouterr().out)[:2] == ["recommend", "confirm"]
    assert main(["show", "swept/refined"]) == 0  # no sweep to decide from
    assert named(capsys.readouterr().out) == ["show", "diagnose"]


def test_without_a_learning_rate_there_is_no_boundary(swept: Swept, capsys: Capture) -> None:
    swept(lambda _: Outcome.STABLE, grid={"depth": [1, 2]})
    assert main(["show", "swept"]) == 0
    assert named(capsys.readouterr().out) == ["recommend", "confirm"]
    needs = {
        "boundary": "expected the learning rate as an axis",
        "sensitivity": "expected learning_rate as an axis",
    }
    for kind, message in needs.items():
        assert main(["plot", "swept", "--kind", kind]) == 2
        assert capsys.readouterr().err.startswith(f"error: {kind}: {message}")
    assert not Path("swept/figures").exists()


def test_where_all_crashed_recommend_leads_to_the_reason(swept: Swept, capsys: Capture) -> None:
    swept(lambda _: Outcome.CRASHED)
    assert main(["recommend", "swept"]) == 0
    assert named(capsys.readouterr().out) == ["show"]


def test_recommend_prints_one_thing(swept: Swept, capsys: Capture) -> None:
    swept(limited)
    assert main(["recommend", "swept", "--yaml", "--json"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: --yaml, --json: expected one of the two, got both.\n")


@pytest.mark.parametrize(
    "wrong", [{"margin": "x"}, {"margin": None}, {"count": "x"}, {"count": 1.5}, {"count": 0}]
)
def test_what_is_no_number_is_refused(swept: Swept, wrong: dict[str, Any]) -> None:
    swept(limited)
    (name,) = wrong
    with pytest.raises(UserError, match=rf"^{name}: expected .* of at least 1, got "):
        open_result("swept").recommend(**wrong)
