"""plot of every kind, with the picks, its data as a table; export of the tables that follow."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_sweep import ROOT

from stabilitysweep import open_result
from stabilitysweep.analysis import StabilityMap
from stabilitysweep.cli.entry import main
from stabilitysweep.errors import ResultError
from stabilitysweep.result import KINDS, Result
from stabilitysweep.result.pictures import ALWAYS_DRAWN, LACKING

RATES = (0.001, 0.01, 0.1, 1e30)
VOID = {"br", "hr", "img", "input", "meta", "link"}


@pytest.fixture(scope="module")
def opened(result: Path) -> Result:
    return open_result(result)


def plot(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    assert main(["plot", *map(str, words)]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LACKING])
def test_every_kind_is_drawn_and_its_data_written(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data = tmp_path / "shown.csv"
    words = plot(capsys, result, "--kind", kind, "--out", tmp_path / "f", "--data", data)
    assert words.split() == [
        str(tmp_path / "f" / f"{kind}.png"), str(tmp_path / "f" / f"{kind}.svg"), str(data),
    ]  # fmt: skip
    assert all(Path(line).stat().st_size > 0 for line in words.split())
    shown = open_result(result).figure_data(kind).to_frame()
    pd.testing.assert_frame_equal(pd.read_csv(data), shown, check_dtype=False)


def test_a_run_draws_the_maps_one_looks_at_first(result: Path) -> None:
    drawn = {path.name for path in (result / "figures").iterdir()}
    assert drawn >= {f"{kind}.{ending}" for kind in ALWAYS_DRAWN for ending in ("png", "svg")}
    assert "learning" in ALWAYS_DRAWN


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_the_ending_says_the_format(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    data = tmp_path / f"shown.{ending}"
    plot(capsys, result, "--pool", "activation", "--out", tmp_path / "f", "--data", data)
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}[ending](data)
    assert len(read) == 8  # depth by learning rate
    assert read["trials"].tolist() == [4] * 8
    assert read.loc[read["learning_rate"] == 1e30, "stability"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--data", "shown.txt"], ["shown.txt", ".csv, .parquet, .json"]),
        (["--data", "no/such/shown.csv"], ["shown.csv"]),
        (["--by", "depth"], ["by", "boundary or sensitivity", "'stability'"]),
        (["--kind", "boundary", "--y", "depth"], ["y: expected a map", "'boundary'"]),
        (["--kind", "boundary", "--theory"], ["theory: expected a map"]),
        (["--kind", "sensitivity", "--picks"], ["picks: expected a map"]),
        (["--kind", "boundary", "--x", "learning_rate"], ["other than the learning rate"]),
        (["--kind", "boundary", "--by", "width"], ["by: expected an axis", "'width'"]),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_written(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], parts: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    message = plot(capsys, result, "--out", "f", *words, code=2)
    assert all(part in message for part in parts), message
    assert list(tmp_path.iterdir()) == []


def test_the_boundary_goes_along_the_axis_that_was_chosen(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--kind", "boundary", "--x", "activation", "--by", "depth", "--out", str(tmp_path)]
    plot(capsys, result, *words, "--data", str(tmp_path / "b.json"))
    assert (tmp_path / "boundary_x-activation_by-depth.png").is_file()
    rows = json.loads((tmp_path / "b.json").read_text())
    assert [(row["activation"], row["depth"]) for row in rows] == [
        ("relu", 1), ("tanh", 1), ("relu", 2), ("tanh", 2),
    ]  # fmt: skip
    assert all(row["safe"] == 0.1 and row["failing"] == 1e30 for row in rows)


def test_picks_are_drawn_from_python_and_named_in_the_file(opened: Result, tmp_path: Path) -> None:
    pick = SimpleNamespace(axes={"learning_rate": 0.01, "depth": 2, "activation": "tanh"})
    drawn = opened.plot("learning", tmp_path, picks=[pick, {"learning_rate": 0.1, "depth": 1}])
    assert [path.name for path in drawn] == ["learning_picks.png", "learning_picks.svg"]
    data = opened.figure_data("learning", picks=[pick])
    assert isinstance(data, StabilityMap) and data.picks is not None and data.picks.sum() == 1
    with pytest.raises(ResultError, match="picks: expected an axis"):
        opened.plot("learning", tmp_path, picks=[{"width": 3}])


def test_recommended_picks_are_marked(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "shown.csv"
    plot(capsys, result, "--picks", "--out", tmp_path, "--data", data)
    assert (tmp_path / "stability_picks.png").is_file()
    shown = pd.read_csv(data)
    picks = open_result(result).recommend().picks
    for rank, pick in enumerate(picks, start=1):
        cell = np.logical_and.reduce([shown[name] == value for name, value in pick.axes.items()])
        assert shown.loc[cell, "pick"].tolist() == [rank]
    assert picks and (shown["pick"] > 0).sum() == len(picks)


def test_the_example_of_the_page_works(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "figures.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    shutil.copytree(result, tmp_path / "results" / "quickstart")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert (tmp_path / "shown.csv").is_file()
    assert (tmp_path / "results/quickstart/figures/stability_picks.png").is_file()


def test_export_writes_the_tables_that_follow(
    result: Path, opened: Result, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["export", str(result), "--table", "boundaries"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split(",") == list(opened.boundaries.columns) and len(rows) == 4
    target = tmp_path / "s.parquet"
    assert main(["export", str(result), "--table", "sensitivity", "--out", str(target)]) == 0
    read = pd.read_parquet(target)
    assert list(read.columns) == list(opened.sensitivity.columns)
    assert (read["sensitivity"] > 0).all() and (read["relative_sensitivity"] <= 1).all()
    assert (read["steps"] == 10).all() and (read["safe"] == 0.1).all()


def test_sensitivity_may_be_taken_over_a_part_of_the_rates(opened: Result) -> None:
    part = opened.sensitivity_between((0.001, 0.1))
    assert (part["rates"] == 3).all() and (opened.sensitivity["rates"] == 4).all()
    assert (part["sensitivity"] < opened.sensitivity["sensitivity"]).all()  # 1e30 always fails
    with pytest.raises(ResultError, match="expected a range"):
        opened.sensitivity_between((2.0, 3.0))


class Checker(HTMLParser):
    """Every tag closed in order; nothing fetched, run or styled."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "style", "link", "img", "iframe")
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_a_notebook_shows_counts_boundary_and_some_trials(opened: Result) -> None:
    checker = Checker()
    checker.feed(opened._repr_html_())
    assert checker.open == []
    words = checker.text
    assert "Largest stable learning rate within 10 steps: 0.1" in words and "tiny" in words
    for outcome, count in opened.summary.outcomes.items():
        assert f" {outcome} {count}" in " ".join(words.split())
    assert f"{len(opened.trials)} trials" in words
    assert opened.trials["trial_id"].iloc[0] in words


