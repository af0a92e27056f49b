"""Long runs in texts: what survived, how sure that is, when the others failed."""

from __future__ import annotations

from stabilitysweep.analysis.survival import Survival
from stabilitysweep.analysis.wording import settings

_MOST_ONSETS = 3


def interval(runs: Survival) -> str:
    """The interval of the share that survives: `83.2 to 100 %`."""
    return f"{_percent(runs.low)} to {_percent(runs.high)} %" if runs.runs else ""


def line(runs: Survival) -> str:
    """The long runs of one cell in a line."""
    text = f"{settings(runs.settings)}: {runs.survived} of {runs.runs} survived"
    text += f", 95 % interval {interval(runs)}" if runs.runs else ""
    return text + (f", first failure at step {min(runs.onsets):,}" if runs.onsets else "")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


def when(runs: Survival) -> str:
    """The onset steps of the runs that failed, the first few."""
    if not runs.failures:
        return "-"
    steps = [f"{step:,}" for step in runs.onsets[:_MOST_ONSETS]]
    more = len(runs.onsets) - len(steps)
    steps += [f"{more} later"] if more else []
    diverged = len(runs.failures) - len(runs.onsets)
    steps += [f"{diverged} diverged"] if diverged else []
    return ", ".join(steps)
