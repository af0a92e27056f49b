"""The command `compare` from end to end, on results that an inline executor made up."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inline_executor import FAILING, InlineExecutor, run_inline

import stabilitysweep
from stabilitysweep import Comparison, ResultError, open_result
from stabilitysweep.cli import entry
from stabilitysweep.executors import StackDone

CONFIG: dict[str, Any] = {
    "name": "one",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, FAILING, 10.0]},
    "seeds": 2,
}
SETS = [{**CONFIG["dataset"], "label": "left"}, {"name": "diabetes", "label": "right"}]
CLI = Callable[..., tuple[int, str, str]]


class Stopped(InlineExecutor):
    """Stops after its first stack, as a run that is interrupted."""

    def train(self, jobs: Any, data: Any) -> Iterator[StackDone]:  # type: ignore[override]
        yield next(iter(super().train(jobs, data)))


class Idle(InlineExecutor):
    """Stops before its first stack."""

    def train(self, jobs: Any, data: Any) -> Iterator[StackDone]:  # type: ignore[override]
        yield from ()


def with_grid(config: Mapping[str, Any], **axes: Any) -> dict[str, Any]:
    return {**config, "grid": {**config["grid"], **axes}}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results that are not to be written to."""
    folder = tmp_path_factory.mktemp("compared")
    training = {**CONFIG["training"], "steps": 12}
    run_inline(folder / "one", CONFIG)
    run_inline(folder / "more", with_grid({**CONFIG, "training": training}, depth=[2, 4]))
    run_inline(folder / "sets", {**CONFIG, "dataset": SETS})
    run_inline(folder / "wide", {**CONFIG, "grid": {"width": [2, 4]}})
    shutil.copytree(folder / "one", folder / "same")
    return folder


