"""Whether a config extends the trials of another one, or changes what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stabilitysweep.config import (
    COMPILED_SETTINGS,
    DATASET,
    SECTIONS,
    SweepConfig,
    parse_config,
)
from stabilitysweep.grid import DECIDED_BY, dataset_text, decided, with_whole_numbers

_MOST_SHOWN = 6  # values of an axis that a message repeats


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What keeps a new config from extending the trials of an old one.

    The rule: each setting has a set of values in a config, that of its axis, or the one of
    its section. It is a **conflict** if the new set has no value in common with the old one:
    then none of the stored trials is in the new grid. A grid is the product of its settings'
    sets, so without a conflict at least one stored trial is, and the new config extends the
    old: with more or fewer values, axes or seeds, an axis that contains the old fixed value,
    a fixed value that the old axis contains. A changed set of `training.metrics` is a
    conflict too, since the stored rows lack columns. `name`, `cells`, `seeds` and the order of
    anything are not compared: other cells and other seeds are more of the same.

    Values are compared as resolved, as far as that goes without the data: null for
    `weight_decay` and `target_scaling` is the default of the optimizer and the loss. A
    batch size is compared as it is written (`full` and 353 are different), and so are
    `steps` and `epochs`.

    Of a user's build, a config does not know all: an `hp` that it does not give takes a
    default in the build, and so may the settings on which a compiled model decides
    (`COMPILED_SETTINGS`), and with its loss a `target_scaling` of null. What only one of the
    configs says is in no conflict, therefore, and where both say something the rule is the
    one above. So without a conflict there may be no stored trial in the new grid after all:
    their ids tell, and nothing is lost but the time to train the new ones. Another
    `model.build` is a conflict, whatever the rest; then the `hp` of the two are not compared.

    Args:
        old: `SweepConfig.resolved` of the stored config.
        new: `SweepConfig.resolved` of the config to run.

    Returns:
        A line for each conflict, such as `training.steps: 100 -> 200`; empty if none.

    Raises:
        ConfigError: one of the two is no config.
    """
    before = parse_config(old, source="the stored config")
    after = parse_config(new, source="the new config")
    lines = _dataset_conflicts(before, after)
    build, other = before.model.build, after.model.build
    if build != other:
        lines.append(f"model.build: {_shown([build])} -> {_shown([other])}")
    for section in SECTIONS:
        for setting in _compared(section, before, after):
            if not (_is_known(before, setting) and _is_known(after, setting)):
                continue
            values, others = before.values(setting), after.values(setting)
            if setting == "metrics":
                in_conflict = set(values[0]) != set(others[0])
            else:
                in_conflict = _meanings(before, setting, after).isdisjoint(
                    _meanings(after, setting, before)
                )
            if in_conflict:
                lines.append(f"{section}.{setting}: {_shown(values)} -> {_shown(others)}")
    return lines


def _compared(section: str, before: SweepConfig, after: SweepConfig) -> list[str]:
    """The settings of a section, or in their place the `hp` that either config gives."""
    build = before.model.build
    if section == "model" and build != after.model.build:
        return []
    if section != "model" or build is None:
        return [name for name in SECTIONS[section].model_fields if name not in ("build", "hp")]
    given = (dict(config.model.hp).keys() | {*config.hp_axes} for config in (before, after))
    return sorted(set().union(*given))


def _is_known(config: SweepConfig, setting: str) -> bool:
    """Whether a config alone says what a setting is in all of its trials."""
    if config.model.build is None:
        return True
    if setting in COMPILED_SETTINGS:
        return setting in config.given
    return bool(config.values(setting)) and (
        setting != "target_scaling" or None not in config.values(setting)
    )


def _meanings(config: SweepConfig, setting: str, other: SweepConfig) -> set[Any]:
    """The values a setting means, each with the value that decides on its null."""
    if setting in config.hp_axes or setting in dict(config.model.hp):
        # True is no 1 to a build.
        return {(isinstance(value, bool), value) for value in config.values(setting)}
    if setting not in DECIDED_BY:
        return set(config.values(setting))
    by = DECIDED_BY[setting][0]
    common = set(config.values(by)) & set(other.values(by))
    if not common:  # then `by` is in conflict itself, and this one need not add to it
        return set(config.values(setting))
    return {
        (decider, decided(setting, value, decider))
        for decider in common
        for value in config.values(setting)
    }


def _dataset_conflicts(before: SweepConfig, after: SweepConfig) -> list[str]:
    contents = [
        {dataset_text(dataset): dataset for dataset in config.datasets}
        for config in (before, after)
    ]
    if not contents[0].keys().isdisjoint(contents[1]):
        return []
    if any(len(content) > 1 for content in contents):
        labels = ([dataset.label for dataset in content.values()] for content in contents)
        return [f"{DATASET}: {' -> '.join(map(_shown, labels))}"]
    old, new = (config.datasets[0] for config in (before, after))
    return [
        f"{DATASET}.{key}: {_shown([getattr(old, field)])} -> {_shown([getattr(new, field)])}"
        for field, key in (
            (name, info.alias or name) for name, info in type(old).model_fields.items()
        )
        if getattr(old, field) != getattr(new, field)
    ]


def _shown(values: Sequence[Any]) -> str:
    """Values as a config has them: one by itself, several as a list."""
    texts = [
        value if isinstance(value, str) else json.dumps(with_whole_numbers(value))
        for value in values
    ]
    if len(texts) == 1:
        return texts[0]
    rest = f", ... ({len(texts)} values)" if len(texts) > _MOST_SHOWN else ""
    return f"[{', '.join(texts[:_MOST_SHOWN])}{rest}]"
