"""The axes of a grid: which settings may be one, and how their values are written."""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stabilitysweep.config.dataset import DatasetSettings
from stabilitysweep.config.fields import Expected, FiniteNumber, PositiveWhole
from stabilitysweep.config.hp import SAID_ELSEWHERE, name_problem, read_hp
from stabilitysweep.config.problems import (
    KeyPath,
    Problem,
    check,
    describe,
    keys,
    unknown_key,
    wrong_value,
)
from stabilitysweep.config.settings import (
    ModelSettings,
    PreprocessingSettings,
    TrainingSettings,
)

DATASET = "dataset"
"""The axis that is a whole section; its values are `DatasetSettings`."""

SECTIONS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "preprocessing": PreprocessingSettings,
        "model": ModelSettings,
        "training": TrainingSettings,
    }
)
"""The sections whose settings may be axes, each setting by itself."""

_NO_AXIS = {
    ("model", "name"),
    ("model", "build"),
    ("model", "hp"),
    ("training", "steps"),
    ("training", "epochs"),
    ("training", "metrics"),
}
_SIGNIFICANT_DIGITS = 12
_LONGEST_AXIS = 10_000


def section_of(setting: str) -> str | None:
    """The section that has a setting, whether it may be an axis or not; None if none has."""
    return next((name for name, model in SECTIONS.items() if setting in keys(model)), None)


def is_hp(name: str) -> bool:
    """Whether a name in the grid of a user's build is one of its `hp`, not a setting of ours."""
    return name not in (DATASET, *SAID_ELSEWHERE) and section_of(name) in (None, "model")


@dataclass(frozen=True, slots=True)
class AxisSetting:
    """A setting that may be an axis.

    Attributes:
        name: its key, in its section and in `grid`.
        section: the section it is a setting of.
        kind: whether its numbers are `whole`, `real`, or it has none (`choice`).
    """

    name: str
    section: str
    kind: Literal["whole", "real", "choice"]


def _kind(annotation: Any) -> Literal["whole", "real", "choice"]:
    parts = {annotation, *typing.get_args(annotation)}
    parts |= {typing.get_args(part)[0] for part in parts if typing.get_origin(part) is Annotated}
    if float in parts:
        return "real"
    return "whole" if int in parts else "choice"


AXIS_SETTINGS: Mapping[str, AxisSetting] = MappingProxyType(
    {
        name: AxisSetting(name, section, _kind(field.annotation))
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
        if (section, name) not in _NO_AXIS
    }
)
"""Every setting that may be an axis, but `dataset`, by name."""


