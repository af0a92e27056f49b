"""The models of a sweep that has a `build` of its user's: what is asked of it, and what came.

The models are built in processes of their own; this one never imports TensorFlow.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.config import COMPILED_SETTINGS, SweepConfig
from stabilitysweep.data import PreparedSets, RawData, target_facts
from stabilitysweep.errors import ConfigError
from stabilitysweep.executors import survey_apart
from stabilitysweep.executors.local import default_workers
from stabilitysweep.grid import Trial, request_of, with_whole_numbers

Survey = Callable[[Sequence[Request], Sequence[Path], int], list[Blueprint]]

_RATE = "learning_rate"
_MOST_VALUES = 8
"""Values of a setting that a record keeps: the reader of more needs to know but that it varies."""

_MOST_ALIKE = 20_000
"""Combinations that a record keeps: of more, a map has holes where an `hp` has no effect."""

_DIGITS = 16
_DECIDING_PACKAGES = ("tensorflow", "keras")


def build_models(
    config: SweepConfig,
    trials: Iterable[Trial],
    raw: Mapping[str, RawData],
    data: PreparedSets,
    survey: Survey = survey_apart,
) -> Callable[[Trial], Blueprint]:
    """Build the model of every cell.

    Args:
        config: with a `model.build`.
        trials: of the grid as it is laid out without blueprints; one of each cell will do.
        raw: the data sets, by label.
        data: lays out the inputs of the trials.
        survey: builds the models, elsewhere.

    Returns:
        The blueprint of each of these trials.

    Raises:
        ConfigError: a name of the config that the build never asks for.
        DataError: the inputs cannot be laid out.
    """
    facts = {label: target_facts(own) for label, own in raw.items()}

    def request(trial: Trial) -> Request:
        label = trial.dataset.label
        blocks = data.blocks_of(label, trial.preprocessing)
        return request_of(trial, config, blocks, raw[label].named, facts[label])

    requests = list(dict.fromkeys(map(request, trials)))
    base = config.base_folder.absolute()
    folders = list(dict.fromkeys([Path.cwd(), base, base.parent]))
    found = dict(zip(requests, survey(requests, folders, default_workers()), strict=True))
    _check_names(config, list(found.values()))
    return lambda trial: found[request(trial)]


def _check_names(config: SweepConfig, blueprints: Sequence[Blueprint]) -> None:
    """Refuse what would have no effect: names that no model of the sweep asks for."""
    built = [blueprint for blueprint in blueprints if not blueprint.error]
    if not built:
        return
    asked = {name for blueprint in built for name, _ in blueprint.values}
    known = asked | {name for blueprint in built for name, _ in blueprint.defaults}
    build = config.model.build
    # A model that cannot be built, or of a cell left out, may be the one that would have asked.
    whole = len(built) == len(blueprints) and config.cells is None
    for name in (*dict(config.model.hp), *config.hp_axes):
        if name not in asked and whole:
            home = "grid" if name in config.grid else "model"
            nearest = difflib.get_close_matches(name, sorted(known), n=1)
            raise ConfigError(
                f"{home}.{name}: expected an hp that '{build}' asks for, got one it never asks "
                f"for. It asks for: {', '.join(sorted(known)) or 'none'}."
                + (f" Did you mean {nearest[0]!r}?" if nearest else "")
            )
    if not all(blueprint.compiled for blueprint in built):
        return
    for name in sorted(config.given & set(COMPILED_SETTINGS)):
        if name in asked or (name == _RATE and not all(b.scheduled for b in built)):
            continue
        home = "grid" if name in config.grid else "training"
        of = "loss" if name == "loss" else "optimizer"
        raise ConfigError(
            f"{home}.{name}: expected no {name!r} beside a model that '{build}' compiles with "
            f"{'a schedule' if name == _RATE else 'its own ' + of}, got one that would have no "
            f"effect. Ask hp for {name!r} in the build, leave it out of the config, or return the "
            "model without compiling it."
        )


def models_in_words(
    config: SweepConfig,
    firsts: Sequence[Trial],
    failed: Sequence[str],
    alike: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]] = (),
) -> dict[str, Any]:
    """Say what the models of a sweep are, as its record keeps it: a result is read without them.

    Args:
        config: with a `model.build`.
        firsts: a trial of every cell of the grid, drawn.
        failed: ids of the trials whose model cannot be built.
        alike: see `Grid.alike`.

    Returns:
        Plain values: `build`; `cells` and `trials` of the grid; the values that trials have on
        each of its `axes`; the `defaults` of `hp` that were taken, each with its values;
        `optimizer`, `loss`, `target` (its form) and `metrics` of the models, each a list;
        `training`, the settings that compiled models decide on, each with its values;
        `compiled`, whether all are; `rate`, the axis that the learning rate of every model
        equals, or null; `programs`, their number; `alone`, why programs cannot be stacked, by
        reason, and how many; `failed`, the ids; `alike`, combinations without trials of their
        own, each with the one whose trials are theirs too, as values in the order of the axes.
    """
    built = [trial for trial in firsts if trial.blueprint and not trial.blueprint.error]
    drawn = [trial.blueprint for trial in built if trial.blueprint is not None]
    defaults = [dict(blueprint.defaults) for blueprint in drawn]
    own = [
        {name: value for name, value in blueprint.training if value not in (None, 0, "constant")}
        for blueprint in drawn
        if blueprint.compiled
    ]
    alone: dict[str, set[str]] = {}
    for blueprint in drawn:
        if blueprint.alone:
            alone.setdefault(blueprint.alone, set()).add(blueprint.program)
    return {
        "build": config.model.build,
        "cells": len(firsts),
        "trials": len(firsts) * len(config.seeds),
        "axes": {name: _met(config, name, firsts) for name in config.grid},
        "defaults": _values_by_name(defaults),
        "optimizer": _different(blueprint.optimizer for blueprint in drawn),
        "loss": _different(blueprint.loss for blueprint in drawn),
        "target": _different(trial.target_form for trial in built),
        "metrics": _different(name for blueprint in drawn for name in blueprint.metrics),
        "training": _values_by_name(own),
        "compiled": bool(own) and len(own) == len(drawn),
        "rate": rate_axis(config, built),
        "programs": len({blueprint.program for blueprint in drawn}),
        "alone": {reason: len(programs) for reason, programs in alone.items()},
        "failed": sorted(failed),
        "alike": [[list(own.values()), list(cell.values())] for own, cell in alike[:_MOST_ALIKE]],
    }


def rate_axis(config: SweepConfig, built: Sequence[Trial]) -> str | None:
    """The axis that the learning rate of every model equals; None if there is not just one.

    Args:
        config: of the trials.
        built: trials whose models could be built.
    """
    if _RATE in config.grid:
        return _RATE

    def follows(axis: str) -> bool:
        return all(
            type(trial.axes[axis]) in (int, float)
            and trial.axes[axis] == trial.training.learning_rate
            for trial in built
        )

    found = [axis for axis in config.hp_axes if built and follows(axis)]
    return found[0] if len(found) == 1 else None


def _met(config: SweepConfig, axis: str, firsts: Iterable[Trial]) -> list[Any]:
    """The values that trials have on an axis, in the order of the config where it has them."""
    met = dict.fromkeys((type(trial.axes[axis]), trial.axes[axis]) for trial in firsts)
    place = {(type(value), value): place for place, value in enumerate(config.values(axis))}
    return [value for _, value in sorted(met, key=lambda key: place.get(key, -1))]


def _different(values: Iterable[Any]) -> list[Any]:
    return [value for value in dict.fromkeys(values) if value != ""]


def _values_by_name(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = sorted({name for own in settings for name in own})
    # Of two values that are equal, as 1 and True, both are said.
    return {
        name: [
            value
            for _, value in dict.fromkeys(
                (type(own[name]), own[name]) for own in settings if name in own
            )
        ][:_MOST_VALUES]
        for name in names
    }


def model_digests(config: SweepConfig, trials: Iterable[Trial]) -> dict[str, str]:
    """Say which model is built of which settings, in a few digits.

    Args:
        config: with a `model.build`.
        trials: drawn; those whose model cannot be built are passed over.

    Returns:
        The digest of all that decides on the training of a cell but its data, by the digest of
        what the config says of the cell. With other versions of the packages that build and
        train, both are others.
    """
    versions = _versions()
    found: dict[str, str] = {}
    for trial in trials:
        drawn = trial.blueprint
        if drawn is None or drawn.error:
            continue
        said = dict(config.model.hp) | {axis: trial.axes[axis] for axis in config.hp_axes}
        for name in config.given:
            said[f"training.{name}"] = trial.axes.get(name, getattr(trial.training, name))
        key = [versions, drawn.build, trial.dataset.label, drawn.precision, drawn.blocks]
        model = [drawn.program, drawn.weights, drawn.numbers, drawn.training, drawn.target]
        found[_digest([*key, sorted(said.items())])] = _digest(model)
    return found


@cache
def _versions() -> tuple[str, ...]:
    return tuple(metadata.version(package) for package in _DECIDING_PACKAGES)


def _digest(content: Any) -> str:
    text = json.dumps(with_whole_numbers(content), default=list)
    return hashlib.blake2b(text.encode(), digest_size=_DIGITS // 2).hexdigest()


def changed_build(
    config: SweepConfig, firsts: Iterable[Trial], known: Mapping[str, str]
) -> list[str]:
    """Say whether a build makes other models than a record was made of, in a line.

    Args:
        config: of the sweep.
        firsts: a trial of every cell, drawn.
        known: the digests of the models that were trained, see `model_digests`.
    """
    if config.model.build is None or not known:
        return []
    changed = []
    for trial in firsts:
        for key, model in model_digests(config, [trial]).items():
            if known.get(key, model) != model:
                changed.append(trial)
    if not changed:
        return []
    first = changed[0]
    shown = {name: first.axes[name] for name in config.hp_axes} or dict(first.model.hp)
    values = ", ".join(f"{name} {value}" for name, value in shown.items())
    beside = f" and {len(changed) - 1:,} other cells" if len(changed) > 1 else ""
    return [
        f"model.build {config.model.build}: the build has changed (it makes another model"
        f"{' of ' + values if values else ''}{beside})"
    ]
