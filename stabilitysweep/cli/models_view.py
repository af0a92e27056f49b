"""What is said of a user's models: before a run, while it is at work, and of its result."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from stabilitysweep.analysis.sentences.models import Fields, model_fields, one_by_one
from stabilitysweep.cli.words import counted
from stabilitysweep.types import Verdict

if TYPE_CHECKING:  # it brings scikit-learn, and to show a result needs none
    from stabilitysweep.execution import Plan


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
        yield from one_by_one(alone)
    if plan.sweep.failed:
        yield "not built", not_built(plan)


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
