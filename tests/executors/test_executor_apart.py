"""A call in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fake_engines import convert, files

from stabilitysweep import rehearsal
from stabilitysweep.errors import StabilitySweepError, UserError
from stabilitysweep.executors import call_apart
from stabilitysweep.executors.apart import ProcessDeathError, for_each_at_once


def add(left: int, right: int) -> tuple[int, int]:
    print("not for the user's eyes")
    return left + right, os.getpid()


def links_of_its_output() -> tuple[int, int]:
    return os.fstat(1).st_nlink, os.fstat(2).st_nlink


def refuse() -> None:
    raise ValueError("no such thing")


def die(code: int) -> None:
    os.write(2, b"the last line\n")
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def sleep() -> None:
    time.sleep(60)


def test_it_returns_what_the_function_returns_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found, pid = call_apart(add, 2, 3)
    assert found == 5
    assert pid != os.getpid()
    assert not psutil.pid_exists(pid)
    assert capfd.readouterr() == ("", "")


def test_what_it_prints_is_in_a_file_without_a_name() -> None:
    assert call_apart(links_of_its_output) == (0, 0)


def test_of_what_autograph_writes_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert call_apart(convert) == 2
    assert files(tmp_path) == []


def test_what_it_raises_is_said() -> None:
    with pytest.raises(StabilitySweepError, match="ValueError: no such thing"):
        call_apart(refuse)


@pytest.mark.parametrize(
    ("code", "words"), [(3, "with exit code 3"), (-int(signal.SIGKILL), "by SIGKILL")]
)
def test_its_death_is_said(code: int, words: str) -> None:
    with pytest.raises(StabilitySweepError, match=f"it ended {words}") as error:
        call_apart(die, code)
    if code > 0:
        assert "its last words: the last line" in str(error.value)


@contextmanager
def interrupted(told: Path | None = None, count: int = 0) -> Iterator[None]:
    """Interrupt what is within, and look that it leaves no process.

    After three seconds, or once so many processes have told that they are at work.
    """

    def interrupt(number: int, frame: object) -> None:
        if told is None or len(list(told.iterdir())) >= count:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 3.0, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    mine = psutil.Process().children(recursive=True)
    assert not [child for child in mine if "resource_tracker" not in " ".join(child.cmdline())]


def test_an_interruption_ends_it() -> None:
    with interrupted():
        call_apart(sleep)


def tell_and_sleep_on(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(30)
    (folder / f"{os.getpid()} to its end").touch()


def call_again_and_again(folder: Path) -> None:
    while True:
        with contextlib.suppress(ProcessDeathError):
            call_apart(tell_and_sleep_on, folder)


def test_an_interruption_ends_all_that_are_waited_for_and_none_is_started_again(
    tmp_path: Path,
) -> None:
    with interrupted(tmp_path, 3):
        for_each_at_once(call_again_and_again, [tmp_path] * 3)
    # One that was just being started when the others were ended has had no time to tell.
    assert len(list(tmp_path.iterdir())) == 3


def test_an_interruption_ends_a_rehearsal(tmp_path: Path) -> None:
    trying: Any = SimpleNamespace(training=SimpleNamespace(data="key"), xla=None)
    data: Any = {"key": None}
    with interrupted(tmp_path, 3):
        rehearsal._apart(partial(rehearsed, tmp_path), [trying], data, 3, float("inf"))
    assert not list(tmp_path.glob("* to its end"))


def rehearsed(folder: Path, *_: object) -> list[Any]:
    tell_and_sleep_on(folder)
    return []


def squared(number: int) -> int:
    if number < 0:
        raise StabilitySweepError("no such square")
    return int(call_apart(add, number * number, 0)[0])


def test_several_at_once_answer_in_their_order_and_the_first_error_is_raised() -> None:
    assert for_each_at_once(squared, [3, 1, 2]) == [9, 1, 4]
    assert for_each_at_once(squared, [3]) == [9]
    assert for_each_at_once(squared, []) == []
    with pytest.raises(StabilitySweepError, match="no such square"):
        for_each_at_once(squared, [-1, 1])


CALLER = """
import sys
from test_executor_apart import tell_and_sleep
from stabilitysweep.executors import call_apart
if __name__ == "__main__":
    call_apart(tell_and_sleep, sys.argv[1])
"""


def tell_and_sleep(place: str) -> None:
    Path(place).write_text(str(os.getpid()))
    time.sleep(600)


def test_it_ends_with_the_process_that_called_however_that_ends(tmp_path: Path) -> None:
    script, told = tmp_path / "caller.py", tmp_path / "pid"
    script.write_text(CALLER)
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    caller = subprocess.Popen(
        [sys.executable, str(script), str(told)],
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
    )
    try:
        for _ in range(1_200):
            if told.exists() and told.read_text():
                break
            time.sleep(0.05)
        apart = psutil.Process(int(told.read_text()))
    finally:
        caller.kill()
        caller.wait()
    assert psutil.wait_procs([apart], timeout=10)[1] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caller.py", "pid"]


@pytest.mark.parametrize("more", [0, 1, 3, 5])
def test_a_system_with_no_file_left_is_told_of_in_plain_words(more: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + more, hard))
    try:
        with pytest.raises(UserError, match="expected to start a process, got: Too many open"):
            call_apart(add, 2, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before
