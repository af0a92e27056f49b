"""Settings and shares as sentences say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stabilitysweep.analysis.axes import value_label, value_labels

_KINDS = {"nan": "NaN", "+inf": "+Inf", "-inf": "-Inf"}
_MINUTE, _HOUR = 60.0, 3600.0


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


def share(part: int, whole: int) -> str:
    """A part in percent; one that is there never reads as 0.0 %, nor a lack as 100 %."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """A measured time: `8.3 s`, `17 s`, `2 min 5 s`, `1 h 12 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // 60} h {minutes % 60} min"


def settings(values: Mapping[str, Any]) -> str:
    """Settings as `plot --where` takes them: `depth=1, learning_rate=0.01, seed=2`."""
    return ", ".join(f"{name}={value_label(value)}" for name, value in values.items())


def onset(step: int, stage: str | None, tensor: str | None, kind: str | None) -> str:
    """What became non-finite first: `step 3: activation dense_1 became +Inf`."""
    what = " ".join(part for part in (stage, tensor) if part and part != "loss") or "loss"
    if stage == "input":
        return f"step {step}: the training data hold {_KINDS[kind or 'nan']} in column {tensor}"
    return f"step {step:,}: {what} became {_KINDS[kind or 'nan']}"


def _named(axis: str, label: str) -> str:
    # A precision is known by its value: "precision float16" says the same twice.
    return label if axis == "precision" else f"{spoken(axis)} {label}"


def _preposition(axis: str, value: object) -> str:
    if axis == "precision":
        return "in"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "at" if number else "with"
