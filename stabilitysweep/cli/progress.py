"""How far a run is: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stabilitysweep.cli.layout import OUTCOME_STYLES
from stabilitysweep.cli.words import duration, speed
from stabilitysweep.runner import Progress
from stabilitysweep.types import Outcome

Observer = Callable[[Progress], None]

_LINE_SECONDS = 10.0
_WINDOW_SECONDS = 30.0


class Pace:
    """How fast trials finish, over the last half minute.

    Early on the start of the workers counts: a first burst of small stacks says nothing
    about the programs that are still to be compiled.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._seen = deque([(0.0, 0)])

    def add(self, seconds: float, done: int) -> None:
        """Note that `done` trials were finished after `seconds`."""
        self._seen.append((seconds, done))
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - _WINDOW_SECONDS:
            self._seen.popleft()

    def rate(self) -> float | None:
        """Trials a second; None before it can be told."""
        if len(self._seen) < 2:
            return None
        (start, before), (end, done) = self._seen[0], self._seen[-1]
        return (done - before) / (end - start) if end > start else None

    def seconds_left(self, total: int, now: float) -> float | None:
        """Time until `total` are done, `now` seconds into the run; None if unknown."""
        rate = self.rate()
        if not rate:
            return None
        last, done = self._seen[-1]
        return max((total - done) / rate - (now - last), 0.0)


@contextmanager
def reporting(console: Console, total: int) -> Iterator[Observer]:
    """Show the progress of a run of `total` trials while the block is at work."""
    if total == 0:
        yield lambda progress: None
    elif console.is_terminal and not console.is_dumb_terminal:
        bar = _Bar(total)
        with Live(get_renderable=bar.render, console=console, transient=True, refresh_per_second=8):
            yield bar.update
    else:
        yield _Lines(console)


class _Bar:
    """The live bar."""

    def __init__(self, total: int) -> None:
        self._progress = Progress(total)
        self._pace = Pace()
        self._started = time.monotonic()

    def update(self, progress: Progress) -> None:
        self._progress = progress
        self._pace.add(time.monotonic() - self._started, progress.done)

    def render(self) -> RenderableType:
        elapsed = time.monotonic() - self._started
        return bar(
            self._progress.done,
            self._progress.total,
            self._progress.outcomes,
            elapsed,
            self._pace.rate(),
            self._pace.seconds_left(self._progress.total, elapsed),
        )


class _Lines:
    """The plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace()
        self._printed = 0.0

    def __call__(self, progress: Progress) -> None:
        self._pace.add(progress.seconds, progress.done)
        if progress.seconds - self._printed >= _LINE_SECONDS:
            self._printed = progress.seconds
            left = self._pace.seconds_left(progress.total, progress.seconds)
            self._console.print(
                line(progress.done, progress.total, progress.outcomes, self._pace.rate(), left),
                soft_wrap=True,
            )


def bar(
    done: int,
    total: int,
    outcomes: Mapping[Outcome, int],
    elapsed: float,
    rate: float | None,
    left: float | None,
) -> RenderableType:
    """The live display: a bar with numbers, and below it the outcomes so far.

    Args:
        done: trials stored in this run.
        total: trials of this run.
        outcomes: of those done.
        elapsed: seconds.
        rate: trials a second, None if not known.
        left: seconds, None if not known.
    """
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    words = _counts(outcomes) if done else Text("workers start, and compile", style="dim")
    speed_words = "" if rate is None else speed(rate)
    time_words = duration(elapsed) if left is None else f"{duration(left)} left"
    if done == total:
        time_words = "writing the files"
    table.add_row(f"{done:,}/{total:,} trials", speed_words, time_words, ProgressBar(total, done))
    return Group(table, words)


def line(
    done: int,
    total: int,
    outcomes: Mapping[Outcome, int],
    rate: float | None,
    left: float | None,
) -> str:
    """One plain line; arguments as for `bar`."""
    parts = [f"{done:,}/{total:,} trials"]
    if rate is not None:
        parts.append(speed(rate))
    if left is not None:
        parts.append(f"{duration(left)} left")
    return "; ".join([*parts, _counts(outcomes).plain])


def _counts(outcomes: Mapping[Outcome, int]) -> Text:
    shown = [(kind, outcomes[kind]) for kind in Outcome if outcomes.get(kind)]
    parts = [Text(f"{count:,} {kind}", style=OUTCOME_STYLES[kind]) for kind, count in shown]
    return Text(", ").join(parts)
