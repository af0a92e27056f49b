"""What this machine has been seen to take: kept from run to run, beside other caches of the user.

By processor, cores and versions: another of any says nothing of this machine. Two kinds of numbers
are kept. Those of `learn` are replaced as runs come and go: the median of the last few stands for
the next. Those of `settle` are measured for a decision, which is not to change from one run to the
next without need: they stay as they are for some weeks, each with its date. Losing the files costs
nothing but time.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from stabilitysweep.errors import ResultError
from stabilitysweep.folder import write_text
from stabilitysweep.provenance import processor_name, versions

KEPT = 7
"""Numbers that are kept of a kind: of these the median, so that a busy hour does not count."""

_MOST_KINDS = 5_000
"""Kinds that are kept, the latest: a grid of a hundred programs has some hundreds."""

TIMES = 3
"""How often something is measured for a decision until it is left at that; as many are kept."""

DAYS = 30
"""How long what was measured for a decision counts. Processor and versions have not changed, but
the rest of the machine may have: its memory, its system, what else runs on it."""

Rows = Sequence[Sequence[float]]
"""What was measured at a time, a row for each process."""

_NUMBERS = 4
"""Of a row: seconds a trial and step in the graph and under XLA, of compiling, of a first call."""

_LEARNT, _SETTLED = "pace.json", "settled.json"


def known() -> Mapping[str, float]:
    """Return the median of what has been learnt, by kind."""
    own = _machine()
    return {
        kind.removeprefix(own): statistics.median(numbers)
        for kind, numbers in _read(_LEARNT).items()
        if kind.startswith(own)
    }


def learn(found: Iterable[tuple[str, float]]) -> None:
    """Remember numbers above 0 by their kind; a cache that cannot be written is left as it is."""
    new = [(_machine() + kind, number) for kind, number in found if number > 0]
    if not new:
        return
    kept = _read(_LEARNT)
    for kind, number in new:
        # Taken out and put in again: the latest are last.
        kept[kind] = [*kept.pop(kind, []), float(f"{number:.4g}")][-KEPT:]
    _write(_LEARNT, kept)


def settled() -> Mapping[str, Sequence[Rows]]:
    """Return what was measured for decisions in the last `DAYS`, by kind: a few times, in order."""
    own, today = _machine(), _today()
    found: dict[str, list[Rows]] = {}
    for kind, times in _read_times().items():
        ages = [(today - date.fromisoformat(time["on"])).days for time in times]
        rows = [time["rows"] for time, age in zip(times, ages, strict=True) if 0 <= age <= DAYS]
        if rows and kind.startswith(own):
            found[kind.removeprefix(own)] = rows
    return found


def settle(found: Mapping[str, Rows]) -> None:
    """Keep what was measured for decisions today, numbers above 0 by their kind.

    No rows are a time at which it could not be measured.
    """
    kept = _read_times()
    for kind, rows in found.items():
        own = _machine() + kind
        time = {"on": _today().isoformat(), "rows": [list(row) for row in rows]}
        kept[own] = [*kept.pop(own, []), time][-TIMES:]
    _write(_SETTLED, kept)


def _today() -> date:
    return date.today()


@cache
def _machine() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = ("tensorflow", "keras", "stabilitysweep")
    packages = ", ".join(f"{name} {versions().get(name, '')}" for name in own)
    return f"{processor_name()}, {usable} cores, {packages}: "


def _path(name: str) -> Path:
    return user_cache_path("stabilitysweep", appauthor=False) / name


def _read(name: str) -> dict[str, list[float]]:
    """The numbers that are kept by kind."""
    return {
        kind: [float(number) for number in numbers]
        for kind, numbers in _entries(name).items()
        if numbers and _are_numbers(numbers)
    }


def _read_times() -> dict[str, list[dict[str, Any]]]:
    """What was measured for decisions by kind, whenever that was."""
    return {kind: times for kind, times in _entries(_SETTLED).items() if all(map(_is_time, times))}


def _entries(name: str) -> dict[str, list[Any]]:
    """The lists of a file by kind; what is no such file counts as nothing."""
    try:
        found: Any = json.loads(_path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(kind): own for kind, own in found.items() if isinstance(own, list)}


def _is_time(entry: Any) -> bool:
    try:
        date.fromisoformat(entry["on"])
        return all(_are_numbers(row) and len(row) == _NUMBERS for row in entry["rows"])
    except (KeyError, TypeError, ValueError):
        return False


def _are_numbers(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(number, int | float) and 0 < number < 1e9 for number in found
    )


def _write(name: str, kept: Mapping[str, list[Any]]) -> None:
    latest = dict(list(kept.items())[-_MOST_KINDS:])
    path = _path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(latest, indent=1))
    except (OSError, ResultError):
        return


__all__ = ["DAYS", "TIMES", "known", "learn", "settle", "settled"]
