"""TensorFlow's notices about itself, kept off the terminal while a user's module is at work.

They are written by C++ to the file descriptor, past `sys.stderr`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_LONGEST_WAIT = 2.0
_CHATTER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IW]\d{4} \d\d:\d\d:\d+\.\d+ "
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] (tensorflow|external)/"
    rb"|(E\d{4} \S+ |\d{4}-\S+ \S+: E ).*(Unable to register|cuda)"
    rb"|To enable the following instructions:"
)
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")


def is_chatter(line: bytes) -> bool:
    """Tell whether a line is a notice of TensorFlow's about itself."""
    return _CHATTER.match(line) is not None


@contextmanager
def without_chatter() -> Iterator[None]:
    """Pass on what is written to stderr, line by line, but for TensorFlow's notices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import, or it has no effect
    try:
        _flush()
        terminal = os.dup(_STDERR)
    except OSError:  # there is no stderr: nothing to keep off it
        yield
        return
    reading, writing = os.pipe()
    pump = threading.Thread(target=_pass_on, args=(reading, terminal), daemon=True)
    pump.start()
    os.dup2(writing, _STDERR)
    os.close(writing)
    try:
        yield
    finally:
        _flush()
        os.dup2(terminal, _STDERR)
        # A process that the user's module has left running may hold the other end.
        pump.join(_LONGEST_WAIT)


def _flush() -> None:
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()


def _pass_on(reading: int, terminal: int) -> None:
    """Copy all that comes out of a pipe but chatter, until its other end is closed; close both."""
    rest = b""
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(terminal, "wb", 0) as target:
        while chunk := source.read(65_536):
            rest += chunk
            done = 0
            for line in _LINE.finditer(rest):
                done = line.end()
                if not is_chatter(line[0]):
                    target.write(line[0])
            rest = rest[done:]
        if rest and not is_chatter(rest):
            target.write(rest)
