"""The terminal: what is printed where, and how wide."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNWRAPPED = 1_000
"""Columns of what is no terminal: a line in a file is not to be broken in the middle."""


def console() -> Console:
    """Return a console on stdout that prints texts as they are: no markup, no emoji.

    Colours and control characters are for terminals alone, whatever the environment says.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else _UNWRAPPED
    return Console(force_terminal=terminal, width=width, markup=False, highlight=False, emoji=False)


def emit(screen: Console, content: RenderableType) -> None:
    """Print something; where it is no terminal, without the spaces that tables end in."""
    if screen.is_terminal:
        screen.print(content)
        return
    with screen.capture() as captured:
        screen.print(content)
    for line in captured.get().splitlines():
        screen.print(line.rstrip(), soft_wrap=True)


def fail(message: str) -> None:
    """Print an error on stderr."""
    print(f"error: {message}", file=sys.stderr)


def note(message: str) -> None:
    """Print what is no error on stderr, if there is still somebody to read it."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def program() -> str:
    """Return how this program was called, for commands that are shown to the user."""
    called = Path(sys.argv[0])
    return "python -m stabilitysweep" if called.name == "__main__.py" else called.name


def command(*words: str | Path) -> str:
    """Return a command line of this program, ready to be pasted into a shell."""
    return f"{program()} {shlex.join(map(str, words))}"
