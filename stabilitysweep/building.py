"""The models of a sweep that has a `build` of its user's: what is asked of it, and what came.

The models are built in processes of their own; this one never imports TensorFlow.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.config import COMPILED_SETTINGS, SweepConfig
from stabilitysweep.data import PreparedSets, RawData, target_facts
from stabilitysweep.errors import ConfigError
from stabilitysweep.executors import survey_apart
from stabilitysweep.executors.local import available_cores
from stabilitysweep.grid import Trial, request_of

Survey = Callable[[Sequence[Request], Sequence[Path], int], list[Blueprint]]

_RATE = "learning_rate"


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
    found = dict(zip(requests, survey(requests, folders, len(available_cores())), strict=True))
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
    for name in (*dict(config.model.hp), *config.hp_axes):
        if name not in asked:
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
