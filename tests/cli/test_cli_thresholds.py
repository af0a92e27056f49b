"""`--stable-below` and `--diverged-above`: other outcomes, nothing trained, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from stabilitysweep import Thresholds, open_result
from stabilitysweep.cli import main


def test_show_and_export_judge_anew_and_say_so(
    result: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = open_result(result, Thresholds(0.5, 2.0)).trials["outcome"]
    assert expected.tolist() != open_result(result).trials["outcome"].tolist()
    options = ["--stable-below", "0.5", "--diverged-above", "2"]
    assert main(["show", str(result), *options]) == 0
    assert "stable below 0.5, diverged above 2" in capsys.readouterr().out
    assert main(["show", str(result), "--json", *options]) == 0
    counted = json.loads(capsys.readouterr().out)["outcomes"]
    for outcome, count in expected.value_counts().items():
        assert counted[outcome] == count
    target = tmp_path / "judged.csv"
    assert main(["export", str(result), "--out", str(target), *options]) == 0
    assert pd.read_csv(target)["outcome"].tolist() == expected.tolist()


def test_a_figure_judged_anew_has_a_name_of_its_own(
    result: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["plot", str(result), "--stable-below", "0.5", "--out", str(tmp_path)]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.split()]
    assert len(names) == 2 and "stability.png" not in names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", "expected a number, got 'abc'."),
        ("nan", "expected 0 < stable_below <= diverged_above"),
        ("3", "expected 0 < stable_below <= diverged_above"),
    ],
)
def test_a_wrong_threshold_is_refused(
    result: Path, capsys: pytest.CaptureFixture[str], value: str, message: str
) -> None:
    assert main(["show", str(result), "--stable-below", value]) == 2
    assert message in capsys.readouterr().err


def test_a_trial_is_shown_with_the_settings_it_shares_with_all(
    result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = str(open_result(result).trials["trial_id"].iloc[0])
    assert main(["show", str(result), trial]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for part in ("dataset=make_regression", "width=4", "optimizer=sgd", "steps=10", "batch_size=8"):
        assert part in printed
    assert "depth=1, learning_rate=" in printed and "dropout" not in printed
