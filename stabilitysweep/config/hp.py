"""The `hp` of a user's build as a config gives them: their names and values."""

from __future__ import annotations

import math
import re

from stabilitysweep.config.names import SLICE_COLUMNS, TABLE_COLUMNS
from stabilitysweep.config.problems import KeyPath, Problem, describe, wrong_value
from stabilitysweep.config.settings import HpValue

SAID_ELSEWHERE = ("name", "build")
"""What the section `model` says of the model itself: these are the names of no `hp`."""

_LONGEST_NAME = 100
_NAME = f"the name of an hp: a text of 1 to {_LONGEST_NAME} characters"
_VALUE = "true or false, a finite number, or a text"
# Beyond it neither a float nor a column of the table holds a whole number exactly.
_LARGEST_WHOLE = 2**53
_LONGEST_NUMBER = 400  # characters; Python reads no whole number of thousands of digits
_WHOLE = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def name_problem(name: str, path: KeyPath, *, axis: bool = False) -> Problem | None:
    """Return what is wrong with the name of an `hp`, None if nothing is.

    KerasTuner's scopes of names put spaces and slashes into them. An axis has a column in the
    tables of a row a slice too, which every figure is drawn from: its name is none of theirs.
    """
    if not 0 < len(name) <= _LONGEST_NAME:
        return Problem(path, _NAME, f"one of {len(name)}")
    if name in TABLE_COLUMNS or name.startswith("val_"):
        return Problem(
            path,
            "the name of an hp that is no column of the trials table",
            f"{name!r}, which is one",
            f"rename the hp where it is asked for, for example to 'hp_{name}'",
        )
    if axis and name in SLICE_COLUMNS:
        return Problem(
            path,
            "the name of an axis that is no column of the boundaries or sensitivities table",
            f"{name!r}, which is one",
            f"rename the hp where it is asked for, for example to 'hp_{name}'",
        )
    return None


def no_text(name: object, path: KeyPath) -> Problem:
    """The problem of a key that YAML reads as something else than a text."""
    return Problem(path, _NAME, f"the key {describe(name)}", "put it into quotes")


def read_hp(value: object, path: KeyPath) -> tuple[HpValue, list[Problem]]:
    """Read one value of an `hp`.

    Args:
        value: as YAML has it; a text that is a number counts as that number.
        path: where it stands.

    Returns:
        The value and no problems, or a value without meaning and one problem.
    """
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        value = int(value) if _WHOLE.fullmatch(value) else float(value)
    match value:
        case bool() | str():
            return value, []
        case int() if abs(value) <= _LARGEST_WHOLE:
            return value, []
        case float() if math.isfinite(value):
            return value + 0.0, []  # no negative zero
        case int():
            return 0, [wrong_value(path, "a whole number of at most 2**53, or 1.0e+300", value)]
    return 0, [wrong_value(path, _VALUE, value)]
