"""The guard's settings, checked when it is made rather than hours later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stabilitysweep.errors import UserError

ACTIONS = ("stop", "raise", "warn")


@dataclass(frozen=True, slots=True)
class EarlyRules:
    """When to warn before anything is non-finite; None turns a rule off.

    Attributes:
        min_loss_scale: warn when the loss scale is below.
        halvings: warn when the loss scale was halved so often within 100 steps.
        headroom_bits: warn when the largest weight or unscaled gradient is so near to the
            largest number of the dtype it is computed in, in powers of two.
        loss_growth: warn when the loss has grown by this factor a step over 20 steps.
    """

    min_loss_scale: float | None = 1.0
    halvings: int | None = 10
    headroom_bits: float | None = 4.0
    loss_growth: float | None = 1.1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a guard was told; see `StabilityGuard`."""

    every: int
    on_nonfinite: str
    restore: bool | str
    patience: int
    report: Path | None
    early: EarlyRules | None
    stop_on_warning: bool
    quiet: bool


def settings_of(**given: Any) -> Settings:
    """Check what a guard was given.

    Raises:
        UserError: a value that cannot be used.
    """
    early = given["early"]
    rules = EarlyRules() if early is True else early or None
    if rules is not None:
        if not isinstance(rules, EarlyRules):
            _refuse("early", "True, False or EarlyRules(...)", early)
        _number("early.min_loss_scale", rules.min_loss_scale, above=0)
        _number("early.headroom_bits", rules.headroom_bits, above=0)
        _number("early.loss_growth", rules.loss_growth, above=1)
        if rules.halvings is not None:
            _whole("early.halvings", rules.halvings)
    if given["on_nonfinite"] not in ACTIONS:
        _refuse("on_nonfinite", " or ".join(map(repr, ACTIONS)), given["on_nonfinite"])
    restore = given["restore"]
    if not isinstance(restore, bool) and restore != "model":
        _refuse("restore", "True, False or 'model'", restore)
    report = given["report"]
    if report is not None and not isinstance(report, str | Path):
        _refuse("report", "a folder, or None for no files", report)
    for name in ("stop_on_warning", "quiet"):
        if not isinstance(given[name], bool):
            _refuse(name, "True or False", given[name])
    return Settings(
        every=_whole("every", given["every"]),
        on_nonfinite=given["on_nonfinite"],
        restore=restore,
        patience=_whole("patience", given["patience"]),
        report=None if report is None else Path(report),
        early=rules,
        stop_on_warning=given["stop_on_warning"],
        quiet=given["quiet"],
    )


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < 1:
        _refuse(name, "a whole number of at least 1", value)
    return int(value)


def _number(name: str, value: Any, above: float) -> None:
    if value is None:
        return
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not math.isfinite(value) or value <= above:
        _refuse(name, f"a number above {above}, or None", value)


def _refuse(name: str, expected: str, value: Any) -> None:
    raise UserError(f"StabilityGuard: {name}: expected {expected}, got {value!r}")
