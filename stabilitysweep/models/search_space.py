"""A box of safe cells as a search space of KerasTuner."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

SearchSpace = keras_tuner.HyperParameters

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Span:
    """One axis of a box, as a search is to see it.

    Attributes:
        name: of the axis, and of the hyperparameter.
        values: those of the box, at least one; numbers increasing.
        pick: one of them, which is the default.
        kind: what becomes of it where no build says: `real`, a range of numbers; `whole`, one of
            whole numbers; `choice`, one of the values.
        sampling: of a range, `log` or `linear`.
        step: between the whole numbers of a range; a factor if the sampling is `log`.
    """

    name: str
    values: tuple[Any, ...]
    pick: Any
    kind: str = "choice"
    sampling: str = "linear"
    step: int | None = None

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(_is_number(value) for value in self.values)


def declared_space(build: Callable[[Any], Any]) -> keras_tuner.HyperParameters:
    """Find out what a function asks of `hp`, in all its conditional scopes.

    KerasTuner does so itself when a search begins: the models are built, nothing is trained.

    Args:
        build: a function of `hp` that returns a model.
    """
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            build,
            objective="val_loss",
            max_trials=1,
            directory=folder,
            project_name="space",
            overwrite=True,
        )
        return tuner.oracle.get_space()


def search_space(
    spans: Iterable[Span],
    declared: keras_tuner.HyperParameters | None = None,
    measured_at: Mapping[str, Any] | None = None,
) -> keras_tuner.HyperParameters:
    """Make a search space of a box.

    Args:
        spans: the axes of the box.
        declared: what a user's build asks for; each keeps its kind and conditions, narrowed.
        measured_at: values of what it asks for that is no axis: they are fixed. Those that are in
            neither stay as they are declared.
    """
    by_name = {span.name: span for span in spans}
    space: list[Any] = []
    for hp in declared.space if declared is not None else ():
        if hp.name in by_name:
            space.append(_narrowed(hp, by_name[hp.name]))
        elif measured_at is not None and hp.name in measured_at:
            space.append(kinds.Fixed(hp.name, measured_at[hp.name], conditions=hp.conditions))
        else:
            space.append(hp)
    known = {hp.name for hp in space}
    # Asked for only by some of the models, outside of any conditional scope.
    others = {} if declared is None else dict(measured_at or {})
    space += [
        kinds.Fixed(name, value)
        for name, value in others.items()
        if name not in known and name not in by_name
    ]
    space += [made for span in by_name.values() if span.name not in known for made in _own(span)]
    found = keras_tuner.HyperParameters()
    found.merge(space)
    return found


def _own(span: Span) -> list[Any]:
    """The hyperparameter of an axis that no build declares; none for a value it cannot have."""
    name, values, pick = span.name, span.values, span.pick
    if len(values) > 1 and span.kind == "real":
        low, high = float(values[0]), float(values[-1])
        return [kinds.Float(name, low, high, sampling=span.sampling, default=float(pick))]
    if len(values) > 1 and span.kind == "whole":
        low, high = values[0], values[-1]
        return [
            kinds.Int(name, low, high, step=span.step, sampling=span.sampling, default=int(pick))
        ]
    return _choice(name, values, pick, [])


def _narrowed(hp: Any, span: Span) -> Any:
    """What a build declares, with no more values than the box has."""
    values, conditions, name = span.values, hp.conditions, hp.name
    low: Any
    high: Any
    low, high = (min(values), max(values)) if span.numeric else (None, None)
    match hp:
        case kinds.Boolean() if len(values) > 1:
            return kinds.Boolean(name, default=bool(span.pick), conditions=conditions)
        case kinds.Choice():
            kept = [value for value in hp.values if _inside(value, span)]
            return _one(_choice(name, kept or values, span.pick, conditions, hp.ordered), hp)
        case kinds.Float() | kinds.Int() if span.numeric and len(values) > 1:
            kind = type(hp)
            own = int if kind is kinds.Int else float
            if hp.step is not None:
                kept = [own(value) for value in hp.values if _inside(value, span)]
                if len(kept) < 2 or hp.sampling == "reverse_log":
                    return _one(_choice(name, kept or values, span.pick, conditions), hp)
                low, high = kept[0], kept[-1]
            elif hp.max_value < low or hp.min_value > high:
                pass  # the map was of other values than are declared: these are the safe ones
            else:
                low, high = max(low, hp.min_value), min(high, hp.max_value)
            if low == high:
                return kinds.Fixed(name, own(low), conditions=conditions)
            low, high = own(low), own(high)
            return kind(
                name,
                low,
                high,
                step=hp.step,
                sampling=hp.sampling,
                default=own(min(max(span.pick, low), high)),
                conditions=conditions,
            )
        case kinds.Float() if len(values) == 1 and span.numeric:
            return kinds.Fixed(name, float(values[0]), conditions=conditions)
    return _one(_choice(name, values, span.pick, conditions), hp)


def _choice(
    name: str,
    values: Sequence[Any],
    pick: Any,
    conditions: Sequence[Any],
    ordered: bool | None = None,
) -> list[Any]:
    """One of some values, fixed if there is only one; KerasTuner takes no null, and one type."""
    usable = [value for value in values if isinstance(value, bool | int | float | str)]
    if not usable or pick is None:
        return []
    if all(_is_number(value) for value in usable) and len({*map(type, usable)}) > 1:
        usable = [float(value) for value in usable]
    if len({*map(type, usable)}) > 1:
        usable = [value for value in usable if type(value) is type(pick)] or usable[:1]
    if len(usable) == 1:
        return [kinds.Fixed(name, usable[0], conditions=conditions)]
    if all(isinstance(value, bool) for value in usable):
        return [kinds.Boolean(name, default=bool(pick), conditions=conditions)]
    default = next((value for value in usable if value == pick), None)
    if ordered and not all(_is_number(value) for value in usable):
        ordered = None
    return [kinds.Choice(name, usable, ordered=ordered, default=default, conditions=conditions)]


def _one(found: Sequence[Any], hp: Any) -> Any:
    return found[0] if found else hp


def _inside(value: Any, span: Span) -> bool:
    """Whether a value is one of the box, or lies between two of it."""
    if span.numeric and _is_number(value):
        low, high = min(span.values), max(span.values)
        near = math.isclose(value, low, rel_tol=_TOLERANCE) or math.isclose(
            value, high, rel_tol=_TOLERANCE
        )
        return bool(low <= value <= high or near)
    return value in span.values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
