"""The command `run`: plan, train with progress, sum up; and what an interruption leaves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep import api
from stabilitysweep.cli.layout import fields
from stabilitysweep.cli.plan_view import brief
from stabilitysweep.cli.progress import reporting
from stabilitysweep.cli.summary_view import files, overview, what_next
from stabilitysweep.cli.terminal import command, console, note
from stabilitysweep.cli.words import counted, duration
from stabilitysweep.config import SweepConfig
from stabilitysweep.result import Result
from stabilitysweep.runner import Progress
from stabilitysweep.types import Outcome

_SOME_CRASHED = 1
_INTERRUPTED, _TERMINATED = 130, 143


def run_sweep(
    config: SweepConfig,
    out: str | None,
    options: api.Options,
    *,
    quiet: bool,
    again: Sequence[str],
) -> int:
    """Run a sweep and return the exit code.

    Args:
        config: what to sweep.
        out: the result folder, None for the usual one.
        options: how to run it.
        quiet: print nothing but errors.
        again: the words of the command that goes on after an interruption.
    """
    started = time.monotonic()
    screen = console()
    screen.quiet = quiet
    last = Progress(0)
    plan: api.Plan | None = None

    with _terminating():
        try:
            plan = api.plan(config, out, options)
            last = Progress(plan.work.trials)
            screen.print(brief(plan))
            screen.print()
            with reporting(screen, plan.work.trials) as show:

                def observe(progress: Progress) -> None:
                    nonlocal last
                    last = progress
                    show(progress)

                result = api.execute(plan, observe)
            screen.print(_closing(plan, result, time.monotonic() - started))
        except KeyboardInterrupt as interrupt:
            note(_interrupted(plan, last, again))
            return _TERMINATED if isinstance(interrupt, _Terminated) else _INTERRUPTED
    return _SOME_CRASHED if last.outcomes[Outcome.CRASHED] else 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which is to end a run in the way Ctrl-C does."""


@contextmanager
def _terminating() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _closing(plan: api.Plan, result: Result, seconds: float) -> RenderableType:
    trained = plan.work.trials
    head = f"{counted(trained, 'trial')} trained" if trained else "nothing to train; files written"
    return Group(
        Text(f"{plan.sweep.config.name}: {head} in {duration(seconds)}", style="bold"),
        "",
        overview(result.summary, result.first_crash()),
        "",
        fields([*files(plan.folder), *what_next(plan.folder, result.summary)]),
    )


def _interrupted(plan: api.Plan | None, last: Progress, again: Sequence[str]) -> str:
    if plan is None:
        return f"interrupted before anything was trained. To start again:\n  {command(*again)}"
    stored = plan.stored + last.done - last.outcomes[Outcome.CRASHED]
    return (
        f"interrupted: {stored:,} of {counted(len(plan.sweep.grid), 'trial')} are stored in "
        f"{plan.folder}. To go on with the rest:\n  {command(*again)}"
    )
