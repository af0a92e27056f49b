"""The command `confirm`: train the picks for the long run, and print what survived."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from stabilitysweep.cli.confirming_view import confirmation_view
from stabilitysweep.cli.exporting import print_json
from stabilitysweep.cli.progress import reporting
from stabilitysweep.cli.running import Stopped, stopping
from stabilitysweep.cli.terminal import command, console, emit, note
from stabilitysweep.cli.words import counted
from stabilitysweep.report import write_report
from stabilitysweep.result import open_result
from stabilitysweep.runner import Progress

_SOME_CRASHED = 1


def confirm_cells(
    folder: str, *, asked: Mapping[str, Any], quiet: bool, json: bool, again: Sequence[str]
) -> int:
    """Confirm cells of a result, print what came of it, and return the exit code.

    Args:
        folder: the result.
        asked: what `Result.confirm` is called with.
        quiet: print nothing but errors.
        json: print JSON, and no progress.
        again: the words of the command that goes on after an interruption.
    """
    screen = console()
    screen.quiet = quiet or json
    last = Progress(0)
    with stopping():
        try:
            opened = open_result(folder)
            with reporting(screen, 1) as show:

                def observe(progress: Progress) -> None:
                    nonlocal last
                    last = progress
                    show(progress)

                found = opened.confirm(**asked, observe=observe)
        except KeyboardInterrupt as interrupt:
            note(
                f"interrupted: {counted(last.done, 'long run')} of this call are stored. To go on "
                f"with the rest:\n  {command(*again)}"
            )
            return 128 + (interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT)
    write_report(folder)  # it shows the long runs
    if json:
        print_json(found.to_json())
    else:
        emit(screen, confirmation_view(found))
    crashed = any(runs.crashed for tried in found.tried for runs in tried.runs)
    return _SOME_CRASHED if crashed else 0
