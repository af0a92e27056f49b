"""What is said of a user's models: which they are, what they bring, what cannot be stacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.wording import counted

_SHOWN_VALUES = 4
_SHOWN_REASONS = 4

Fields = Iterator[tuple[str, str]]
"""Labels, with what belongs to each."""


def model_fields(models: Mapping[str, Any]) -> Fields:
    """Which models, which `hp` take their default, and what they bring themselves.

    Args:
        models: see `building.models_in_words`.
    """
    yield "model", str(models["build"])
    if models["defaults"]:
        taken = (f"{name} {_values(values)}" for name, values in models["defaults"].items())
        yield "defaults", ", ".join(taken)
    if models["compiled"]:
        metrics = f", {', '.join(models['metrics'])}" if models["metrics"] else ""
        optimizer, loss = " or ".join(models["optimizer"]), " or ".join(models["loss"])
        yield "compiled", f"by the build: {optimizer}, {loss}{metrics}"
    if models["rate"] not in (None, "learning_rate"):
        yield "", f"its learning rate is the axis {models['rate']}"


def stored_models(models: Mapping[str, Any], not_stacked: Sequence[str]) -> Fields:
    """What a result's models are, and which were trained one by one.

    Args:
        models: see `building.models_in_words`; empty for the built-in model.
        not_stacked: why programs were found not to be stacked.
    """
    if models:
        yield from model_fields(models)
        yield from one_by_one(Counter(not_stacked) + Counter(models["alone"]))


def one_by_one(reasons: Mapping[str, int]) -> Fields:
    """Why programs are trained one by one, the most frequent reasons first."""
    shown = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    for place, (reason, number) in enumerate(shown[:_SHOWN_REASONS]):
        label = "" if place else "one by one"
        yield label, f"{counted(number, 'program')} by model.fit, not stacked: {reason}"
    if len(shown) > _SHOWN_REASONS:
        yield "", f"and {counted(len(shown) - _SHOWN_REASONS, 'more reason')}"


def _values(values: Sequence[Any]) -> str:
    shown = [value_label(value) for value in values[:_SHOWN_VALUES]]
    if len(values) > _SHOWN_VALUES:
        return f"{', '.join(shown)}, ..."
    return " or ".join(shown)
