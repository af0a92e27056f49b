"""Exit codes and closing words of `run`, with executors that train nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pytest
from tiny_sweep import TINY, write_config

from stabilitysweep import api, execution
from stabilitysweep.cli import main
from stabilitysweep.data import PreparedData
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.executors.worker import crashed
from stabilitysweep.result import pictures

Capture = pytest.CaptureFixture[str]


class Crashing:
    """Every trial crashes; after the first stack comes the signal, if there is one."""

    stopped_by: signal.Signals | None = None

    def __init__(self, workers: int | None, engine: str) -> None:
        pass

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        for job in jobs:
            for stack in job.stacks:
                yield StackDone(stack, crashed(stack, "stacked", "ValueError: no such layer"))
                if self.stopped_by is not None:
                    os.kill(os.getpid(), self.stopped_by)


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Crashing]:
    """Put the executor in place, in an empty folder with tiny.yaml."""

    class Own(Crashing):
        pass

    monkeypatch.setattr(execution, "LocalExecutor", Own)
    monkeypatch.setattr(pictures, "ALWAYS_DRAWN", ())
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, TINY)
    return Own


@pytest.mark.usefixtures("crashing")
def test_crashed_trials_make_it_one_and_are_explained(capsys: Capture) -> None:
    for _ in range(2):  # they are tried again, and crash again
        assert main(["run", "tiny.yaml"]) == 1
        out, err = capsys.readouterr()
        assert err == ""
        assert "32 in 4 programs" in out
        assert "32 trials could not be run. The next run tries them again." in out
        assert "ValueError: no such layer" in out
    assert main(["run", "tiny.yaml", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: 32 trials could not be run. The next run tries them again.\n")
    assert err.endswith(": ValueError: no such layer\n")
    assert main(["show", "results/tiny"]) == 0  # to show is not to run


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interruption_says_how_to_go_on(
    crashing: type[Crashing],
    capsys: Capture,
    request: pytest.FixtureRequest,
    number: signal.Signals,
    code: int,
) -> None:
    crashing.stopped_by = number
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:  # as under nohup, where SIGHUP is rightly ignored
        signal.signal(number, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, before))
    handler = signal.getsignal(number)
    words = ["--out", "my results", "--engine", "fit", "--workers", "1", "--compile", "xla", "-q"]
    assert main(["run", "tiny.yaml", "--fresh", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    said, again = err.splitlines()
    assert said == ("interrupted: 0 of 32 trials are stored in my results. To go on with the rest:")
    assert again.endswith(
        " run tiny.yaml --out 'my results' --engine fit --workers 1 --compile xla --quiet"
    )
    assert signal.getsignal(number) == handler


def test_an_interruption_before_anything_was_planned(
    crashing: type[Crashing], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "plan", interrupted)
    # What there is has not been set aside yet: to go on without --fresh would extend it.
    for more in ([], ["--fresh"]):
        assert main(["run", "tiny.yaml", *more]) == 130
        err = capsys.readouterr().err
        assert err.startswith("interrupted before anything was trained.")
        assert err.rstrip().endswith(" ".join(["run tiny.yaml", *more]))
