"""recommend: what it prints, what it writes, and that what it prints can be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import Inside

from stabilitysweep import load_config, open_result
from stabilitysweep.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long paths stay in one line."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.mark.slow
def test_the_config_that_is_printed_trains_the_pick(
    base: tuple[Path, Any], result: Path, tmp_path: Path, inside: Inside
) -> None:
    printed = inside("recommend", "results/tiny", "--yaml", cwd=base[0])
    assert printed.stderr == ""
    (tmp_path / "pasted.yaml").write_text(printed.stdout)
    inside("run", "pasted.yaml", "--workers", "1", cwd=tmp_path)
    picked = open_result(tmp_path / "results" / "tiny-pick1")
    stored = open_result(result).trials
    assert len(picked.trials) == 2
    assert set(picked.trials["trial_id"]) <= set(stored["trial_id"])
    assert (picked.trials["outcome"] == "stable").all()


def test_picks_are_printed_with_their_evidence_and_a_config(result: Path, capsys: Output) -> None:
    assert main(["recommend", str(result)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for part in (
        "3 picks of ",
        "lowest val_loss first",
        "pick 1 pick 2 pick 3",
        "learning_rate 0.01",
        "cost of safety",
        "stable up to 0.1",
        "fails at 1e30",
        "margin x 10",
        "in decades 1.00",
        "best anywhere val_loss ",
        "2 of 2 seeds stable",
        "2 seeds a cell, 10 steps",
        "warning: 2 seeds say little of others",
        "pick 1 as a config # Pick 1 of ",
        " name: tiny-pick1 dataset: ",
        f"confirm {result}",
    ):
        assert part in out, part


def test_another_pick_is_shown_and_written(result: Path, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "new" / "pick.yaml"
    assert main(["recommend", str(result), "--pick", "4", "--out", str(file)]) == 0
    out = capsys.readouterr().out
    assert "pick 4 as a config" in out
    assert f"run {file}" in " ".join(out.split())
    config = load_config(file)
    assert config.name == "tiny-pick4"
    fourth = open_result(result).recommend(count=4).picks[3]
    assert config.grid["learning_rate"] == (fourth.rate,)
    assert file.read_text() in out


def test_json_is_strict_and_complete(result: Path, capsys: Output) -> None:
    assert main(["recommend", str(result), "--json", "--count", "2"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert len(found["picks"]) == 2
    assert found["picks"][0]["axes"]["learning_rate"] == 0.01
    assert found["picks"][0]["config"].startswith("# Pick 1")
    assert (found["written"], found["reason"], found["margin"]) == (None, None, 2)


def test_a_metric_and_a_held_axis_are_taken(result: Path, capsys: Output) -> None:
    words = ["--metric", "val_mae", "--where", "depth=2", "--margin", "1", "--json"]
    assert main(["recommend", str(result), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "val_mae"
    assert {pick["axes"]["depth"] for pick in found["picks"]} == {2}


def test_without_a_safe_cell_the_next_config_is_written(copy: Path, capsys: Output) -> None:
    folder = copy / "results" / "tiny"
    words = ["--margin", "1e6", "--where", "activation=relu", "--where", "depth=1"]
    assert main(["recommend", str(folder), *words]) == 0
    out = " ".join(capsys.readouterr().out.split())
    file = folder / "next.yaml"
    for part in (
        "No cell is safe. Of 4, 1 fails for at least one seed; 3 are stable, but not known to be ",
        "change more learning rates from ",
        "steps instead of 10",
        "the config to run next # After ",
        f"run {file} ",
        "--where activation=relu --where depth=1 --margin 100",
    ):
        assert part in out, part
    config = load_config(file)
    assert (config.name, config.grid["depth"]) == ("tiny-next", (1,))
    assert config.grid["activation"] == ("relu",)
    assert main(["check", str(file)]) == 0
    assert main(["show", str(folder)]) == 0  # the folder is the result it was


def test_the_next_config_may_go_elsewhere(result: Path, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "next.yaml"
    words = ["recommend", str(result), "--margin", "1e6", "--out", str(file), "--yaml"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == file.read_text()
    assert printed.err.startswith("warning: no cell is safe")
    assert not (result / "next.yaml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--margin", "0.5"], "margin: expected a factor of at least 1, got 0.5"),
        (["--margin", "much"], "expected a number of at least 1, got 'much'"),
        (["--metric", "val_r2"], "expected one that was measured (final_loss, val_loss, val_mae)"),
        (["--where", "depth"], "--where: expected AXIS=VALUE, got 'depth'"),
        (
            ["--where", "depth=7"],
            "where depth: expected one of the values of depth (1, 2), got '7'",
        ),
        (["--pick", "99"], "--pick: expected at most "),
        (["--out", "."], "--out: expected a file, got a folder"),
        (["nothing"], "nothing: expected a result folder"),
    ],
)
def test_what_cannot_be_used_is_refused(
    result: Path, capsys: Output, words: list[str], message: str
) -> None:
    assert main(["recommend", str(result), *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err


def test_show_and_run_say_what_is_next(
    base: tuple[Path, Any], result: Path, capsys: Output
) -> None:
    assert main(["show", str(result)]) == 0
    assert f"recommend {result}" in " ".join(capsys.readouterr().out.split())
    assert "recommend results/tiny\n" in base[1].stdout
