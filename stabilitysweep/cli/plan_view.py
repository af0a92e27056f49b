"""What a run will do, in words: a few lines before it, or the whole plan for `check`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from stabilitysweep.analysis import value_label
from stabilitysweep.cli.audit_view import brief_audit, whole_audit
from stabilitysweep.cli.layout import columns, fields
from stabilitysweep.cli.models_view import planned_models
from stabilitysweep.cli.terminal import command
from stabilitysweep.cli.words import about, counted
from stabilitysweep.config.names import CLASSIFICATION_LOSSES
from stabilitysweep.data import RawData
from stabilitysweep.execution import Plan
from stabilitysweep.runner import Sweep

_SHOWN_VALUES = 6


def brief(plan: Plan) -> RenderableType:
    """The plan in a few lines, printed before a run."""
    data = ", ".join(_shape(raw) for raw in plan.sweep.raw.values())
    return Group(
        fields(
            [
                (plan.sweep.config.name, data),
                *planned_models(plan),
                ("trials", product(plan.sweep)),
                ("stored", _stored(plan)),
                ("to train", to_train(plan)),
                ("result", str(plan.folder)),
            ]
        ),
        *brief_audit(plan.sweep.audit),
    )


def whole(plan: Plan, config: str, out: str | None, *, every: bool = False) -> RenderableType:
    """The whole plan, printed by `check`.

    Args:
        plan: the plan.
        config: the config as the user named it.
        out: the result folder if the user named one.
        every: whether every finding of the audit is shown, column by column.
    """
    sweep = plan.sweep
    run = command("run", config, *(["--out", out] if out else []))
    return Group(
        fields([("sweep", sweep.config.name), *_data_fields(sweep)]),
        *whole_audit(sweep.audit, every=every),
        "",
        columns(("axis", "values", ""), _axis_rows(sweep), text=3),
        *(("", fields(planned_models(plan))) if sweep.models is not None else ()),
        "",
        fields(
            [
                ("trials", product(sweep)),
                ("cells", f"{sweep.grid.cells:,}, {_seeds(sweep.config.seeds)} each"),
                ("stored", _stored(plan)),
                ("to train", to_train(plan)),
                ("result", str(plan.folder)),
            ]
        ),
        "",
        *_afterwards(plan, run),
    )


def _afterwards(plan: Plan, run: str) -> tuple[str, ...]:
    if plan.nothing_built:
        return ("Nothing was stored, and nothing can be.",)
    refreshing = not plan.work.trials
    head = "To refresh it:" if refreshing else "Nothing was stored. To run it:"
    return head, f"  {run}"


def product(sweep: Sweep) -> str:
    """How the number of trials comes about: `360 = 2 precision x 3 depth x 60 seeds`."""
    axes = [f"{len(values)} {name}" for name, values in sweep.config.grid.items()]
    merged = sweep.grid.merged
    if sweep.config.cells is not None:
        chosen = sweep.grid.cells + merged // len(sweep.config.seeds)
        axes = [f"{chosen:,} chosen cells out of {' x '.join(axes)}"]
    factors = " x ".join([*axes, _seeds(sweep.config.seeds)])
    left_out = f" - {merged:,} that mean the same as others" if merged else ""
    return f"{len(sweep.grid):,} = {factors}{left_out}"


def _seeds(seeds: range) -> str:
    number = counted(len(seeds), "seed")
    return f"{number} from {seeds.start:,}" if seeds.start else number


def to_train(plan: Plan) -> str:
    """What is left to do, by whom, and how long it may take."""
    work = plan.work
    if plan.nothing_built:
        return "nothing: no model can be built"
    if not work.trials:
        failed = bool(plan.sweep.failed)
        return f"nothing: every trial {'that can be built ' * failed}is stored"
    programs = counted(work.programs, "program")
    if work.under_xla:
        programs += f" ({work.under_xla} under XLA)"
    stacks = counted(work.stacks, "stack")
    workers = counted(plan.workers, "worker")
    return f"{work.trials:,} in {programs} and {stacks}, by {workers}: {about(plan.seconds)}"


def _data_fields(sweep: Sweep) -> Iterator[tuple[str, RenderableType]]:
    as_classes = CLASSIFICATION_LOSSES.issuperset(sweep.config.values("loss"))
    for label, raw in sweep.raw.items():
        yield "data", f"{_shape(raw)} ({raw.source})"
        rows = sweep.splits[label]
        held_out = len(rows.validation)
        split = counted(len(rows.train), "training row")
        yield "", f"{split}, {held_out:,} for validation" if held_out else f"{split}: all of them"
        yield "", f"target: {_target(raw.target, as_classes)}"


def _target(target: np.ndarray[Any, Any], as_classes: bool) -> str:
    if target.dtype.kind == "f" and not as_classes:
        return f"numbers from {value_label(target.min())} to {value_label(target.max())}"
    classes = np.unique(target)
    shown = ", ".join(map(value_label, classes[:_SHOWN_VALUES].tolist()))
    more = ", ..." if len(classes) > _SHOWN_VALUES else ""
    return f"{len(classes):,} different values: {shown}{more}"


def _axis_rows(sweep: Sweep) -> Iterator[tuple[str, str, str]]:
    for name, values in sweep.grid.axes.items():
        labels = [value_label(value) for value in values]
        if len(labels) > _SHOWN_VALUES:
            labels = [*labels[:3], "...", labels[-1]]
        yield name, f"{len(values):>6,}", ", ".join(labels)


def _shape(raw: RawData) -> str:
    return f"{raw.label}, {counted(len(raw.target), 'row')} x {counted(raw.columns, 'column')}"


def _stored(plan: Plan) -> str:
    if plan.options.fresh:
        return f"0: an old result is kept beside, as {plan.folder}.DATE-TIME"
    return f"{plan.stored:,} of {len(plan.sweep.grid):,}"
