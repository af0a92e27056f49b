"""Which commands a result is ready for, and what its crashed trials say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stabilitysweep.analysis import BoundaryStatus
from stabilitysweep.analysis.wording import counted
from stabilitysweep.errors import UserError
from stabilitysweep.folder import made_by
from stabilitysweep.result.result import Result
from stabilitysweep.result.searched import OF_SEARCH
from stabilitysweep.store import Entry
from stabilitysweep.types import Outcome

Words = tuple[str | Path, ...]
"""A command of the program with its arguments."""


def next_steps(result: Result, picked: bool | None = None) -> Iterator[Words]:
    """Commands that decide, those that have something to do; then some that look closer.

    Args:
        result: what they are called with.
        picked: whether it has picks, where that is known.
    """
    folder, summary = result.folder, result.summary
    recorded = result.config.recorded is not None  # what trains is refused
    for word in _deciding(result, picked):
        yield word, folder
    if summary.earliest_onset is not None:
        yield "show", folder, summary.earliest_onset.trial_id
    if summary.failures and not recorded:
        yield "diagnose", folder


def _deciding(result: Result, picked: bool | None) -> Iterator[str]:
    """Which commands that decide have something to go by."""
    summary = result.summary
    if result.config.recorded is not None and summary.trials:
        yield "recommend"
        return
    if made_by(result.folder) or summary.trials == summary.outcomes[Outcome.CRASHED]:
        return  # they go by the sweep that these trials were added to
    if summary.stable_rate is not None:
        table = result.boundaries
        if ((table["status"] == BoundaryStatus.FOUND) & ~table["refined"]).any():
            yield "refine"
    yield "recommend"
    if picked is None:
        try:
            picked = bool(result.recommend(count=1).picks)
        except UserError:  # it says itself why there is none
            return
    if picked:
        yield "confirm"


def crash_text(entry: Entry, number: int) -> str:
    """How many trials could not be run, and why the first could not."""
    reason = entry.result.message or "no reason was recorded"
    if OF_SEARCH in entry.axes:
        return (
            f"{counted(number, 'trial')} could not be run.\ntrial {entry.result.trial_id}: {reason}"
        )
    first = f"trial {entry.result.trial_id}: {reason}"
    again = "The next run tries them again." if number > 1 else "The next run tries it again."
    return f"{counted(number, 'trial')} could not be run. {again}\n{first}"