class _Range(BaseModel):
    """`{from, to, num, scale}`: evenly spaced values, both ends among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: FiniteNumber = Field(alias="from")
    to: FiniteNumber
    num: Annotated[
        PositiveWhole,
        Field(ge=2, le=_LONGEST_AXIS),
        Expected(f"a whole number from 2 to {_LONGEST_AXIS:,}"),
    ]
    scale: Literal["log", "linear"] = "linear"


def read_axis(
    name: str, content: object, path: KeyPath, *, build: bool = False
) -> tuple[tuple[Any, ...] | None, list[Problem]]:
    """Read one axis.

    Args:
        name: a setting, or `dataset`; with a build also the name of an `hp`.
        content: a list of values, or a mapping with `from`, `to`, `num` and `scale`. Values
            between the ends of such a range are rounded to 12 significant digits, or to
            whole numbers for a setting that takes only these; its ends are exact.
        path: where it stands.
        build: whether the model is built by a function of the user's.

    Returns:
        The values, at least one and all different, each of its setting's type, and no
        problems; or None and at least one problem.
    """
    own = build and is_hp(name)
    if own:
        if problem := name_problem(name, path, axis=True):
            return None, [problem]
    elif name != DATASET and name not in AXIS_SETTINGS:
        return None, [_no_axis(name, path, build=build)]
    if isinstance(content, Mapping):
        return _read_range(name, content, path, own=own)
    if not isinstance(content, list | tuple) or not content:
        hint = "" if isinstance(content, list | tuple | None) else "write [value] for a single one"
        return None, [wrong_value(path, _forms(name, own), content, hint)]
    paths: list[KeyPath] = [(*path, place) for place in range(len(content))]
    return _read_values(name, list(content), paths, own=own)


def read_recorded_axis(
    name: str, content: object, path: KeyPath
) -> tuple[tuple[Any, ...] | None, list[Problem]]:
    """Read one axis of a recorded search: every name is an `hp`, null one that is not active.

    Args:
        name: of the axis.
        content: a list of values.
        path: where it stands.

    Returns:
        As `read_axis`; null comes last.
    """
    if problem := name_problem(name, path, axis=True):
        return None, [problem]
    if not isinstance(content, list | tuple) or not content:
        return None, [wrong_value(path, _forms(name, own=False), content)]
    paths: list[KeyPath] = [(*path, place) for place in range(len(content))]
    raw = [(item, own) for item, own in zip(content, paths, strict=True) if item is not None]
    values, problems = _read_values(
        name, [item for item, _ in raw], [own for _, own in raw], own=True
    )
    if values is not None and len(raw) < len(content):
        values = (*values, None)
    return values, problems


def _forms(name: str, own: bool) -> str:
    ranges = own or (name in AXIS_SETTINGS and AXIS_SETTINGS[name].kind != "choice")
    return "a list of at least one value" + (", or {from, to, num, scale}" if ranges else "")


def _no_axis(name: str, path: KeyPath, *, build: bool) -> Problem:
    section = section_of(name)
    if build and name in SAID_ELSEWHERE:
        expected = "a setting that may be an axis, or the name of an hp"
        hint = "if the hp is called so, rename it where it is asked for"
        return Problem(path, expected, f"'model.{name}', which says what the model is", hint)
    if section is not None:
        got = f"'{section}.{name}', which has one value for the whole sweep"
        return Problem(path, "a setting that may be an axis", got)
    problem = unknown_key(path, [DATASET, *AXIS_SETTINGS], "a setting that may be an axis")
    own = "for an hp of a model of your own, give 'model: {build: module:function}'"
    return problem if problem.hint else replace(problem, hint=own)


def _read_values(
    name: str, raw: list[Any], paths: list[KeyPath], *, own: bool
) -> tuple[tuple[Any, ...] | None, list[Problem]]:
    values: list[Any] = []
    problems: list[Problem] = []
    # A data set is no key of a set; the other axes may be long.
    known: list[Any] | set[Any] = values if name == DATASET else set()
    for item, path in zip(raw, paths, strict=True):
        value: Any
        value, found = read_hp(item, path) if own else _read_value(name, item, path)
        problems += found
        if found:
            continue
        if value in known:
            problems.append(Problem(path, "each value once", f"{_shown(value)} again"))
        elif name == DATASET and value.label in {other.label for other in values}:
            got = f"two data sets called {value.label!r}"
            hint = "give each its own 'label'"
            problems.append(Problem(path, "data sets that can be told apart", got, hint))
        values.append(value)
        if isinstance(known, set):
            known.add(value)
    return (None if problems else tuple(values)), problems


def _shown(value: Any) -> str:
    return value.label if isinstance(value, DatasetSettings) else describe(value)


def _read_value(name: str, item: object, path: KeyPath) -> tuple[Any, list[Problem]]:
    if name == DATASET:
        return check(DatasetSettings, item, path)
    section = SECTIONS[AXIS_SETTINGS[name].section]
    instance, problems = check(section, {name: item}, ())
    # The section's path ends with the setting's name, where the axis has a place.
    moved = [replace(problem, path=(*path, *problem.path[1:])) for problem in problems]
    return getattr(instance, name, None), moved


def _read_range(
    name: str, content: Mapping[Any, Any], path: KeyPath, *, own: bool
) -> tuple[tuple[Any, ...] | None, list[Problem]]:
    kind = "choice" if name == DATASET else "real" if own else AXIS_SETTINGS[name].kind
    if kind == "choice":
        return None, [wrong_value(path, _forms(name, own), content)]
    span, problems = check(_Range, content, path)
    if span is None:
        return None, problems
    if span.start >= span.to:
        got = f"{span.start:g} and {span.to:g}"
        return None, [Problem((*path, "from"), "'from' to be less than 'to'", got)]
    if span.scale == "log" and span.start <= 0:
        expected = "a number above 0 for a log scale"
        return None, [wrong_value((*path, "from"), expected, span.start)]
    # If any value is outside what the setting takes, an end is.
    ends, problems = _read_values(
        name, [content["from"], content["to"]], [(*path, "from"), (*path, "to")], own=own
    )
    if ends is None:
        return None, problems
    inner = _between(span)
    if kind == "whole":
        inner = [round(value) for value in inner]
    values = [ends[0], *inner, ends[1]]
    if any(left >= right for left, right in itertools.pairwise(values)):
        got = ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if span.num > 6 else "")
        return None, [
            Problem((*path, "num"), f"ends that leave room for {span.num} different values", got)
        ]
    return tuple(values), []


def _between(span: _Range) -> list[float]:
    """The values between the ends, rounded so that they print as short as they are meant."""
    parts = [place / (span.num - 1) for place in range(1, span.num - 1)]
    if span.scale == "log":
        low, high = math.log10(span.start), math.log10(span.to)
        exact = [10 ** (low * (1 - part) + high * part) for part in parts]
    else:
        exact = [span.start * (1 - part) + span.to * part for part in parts]
    return [float(f"{value:.{_SIGNIFICANT_DIGITS}g}") for value in exact]
