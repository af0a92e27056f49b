"""From the arguments of the process to its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from stabilitysweep.cli import commands as _commands  # noqa: F401  adds them to the app
from stabilitysweep.cli import deciding as _deciding  # noqa: F401  as these
from stabilitysweep.cli import reporting as _reporting  # noqa: F401  and this
from stabilitysweep.cli.app import app
from stabilitysweep.cli.terminal import fail, program
from stabilitysweep.errors import StabilitySweepError

_WRONG_INPUT = 2
_INTERRUPTED = 130
_READER_GONE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code of the process.

    Args:
        arguments: those after the program's name; None takes the process' own.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a sign that the encoding lacks is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = app(given, standalone_mode=False, prog_name=program())
        sys.stdout.flush()
        return int(code or 0)
    except typer.TyperException as error:
        fail(_usage(error))
        return _WRONG_INPUT
    except StabilitySweepError as error:
        fail(str(error))
        return _WRONG_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit:
        # What typer and rich make of an output that nobody reads to its end (`| head`); their
        # exit code, 1, is one of ours.
        return _READER_GONE


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", program())
    message = error.format_message().replace("Value error, ", "")
    return f"{message} See '{command} --help'."
