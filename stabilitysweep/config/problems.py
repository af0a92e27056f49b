"""What is wrong with a config: key, expectation, what came, and the nearest known name.

Pydantic does the checking; its own wording never reaches the user.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from stabilitysweep.config.fields import REFUSED, Expected, NoKey

KeyPath = tuple[str | int, ...]
"""The way to a value in the config: keys, and places in lists counted from 0."""

_M = TypeVar("_M", bound=BaseModel)
_LONGEST = 60  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: where.
        expected: completes "expected ...".
        got: completes "got ...".
        hint: what to do instead, or empty.
        line: its line in the file, where the path does not tell.
        is_value: whether `got` is the value at `path`, which is best repeated as it is
            written there.
    """

    path: KeyPath
    expected: str
    got: str
    hint: str = ""
    line: int | None = None
    is_value: bool = False


def wrong_value(path: KeyPath, expected: str, value: object, hint: str = "") -> Problem:
    """The problem of a value that is not what is expected where it stands."""
    return Problem(path, expected, describe(value), hint, is_value=True)


def check(model: type[_M], data: object, path: KeyPath) -> tuple[_M | None, list[Problem]]:
    """Validate data against a model.

    Args:
        model: a model whose fields are literals or carry an `Expected`.
        data: what the user wrote.
        path: where it stands, the beginning of every problem's path.

    Returns:
        The instance and no problems, or None and at least one problem.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = (_problem(model, detail, path) for detail in error.errors(include_url=False))
        # A union reports each of its members; the user needs the place once.
        return None, list({problem.path: problem for problem in found}.values())


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the key that stands for each in a config, in order."""
    return {
        field.alias or name: field
        for name, field in model.model_fields.items()
        if not any(isinstance(item, NoKey) for item in field.metadata)
    }


def unknown_key(path: KeyPath, known: Iterable[str], kind: str, hint: str = "") -> Problem:
    """The problem of a key that is not known where it stands.

    Args:
        path: its path; the key is the last of it.
        known: the keys that would be.
        kind: what a key is there, with its article.
        hint: what to do instead; empty: to take the nearest known key, if one is near.

    Returns:
        The problem; it lists the known keys only where there is no hint.
    """
    known = list(known)
    hint = hint or suggest(path[-1], known)
    expected = kind if hint else f"{kind} ({', '.join(known)})"
    return Problem(path, expected, f"the unknown key {describe(path[-1])}", hint)


def suggest(name: object, known: Iterable[str]) -> str:
    """`did you mean 'relu'?` for the known name nearest to what was written, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    if not isinstance(name, str) or name in by_lower.values():
        return ""
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]!r}?" if near else ""


def describe(value: object) -> str:
    """A value as the user knows it, short and on one line; completes "got ..."."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return "a list" if value else "an empty list"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case str():
            return repr(shortened(value))
    try:
        return shortened(repr(value))
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def shortened(text: str) -> str:
    """The beginning of a text that is too long to be repeated in a message."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _problem(model: type[BaseModel], detail: ErrorDetails, path: KeyPath) -> Problem:
    location = detail["loc"]
    if detail["type"] == REFUSED:
        context = detail["ctx"]
        place = (*path, *location, *([context["key"]] if context["key"] else []))
        return Problem(place, context["expected"], context["got"])
    if detail["type"] == "invalid_key":
        return Problem(path, "keys that are text", f"the key {describe(detail['input'])}")
    if not location:
        expected = f"a mapping with keys out of {', '.join(keys(model))}"
        return wrong_value(path, expected, detail["input"])
    key = str(location[0])
    if detail["type"] == "extra_forbidden":
        return unknown_key((*path, key), keys(model), "a known key")
    # Below the field only places in its list are the user's; the rest are pydantic's own.
    places = tuple(place for place in location[1:2] if isinstance(place, int))
    expected, choices = _expectation(keys(model)[key])
    value = None if detail["type"] == "missing" else detail["input"]
    return wrong_value((*path, key, *places), expected, value, suggest(value, choices))


def _expectation(field: FieldInfo) -> tuple[str, list[str]]:
    """What a field takes in words, and the names among which it chooses."""
    choices = list(_choices(field.annotation))
    stated = [item.text for item in field.metadata if isinstance(item, Expected)]
    # The outermost statement comes last, and is about the field rather than about its type.
    return (stated[-1] if stated else f"one of {', '.join(choices)}"), choices


def _choices(annotation: Any) -> Iterator[str]:
    origin = typing.get_origin(annotation)
    if origin is Literal:
        yield from map(str, typing.get_args(annotation))
    elif origin in (typing.Union, types.UnionType, tuple, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _choices(part)
