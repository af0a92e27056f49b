"""The command `run`: plan, train with progress, sum up; and what an interruption leaves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import FrameType

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep import api
from stabilitysweep.cli.browsing import open_page
from stabilitysweep.cli.layout import fields
from stabilitysweep.cli.models_view import fallback, not_built
from stabilitysweep.cli.plan_view import brief, whole
from stabilitysweep.cli.progress import reporting
from stabilitysweep.cli.summary_view import files, overview, what_next
from stabilitysweep.cli.terminal import command, console, emit, fail, note
from stabilitysweep.cli.words import about, counted, duration
from stabilitysweep.config import SweepConfig
from stabilitysweep.execution import Options, Plan, attached
from stabilitysweep.folder import REPORT
from stabilitysweep.result import Result
from stabilitysweep.result.next_steps import crash_text
from stabilitysweep.runner import Progress
from stabilitysweep.types import Outcome

_SOME_CRASHED = 1
_NOTHING_BUILT = 2
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


def run_sweep(
    config: SweepConfig,
    out: str | None,
    options: Options,
    *,
    quiet: bool,
    again: Sequence[str],
    browse: bool = False,
) -> int:
    """Run a sweep and return the exit code.

    Args:
        config: what to sweep.
        out: the result folder, None for the usual one.
        options: how to run it.
        quiet: print nothing but errors.
        again: the words of the command that goes on after an interruption.
        browse: open the page in a browser at the end.
    """
    started = time.monotonic()
    screen = console()
    screen.quiet = quiet
    last = Progress(0)
    plan: Plan | None = None

    with stopping(), ExitStack() as connection:
        try:
            connection.enter_context(attached(options))
            plan = api.plan(config, out, options, None if quiet else _trying)
            last = Progress(plan.work.trials)
            emit(screen, Group(brief(plan), ""))
            with reporting(screen, plan.work.trials) as show:

                def observe(progress: Progress) -> None:
                    nonlocal last
                    for verdict in progress.verdicts[len(last.verdicts) :]:
                        if not quiet:
                            note(f"warning: {fallback(config.model.build, verdict)}")
                    last = replace(progress, verdicts=[*progress.verdicts])
                    show(progress)

                result = api.execute(plan, observe)
            emit(screen, _closing(plan, result, last.seconds, time.monotonic() - started))
            if quiet and last.outcomes[Outcome.CRASHED]:
                fail(_crashed(plan, result))
            if browse:
                open_page(plan.folder / REPORT)
        except KeyboardInterrupt as interrupt:
            # What there was is set aside once training begins, and not before.
            fresh = plan is None and options.fresh
            note(_interrupted(plan, last, [*again, "--fresh"] if fresh else again))
            return 128 + (interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT)
    return _SOME_CRASHED if last.outcomes[Outcome.CRASHED] else 0


def check_sweep(config: SweepConfig, path: str, out: str | None, *, every: bool) -> int:
    """Print the plan of a sweep and return the exit code.

    Args:
        config: what to sweep.
        path: the config as the user named it.
        out: the result folder, None for the usual one.
        every: whether every finding of the audit is shown, column by column.
    """
    plan = api.plan(config, out, announce=_trying)
    emit(console(), whole(plan, path, out, every=every))
    if plan.nothing_built:
        fail(f"no model can be built, {not_built(plan)}")
        return _NOTHING_BUILT
    return 0


class Stopped(KeyboardInterrupt):
    """A signal that is to end a run in the way Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stopping() -> Iterator[None]:
    """Take being terminated, and the end of the terminal, for Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in _STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # `nohup` has its reasons
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _trying(programs: int, seconds: float) -> None:
    """Say why nothing is seen for a while."""
    note(f"trying {counted(programs, 'program')} out, {about(seconds)}")


def _closing(plan: Plan, result: Result, training: float, seconds: float) -> RenderableType:
    """What is said at the end.

    Args:
        plan: what was to be done.
        result: what came of it.
        training: seconds that training took.
        seconds: that all of it took.
    """
    trained = plan.work.trials
    head = f"{counted(trained, 'trial')} trained" if trained else "nothing to train; files written"
    if plan.nothing_built:
        head = "no model can be built; files written"
    took = f"in {duration(seconds)}"
    if trained:
        took += f"; training took {duration(training)}, {about(plan.seconds)} expected"
    return Group(
        Text(f"{plan.sweep.config.name}: {head} {took}", style="bold"),
        "",
        overview(result.summary, result.first_crash(), result.refined_boundary),
        "",
        fields([*files(plan.folder), *what_next(result)]),
    )


def _crashed(plan: Plan, result: Result) -> str:
    """What a run that prints nothing else says of trials that could not be run."""
    if plan.nothing_built:
        return f"no model can be built, {not_built(plan)}"
    entry, number = result.first_crash(), result.summary.outcomes[Outcome.CRASHED]
    return "" if entry is None else crash_text(entry, number)


def _interrupted(plan: Plan | None, last: Progress, again: Sequence[str]) -> str:
    if plan is None:
        return f"interrupted before anything was trained. To start again:\n  {command(*again)}"
    stored = plan.stored + last.done - last.outcomes[Outcome.CRASHED]
    whole = len(plan.sweep.grid)
    return (
        f"interrupted: {stored:,} of {counted(whole, 'trial')} are stored in {plan.folder}. "
        f"To {'go on with the rest' if stored < whole else 'write its files'}:\n  {command(*again)}"
    )
