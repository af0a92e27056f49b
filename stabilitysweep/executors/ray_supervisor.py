"""What Ray runs on a node: it keeps one worker process, and says what became of it.

The process that trains is the one of `LocalExecutor`, started in the same way: so a trial has the
same bits wherever it is trained, and how a process ended at a stack is known here, on the machine
that it ended on. What Ray itself loses are nodes and supervisors, which no stack is to blame for.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.executors.process import WorkerProcess
from stabilitysweep.executors.schedule import Death, Task
from stabilitysweep.executors.worker import Answer, WorkerSettings
from stabilitysweep.provenance import versions

_VARIABLES = ("KERAS_", "OMP_", "TF_", "XLA_")
"""Prefixes of the environment variables that change what TensorFlow computes, or how."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker process finds around it, as if the driver had started it.

    Attributes:
        path: where modules are looked for, absolute.
        folder: the driver's current folder, which is taken where the node has it.
        variables: the driver's environment variables that begin with one of `_VARIABLES`.
    """

    path: tuple[str, ...]
    folder: str
    variables: Mapping[str, str]

    @classmethod
    def own(cls) -> Surroundings:
        """Return those of this process."""
        return cls(
            path=tuple(dict.fromkeys(os.path.abspath(entry) for entry in sys.path)),
            folder=str(Path.cwd()),
            variables={k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)},
        )

    def take(self) -> None:
        """Make them those of this process, and so of the processes that it starts."""
        sys.path += [entry for entry in self.path if entry not in sys.path]
        with contextlib.suppress(OSError):  # a node without that folder stays where it is
            os.chdir(self.folder)
        if "OMP_NUM_THREADS" not in self.variables:
            os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it to the CPUs of an actor
        os.environ.update(self.variables)


class Started(NamedTuple):
    """The worker process is ready.

    Attributes:
        node: Ray's name for the machine.
        versions: of what the results depend on, there.
    """

    node: str
    versions: dict[str, str]


class Ended(NamedTuple):
    """The worker process ended, without an answer.

    Attributes:
        death: how.
        ready: whether its engine had started: otherwise no stack is to blame.
    """

    death: Death
    ready: bool


class Supervisor:
    """An actor of Ray's; one call at a time."""

    def __init__(self, surroundings: Surroundings, engine: str, start: bytes) -> None:
        """Prepare to start a worker process.

        Args:
            surroundings: of the driver.
            engine: `stacked` or `fit`.
            start: pickled, what makes the engine: it may be found only in `surroundings`.
        """
        surroundings.take()
        self._engine = engine
        self._start: Callable[[str], Engine] = pickle.loads(start)
        self._worker: WorkerProcess | None = None

    def ready(self) -> Started | Ended:
        """Start the worker process, unless it runs, and wait until it can train."""
        import ray

        worker = self._running(None)
        while not worker.ready:
            wait(worker.handles)
            if worker.receive() is None:
                return self._ended(worker)
        return Started(ray.get_runtime_context().get_node_id(), versions())

    def train(self, number: int, key: str, stack: Stack, data: PreparedData) -> Answer | Ended:
        """Train a stack.

        Args:
            number: the driver's name for it.
            key: of the prepared data.
            stack: the trials.
            data: that data; on its way from Ray's object store, which a node asks for it once.
        """
        worker = self._running(stack)
        worker.give(Task(number, key, stack), {key: data})
        while True:
            wait(worker.handles)
            message = worker.receive()
            if message is None:
                return self._ended(worker)
            if isinstance(message, Answer):
                worker.answered(message)
                return message

    def _running(self, stack: Stack | None) -> WorkerProcess:
        """The worker process: another where there is none, or the last has left too much behind."""
        worker = self._worker
        if worker is not None and stack is not None:
            between_jobs = worker.is_new(stack.program)
            if worker.is_spent(between_jobs=between_jobs):
                worker.stop()
                worker.end()
                self._worker = None
        if self._worker is None:
            settings = WorkerSettings(self._engine, self._start, core=None)
            with _without_main():
                self._worker = WorkerProcess(settings)
        return self._worker

    def _ended(self, worker: WorkerProcess) -> Ended:
        self._worker = None
        return Ended(worker.bury(), worker.ready)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the script of this process: `spawn` would run Ray's own again in the child."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
