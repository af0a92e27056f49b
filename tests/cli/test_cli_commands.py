"""check, show, plot and export on a finished result, as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image
from tiny_sweep import PYTHON, TINY, Inside, call, environment, write_config

from stabilitysweep import open_result, rehearsal
from stabilitysweep.cli import main


def listing(folder: Path) -> list[str]:
    """Every file; SQLite's own beside the record come and go."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in found if "sweep.db-" not in name)


def failed_trial(result: Path) -> str:
    table = open_result(result).trials
    return str(table.loc[table["outcome"] == "nonfinite", "trial_id"].iloc[0])


def test_check_prints_the_plan_and_writes_nothing(
    base: tuple[Path, Any], tmp_path: Path, inside: Inside
) -> None:
    folder, _ = base
    before = listing(folder)
    done = inside("check", "tiny.yaml", cwd=folder)
    assert done.stderr == ""
    out = done.stdout
    for part in (
        "make_regression, 40 rows x 3 columns",
        "32 training rows, 8 for validation",
        "target: numbers from ",
        "relu, tanh",
        "0.001, 0.01, 0.1, 1e30",
        "32 = 2 activation x 2 depth x 4 learning_rate x 2 seeds",
        "16, 2 seeds each",
        "32 of 32",
        "nothing: every trial is stored",
        "python -m stabilitysweep run tiny.yaml\n",
    ):
        assert part in out
    elsewhere = inside("check", f"{folder}/tiny.yaml", "--out", "my results", cwd=tmp_path).stdout
    assert "0 of 32" in elsewhere
    assert "32 in 4 programs and 4 stacks, by " in elsewhere
    # A long folder may be broken over two lines.
    assert f"run {folder}/tiny.yaml --out 'my results'" in " ".join(elsewhere.split())
    assert listing(folder) == before
    assert listing(tmp_path) == []


def test_programs_that_are_tried_out_are_told_of_on_stderr(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, TINY)
    quiet = inside("check", "tiny.yaml", cwd=tmp_path)
    assert quiet.stderr == ""
    monkeypatch.setattr(rehearsal, "XLA_SECONDS", 0.0)
    monkeypatch.setattr(rehearsal, "_XLA_SHARE", float("inf"))
    # As if the processes died: nothing comes to be known, so that each command tries anew.
    monkeypatch.setattr(rehearsal, "_apart", lambda function, tryings, *_: [[] for _ in tryings])
    told = inside("check", "tiny.yaml", cwd=tmp_path)
    assert re.fullmatch(r"trying 4 programs out, about \d+ seconds\n", told.stderr)
    assert told.stdout == quiet.stdout
    run = inside("run", "tiny.yaml", "--workers", "1", cwd=tmp_path, trained=False)
    assert run.stderr == told.stderr
    again = inside("run", "tiny.yaml", "--quiet", "--fresh", cwd=tmp_path, trained=False)
    assert (again.stdout, again.stderr) == ("", "")


def test_check_warns_of_inputs_that_are_not_finite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{i},{'nan' if i < 3 else i},{'inf' if i == 5 else 1},{i}\n" for i in range(20))
    (tmp_path / "gaps.csv").write_text("a,b,c,y\n" + rows)
    path = write_config(tmp_path, {**TINY, "dataset": {"path": "gaps.csv", "target": "y"}})
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "audit of gaps: 2 critical" in out
    assert "missing_values: b\n" in out
    assert "3 of 20 values are missing" in out
    assert "infinite_values: c\n" in out
    assert "1 of 20 values is infinite (1 +Inf)" in out


def test_show_prints_the_summary(base: tuple[Path, Any], inside: Inside) -> None:
    done = inside("show", "results/tiny", cwd=base[0])
    assert done.stderr == ""
    for part in ("sweep       tiny", "2 activation x 2 depth x 4 learning_rate", "75.0 %", "onset"):
        assert part in done.stdout


