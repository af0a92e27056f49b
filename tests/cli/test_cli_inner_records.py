"""The records that `refine` and `confirm` add to a result: damaged, empty, not to be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruled_executor import RuledExecutor

from stabilitysweep import execution
from stabilitysweep.api import plan
from stabilitysweep.cli import main
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.folder import is_begun, locked, made_by
from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome

Capture = pytest.CaptureFixture[str]

CONFIG: dict[str, Any] = {
    "name": "inner",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "model": {"width": 2},
    "training": {"steps": 6},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.03, 0.1, 1]},
    "seeds": 2,
}
CONFIRMED = Path("swept/confirmed/12_steps")
INNER = {"refine": Path("swept/refined"), "confirm": CONFIRMED}
CONFIRM = ["confirm", "swept", "--steps", "12", "--seeds", "1", "--quiet"]
REFINE = ["refine", "swept", "--quiet"]


def rule(trial: Trial) -> Outcome:
    return Outcome.STABLE if trial.training.learning_rate < 0.25 else Outcome.NONFINITE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result `swept` that was refined and confirmed; not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "LocalExecutor", RuledExecutor(rule))
        patch.chdir(folder)
        carry_out(plan(CONFIG, "swept", Options()))
        assert main(REFINE) == 0
        assert main(CONFIRM) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(execution, "LocalExecutor", RuledExecutor(rule))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def damage(record: Path, how: str) -> None:
    content = record.read_bytes()
    match how:
        case "text":
            record.write_bytes(b"no database")
        case "long text":
            record.write_bytes(b"no database" * 1000)
        case "one page":
            record.write_bytes(content[:4096])
        case "cut":
            record.write_bytes(content[:9000])


@pytest.mark.parametrize("how", ["text", "long text", "one page", "cut"])
@pytest.mark.parametrize("made_by", INNER)
@pytest.mark.usefixtures("here")
def test_a_damaged_one_is_told_of_and_how_to_make_it_again(
    made_by: str, how: str, capsys: Capture
) -> None:
    place = INNER[made_by]
    damage(place / "sweep.db", how)
    shown = [["show", "swept"], ["show", str(place)]]
    uses: dict[str, list[list[str]]] = {
        "refine": [*shown, ["recommend", "swept"], CONFIRM, ["plot", "swept", "--picks"], REFINE],
        "confirm": [*shown, CONFIRM],
    }
    for words in uses[made_by]:
        assert main(words) == 2, words
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {place}/sweep.db")
        assert f"Delete {place} and run {made_by} again." in err
        assert "--" not in err
        assert err.count("\n") == 1
    shutil.rmtree(place)
    assert main(REFINE if made_by == "refine" else CONFIRM) == 0
    assert main(["show", "swept"]) == 0


@pytest.mark.parametrize("left", [None, b""])
@pytest.mark.usefixtures("here")
def test_one_without_a_record_is_as_if_not_there(left: bytes | None, capsys: Capture) -> None:
    for place in INNER.values():
        for path in place.glob("sweep.db*"):
            path.unlink()
        if left is not None:
            (place / "sweep.db").write_bytes(left)
        assert not is_begun(place)
    assert main(["show", "swept"]) == 0
    out = capsys.readouterr().out
    assert "refined  " not in out
    assert "confirmed  " not in out
    assert main(["recommend", "swept"]) == 0


@pytest.mark.usefixtures("here")
def test_the_record_of_a_sweep_names_no_option_of_other_commands(capsys: Capture) -> None:
    damage(Path("swept/sweep.db"), "cut")
    for words in (["show", "swept"], ["recommend", "swept"], ["compare", "swept"], REFINE, CONFIRM):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "the record is damaged. Restore it from a copy" in err
        assert "run the sweep again" in err
        assert "--" not in err


@pytest.mark.usefixtures("here")
def test_one_that_is_in_use_cannot_be_had_elsewhere(capsys: Capture) -> None:
    for (name, place), words in zip(INNER.items(), (REFINE, CONFIRM), strict=True):
        assert made_by(place) == name
        more = {"refine": ["--tolerance", "0.01"], "confirm": ["--seeds", "2"]}[name]
        with locked(place):
            assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert err.endswith("another run is writing to this result. Wait for it to end.\n")
    assert made_by(Path("swept")) is None
    assert made_by(Path("elsewhere/refined")) is None


@pytest.mark.usefixtures("here")
def test_one_that_cannot_be_written_cannot_be_had_elsewhere(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in INNER.values():
        shutil.rmtree(place)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write anywhere
    for place, words in zip(INNER.values(), (REFINE, CONFIRM), strict=True):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert f"{place}: expected a place that can be written, got: Permission denied" in err
        assert err.endswith(f"Make room, and let {place} be written to.\n")
