"""Numbers, times and settings as a reader says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stabilitysweep.analysis import value_label
from stabilitysweep.analysis.wording import counted as counted
from stabilitysweep.analysis.wording import number as number

_KINDS = {"nan": "NaN", "+inf": "+Inf", "-inf": "-Inf"}
_MINUTE, _HOUR = 60.0, 3600.0


def share(part: int, whole: int) -> str:
    """A part in percent; one that is there never reads as 0.0 %, nor a lack as 100 %."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """A measured time: `8.3 s`, `17 s`, `2 min 5 s`, `1 h 12 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // 60} h {minutes % 60} min"


def about(seconds: float) -> str:
    """An expected time, no finer than it is known: `about 20 seconds`, `about 3 minutes`."""
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} seconds"
    if seconds < 57.5 * _MINUTE:
        minutes = seconds / _MINUTE
        rounded = round(minutes) if minutes < 9.5 else 5 * round(minutes / 5)
        return f"about {counted(rounded, 'minute')}"
    hours = seconds / _HOUR
    if hours < 9.75:
        halves = round(2 * hours) / 2
        return "about 1 hour" if halves == 1 else f"about {halves:g} hours"
    if hours < 36:
        return f"about {round(hours)} hours"
    return f"about {counted(round(hours / 24), 'day')}"


def speed(per_second: float) -> str:
    """Trials a second, or a minute where that is less than one."""
    if per_second >= 9.95:
        return f"{per_second:,.0f} trials/s"
    if per_second >= 1:
        return f"{per_second:.1f} trials/s"
    return f"{per_second * 60:.2g} trials/min"


def settings(values: Mapping[str, Any]) -> str:
    """Settings as `plot --where` takes them: `depth=1, learning_rate=0.01, seed=2`."""
    return ", ".join(f"{name}={value_label(value)}" for name, value in values.items())


def onset(step: int, stage: str | None, tensor: str | None, kind: str | None) -> str:
    """What became non-finite first: `step 3: activation dense_1 became +Inf`."""
    what = " ".join(part for part in (stage, tensor) if part and part != "loss") or "loss"
    if stage == "input":
        return f"step {step}: the training data hold {_KINDS[kind or 'nan']} in column {tensor}"
    return f"step {step:,}: {what} became {_KINDS[kind or 'nan']}"
