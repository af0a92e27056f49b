"""docs/choosing.md: its Python is run, its commands are called, its advice is what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from inline_executor import run_inline

from stabilitysweep import load_config, open_result
from stabilitysweep.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where results/quickstart is, as made up as its trainings are."""
    folder = tmp_path_factory.mktemp("user")
    content = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text(encoding="utf-8"))
    content["training"]["steps"] = 10
    content["grid"]["learning_rate"] = [0.01, 0.1, 0.3, 1.0]
    run_inline(folder / "results/quickstart", content)
    return folder


def test_the_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "choosing.md", "exec"), names)
    assert load_config("pick.yaml").name == "quickstart-pick1"
    assert Path("results/quickstart/figures/stability_picks.png").is_file()
    out = capsys.readouterr().out
    assert "pick precision  depth" in out
    assert "failing" in out
    (other,) = re.findall(r"Several results: `(.*?)`", PAGE)
    assert other.startswith("first.recommend(")


def test_every_command_of_recommend_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    lines = re.findall(r"^    python -m stabilitysweep (recommend [^#\n]*)", PAGE, re.MULTILINE)
    called = 0
    for line in lines:
        words = shlex.split(line)
        if "RESULT_B" in words or "results/NAME-next" in words:
            continue
        words = ["results/quickstart" if word == "RESULT" else word for word in words]
        assert main(words) == 0, line
        called += 1
    assert called == 4
    assert "name: quickstart-pick1" in capsys.readouterr().out


def test_a_notebook_shows_the_picks(folder: Path) -> None:
    shown = open_result(folder / "results/quickstart").recommend()._repr_html_()
    assert shown.startswith("<table")
    assert "safety_cost" in shown
