"""Engines that cost nothing, for tests of what is around an engine.

The name of an engine says what it does; after a colon may follow a path that it uses.
Workers import this module by its name, so it is no part of a test file.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.types import Outcome, TrialResult

SUSPECT = 1.0
"""The learning rate at which an engine does what its name says; the others are harmless."""


class FakeEngine:
    """Answers with a number that depends on the trial and the data alone."""

    def __init__(self, name: str) -> None:
        self.name, _, self.path = name.partition(":")

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        if self.name == "tells":
            with Path(self.path).open("a") as told:
                told.write(f"{os.getpid()} {stack.program.model.depth}\n")
        if self.name == "looks at its output":
            links = os.fstat(1).st_nlink + os.fstat(2).st_nlink
            with Path(self.path).open("a") as told:
                told.write(f"{links} {os.fstat(1).st_ino == os.fstat(2).st_ino}\n")
        if self.name == "converts":
            with Path(self.path).open("a") as told:
                told.write(f"{convert()}\n")
        if any(trial.training.learning_rate == SUSPECT for trial in stack.trials):
            self._misbehave()
        return [result(trial.trial_id, data, self.name) for trial in stack.trials]

    def _misbehave(self) -> None:
        match self.name:
            case "raises":
                raise ValueError("no such layer")
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "dies once" if not Path(self.path).exists():
                Path(self.path).touch()
                print("my last words", file=sys.stderr, flush=True)
                os._exit(7)
            case "says and dies":
                print("my last words", file=sys.stderr, flush=True)
                os._exit(7)
            case "sleeps":
                Path(self.path).write_text(str(os.getpid()))
                time.sleep(600)


def convert() -> int:
    """Have AutoGraph convert a function; return how many temporary files there are then."""
    import tensorflow as tf

    sys.dont_write_bytecode = False
    tf.function(_doubled)(1.0)
    return len(files(Path(tempfile.gettempdir())))


def _doubled(number: float) -> float:
    return number * 2


def files(folder: Path) -> list[Path]:
    """Every file within."""
    return [path for path in folder.rglob("*") if path.is_file()]


def result(trial_id: str, data: PreparedData, engine: str) -> TrialResult:
    """What a fake engine answers for a trial."""
    loss = int(trial_id[:8], 16) + float(data.x_train.sum())
    return TrialResult(trial_id, Outcome.STABLE, engine, final_loss=loss)


def start(name: str) -> Engine:
    """Make the engine of a worker."""
    if name == "cannot start":
        raise ImportError("no tensorflow here")
    kind, _, path = name.partition(":")
    if kind == "killed while it starts":
        with Path(path).open("a") as starts:
            starts.write("x")
        if len(Path(path).read_text()) < 5:
            os.kill(os.getpid(), signal.SIGKILL)
    return FakeEngine(name)
