"""Calls in a process of their own, set up as a worker is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from stabilitysweep.errors import StabilitySweepError, UserError
from stabilitysweep.executors.log import Log
from stabilitysweep.executors.process import GUARD, end_in_words, undisturbed
from stabilitysweep.executors.worker import drop_generated_files, keep_freed_memory

_END = None
"""What is sent when there is nothing more to come; values are sent in tuples of one."""


_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class ProcessDeathError(StabilitySweepError):
    """A process that ended without an answer.

    Attributes:
        words: what it died of; completes "it ended ...".
        killed: whether it was ended by SIGKILL, which may come from outside.
    """

    def __init__(self, words: str, *, killed: bool) -> None:
        super().__init__(
            f"expected an answer of the process that trains, but it ended {words}. {GUARD}"
        )
        self.words = words
        self.killed = killed


def call_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process and return what it returns.

    The process has the worker's memory settings and prints nothing: what is computed there
    has the bits that a worker computes, whatever the caller has done to TensorFlow.

    Args:
        function: importable by its name.
        arguments: can be pickled, as must what the function returns.

    Raises:
        ProcessDeathError: the process ended without an answer.
        StabilitySweepError: the function raised, or there is no room for what it prints.
        UserError: the system has no process, or no file, left for it.
        KeyboardInterrupt: passed on; the process is ended.
    """
    (answer,) = each_apart(_once, function, arguments)
    return answer


def each_apart(function: Callable[..., Iterable[Any]], *arguments: Any) -> Generator[Any]:
    """Call a function in a fresh process and yield what it yields, as it comes.

    So what came before the process died is known. See `call_apart` for the rest.
    """
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as held:
        with _told():
            log = Log()
            held.callback(log.close)
            ours, theirs = context.Pipe(duplex=False)
            held.callback(ours.close)
            held.callback(theirs.close)
        process = context.Process(
            target=_answer, args=(theirs, log, function, arguments), daemon=True
        )
        held.callback(_end, process)
        with _told(), undisturbed():
            process.start()
        if (started := getattr(_OF_THREAD, "started", None)) is not None:
            started.add(process)
        theirs.close()  # so that the death of the process closes the pipe
        while (said := _heard(ours)) is not None:
            error, value = said
            if error:
                raise StabilitySweepError(error)
            if value is _END:
                return
            yield value[0]
        process.join()
        code = process.exitcode or 0
        raise ProcessDeathError(end_in_words(code, log), killed=code == -int(signal.SIGKILL))


@contextlib.contextmanager
def _told() -> Generator[None]:
    """Say in plain words what a system that has no more to give says by a number."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"expected to start a process, got: {error.strerror or error}. End other programs, or "
            "raise the limits of the system (`ulimit -a`)."
        ) from error


def _end(process: BaseProcess) -> None:
    if process.pid is not None:
        # It has nothing to save, and TensorFlow takes seconds to leave.
        process.kill()
        process.join()


def for_each_at_once(function: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """Call a function for every item, each in a thread of its own, and return what they return.

    What ends the waiting for them, such as Ctrl-C, also ends the processes that they have started
    by `call_apart` or `each_apart`. Signals do not reach these, and Python would wait for them at
    its end. A single item needs no thread: such a call ends its process itself.

    Args:
        function: spends its time waiting for such processes.
        items: what it is called with.

    Raises:
        BaseException: what one of the calls raised; those of the others are ended.
    """
    if len(items) <= 1:
        return [function(item) for item in items]
    started = _Started()

    def join_in() -> None:
        _OF_THREAD.started = started

    with ThreadPoolExecutor(len(items), initializer=join_in) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            started.end()
            raise  # once the threads have ended, as they do without their processes


class _Started:
    """Processes that threads have started together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[BaseProcess] = []
        self._ended = False

    def add(self, process: BaseProcess) -> None:
        """Take a process in.

        Raises:
            StabilitySweepError: the others have been ended; so is this to be.
        """
        with self._lock:
            if self._ended:
                raise StabilitySweepError("the processes that it belongs to have been ended")
            self._processes.append(process)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()


_OF_THREAD = threading.local()
"""`started`: where the processes of this thread are to be taken in, if anywhere."""


def _heard(connection: Connection) -> tuple[str, tuple[Any] | None] | None:
    try:
        return connection.recv()  # type: ignore[no-any-return]
    except (EOFError, OSError):
        return None


def _once(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    return [function(*arguments)]


def _answer(
    connection: Connection, log: Log, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    log.take_output()
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    keep_freed_memory()
    end: tuple[str, None] = "", _END
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            for value in function(*arguments):
                drop_generated_files()
                connection.send(("", (value,)))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            with contextlib.suppress(OSError):  # no room for the log
                traceback.print_exc()
            end = f"{type(error).__name__}: {error}", _END
        connection.send(end)


def _end_with_the_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is None:
        return
    caller.join()
    os._exit(0)  # nobody is left to take an answer
