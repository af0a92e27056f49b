"""A call in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_engines import convert, files

from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors import call_apart


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


def test_an_interruption_ends_it() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            call_apart(sleep)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    mine = psutil.Process().children(recursive=True)
    assert not [child for child in mine if "resource_tracker" not in " ".join(child.cmdline())]


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
