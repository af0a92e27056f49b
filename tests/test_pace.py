"""How fast this machine is: learnt from runs, and never in the way of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stabilitysweep import pace

KIND = "sweeps.some:build"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "stabilitysweep" / "pace.json"


def test_the_median_of_the_last_runs_stands_for_the_next() -> None:
    assert pace.factor(KIND) == 1.0
    for seconds in (20.0, 90.0, 30.0):
        pace.learn(KIND, 10.0, seconds)
    assert pace.factor(KIND) == 3.0
    assert pace.factor("mlp") == 1.0  # other models cost otherwise
    for _ in range(pace.KEPT):
        pace.learn(KIND, 100.0, 50.0)
    assert pace.factor(KIND) == 0.5


def test_what_was_all_start_up_or_expected_nothing_is_not_learnt_from(cache: Path) -> None:
    pace.learn(KIND, 10.0, pace.LEAST_SECONDS - 0.1)
    pace.learn(KIND, 0.0, 60.0)
    assert not cache.exists()


def test_another_machine_says_nothing_of_this_one(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    pace.learn(KIND, 10.0, 20.0)
    monkeypatch.setattr(pace, "processor_name", lambda: "another")
    assert pace.factor(KIND) == 1.0
    pace.learn(KIND, 10.0, 70.0)
    assert pace.factor(KIND) == 7.0
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 3}', '{"a": ["x", -1]}', "\x00"])
def test_a_damaged_file_counts_as_none_and_is_replaced(text: str, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(text)
    assert pace.factor(KIND) == 1.0
    pace.learn(KIND, 10.0, 20.0)
    assert pace.factor(KIND) == 2.0


def test_a_cache_that_cannot_be_written_is_left_alone(cache: Path) -> None:
    cache.parent.write_text("in the way")
    pace.learn(KIND, 10.0, 20.0)
    assert pace.factor(KIND) == 1.0
