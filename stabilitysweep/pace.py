"""How fast this machine is, learnt from the runs it has made.

What a run is expected to take is computed for one machine (`planning`). Every run tells by what
factor it took longer; the median of the last few of its kind stands for the next. Kept beside
other caches of the user, by processor and versions: another of either says nothing of this one.
Losing it costs nothing but the first estimates.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from stabilitysweep.errors import ResultError
from stabilitysweep.folder import write_text
from stabilitysweep.provenance import processor_name, versions

KEPT = 7
"""Runs that are remembered: of these the median, so that a busy hour does not count."""
LEAST_SECONDS = 20.0
"""A run that trained for less was mostly start-up."""
_MOST_FACTOR = 20.0
_FILE = "pace.json"


def factor(kind: str) -> float:
    """Return by what to multiply expected seconds: 1 where no run is remembered.

    Args:
        kind: what runs have in common that take alike: their models, the engine and so on.
    """
    known = _known().get(_key(kind), [])
    return statistics.median(known) if known else 1.0


def learn(kind: str, expected: float, seconds: float) -> None:
    """Remember a run that trained all it was to train.

    Args:
        kind: see `factor`.
        expected: seconds, as computed: without any factor.
        seconds: that it took. Less than `LEAST_SECONDS` are not learnt from.

    A cache that cannot be written is left as it is.
    """
    if expected <= 0 or seconds < LEAST_SECONDS:
        return
    ratio = min(max(seconds / expected, 1 / _MOST_FACTOR), _MOST_FACTOR)
    known = _known()
    key = _key(kind)
    known[key] = [*known.get(key, []), round(ratio, 3)][-KEPT:]
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1))
    except (OSError, ResultError):
        return


def _path() -> Path:
    return user_cache_path("stabilitysweep", appauthor=False) / _FILE


def _key(kind: str) -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tensorflow, ours = (versions().get(name, "") for name in ("tensorflow", "stabilitysweep"))
    machine = f"{processor_name()}, {usable} cores, tensorflow {tensorflow}, stabilitysweep {ours}"
    return f"{kind}: {machine}"


def _known() -> dict[str, list[float]]:
    """What is remembered; what is no such file counts as nothing."""
    try:
        found: Any = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(key): [float(ratio) for ratio in ratios]
        for key, ratios in found.items()
        if isinstance(ratios, list)
        and all(isinstance(ratio, int | float) and 0 < ratio < 1e3 for ratio in ratios)
    }


__all__ = ["factor", "learn"]
