"""The driver's side of one worker process."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

from stabilitysweep.data import PreparedData
from stabilitysweep.executors import memory
from stabilitysweep.executors.log import Log
from stabilitysweep.executors.schedule import Death, Task
from stabilitysweep.executors.worker import Answer, Assignment, Ready, WorkerSettings, main
from stabilitysweep.models.programs import Program

_END_SECONDS = 5.0
_KEPT_BYTES = 2**28
"""How much prepared data a worker keeps beside that of its latest task."""

_FIT_TASKS = 100
"""How many trials a worker trains by `model.fit` before another takes its place:
`model.fit` leaves some megabytes behind with every model, which only the end of the process
gives back."""

_PROGRAMS = 50
"""How many programs a worker compiles before another takes its place, between two jobs. Each
leaves 5 MB behind in the plain graph and 16 MB under XLA, of models 8 wide: after 50 of them a
worker of 720 MB has grown to 1 or 1.5 GB. To start one costs as much as a few programs do."""

_STARTS = 2
"""How often in a row a worker may end before it is ready, until it is done without."""

_KILLED_STARTS = 5
"""The same of workers that a signal ended, which says less: it may come from outside."""

_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GONE = (EOFError, OSError)

GUARD = (
    "Check that 'import tensorflow' works here and that there is memory for it. A script that "
    "starts processes needs 'if __name__ == \"__main__\":' around the call."
)
"""What to check where no process can be started."""


class WorkerProcess:
    """A process that trains stacks, and what it has been given.

    Attributes:
        settings: how it was started.
        held: the tasks it has and has not answered, in the order in which it takes them.
        ready: whether its engine has started.
        fitted: how many trials it has trained by `model.fit`.
        programs: how many programs it was given to compile.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        """Start it.

        Raises:
            UserError: there is no room for its log.
            OSError: the system cannot start another process.
        """
        context = multiprocessing.get_context("spawn")
        self._log = Log()
        ours, theirs = context.Pipe()
        self.settings = settings
        self.held: deque[Task] = deque()
        self.ready = False
        self.fitted = 0
        self.programs = 0
        self._latest: Program | None = None
        self._known: OrderedDict[str, int] = OrderedDict()
        # The number of kills when it last answered, and the time before: its latest answer may
        # have been read when the system had ended it already.
        self._kills = deque([memory.kills()], maxlen=2)
        self._connection = ours
        self._process = context.Process(
            target=main, args=(theirs, settings, self._log), daemon=True
        )
        try:
            with undisturbed():
                self._process.start()
        except BaseException:
            if self._process.pid is not None:
                self._process.kill()
            self._log.close()
            raise
        theirs.close()  # so that the death of the worker closes the pipe

    @property
    def handles(self) -> tuple[Any, ...]:
        """What `multiprocessing.connection.wait` is to wait for."""
        return self._connection, self._process.sentinel

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.is_alive()

    def give(self, task: Task, data: Mapping[str, PreparedData]) -> None:
        """Hand it a task; if it has died meanwhile, the task is held all the same.

        Args:
            task: the task.
            data: the prepared data by key; asked for that of the task if the worker has it not.
        """
        new = None if task.data in self._known else data[task.data]
        self.held.append(task)
        if self.is_new(task.stack.program):
            self._latest = task.stack.program
            self.programs += 1
        if new is not None:
            self._known[task.data] = new.nbytes
        self._known.move_to_end(task.data)
        assignment = Assignment(task.number, task.stack, task.data, new, self._too_much())
        with contextlib.suppress(*_GONE):
            self._connection.send(assignment)

    def _too_much(self) -> tuple[str, ...]:
        """Which data the worker is to let go of, the longest unused first."""
        others = sum(self._known.values()) - next(reversed(self._known.values()))
        dropped = []
        while others > _KEPT_BYTES:
            key, size = self._known.popitem(last=False)
            dropped.append(key)
            others -= size
        return tuple(dropped)

    def receive(self) -> Answer | Ready | None:
        """Return what it says; None if it has died without another word.

        Only to be called when one of `handles` is ready.
        """
        # What it said before it died is still in the pipe: the pipe comes first.
        if not self._connection.poll():
            return None
        try:
            message: Answer | Ready = self._connection.recv()
        except _GONE:
            return None
        if isinstance(message, Ready):
            self.ready = True
        return message

    def answered(self, answer: Answer) -> Task:
        """Take the task of an answer off `held`."""
        task = next(task for task in self.held if task.number == answer.number)
        self.held.remove(task)
        self._kills.append(memory.kills())
        self.fitted += sum(result.engine == "fit" for result in answer.results)
        return task

    def is_spent(self, *, between_jobs: bool) -> bool:
        """Return whether another is to take its place, for what it has left in memory.

        Args:
            between_jobs: whether its next task is of another program than its latest: in the
                midst of a job the next worker would have to compile the program again.
        """
        return self.fitted >= _FIT_TASKS or (self.programs >= _PROGRAMS and between_jobs)

    def is_new(self, program: Program) -> bool:
        """Return whether a program is another than that of the latest task."""
        return program != self._latest

    def bury(self) -> Death:
        """Clean up after a process that died; return how it ended.

        The system's word that it ended a process for want of memory holds for all that were at
        work then: of several that one shortage ends, each is heard of at a time of its own.
        """
        self._wait()
        code = self._process.exitcode or 0
        words = end_in_words(code, self._log)
        self.end()
        if code == -int(signal.SIGKILL) and memory.kills() > self._kills[0]:
            words = "by SIGKILL: out of memory, says the system"
            return Death(words, memory=True, by_signal=True)
        return Death(words, by_signal=code < 0)

    def stop(self) -> None:
        """Make it end at once: it has nothing to save, and TensorFlow takes seconds to leave."""
        self._process.kill()

    def end(self) -> None:
        """Wait for it to end, and make it if it does not."""
        self._wait()
        self._connection.close()
        self._log.close()

    def _wait(self) -> None:
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def most_starts(death: Death) -> int:
    """Return how often a worker is started again that ended so before it was ready."""
    return _KILLED_STARTS if death.by_signal else _STARTS


@contextmanager
def put_off() -> Iterator[None]:
    """Put off the terminal's signals, and SIGTERM, that Python would handle: until the end."""
    arrived: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _TERMINAL_SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        for caught, handler in handlers.items():
            signal.signal(caught, handler)
        for caught, frame in arrived:
            handlers[caught](caught, frame)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Start a process that no signal of the terminal reaches, and that none interrupts.

    Ctrl-C goes to every process of the terminal: each worker would print a traceback, even
    while Python is only starting in it. A blocked signal stays blocked in the child. And
    a driver that stops between starting a child and telling it what to do leaves one that
    complains; whatever comes meanwhile is put off until the child is on its way.
    """
    # Starting the tracker later, within, would unblock the signals again.
    resource_tracker.ensure_running()
    with put_off():  # another thread may be the one that is not blocked
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_in_words(code: int, log: Log) -> str:
    """Say how a process ended.

    Args:
        code: its exit code as `multiprocessing` gives it, below 0 for a signal.
        log: what it printed.
    """
    if code == -int(signal.SIGKILL):
        return "by SIGKILL (often: out of memory)"
    words = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    last = log.last_line()
    return f"{words}; its last words: {last}" if last else words
