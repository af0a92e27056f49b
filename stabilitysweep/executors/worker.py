"""The worker process: one core, one thread, one engine, fed a stack at a time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack, crash_message
from stabilitysweep.executors.base import Took
from stabilitysweep.executors.log import Log
from stabilitysweep.types import Outcome, TrialResult, Verdict

_MESSAGE_LENGTH = 2_000

_GENERATED = "__autograph_generated_file"
"""How the names of modules begin that TensorFlow's AutoGraph makes of functions."""

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker is set up.

    Attributes:
        engine: `stacked` or `fit`.
        start: makes the engine of that name; it must be importable by its name.
        core: the processor to stay on, or None to leave that to the system.
    """

    engine: str
    start: Callable[[str], Engine]
    core: int | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """One stack to train.

    Attributes:
        number: the driver's name for it.
        stack: the trials.
        key: which prepared data.
        data: that data, where the worker has it not.
        forget: the keys of data to let go of, once what came before is trained.
    """

    number: int
    stack: Stack
    key: str
    data: PreparedData | None
    forget: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has started its engine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of an assignment, in the order of its trials, and what came to light."""

    number: int
    results: list[TrialResult]
    verdicts: tuple[Verdict, ...] = ()
    took: Took | None = None


def main(connection: Connection, settings: WorkerSettings, log: Log) -> None:
    """Train what comes through the connection, until the driver ends the process.

    Sends `Ready` once, then an `Answer` for each `Assignment`. A stack that raises comes
    back as `crashed` trials with the exception's message. The process ends by itself, whatever
    it is doing, when the driver is gone. The terminal's signals do not reach it: Ctrl-C is
    the driver's to handle.

    Args:
        connection: to the driver.
        settings: how to set it up.
        log: takes everything the process would print; TensorFlow's start-up messages do not
            belong on the user's terminal.
    """
    log.take_output()
    inbox: SimpleQueue[Assignment] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    if settings.core is not None and hasattr(os, "sched_setaffinity"):
        # A machine that forbids pinning only loses a little speed.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {settings.core})
    keep_freed_memory()
    engine = settings.start(settings.engine)
    known: dict[str, PreparedData] = {}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `_listen` ends us
        connection.send(Ready())
        while True:
            assignment = inbox.get()
            started, traces = time.perf_counter(), getattr(engine, "traces", 0)
            results = train(engine, assignment.stack, data_of(assignment, known))
            drop_generated_files()  # before the answer: after it we may be ended
            traced = getattr(engine, "traces", 0) > traces
            took = Took(time.perf_counter() - started, traced)
            connection.send(Answer(assignment.number, results, _verdicts(engine), took))


def data_of(assignment: Assignment, known: dict[str, PreparedData]) -> PreparedData:
    """Return the data of an assignment, and let go of what the driver wants forgotten.

    Args:
        assignment: the latest.
        known: the data that the worker has, by key; brought up to date.
    """
    for key in assignment.forget:
        known.pop(key, None)
    if assignment.data is not None:
        known[assignment.key] = assignment.data
    return known[assignment.key]


def start_engine(name: str) -> Engine:
    """Import TensorFlow with one thread and return a fresh engine."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow's own allocator, which it leaves to graphics cards unless told: it finds a block
    # for a tensor, of which a step needs hundreds, sooner than glibc does.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(2**20))  # a terabyte: as good as none
    with _without("sklearn", "scipy", "matplotlib"):
        import keras_tuner  # noqa: F401  (imports Keras, while those are out of sight)
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if name == "fit":
        from stabilitysweep.engines.fit import FitEngine

        return FitEngine()
    from stabilitysweep.engines.verified import VerifiedEngine

    return VerifiedEngine()


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Hide packages from what is imported inside; those imported before stay in sight.

    Keras and KerasTuner import scikit-learn, SciPy and matplotlib where they find them, for
    wrappers, pictures and oracles that no worker uses: two fifths of a worker's start.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def train(engine: Engine, stack: Stack, data: PreparedData) -> list[TrialResult]:
    """Train a stack; whatever it raises makes its trials `crashed`, not the worker."""
    try:
        return engine.run(stack, data)
    except Exception as error:
        with contextlib.suppress(OSError):  # no room for the log
            traceback.print_exc()
        return crashed(stack, engine.name, f"{type(error).__name__}: {error}")


def _verdicts(engine: Engine) -> tuple[Verdict, ...]:
    """Take from an engine what it has found out since it was last asked."""
    found = tuple(getattr(engine, "verdicts", ()))
    if found:
        engine.verdicts.clear()  # type: ignore[attr-defined]
    return found


def crashed(stack: Stack, engine: str, message: str) -> list[TrialResult]:
    """Return a stack's trials as `crashed`, with the reason."""
    return [
        TrialResult(
            trial.trial_id,
            Outcome.CRASHED,
            engine,
            compiled=stack.program.compiled,
            message=crash_message(trial, message)[:_MESSAGE_LENGTH],
        )
        for trial in stack.trials
    ]


def _listen(connection: Connection, inbox: SimpleQueue[Assignment]) -> None:
    """Pass on what the driver sends, in a thread of its own.

    So the driver never waits for a worker that is training, nor for one that waits for the
    driver to take its answer; and a driver that is gone is noticed in the midst of a stack.
    """
    while True:
        try:
            assignment: Assignment = connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to take an answer
        except BaseException:
            # Unreadable: the driver sees us die with it, and says so.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        inbox.put(assignment)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: the same tensors are allocated again every step.

    By default it hands large blocks back to the system, which clears them page by page when
    they are asked for again: up to a tenth of the time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not everywhere: macOS, musl
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def drop_generated_files() -> None:
    """Remove what AutoGraph has written into the folder for temporary files.

    TensorFlow does so where a process leaves in an orderly way, which ours never do. What is
    in the files has been imported, and is not read again.
    """
    for name in [name for name in sys.modules.copy() if name.startswith(_GENERATED)]:
        module = sys.modules[name]
        for path in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
            if path:
                with contextlib.suppress(OSError):
                    os.unlink(path)