def test_show_prints_a_trial_with_its_curve(
    base: tuple[Path, Any], result: Path, inside: Inside
) -> None:
    trial = failed_trial(result)
    done = inside("show", "results/tiny", trial[:10], cwd=base[0])
    assert done.stderr == ""
    for part in (
        f"trial {trial}: nonfinite at step ",
        "activation=relu, depth=1, learning_rate=1e30, seed=0",
        "batch loss by step",
        "<- onset",
        "┊ onset (step ",
    ):
        assert part in done.stdout
    old = call("show", "results/tiny", trial, cwd=base[0], PYTHONIOENCODING="ascii")
    assert ": onset (step " in old.stdout
    assert old.stdout.isascii()


def test_show_prints_strict_json(base: tuple[Path, Any], result: Path, inside: Inside) -> None:
    summary = inside("show", "results/tiny", "--json", cwd=base[0])
    loaded = json.loads(summary.stdout, parse_constant=pytest.fail)
    assert loaded["outcomes"]["stable"] == 24
    assert loaded == json.loads((result / "summary.json").read_text())
    trial = failed_trial(result)
    one = inside("show", "results/tiny", trial, "--json", cwd=base[0])
    loaded = json.loads(one.stdout, parse_constant=pytest.fail)
    assert loaded["trial_id"] == trial
    assert loaded["final_loss"] == "nan"
    assert loaded["onset"]["step"] >= 1
    assert len(loaded["trace"]["loss"]) == len(loaded["trace"]["steps"])
    assert loaded["settings"]["learning_rate"] == 1e30


def test_plot_draws_what_was_chosen(base: tuple[Path, Any], tmp_path: Path, inside: Inside) -> None:
    words = ["plot", base[0] / "results" / "tiny", "--out", "maps", "--kind", "onset"]
    words += ["--x", "learning_rate", "--y", "activation", "--where", "depth=2"]
    done = inside(*words, cwd=tmp_path)
    assert done.stderr == ""
    paths = done.stdout.splitlines()
    assert [Path(path).suffix for path in paths] == [".png", ".svg"]
    assert all((tmp_path / path).is_file() for path in paths)
    with Image.open(tmp_path / paths[0]) as image:
        assert image.width > 500
    assert listing(tmp_path / "maps") == sorted(Path(path).name for path in paths)


def test_plot_goes_into_the_result_and_pools(copy: Path, inside: Inside) -> None:
    before = listing(copy)
    inside("plot", "results/tiny", "--pool", "activation", "--pool", "depth", cwd=copy)
    new = set(listing(copy)) - set(before)
    stem = "results/tiny/figures/stability_pool-activation-depth"
    assert new == {f"{stem}.png", f"{stem}.svg"}


def test_export_writes_the_table_in_every_format(
    base: tuple[Path, Any], result: Path, tmp_path: Path, inside: Inside
) -> None:
    text = inside("export", "results/tiny", cwd=base[0]).stdout
    assert text == (result / "trials.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(text)))) == 32

    rows = json.loads(
        inside("export", result, "--format", "json", cwd=tmp_path).stdout,
        parse_constant=pytest.fail,
    )
    assert len(rows) == 32
    assert rows[0]["final_loss_scale"] is None
    assert rows[0]["onset_step"] is None
    assert {type(row["seed"]) for row in rows} == {int}

    for words in (["--out", "t.parquet"], ["--out", "t.txt", "--format", "json"]):
        assert inside("export", result, *words, cwd=tmp_path).stdout == ""
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert table["trial_id"].tolist() == [row["trial_id"] for row in rows]
    assert json.loads((tmp_path / "t.txt").read_text()) == rows
    piped = subprocess.run(
        [*PYTHON, "export", result, "--format", "parquet"],
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert piped.stdout == (tmp_path / "t.parquet").read_bytes()
    assert piped.stderr == b""


def test_a_reader_that_stops_is_no_error(result: Path) -> None:
    for words in (["export", str(result)], ["show", str(result)]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*PYTHON, *words], env=environment(), stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


def test_an_unfinished_result_can_be_shown(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    larger = {**TINY, "seeds": 4}
    (copy / "tiny.yaml").write_text(yaml.safe_dump(larger))
    assert main(["check", str(copy / "tiny.yaml"), "--out", str(copy / "results" / "tiny")]) == 0
    assert "32 of 64" in capsys.readouterr().out