def test_text_of_a_users_own_is_escaped_in_a_notebook(opened: Result) -> None:
    from stabilitysweep.result.notebook import result_html

    trials = opened.trials.assign(activation='<script>"&')
    words = result_html("<b>", {**opened.axes, "<i>": (1,)}, opened.summary, trials)
    Checker().feed(words)
    assert "&lt;b&gt;" in words and "&lt;i&gt;" in words and "&lt;script&gt;" in words


def test_an_incomplete_result_is_shown(result: Path) -> None:
    for kind, missing in ((Partial, "16"), (Empty, "32")):
        checker = Checker()
        checker.feed(kind(result)._repr_html_())
        assert checker.open == []
        assert f"not run yet {missing}" in " ".join(checker.text.split())
    for kind in ("stability", "learning", "best_loss", "cause", "boundary", "sensitivity"):
        assert len(Empty(result).figure_data(kind).to_frame())
        assert len(Partial(result).figure_data(kind).to_frame())


def test_combinations_that_train_the_same_count_as_those(result: Path) -> None:
    table = Alike(result).sensitivity.set_index(["activation", "depth"])
    assert len(table) == 4
    pd.testing.assert_series_equal(table.loc["relu", 2], table.loc["relu", 1], check_names=False)
    assert table.loc[("relu", 1), "sensitivity"] != table.loc[("tanh", 1), "sensitivity"]


class Alike(Result):
    """A result in which depth 2 trains the same as depth 1 under relu, and was not trained."""

    @property
    def models(self) -> dict[str, Any]:
        axes = {"activation": ("relu", "tanh"), "depth": (1, 2), "learning_rate": RATES}
        alike = [(("relu", 2, rate), ("relu", 1, rate)) for rate in RATES]
        return {"alike": alike, "axes": axes, "trials": 24, "beside": 0, "failed": ()}

    @property
    def trials(self) -> pd.DataFrame:  # type: ignore[override]
        table = super().trials
        return table[(table["activation"] == "tanh") | (table["depth"] == 1)]


class Partial(Result):
    """A result that lacks half of its trials."""

    @property
    def trials(self) -> pd.DataFrame:  # type: ignore[override]
        return super().trials.iloc[::2].reset_index(drop=True)


class Empty(Result):
    """A result without a trial."""

    @property
    def trials(self) -> pd.DataFrame:  # type: ignore[override]
        return super().trials.head(0)
