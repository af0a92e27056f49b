"""What the machine has been seen to take: learnt from runs, and never in the way of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from stabilitysweep import pace

KIND = "stack of some:build"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pace._machine.cache_clear()
    yield tmp_path / "stabilitysweep" / "pace.json"
    pace._machine.cache_clear()


def test_the_median_of_the_last_numbers_stands_for_the_next() -> None:
    assert pace.known() == {}
    for number in (2.0, 9.0, 3.0):
        pace.learn([(KIND, number)])
    assert pace.known() == {KIND: 3.0}
    for _ in range(pace.KEPT):
        pace.learn([(KIND, 0.5), ("other", 7.0)])
    assert pace.known() == {KIND: 0.5, "other": 7.0}


def row(number: float) -> list[float]:
    """What was measured in a process."""
    return [float(number)] * 4


def test_what_was_measured_for_a_decision_is_kept_beside_what_was_before() -> None:
    pace.settle({"a": [row(1), row(2)]})
    pace.settle({"a": [], "b": [row(3)]})
    assert pace.settled() == {"a": [[row(1), row(2)], []], "b": [[row(3)]]}
    for number in range(pace.TIMES):
        pace.settle({"a": [row(5 + number)]})
    assert pace.settled()["a"] == [[row(5 + number)] for number in range(pace.TIMES)]


def test_it_counts_for_some_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 3, 1)
    for number, days in enumerate((0, pace.DAYS, pace.DAYS + 1, -1), start=1):
        monkeypatch.setattr(pace, "_today", lambda days=days: day + timedelta(days))
        assert pace.settled() == ({"a": [[row(1)]]} if number == 2 else {})
        if number == 1:
            pace.settle({"a": [row(1)]})


@pytest.mark.parametrize(
    "times",
    [
        "[3.0]",
        '[{"on": "today", "rows": [[1, 1, 1, 1]]}]',
        '[{"on": "2026-03-01"}]',
        '[{"on": "2026-03-01", "rows": [[-1, 1, 1, 1]]}]',
        '[{"on": "2026-03-01", "rows": [[1, 1]]}]',
        '[{"on": 7, "rows": [[1, 1, 1, 1]]}]',
    ],
)
def test_what_is_no_measurement_counts_as_none(
    times: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_today", lambda: date(2026, 3, 1))
    file = cache.parent / "settled.json"
    pace.settle({"a": [row(1)]})
    (kind,) = json.loads(file.read_text())
    good = [{"on": "2026-03-01", "rows": [row(2)]}]
    file.write_text(f'{{"{kind}": {times}, "{kind}b": {json.dumps(good)}}}')
    assert pace.settled() == {"ab": [[row(2)]]}
    pace.settle({"a": [row(3)]})
    assert pace.settled() == {"a": [[row(3)]], "ab": [[row(2)]]}


def test_nothing_and_numbers_that_are_none_are_not_kept(cache: Path) -> None:
    pace.learn([])
    pace.learn([(KIND, 0.0), (KIND, -1.0)])
    assert not cache.exists()


def test_another_machine_says_nothing_of_this_one(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    pace.learn([(KIND, 2.0)])
    pace.settle({"a": [row(1)]})
    monkeypatch.setattr(pace, "processor_name", lambda: "another")
    pace._machine.cache_clear()
    assert pace.known() == pace.settled() == {}
    pace.learn([(KIND, 7.0)])
    assert pace.known() == {KIND: 7.0}
    assert len(json.loads(cache.read_text())) == 2


def test_the_latest_kinds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_MOST_KINDS", 2)
    for kind in ("a", "b", "a", "c"):
        pace.learn([(kind, 1.0)])
    assert set(pace.known()) == {"a", "c"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"a": 3}',
        '{"a": ["x", -1]}',
        "\x00",
        pytest.param("[" * 9_999, id="nested"),
    ],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(text: str, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(text)
    assert pace.known() == {}
    pace.learn([(KIND, 2.0)])
    assert pace.known() == {KIND: 2.0}


def test_a_cache_that_cannot_be_written_is_left_alone(cache: Path) -> None:
    cache.parent.write_text("in the way")
    pace.learn([(KIND, 2.0)])
    pace.settle({"a": [[1.0]]})
    assert pace.known() == pace.settled() == {}
