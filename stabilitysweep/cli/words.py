"""Numbers, times and settings as a reader says them."""

from __future__ import annotations

from stabilitysweep.analysis.wording import counted as counted
from stabilitysweep.analysis.wording import duration as duration
from stabilitysweep.analysis.wording import number as number
from stabilitysweep.analysis.wording import onset as onset
from stabilitysweep.analysis.wording import settings as settings
from stabilitysweep.analysis.wording import share as share

_MINUTE, _HOUR = 60.0, 3600.0


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
