"""Settings and shares as sentences say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stabilitysweep.analysis.axes import value_label, value_labels


def spoken(axis: str) -> str:
    """An axis in a sentence: `learning_rate` is `learning rate`."""
    return axis.replace("_", " ")


def placed(axis: str, value: object) -> str:
    """Where something happens: `at depth 4`, `in float16`, `with activation relu`."""
    return f"{_preposition(axis, value)} {_named(axis, value_label(value))}"


def changed(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """A change of settings: `at depth 1 instead of 8 and in float32 instead of float16`.

    Args:
        changes: for each axis, the old value and the new.
    """
    groups: dict[str, list[str]] = {}
    for axis, (own, new) in changes.items():
        old_label, new_label = value_labels((own, new))
        part = f"{_named(axis, new_label)} instead of {old_label}"
        groups.setdefault(_preposition(axis, new), []).append(part)
    return " and ".join(f"{word} {' and '.join(parts)}" for word, parts in groups.items())


def percent(part: int, whole: int) -> str:
    """A share in whole percent; what is not all never reads as 100 %."""
    share = 100 * part / whole
    return "> 99 %" if 99.5 <= share < 100 else f"{share:.0f} %"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 trial`, `24,300 trials`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def number(value: float | None) -> str:
    """A measured number in four digits; `-` if it was not measured."""
    if value is None:
        return "-"
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _named(axis: str, label: str) -> str:
    # A precision is known by its value: "precision float16" says the same twice.
    return label if axis == "precision" else f"{spoken(axis)} {label}"


def _preposition(axis: str, value: object) -> str:
    if axis == "precision":
        return "in"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "at" if number else "with"
