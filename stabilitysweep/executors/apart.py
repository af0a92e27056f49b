"""One call in a process of its own, set up as a worker is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors.log import Log
from stabilitysweep.executors.process import GUARD, end_in_words, undisturbed
from stabilitysweep.executors.worker import keep_freed_memory


def call_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process and return what it returns.

    The process has the worker's memory settings and prints nothing: what is computed there
    has the bits that a worker computes, whatever the caller has done to TensorFlow.

    Args:
        function: importable by its name.
        arguments: can be pickled, as must what the function returns.

    Raises:
        StabilitySweepError: the function raised, the process died, or there is no room for what
            it prints.
        KeyboardInterrupt: passed on; the process is ended.
    """
    context = multiprocessing.get_context("spawn")
    log = Log()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, log, function, arguments), daemon=True)
    try:
        with undisturbed():
            process.start()
        theirs.close()  # so that the death of the process closes the pipe
        returned, value = ours.recv()
    except (EOFError, OSError) as error:
        process.join()
        death = end_in_words(process.exitcode or 0, log)
        raise StabilitySweepError(
            f"expected an answer of the process that trains, but it ended {death}. {GUARD}"
        ) from error
    finally:
        if process.pid is not None:
            # It has nothing to save, and TensorFlow takes seconds to leave.
            process.kill()
            process.join()
        ours.close()
        log.close()
    if not returned:
        raise StabilitySweepError(value)
    return value


def _answer(
    connection: Connection, log: Log, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    log.take_output()
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    keep_freed_memory()
    try:
        answer = True, function(*arguments)
    except Exception as error:
        with contextlib.suppress(OSError):  # no room for the log
            traceback.print_exc()
        answer = False, f"{type(error).__name__}: {error}"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(answer)


def _end_with_the_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is None:
        return
    caller.join()
    os._exit(0)  # nobody is left to take an answer
