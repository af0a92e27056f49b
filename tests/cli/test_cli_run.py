"""Running sweeps for real: what is printed, stored, trained again and left alone."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from tiny_sweep import TINY, Inside, same_table, write_config

from stabilitysweep import open_result
from stabilitysweep.cli import main


def test_a_run_says_what_it_does_and_what_came_out(
    base: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = base
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    out = done.stdout
    before, _, after = out.partition("tiny: 32 trials trained in ")
    assert "make_regression, 40 rows x 3 columns" in before
    assert "32 = 2 activation x 2 depth x 4 learning_rate x 2 seeds" in before
    assert "0 of 32" in before
    assert "4 programs" in before
    assert re.match(
        r"[\d.]+ s; training took [\d.]+ s, (a few|about \d+) seconds expected\n", after
    )
    assert re.search(r"stable +24 +75\.0 %", after)
    assert re.search(r"nonfinite +8 +25\.0 %", after)
    assert re.search(r"earliest onset +step 2: activation output became ", after)
    assert "learning_rate=1e30" in after
    assert re.search(r"stable up to +learning rate 0.1\n", after)
    assert re.search(r"figures +results/tiny/figures/stability.png", after)
    assert "python -m stabilitysweep show results/tiny " in after
    for line in after.splitlines():
        assert line == line.rstrip()
        found = re.search(r"results/tiny/\S+\.(png|csv|json)", line)
        if found:
            assert (folder / found[0]).is_file()


def test_nothing_missing_is_said_and_the_files_are_written_again(
    copy: Path, inside: Inside
) -> None:
    result = copy / "results" / "tiny"
    for path in (result / "trials.csv", result / "figures" / "stability.png"):
        path.unlink()
    done = inside("run", "tiny.yaml", cwd=copy)
    assert done.stderr == ""
    assert "32 of 32" in done.stdout
    assert "nothing: every trial is stored" in done.stdout
    assert "tiny: nothing to train" in done.stdout
    assert (result / "trials.csv").is_file()
    assert (result / "figures" / "stability.png").is_file()


def test_a_fresh_run_by_two_workers_gives_the_same_bits(
    copy: Path, result: Path, inside: Inside
) -> None:
    done = inside("run", "tiny.yaml", "--fresh", "--quiet", "--workers", "2", cwd=copy)
    assert (done.stdout, done.stderr) == ("", "")
    new, old = sorted((copy / "results").iterdir())
    assert new.name == "tiny"
    assert old.name.startswith("tiny.")
    same_table(new, result)
    same_table(old, result)


def test_an_extension_trains_what_is_missing_and_a_crash_is_tried_again(
    copy: Path, result: Path, inside: Inside
) -> None:
    database = copy / "results" / "tiny" / "sweep.db"
    before = open_result(result).trials
    crashed = str(before["trial_id"].iloc[5])
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE trials SET outcome = 'crashed', final_loss = NULL, message = 'out of memory' "
            "WHERE trial_id = ?",
            (crashed,),
        )
    connection.close()
    shown = inside("show", "results/tiny", cwd=copy).stdout
    assert "1 trial could not be run" in shown
    assert f"trial {crashed}: out of memory" in shown

    rates = [*TINY["grid"]["learning_rate"], 0.05]
    axes = {"depth": [1], "learning_rate": rates, "l2": [0, 0.01]}
    larger = {**TINY, "seeds": 3, "grid": {**TINY["grid"], **axes}}
    write_config(copy, larger)
    done = inside("run", "tiny.yaml", "--workers", "1", cwd=copy)
    extended = open_result(copy / "results" / "tiny").trials
    assert "15 of 60" in done.stdout  # there are 16 of depth 1, and one of them crashed
    assert len(extended) == 32 + 60 - 16
    kept = extended.loc[extended["trial_id"].isin(before["trial_id"]), before.columns]
    left, right = (table.sort_values("trial_id").reset_index(drop=True) for table in (kept, before))
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def test_a_change_of_meaning_is_refused_with_the_difference(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = (copy / "results" / "tiny" / "sweep.db").read_bytes()
    write_config(copy, {**TINY, "training": {**TINY["training"], "steps": 20}})
    monkeypatch.chdir(copy)
    assert main(["run", "tiny.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: results/tiny: expected a config that extends")
    assert "training.steps: 10 -> 20" in err
    assert "--fresh" in err
    assert (copy / "results" / "tiny" / "sweep.db").read_bytes() == database


@pytest.mark.slow
def test_the_fit_engine_can_be_asked_for(tmp_path: Path, inside: Inside) -> None:
    few = {**TINY, "seeds": 1, "grid": {"learning_rate": [0.01]}}
    write_config(tmp_path, few)
    done = inside("run", "tiny.yaml", "--engine", "fit", "--out", "here", cwd=tmp_path)
    assert done.stderr == ""
    table = open_result(tmp_path / "here").trials
    assert set(table["engine"]) == {"fit"}
    assert table["outcome"].tolist() == ["stable"]
