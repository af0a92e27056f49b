"""What is said of a user's models: before a run, while it is at work, and of its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stabilitysweep.analysis import value_label
from stabilitysweep.cli.words import counted
from stabilitysweep.types import Verdict

if TYPE_CHECKING:  # it brings scikit-learn, and to show a result needs none
    from stabilitysweep.execution import Plan

_SHOWN_VALUES = 4
_SHOWN_REASONS = 4

Fields = Iterator[tuple[str, str]]


def planned_models(plan: Plan) -> Fields:
    """What the models of a plan are, and which of them cannot be stacked, or not be built."""
    models = plan.sweep.models
    if models is None:
        return
    yield from model_fields(models)
    if models["programs"]:
        failed = len(models["failed"]) // len(plan.sweep.config.seeds)
        built = counted(models["cells"] - failed, "model")
        yield "built", f"{built}, in {counted(models['programs'], 'program')}"
    if plan.options.engine == "stacked":
        alone = Counter(job.stacks[0].alone for job in plan.work.jobs if job.stacks[0].alone)
        yield from _one_by_one(alone)
    if plan.sweep.failed:
        yield "not built", not_built(plan)


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
        yield from _one_by_one(Counter(not_stacked) + Counter(models["alone"]))


def not_built(plan: Plan) -> str:
    """How many trials have a model that cannot be built, and why the first has none."""
    failed = plan.sweep.failed
    first = next(iter(failed.values()))
    causes = len(set(failed.values()))
    number = f"{len(failed):,} of {counted(len(plan.sweep.grid), 'trial')}"
    return f"{number}{'. The first: ' if causes > 1 else ': '}{first}"


def fallback(build: str | None, verdict: Verdict) -> str:
    """A warning that a program is not stacked, and why."""
    return f"a program of '{build}' goes by model.fit, one trial after another: {verdict.text}"


def _one_by_one(reasons: Mapping[str, int]) -> Fields:
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
