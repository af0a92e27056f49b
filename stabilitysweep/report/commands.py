"""Command lines that a page shows, to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stabilitysweep.result import Result
from stabilitysweep.result.next_steps import next_steps
from stabilitysweep.result.recommending import sweep_config

PROGRAM = "python -m stabilitysweep"
"""How the program is called, wherever the page is read."""

_PURPOSES = {
    "refine": "find the boundary between the learning rates of the grid",
    "recommend": "safe settings, by other measures or margins",
    "confirm": "train the picks for the long run, with fresh seeds",
    "show": "the trial that failed first, with its curve",
    "diagnose": "train failed trials again and look at every layer",
}


@dataclass(frozen=True, slots=True)
class Purpose:
    """A command, and what it is for."""

    text: str
    command: str


def command(*words: str | Path) -> str:
    """A command line, ready to be pasted into a shell."""
    return f"{PROGRAM} {shlex.join(map(_argument, words))}"


def _argument(word: str | Path) -> str:
    """A folder that begins with a dash must not be taken for an option."""
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith("-") else text


def commands_of(result: Result, picked: bool) -> Iterator[Purpose]:
    """What can be done with a result, those first that come next.

    Args:
        result: the result.
        picked: whether it has picks.
    """
    folder = result.folder
    if reproduced(result) is not None:
        yield Purpose("run it again, from the config below", command("run", file_of(result)))
    for words in next_steps(result, picked):
        yield Purpose(_PURPOSES[str(words[0])], command(*words))
    yield Purpose("the summary in the terminal", command("show", folder))
    yield Purpose("a figure of any axes", command("plot", folder))
    trials = ("export", folder, "--out", "trials.csv")
    yield Purpose("the trials as a table", command(*trials))
    yield Purpose("this page", command("report", folder))


def reproduced(result: Result) -> str | None:
    """The config of the sweep, to be run again; None where there is none to run."""
    return sweep_config(result)


def file_of(result: Result) -> str:
    """What the config of a sweep is to be called."""
    return f"{result.config.name}.yaml"
