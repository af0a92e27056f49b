"""What the command line is before it does anything: help, version, and what it loads."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_sweep import TINY, call, environment, write_config

import stabilitysweep
from stabilitysweep.cli import main

COMMANDS = ("run", "check", "show", "plot", "export", "report")


def loaded_by(*calls: list[str], cwd: Path) -> tuple[list[int], set[str]]:
    """The exit codes of some commands in one process, and the packages it loaded."""
    program = (
        "import sys\n"
        "from stabilitysweep.cli import main\n"
        f"codes = [main(words) for words in {list(calls)!r}]\n"
        "print('loaded', *codes, *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = done.stdout.splitlines()[-1].split()
    codes = found[1 : 1 + len(calls)]
    return [int(code) for code in codes], set(found[1 + len(calls) :])


def test_help_lists_the_commands_at_once(tmp_path: Path) -> None:
    call("--help", cwd=tmp_path)  # once, for the bytecode
    began = time.monotonic()
    out = call("--help", cwd=tmp_path).stdout
    assert time.monotonic() - began < 1.0
    for command in COMMANDS:
        assert f"\n  {command} " in out
    assert call(cwd=tmp_path).stdout == out
    assert call("-h", cwd=tmp_path).stdout == out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Usage: ")
    assert max(map(len, out.splitlines())) <= 80


def test_version(tmp_path: Path) -> None:
    printed = call("--version", cwd=tmp_path).stdout
    assert printed == f"stabilitysweep {stabilitysweep.__version__}\n"


def test_nothing_slow_is_loaded_before_it_is_needed(
    tmp_path: Path, base: tuple[Path, object]
) -> None:
    slow = {"tensorflow", "keras", "pandas", "sklearn", "matplotlib", "scipy"}
    (tmp_path / "bad.yaml").write_text("name: x\ngrdi: {}\n")
    write_config(tmp_path, TINY)
    codes, names = loaded_by(["--help"], ["run", "--help"], ["--version"], cwd=tmp_path)
    assert (codes, names & (slow | {"numpy"})) == ([0, 0, 0], set())
    codes, names = loaded_by(["check", "bad.yaml"], ["run", "bad.yaml"], cwd=tmp_path)
    assert (codes, names & slow) == ([2, 2], set())
    reading = (
        ["show", "results/tiny"],
        ["report", "results/tiny", "--out", str(tmp_path / "x.html")],
    )
    codes, names = loaded_by(*reading, cwd=base[0])
    assert (codes, names & {"sklearn", "matplotlib", "tensorflow"}) == ([0, 0], set())


def test_tensorflow_is_for_workers_alone(copy: Path) -> None:
    codes, names = loaded_by(
        ["check", "tiny.yaml"],
        ["show", "results/tiny"],
        ["plot", "results/tiny", "--out", "maps"],
        ["export", "results/tiny", "--out", "table.csv"],
        ["run", "tiny.yaml"],  # all is stored
        cwd=copy,
    )
    assert codes == [0] * 5
    assert not names & {"tensorflow", "keras", "keras_tuner"}
