"""plot --theory on a finished result, and what it says where theory has no place."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabilitysweep import open_result
from stabilitysweep.cli import main


def test_plot_draws_the_limit_into_a_file_of_its_own(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(result), "--theory", "--out", str(tmp_path)]) == 0
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in drawn] == ["stability_theory.png", "stability_theory.svg"]
    assert "theory&#39;s limit" in drawn[1].read_text() or "theory's limit" in drawn[1].read_text()


def test_every_trial_of_the_sweep_has_a_limit(result: Path) -> None:
    table = open_result(result).trials
    limits = table["critical_learning_rate"]
    assert limits.notna().all() and (limits > 0).all()
    # It depends on the model and its initial weights, not on the learning rate.
    groups = table.groupby(["activation", "depth", "seed"])["critical_learning_rate"]
    assert (groups.nunique() == 1).all() and groups.first().nunique() == len(groups)


def test_show_tells_a_trials_limit(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = open_result(result).trials.iloc[0]
    assert main(["show", str(result), first["trial_id"]]) == 0
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("theory")]
    words = line.split()
    assert words[1:4] == ["learning", "rate", "below"]
    assert float(words[4]) == pytest.approx(first["critical_learning_rate"], rel=1e-2)


def test_a_limit_beside_another_axis_is_the_users_error(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plot", str(result), "--theory", "--x", "depth", "--out", str(tmp_path)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "expected the learning rate along x" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
