"""The command `diagnose`: a failed trial is trained again for real, in a process apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import TINY, Inside, write_config

from stabilitysweep import open_result


def ids(result: Path, outcome: str) -> list[str]:
    trials = open_result(result).trials
    found: list[str] = trials.loc[trials["outcome"] == outcome, "trial_id"].tolist()
    return found


def test_a_failed_trial_is_replayed_and_shown(copy: Path, inside: Inside) -> None:
    result = copy / "results" / "tiny"
    trial = ids(result, "nonfinite")[0]
    stored = open_result(result).trial(trial).result
    assert stored.onset is not None
    done = inside("diagnose", "results/tiny", trial[:8], cwd=copy)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"trial {trial}: nonfinite at step {stored.onset.step}"
    assert "replay      same outcome, onset step, stage and tensor as stored" in lines
    assert any(line.startswith("cause       learning_rate_too_high: ") for line in lines)
    assert any("instead of 1e30 all 2 seeds are stable" in line for line in lines)
    assert any(line.endswith("<- first") for line in lines)
    drawn = result / "figures" / f"diagnosis_{trial}.png"
    assert drawn.stat().st_size > 10_000
    assert drawn.with_suffix(".svg").is_file()


@pytest.mark.slow
def test_without_a_trial_representative_ones_are_picked(
    result: Path, tmp_path: Path, inside: Inside
) -> None:
    shutil.copytree(result, tmp_path / "tiny")
    done = inside("diagnose", "tiny", "--json", "--no-figure", "--steps", "1", cwd=tmp_path)
    found: list[dict[str, Any]] = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found
    assert all(each["reproduced"] for each in found)
    assert all(each["picked"] for each in found)
    assert "earliest onset" in found[0]["picked"]
    assert {len(each["steps"]) for each in found} == {1}
    causes = set(open_result(tmp_path / "tiny").trials["cause"].dropna())
    assert {each["cause"] for each in found} == causes
    assert not (tmp_path / "tiny" / "figures" / f"diagnosis_{found[0]['trial_id']}.png").exists()


def test_a_trial_that_did_not_fail_is_no_patient(copy: Path, inside: Inside) -> None:
    result = copy / "results" / "tiny"
    trial = ids(result, "stable")[0]
    done = inside("diagnose", "results/tiny", trial, cwd=copy, code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: trial {trial} did not fail: it is stable. The nearest trial")
    named = line.partition("The nearest trial that did: ")[2].split()[0]
    assert named in ids(result, "nonfinite") + ids(result, "diverged")


def test_an_unknown_trial_lists_close_ids(copy: Path, inside: Inside) -> None:
    known = ids(copy / "results" / "tiny", "stable")[0]
    wrong = known[:4] + "zz"
    done = inside("diagnose", "results/tiny", wrong, cwd=copy, code=2)
    assert f"there is no trial '{wrong}'" in done.stderr
    assert known in done.stderr


@pytest.mark.parametrize("steps", ["0", "two"])
def test_steps_are_a_number(copy: Path, steps: str, inside: Inside) -> None:
    done = inside("diagnose", "results/tiny", "--steps", steps, cwd=copy, code=2)
    assert "expected a whole number, at least 1" in done.stderr


def test_data_that_have_changed_are_refused(tmp_path: Path, inside: Inside) -> None:
    rows = [f"{x},{x * 0.5 + 1}" for x in range(30)]
    (tmp_path / "data.csv").write_text("\n".join(["x,y", *rows]))
    config = {
        **TINY,
        "dataset": {"path": "data.csv", "target": "y"},
        "grid": {"learning_rate": [0.01, 1e30]},
        "seeds": 1,
    }
    write_config(tmp_path, config)
    inside("run", "tiny.yaml", cwd=tmp_path, trained=False)
    trial = ids(tmp_path / "results" / "tiny", "nonfinite")[0]
    (tmp_path / "data.csv").write_text("\n".join(["x,y", *rows[:-5]]))
    done = inside("diagnose", "results/tiny", trial, cwd=tmp_path, code=2)
    assert "data.csv" in done.stderr or "dataset data" in done.stderr
    assert "its content has changed (hash" in done.stderr
    assert "training rows 24 -> 20" in done.stderr
    (tmp_path / "data.csv").unlink()
    done = inside("diagnose", "results/tiny", trial, cwd=tmp_path, code=2)
    assert "data.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_nothing_failed_there_is_nothing_to_show(tmp_path: Path, inside: Inside) -> None:
    config = {**TINY, "grid": {"learning_rate": [0.01]}, "seeds": 1}
    write_config(tmp_path, config)
    inside("run", "tiny.yaml", cwd=tmp_path, trained=False)
    done = inside("diagnose", "results/tiny", cwd=tmp_path)
    assert done.stdout == "nothing failed: none of 1 trial diverged or became non-finite.\n"
    assert json.loads(inside("diagnose", "results/tiny", "--json", cwd=tmp_path).stdout) == []
