"""The command `refine`: train between the grid's learning rates, and print the boundaries."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stabilitysweep.analysis.refinement import TOLERANCE, check_tolerance
from stabilitysweep.cli.exporting import print_json
from stabilitysweep.cli.progress import reporting
from stabilitysweep.cli.refining_view import boundaries_json, refined_view
from stabilitysweep.cli.running import Stopped, stopping
from stabilitysweep.cli.terminal import command, console, emit, note
from stabilitysweep.cli.words import counted, duration
from stabilitysweep.folder import REFINED
from stabilitysweep.refining import RoundProgress, held_rows
from stabilitysweep.report import write_report
from stabilitysweep.result import open_result
from stabilitysweep.runner import Progress
from stabilitysweep.types import Outcome

_SOME_CRASHED = 1


def refine_boundaries(
    folder: str,
    *,
    tolerance: float | None,
    where: Mapping[str, str],
    training: Mapping[str, Any],
    every: bool,
    json: bool,
    quiet: bool,
    again: Sequence[str],
) -> int:
    """Refine a result, print its boundaries, and return the exit code.

    Args:
        folder: the result.
        tolerance: how far apart the ends of a bracket may be; None is the usual.
        where: axes held at one value.
        training: where to train: what `Result.refine` takes as workers, executor and ray_address.
        every: print every slice, however many there are.
        json: print JSON, and no progress.
        quiet: print nothing but errors.
        again: the words of the command that goes on after an interruption.
    """
    wanted = check_tolerance(TOLERANCE if tolerance is None else tolerance)
    screen = console()
    screen.quiet = quiet or json
    seen = _Seen()
    started = time.monotonic()
    with stopping():
        try:
            opened = open_result(folder)
            with reporting(screen, 1) as show:

                def observe(progress: RoundProgress) -> None:
                    show(seen.add(progress))

                done = opened.refine(wanted, where=where, observe=observe, **training)
        except KeyboardInterrupt as interrupt:
            place = f"{folder.rstrip('/')}/{REFINED}"
            note(
                f"interrupted: {counted(seen.last.done, 'trial')} of this call are stored in "
                f"{place}. To go on with the rest:\n  {command(*again)}"
            )
            return 128 + (interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT)
    if seen.last.done:
        done.save()  # the figures show the new boundary, as does the page
        write_report(done)
    table = done.boundaries
    table = table.loc[held_rows(table, done.axes, done.rate, where)]
    if json:
        print_json(boundaries_json(table, wanted, seen.rounds, seen.last.done))
    else:
        head = "nothing to train: every bracket is as narrow as it can be"
        if seen.last.done:
            rounds = f" in {counted(seen.rounds, 'round')}" if seen.rounds else ""
            spent = duration(time.monotonic() - started)
            head = f"{counted(seen.last.done, 'trial')} trained{rounds}, {spent}"
        emit(screen, refined_view(done, table, wanted, head, every=every))
    return _SOME_CRASHED if seen.last.outcomes[Outcome.CRASHED] else 0


class _Seen:
    """What a refinement has trained so far, all rounds together."""

    def __init__(self) -> None:
        self.rounds = 0
        self.last = Progress(0)
        self._before = Progress(0)
        self._started = time.monotonic()
        self._number: int | None = None

    def add(self, progress: RoundProgress) -> Progress:
        """Count what a round has done; return the sum."""
        if progress.number != self._number:
            self._number, self._before = progress.number, self.last
        self.rounds = max(self.rounds, progress.number)
        own = progress.trained
        # Before a round's first stack there is nothing new to say.
        seconds = time.monotonic() - self._started if own.done else self.last.seconds
        self.last = Progress(
            total=self._before.total + own.total,
            done=self._before.done + own.done,
            outcomes=Counter(self._before.outcomes + own.outcomes),
            seconds=seconds,
        )
        return self.last