@pytest.fixture
def copied(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(results, tmp_path / "r")
    monkeypatch.chdir(tmp_path / "r")
    return tmp_path / "r"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CLI:
    def call(*words: str | Path) -> tuple[int, str, str]:
        code = entry.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_two_results_are_compared_drawn_and_written(copied: Path, cli: CLI) -> None:
    code, out, err = cli("compare", "one", "more")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "depth: not in all, so left out: one: 1; more: 4" in words
    assert "steps: one 6, more 12" in words
    assert "stable in all 2 50.0 %" in words
    assert "one more 1.000 +0.000 -1.000 to +1.000" in words
    assert "none: all break alike" in words
    assert "up to learning rate 0.1 everywhere, for 6 steps and 12 steps" in words
    stem = "compare_one_more"
    written = files(copied / "one" / "figures")
    assert written == {f"{stem}.{ending}" for ending in ("png", "svg", "csv", "json")}
    table = pd.read_csv(copied / "one" / "figures" / f"{stem}.csv")
    assert list(table["agreement"]) == ["all", "all", "none", "none"]
    assert f"figures/{stem}.png" in out


def test_identical_results_overlap_wholly(copied: Path, cli: CLI) -> None:
    code, out, _ = cli("compare", "one", "same", "--json", "--out", "elsewhere")
    content = json.loads(out)
    assert code == 0
    assert [each["overlap"] for each in content["overlaps"]] == [1.0]
    assert content["shifts"][0]["decades"] == 0
    assert content["differences"] == {}
    assert content["fragility"]["most_fragile"] is None
    assert json.loads((copied / "elsewhere" / "compare_one_same.json").read_text()) == content
    assert files(copied / "one" / "figures") == set()


def test_the_data_sets_of_one_result_are_compared(copied: Path, cli: CLI) -> None:
    code, out, _ = cli("compare", "sets", "--x", "learning_rate", "--where", "depth=2")
    assert code == 0
    assert "one (6 steps): where training is stable, 2 data sets" in out
    assert "left  right" in out
    stem = "compare_dataset_x-learning_rate_depth=2"
    assert f"{stem}.png" in files(copied / "sets" / "figures")
    # Beside a result of one data set, its own data sets stand apart.
    code, out, _ = cli("compare", "one", "sets", "--json")
    assert [member["name"] for member in json.loads(out)["members"]] == [
        "one",
        "sets: left",
        "sets: right",
    ]
    # Of another axis, if asked for.
    code, out, _ = cli("compare", "one", "--by", "depth", "--json")
    assert [member["name"] for member in json.loads(out)["members"]] == ["1", "2"]


def test_a_shared_data_set_is_an_axis_as_any_other(copied: Path, cli: CLI) -> None:
    shutil.copytree("sets", "again")
    code, out, _ = cli("compare", "sets", "again", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["axes"]["dataset"] == ["left", "right"]
    assert len(content["members"]) == 2


def test_an_incomplete_result_says_what_is_missing(copied: Path, cli: CLI) -> None:
    run_inline(copied / "part", CONFIG, Stopped())
    code, out, _ = cli("compare", "one", "part")
    words = " ".join(out.split())
    assert code == 0
    assert "warning: not complete, so cells are not measured: part 8 trials to be run." in words
    assert "not measured 4 50.0 %" in words
    found = stabilitysweep.compare("one", "part")
    assert found.overlaps[0].overlap == 1.0
    assert found.overlaps[0].measured < found.agreement.size
    run_inline(copied / "fewer", {**CONFIG, "seeds": 1})
    run_inline(copied / "fewer", {**CONFIG, "seeds": 3}, Idle())
    content = stabilitysweep.compare("one", "fewer").to_json()
    assert content["members"][1]["missing"] == 16
    assert content["cells"] == {"all": 0, "some": 0, "none": 4, "not measured": 4}
    assert content["differences"]["seeds"] == {"one": 2, "fewer": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one"], "expected a second result, or one with the data set as an axis"),
        (["one", "one/../one"], "expected different results, got one folder twice"),
        (["one", "wide"], "expected an axis in common, got axes one: depth, learning_rate; wide:"),
        (["one", "nowhere"], "nowhere: expected a result folder"),
        (["one", "empty"], "a folder without sweep.db"),
        (["one", "file"], "got a file"),
        (["one", "damaged"], "damaged"),
        (["one", "foreign"], "foreign"),
        (["one", "more", "--where", "depth=1"], "where depth, more: expected one of the values"),
        (["one", "more", "--where", "dept=1"], "Did you mean 'depth'"),
        (["one", "more", "--x", "width"], "x: expected an axis"),
        (["one", "more", "--by", "dataset"], "by: expected an axis of the results"),
        (["one", "same", "--out", "file"], "file"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    copied: Path, cli: CLI, words: list[str], message: str
) -> None:
    (copied / "empty").mkdir()
    (copied / "file").write_text("not a result")
    for name in ("damaged", "foreign"):
        (copied / name).mkdir()
    (copied / "damaged" / "sweep.db").write_bytes(b"SQLite format 3\0" + b"\1" * 4_000)
    with sqlite3.connect(copied / "foreign" / "sweep.db") as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    code, out, err = cli("compare", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert files(copied / "one" / "figures") == set()


def test_a_folder_that_cannot_be_written_keeps_nothing(
    copied: Path, cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    # After the pictures: these are there by then, and must not stay.
    monkeypatch.setattr("stabilitysweep.result.compared.write_csv", full)
    code, out, err = cli("compare", "one", "same", "--out", "elsewhere")
    assert (code, out) == (2, "")
    assert "No space left on device" in err
    assert files(copied / "elsewhere") == set()


def test_a_result_that_cannot_be_written_to_is_compared_all_the_same(
    copied: Path, cli: CLI
) -> None:
    (copied / "one" / "figures").write_text("in the way")
    code, out, err = cli("compare", "one", "same")
    assert code == 0
    assert "1.000" in out
    assert "figure " not in out
    assert err.startswith("warning: one/figures: expected a place that can be written")


def test_the_python_interface_compares_paths_and_results(copied: Path) -> None:
    found = stabilitysweep.compare(copied / "one", open_result(copied / "more"))
    assert isinstance(found, Comparison)
    assert found.names == ("one", "more")
    assert files(copied / "one" / "figures") == set()
    again = open_result("one").compare(open_result("more"), where={"depth": 2})
    assert list(again.axes) == ["learning_rate"]
    stabilitysweep.compare("one", "more", out="drawn", y="depth")
    assert "compare_one_more_y-depth.svg" in files(copied / "drawn")
    with pytest.raises(ResultError, match="got none"):
        stabilitysweep.compare()
    # Folders of one name are told apart by those above them.
    shutil.copytree("same", "deeper/one")
    assert open_result("one").compare(open_result("deeper/one")).names == ("r/one", "deeper/one")
