"""What this machine has been seen to take: kept from run to run, beside other caches of the user.

By processor, cores and versions: another of any says nothing of this machine. Two kinds of numbers
are kept. Those of `learn` are replaced as runs come and go: the median of the last few stands for
the next. Those of `settle` are measured once and then stay as they are, since what is decided by
them must not change from one run to the next. Losing the file costs nothing but time.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
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


def settled() -> Mapping[str, Sequence[float]]:
    """Return what has been measured once and for all, by kind."""
    own = _machine()
    found = _read(_SETTLED)
    return {kind.removeprefix(own): found[kind] for kind in found if kind.startswith(own)}


def settle(found: Mapping[str, Sequence[float]]) -> None:
    """Keep numbers above 0 by their kind; of a kind that is known they are not changed."""
    new = {_machine() + kind: list(numbers) for kind, numbers in found.items()}
    _write(_SETTLED, new | _read(_SETTLED))


@cache
def _machine() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = ("tensorflow", "keras", "stabilitysweep")
    packages = ", ".join(f"{name} {versions().get(name, '')}" for name in own)
    return f"{processor_name()}, {usable} cores, {packages}: "


def _path(name: str) -> Path:
    return user_cache_path("stabilitysweep", appauthor=False) / name


def _read(name: str) -> dict[str, list[float]]:
    """What is kept; what is no such file counts as nothing."""
    try:
        found: Any = json.loads(_path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(kind): [float(number) for number in numbers]
        for kind, numbers in found.items()
        if isinstance(numbers, list)
        and numbers
        and all(isinstance(number, int | float) and 0 < number < 1e9 for number in numbers)
    }


def _write(name: str, kept: Mapping[str, list[float]]) -> None:
    latest = dict(list(kept.items())[-_MOST_KINDS:])
    path = _path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(latest, indent=1))
    except (OSError, ResultError):
        return


__all__ = ["known", "learn", "settle", "settled"]
